"""An issuer of web tokens with keys of its own, and a server that shows them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeAlias

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import (
    RSAPrivateKey,
)
from cryptography.hazmat.primitives.asymmetric.rsa import (
    generate_private_key as generate_rsa,
)
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

ISSUER: Final = "https://issuer.test"
AUDIENCE: Final = "tandem"

PrivateKey: TypeAlias = RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey


@cache
def rsa_key(name: str) -> RSAPrivateKey:
    """One for each name: to make them is slow."""
    return generate_rsa(public_exponent=65537, key_size=2048)


def curve_key() -> EllipticCurvePrivateKey:
    return generate_private_key(SECP256R1())


def public_jwk(key: PrivateKey, **values: Any) -> dict[str, Any]:
    return {**_told(key), "use": "sig", **values}


def _told(key: PrivateKey) -> dict[str, Any]:
    if isinstance(key, RSAPrivateKey):
        return RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    if isinstance(key, EllipticCurvePrivateKey):
        return ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return OKPAlgorithm.to_jwk(key.public_key(), as_dict=True)


def claims(**values: Any) -> dict[str, Any]:
    """Those of a right token, but for the ones given. None leaves one out."""
    now = int(time.time())
    whole = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "alice",
        "scope": "create:shop read:shop",
        "iat": now,
        "exp": now + 600,
        **values,
    }
    return {name: value for name, value in whole.items() if value is not None}


@dataclass(slots=True)
class Issuer:
    """Signs tokens with any of its keys, and shows their public halves."""

    keys: dict[str, PrivateKey] = field(default_factory=lambda: {"one": rsa_key("one")})

    def jwks(self) -> str:
        return json.dumps(
            {"keys": [public_jwk(key, kid=kid) for kid, key in self.keys.items()]}
        )

    def write(self, path: Path) -> None:
        """The key set, whole from the moment it is there."""
        draft = path.with_suffix(".draft")
        draft.write_text(self.jwks())
        draft.replace(path)

    def token(
        self,
        kid: str = "one",
        *,
        algorithm: str = "RS256",
        header: dict[str, Any] | None = None,
        **values: Any,
    ) -> str:
        """A right token, but for the claims and headers given."""
        return jwt.encode(
            claims(**values),
            self.keys[kid],
            algorithm=algorithm,
            headers={"kid": kid, **(header or {})},
        )


@dataclass(slots=True)
class ShownKeys:
    """What the server of a key set answers, and how often it was asked."""

    url: str
    answer: bytes
    status: str = "200 OK"
    headers: str = ""
    asked: int = 0
    held: asyncio.Event = field(default_factory=asyncio.Event)
    """Cleared, it keeps whoever asks waiting."""


@asynccontextmanager
async def shown(issuer: Issuer) -> AsyncIterator[ShownKeys]:
    """The issuer's keys behind a URL on loopback."""
    keys = ShownKeys(url="", answer=issuer.jwks().encode())
    keys.held.set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        keys.asked += 1
        await reader.readuntil(b"\r\n\r\n")
        await keys.held.wait()
        head = f"HTTP/1.1 {keys.status}\r\n{keys.headers}Connection: close\r\n\r\n"
        writer.write(head.encode() + keys.answer)
        # Whoever has read enough does not wait for the rest.
        with suppress(ConnectionError):
            await writer.drain()
            writer.close()
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        keys.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/keys"
        yield keys
