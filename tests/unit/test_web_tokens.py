from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tandem.access import Caller, Scope
from tandem.authentication import verified
from tandem.authentication.key_set import KeySet, parse_key_set
from tandem.authentication.presenting import Presented
from tandem.authentication.web_tokens import LEEWAY, WebTokens
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
from tests.support.wrong_tokens import ONE, OTHER, WRONG, unsigned


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


def tokens(source: Keys | None = None, **options: Any) -> WebTokens:
    given = {"algorithms": ("RS256", "ES256", "EdDSA"), **options}
    return WebTokens(
        source or Keys(ONE.jwks()), issuer=ISSUER, audience=AUDIENCE, **given
    )


async def caller_of(token: str, known: WebTokens | None = None) -> Caller | None:
    return await (known or tokens()).authenticate(Presented(bearer=token))


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


@pytest.mark.parametrize("made", WRONG.values(), ids=WRONG.keys())
async def test_a_token_is_refused_that_is(made: Callable[[], str]) -> None:
    token = made()

    with pytest.raises(
        Unauthenticated, match=r"\Athe token is refused: [A-Za-z ]+\Z"
    ) as refused:
        await caller_of(token)

    assert refused.value.__cause__ is None


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
