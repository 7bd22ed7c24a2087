"""Callers by JSON Web Token: signed by one issuer, for one audience (RFC 7519, 8725, 9068)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final, Protocol

import jwt

from tandem.access import Caller, Scope, parse_scope
from tandem.authentication.key_set import KeySet, PublicKey
from tandem.authentication.presenting import Presented
from tandem.authentication.verified import Verified
from tandem.errors import Unauthenticated

MAX_TOKEN: Final = 8 * 1024
"""Characters of a token. All metadata of a call may have 16 KiB."""

MAX_NAME: Final = 255
"""Characters of a caller's name."""

MAX_SCOPES: Final = 256
"""Of one token; the rest is not looked at."""

LEEWAY: Final = 30.0
"""Seconds that the issuer's clock may differ: RFC 7519, 4.1.4, has it small."""

TOKEN: Final = re.compile(r"[\w-]+\.[\w-]+\.[\w-]*", re.ASCII)
"""Three parts in base64. Other kinds of credentials have no dots."""

TYPES: Final = ("", "jwt", "at+jwt", "application/at+jwt")
"""Of a token that gives access. One that is typed for another use gives none
(RFC 8725, 3.11)."""

REQUIRED: Final = ("exp", "iss", "aud", "sub")


class KeySource(Protocol):
    """Where the issuer's keys are. Another set is another object."""

    async def current(self) -> KeySet:
        """The keys, as a rule at once."""

    async def renewed(self) -> KeySet:
        """The keys, looked for again as far as the issuer may be asked again."""


class WebTokens:
    """Knows callers by their tokens. A token is verified once, not with every call."""

    def __init__(
        self,
        keys: KeySource,
        *,
        issuer: str,
        audience: str,
        algorithms: Sequence[str],
        scope_claim: str = "scope",
    ) -> None:
        """Nothing is read yet.

        Args:
            keys: of the issuer.
            issuer: what `iss` must be.
            audience: what must be among `aud`.
            algorithms: those of signatures, all of them asymmetric.
            scope_claim: the claim with the scopes, as words in a text or as a list.
        """
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._algorithms = tuple(algorithms)
        self._scope_claim = scope_claim
        self._verified = Verified(LEEWAY)

    async def authenticate(self, presented: Presented) -> Caller | None:
        """The caller of this token; None where it is no token.

        Raises:
            Unauthenticated: it is not valid, or not yet, or no longer.
            IssuerUnavailable: the keys could not be had yet.
        """
        token = presented.bearer
        if len(token) > MAX_TOKEN:
            raise _refused("too long")
        if not TOKEN.fullmatch(token):
            return None
        keys = await self._keys.current()
        known = self._verified.find(token, keys)
        return known or await self._verify(token, keys)

    async def _verify(self, token: str, keys: KeySet) -> Caller:
        kid, algorithm = self._header(token)
        key = keys.find(kid, algorithm)
        if key is None:
            keys = await self._keys.renewed()
            key = keys.find(kid, algorithm)
        if key is None:
            raise _refused("unknown key")
        claims = self._claims(token, key, algorithm)
        caller = Caller(_name(claims["sub"]), self._scopes(claims))
        self._verified.keep(token, caller, keys=keys, expires=float(claims["exp"]))
        return caller

    def _header(self, token: str) -> tuple[str | None, str]:
        """The key's name and the algorithm, as the token has them.

        Whatever is wrong here is found before any signature is computed. Keys and
        addresses of keys that a header brings along (`jwk`, `jku`, `x5u`) are not looked at.
        """
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.InvalidTokenError, ValueError, RecursionError):
            raise _refused("malformed") from None
        algorithm, kid = header.get("alg"), header.get("kid")
        if algorithm not in self._algorithms:
            raise _refused("algorithm")
        if "crit" in header or str(header.get("typ", "")).lower() not in TYPES:
            raise _refused("another kind of token")
        return kid, str(algorithm)

    def _claims(self, token: str, key: PublicKey, algorithm: str) -> dict[str, Any]:
        try:
            return jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=self._audience,
                issuer=self._issuer,
                leeway=LEEWAY,
                options={"require": list(REQUIRED)},
            )
        except jwt.InvalidTokenError as error:
            raise _refused(type(error).__name__) from None
        except (ValueError, TypeError, OverflowError, RecursionError):
            raise _refused("malformed claims") from None

    def _scopes(self, claims: dict[str, Any]) -> frozenset[Scope]:
        """Those that are Tandem's. Words of other systems, and misspelt ones, give nothing."""
        claim = claims.get(self._scope_claim)
        words = claim.split() if isinstance(claim, str) else claim
        found = set()
        for word in words[:MAX_SCOPES] if isinstance(words, list) else ():
            with suppress(ValueError, TypeError):
                found.add(parse_scope(word))
        return frozenset(found)


def _name(subject: str) -> str:
    if not 0 < len(subject) <= MAX_NAME or not subject.isprintable():
        raise _refused("subject")
    return subject


def _refused(why: str) -> Unauthenticated:
    """For the call's log line: the door tells the caller nothing of it."""
    return Unauthenticated(f"the token is refused: {why}")
