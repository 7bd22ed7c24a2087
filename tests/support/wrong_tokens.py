"""Tokens that must open nothing, by what is wrong with them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tandem.authentication.web_tokens import LEEWAY, MAX_TOKEN
from tests.support.issuer import Issuer, claims, rsa_key

ONE = Issuer()
OTHER = Issuer({"one": rsa_key("another")})
"""Somebody else, whose key has the same name."""


def encoded(part: bytes | dict[str, Any]) -> str:
    raw = json.dumps(part).encode() if isinstance(part, dict) else part
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def unsigned(header: dict[str, Any] | bytes, signature: bytes = b"") -> str:
    return f"{encoded(header)}.{encoded(claims())}.{encoded(signature)}"


def signed_with_public_key() -> str:
    """HS256, with what everybody knows for a secret."""
    public = rsa_key("one").public_key()
    secret = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    body = f"{encoded({'alg': 'HS256', 'kid': 'one'})}.{encoded(claims())}"
    return f"{body}.{encoded(hmac.digest(secret, body.encode(), hashlib.sha256))}"


def now() -> int:
    """As of the call: a suite may run for longer than a token's future is away."""
    return int(time.time())


WRONG: dict[str, Callable[[], str]] = {
    "without a signature": lambda: jwt.encode(
        claims(), "", algorithm="none", headers={"kid": "one"}
    ),
    "of no algorithm, by another case": lambda: unsigned({"alg": "nOnE", "kid": "one"}),
    "whose algorithm is a list": lambda: unsigned({"alg": ["RS256"], "kid": "one"}),
    "signed with the public key": signed_with_public_key,
    "signed by somebody else": OTHER.token,
    "whose claims were changed": lambda: (
        ONE.token().rsplit(".", 2)[0]
        + "."
        + encoded(claims(sub="root"))
        + "."
        + ONE.token().rsplit(".", 1)[1]
    ),
    "of an algorithm that was not asked for": lambda: ONE.token(algorithm="PS256"),
    "expired": lambda: ONE.token(exp=now() - int(LEEWAY) - 60),
    "not valid yet": lambda: ONE.token(nbf=now() + 600),
    "issued in the future": lambda: ONE.token(iat=now() + 600),
    "for somebody else": lambda: ONE.token(aud="billing"),
    "for nobody": lambda: ONE.token(aud=None),
    "of another issuer": lambda: ONE.token(iss="https://issuer.test.evil"),
    "of no issuer": lambda: ONE.token(iss=None),
    "that never expires": lambda: ONE.token(exp=None),
    "that expires at infinity": lambda: ONE.token(exp=float("inf")),
    "that expires in words": lambda: ONE.token(exp="tomorrow"),
    "of nobody": lambda: ONE.token(sub=None),
    "of an empty name": lambda: ONE.token(sub=""),
    "of a name that breaks lines": lambda: ONE.token(sub="alice\nroot"),
    "of a name with a NUL": lambda: ONE.token(sub="alice\0"),
    "of a name that is a number": lambda: ONE.token(sub=7),
    "of a name too long": lambda: ONE.token(sub="a" * 256),
    "of an unknown key": lambda: ONE.token(header={"kid": "two"}),
    "of a key that is no text": lambda: unsigned({"alg": "RS256", "kid": 1}),
    "with an extension that must be understood": lambda: ONE.token(
        header={"crit": ["exp"], "exp": 1}
    ),
    "of another kind": lambda: ONE.token(header={"typ": "logout+jwt"}),
    "too long": lambda: ONE.token(extra="x" * MAX_TOKEN),
    "with a header of brackets": lambda: unsigned(b"[" * 5_000),
    "with a header that is no object": lambda: unsigned(b'"RS256"'),
    "with a header that is no text": lambda: unsigned(b"\xff\xfe"),
    "with a long number in its header": lambda: unsigned(
        b'{"alg": ' + b"1" * 5_000 + b"}"
    ),
    "with claims that are no object": lambda: jwt.api_jws.encode(
        b"[]", rsa_key("one"), algorithm="RS256", headers={"kid": "one"}
    ),
    "with claims of brackets": lambda: jwt.api_jws.encode(
        b"[" * 4_000, rsa_key("one"), algorithm="RS256", headers={"kid": "one"}
    ),
}
