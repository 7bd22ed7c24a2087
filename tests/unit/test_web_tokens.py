from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from structlog.testing import capture_logs

from tandem.access import Caller, Scope
from tandem.authentication import verified
from tandem.authentication.key_set import KeySet, parse_key_set
from tandem.authentication.presenting import Presented
from tandem.authentication.web_tokens import LEEWAY, MAX_TOKEN, WebTokens
from tandem.errors import Unauthenticated
from tests.support.issuer import (
    AUDIENCE,
    ISSUER,
    Issuer,
    claims,
    curve_key,
    public_jwk,
    rsa_key,
)


class Keys:
    """A key set in memory, and how often it was looked for again."""

    def __init__(self, text: str) -> None:
        self.keys = parse_key_set(text)
        self.renewals = 0

    async def current(self) -> KeySet:
        return self.keys

    async def renewed(self) -> KeySet:
        self.renewals += 1
        return self.keys


ONE = Issuer()
OTHER = Issuer({"one": rsa_key("another")})


def tokens(source: Keys | None = None, **options: Any) -> WebTokens:
    given = {"algorithms": ("RS256", "ES256", "EdDSA"), **options}
    return WebTokens(
        source or Keys(ONE.jwks()), issuer=ISSUER, audience=AUDIENCE, **given
    )


async def caller_of(token: str, known: WebTokens | None = None) -> Caller | None:
    return await (known or tokens()).authenticate(Presented(bearer=token))


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


async def test_a_right_token_names_its_caller_and_scopes() -> None:
    found = await caller_of(ONE.token())

    assert found == Caller(
        "alice", frozenset({Scope("create", "shop"), Scope("read", "shop")})
    )


@pytest.mark.parametrize(
    "presented", ["", "tandem_1_secret", "a.b", "a.b.c.d", "é.b.c"]
)
async def test_what_is_no_token_is_left_to_others(presented: str) -> None:
    assert await caller_of(presented) is None


NOW = int(time.time())

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
    "expired": lambda: ONE.token(exp=NOW - int(LEEWAY) - 60),
    "not valid yet": lambda: ONE.token(nbf=NOW + 600),
    "issued in the future": lambda: ONE.token(iat=NOW + 600),
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


@pytest.mark.parametrize("made", WRONG.values(), ids=WRONG.keys())
async def test_a_token_is_refused_that_is(made: Callable[[], str]) -> None:
    token = made()

    with pytest.raises(Unauthenticated) as refused, capture_logs() as logs:
        await caller_of(token)

    assert str(refused.value).startswith("the token is refused: ")
    assert token not in str(refused.value)
    assert refused.value.__cause__ is None
    assert token not in repr(logs)


async def test_a_key_that_the_header_brings_along_is_not_looked_at() -> None:
    mine = rsa_key("another")
    brought = {
        "jwk": public_jwk(mine),
        "jku": "http://127.0.0.1:1/keys",
        "x5u": "http://127.0.0.1:1/certificate",
    }
    source = Keys(ONE.jwks())
    forged = OTHER.token(header=brought)

    with pytest.raises(Unauthenticated):
        await caller_of(forged, tokens(source))
    assert await caller_of(ONE.token(header=brought), tokens(source))
    assert source.renewals == 0


async def test_forged_headers_cost_no_signature(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def computed(*_: Any, **__: Any) -> None:
        raise AssertionError("a signature was computed")

    monkeypatch.setattr(jwt, "decode", computed)

    for name in ("of an unknown key", "signed with the public key", "too long"):
        with pytest.raises(Unauthenticated):
            await caller_of(WRONG[name]())


async def test_only_an_unknown_key_has_the_keys_looked_for_again() -> None:
    source = Keys(ONE.jwks())
    known = tokens(source)

    for name in WRONG.keys() - {"of an unknown key"}:
        with pytest.raises(Unauthenticated):
            await caller_of(WRONG[name](), known)
    assert source.renewals == 0

    with pytest.raises(Unauthenticated):
        await caller_of(WRONG["of an unknown key"](), known)
    assert source.renewals == 1


@pytest.mark.parametrize("late", ["exp", "nbf", "iat"])
async def test_clocks_may_differ_by_seconds(late: str) -> None:
    now = time.time()
    value = now - LEEWAY / 2 if late == "exp" else now + LEEWAY / 2

    times: dict[str, Any] = {late: int(value)}
    assert await caller_of(ONE.token(**times))


@pytest.mark.parametrize(
    ("claim", "granted"),
    [
        ("create:shop openid profile", {"create:shop"}),
        ("create:shop create:shop", {"create:shop"}),
        (["read:*", "email", 7, None, ["create:shop"]], {"read:*"}),
        ("create shop:create create:", set()),
        ("CREATE:shop create:*shop create:shop,read:shop", set()),
        ({"create:shop": True}, set()),
        (None, set()),
    ],
    ids=str,
)
async def test_only_whole_scopes_of_tandem_are_granted(
    claim: Any, granted: set[str]
) -> None:
    found = await caller_of(ONE.token(scope=claim))

    assert found is not None
    assert {str(scope) for scope in found.scopes} == granted


async def test_scopes_are_read_from_the_claim_that_was_asked_for() -> None:
    token = ONE.token(permissions=["operate:shop"])

    found = await caller_of(token, tokens(scope_claim="permissions"))

    assert found is not None
    assert found.scopes == {Scope("operate", "shop")}


async def test_a_token_may_be_for_several_audiences() -> None:
    assert await caller_of(ONE.token(aud=["billing", AUDIENCE]))


async def test_each_kind_of_key_verifies_its_own_algorithm_only() -> None:
    issuer = Issuer(
        {"r": rsa_key("one"), "e": curve_key(), "d": Ed25519PrivateKey.generate()}
    )
    known = tokens(Keys(issuer.jwks()))

    for kid, algorithm in (("r", "RS256"), ("e", "ES256"), ("d", "EdDSA")):
        assert await caller_of(issuer.token(kid, algorithm=algorithm), known)
    for kid, algorithm in (("r", "ES256"), ("e", "RS256"), ("d", "RS256")):
        with pytest.raises(Unauthenticated):
            await caller_of(unsigned({"alg": algorithm, "kid": kid}), known)


async def test_keys_of_one_name_are_told_apart_by_their_algorithm() -> None:
    rsa, curve = rsa_key("one"), curve_key()
    both = {"keys": [public_jwk(rsa, kid="one"), public_jwk(curve, kid="one")]}
    known = tokens(Keys(json.dumps(both)))

    assert await caller_of(Issuer({"one": curve}).token(algorithm="ES256"), known)
    assert await caller_of(ONE.token(), known)


async def test_a_token_without_a_key_s_name_is_of_the_only_key() -> None:
    token = jwt.encode(claims(), rsa_key("one"), algorithm="RS256")
    two = Issuer({"one": rsa_key("one"), "two": rsa_key("another")})

    assert await caller_of(token)
    with pytest.raises(Unauthenticated):
        await caller_of(token, tokens(Keys(two.jwks())))


async def test_a_signature_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    known, token = tokens(), ONE.token()
    first = await caller_of(token, known)
    monkeypatch.delattr(jwt, "decode")

    assert await caller_of(token, known) is first


@pytest.mark.parametrize(("ended", "found"), [(LEEWAY + 1, None), (0, Caller("alice"))])
def test_a_token_that_was_verified_ends_all_the_same(
    ended: float, found: Caller | None
) -> None:
    keys, remembered = parse_key_set(ONE.jwks()), verified.Verified(LEEWAY)
    remembered.keep("a.b.c", Caller("alice"), keys=keys, expires=time.time() - ended)

    assert remembered.find("a.b.c", keys) == found
    assert len(remembered) == (found is not None)


async def test_a_withdrawn_key_ends_the_tokens_that_it_signed() -> None:
    two = Issuer({"one": rsa_key("one"), "two": rsa_key("another")})
    source = Keys(two.jwks())
    known = tokens(source)
    old, new = two.token("one"), two.token("two")
    assert await caller_of(old, known)
    del two.keys["one"]
    source.keys = parse_key_set(two.jwks())

    with pytest.raises(Unauthenticated):
        await caller_of(old, known)
    assert await caller_of(new, known)


async def test_so_many_tokens_are_remembered_and_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(verified, "MOST_KEPT", 3)
    known = tokens()
    for number in range(5):
        await caller_of(ONE.token(sub=f"caller-{number}"), known)

    assert len(known._verified) == 3
