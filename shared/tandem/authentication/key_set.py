"""The public keys of whoever issues tokens: a JSON Web Key Set (RFC 7517)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    SECP521R1,
    EllipticCurve,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

MAX_KEYS: Final = 100
"""Of one set. What comes after them is not looked at."""

RSA_BITS: Final = range(2048, 8192 + 1)
"""Below them a key can be broken (RFC 7518, 3.3); above, each check takes milliseconds."""

PublicKey: TypeAlias = (
    RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey | Ed448PublicKey
)


class InvalidKeySet(ValueError):
    """The text is no key set, or none of its keys can verify a token."""


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """One key of the set, and the one algorithm to which its issuer bound it, if any."""

    kid: str
    public: PublicKey
    algorithm: str

    def fits(self, algorithm: str) -> bool:
        """Whether a token with this algorithm may be verified with the key.

        A token's header alone never decides how its key is used (RFC 8725, 3.1).
        """
        bound = self.algorithm in ("", algorithm)
        return bound and FITTING[algorithm](self.public)


@dataclass(frozen=True, slots=True, eq=False)
class KeySet:
    """The keys of an issuer at one time."""

    keys: tuple[VerifyingKey, ...]

    def find(self, kid: str | None, algorithm: str) -> PublicKey | None:
        """The key that a token's header names. Without a name, the only one that fits."""
        fitting = [key for key in self.keys if key.fits(algorithm)]
        if kid is None:
            return fitting[0].public if len(fitting) == 1 else None
        return next((key.public for key in fitting if key.kid == kid), None)


def parse_key_set(text: str | bytes) -> KeySet:
    """The keys that can verify tokens; others, private ones too, are left out.

    Raises:
        InvalidKeySet: there is none.
    """
    try:
        listed = json.loads(text)["keys"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise InvalidKeySet("it is not a JSON Web Key Set") from error
    if not isinstance(listed, list):
        raise InvalidKeySet("its `keys` are not a list")
    keys = tuple(key for each in listed[:MAX_KEYS] if (key := _key(each)) is not None)
    if not keys:
        raise InvalidKeySet("it has no public RSA, EC or OKP key for signatures")
    return KeySet(keys)


def _key(found: Any) -> VerifyingKey | None:
    if not isinstance(found, dict):
        return None
    found = {name: value for name, value in found.items() if value is not None}
    if not _for_signatures(found):
        return None
    try:
        public = jwt.PyJWK(found).key
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    kid, algorithm = found.get("kid", ""), found.get("alg", "")
    if not isinstance(public, PublicKey) or not isinstance(kid, str):
        return None
    return VerifyingKey(kid, public, algorithm)


def _for_signatures(found: Mapping[str, Any]) -> bool:
    """Whether it is a key that only its issuer can sign with, and that is meant for it."""
    uses = found.get("key_ops", ["verify"])
    return (
        found.get("kty") in ("RSA", "EC", "OKP")
        and "d" not in found
        and found.get("use", "sig") == "sig"
        and isinstance(uses, list)
        and "verify" in uses
    )


def _rsa(key: PublicKey) -> bool:
    return isinstance(key, RSAPublicKey) and key.key_size in RSA_BITS


def _curve(curve: type[EllipticCurve]) -> Callable[[PublicKey], bool]:
    def fits(key: PublicKey) -> bool:
        return isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, curve)

    return fits


def _edwards(key: PublicKey) -> bool:
    return isinstance(key, Ed25519PublicKey | Ed448PublicKey)


FITTING: Final[Mapping[str, Callable[[PublicKey], bool]]] = MappingProxyType(
    {
        **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), _rsa),
        "ES256": _curve(SECP256R1),
        "ES384": _curve(SECP384R1),
        "ES512": _curve(SECP521R1),
        "EdDSA": _edwards,
    }
)
"""For each algorithm that may be asked for, the keys that it works with."""
