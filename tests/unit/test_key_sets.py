from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from structlog.testing import capture_logs

from tandem import watched
from tandem.authentication import key_urls
from tandem.authentication.issuers import web_tokens
from tandem.authentication.key_files import KeyFile
from tandem.authentication.key_set import InvalidKeySet, KeySet, parse_key_set
from tandem.authentication.key_urls import KeyUrl
from tandem.authentication.web_tokens import WebTokens
from tandem.errors import IssuerUnavailable
from tandem.settings import InvalidSettings
from tandem_creator.settings import CreatorSettings
from tests.support.issuer import Issuer, public_jwk, rsa_key, shown

LIMIT = 20.0

NEEDED = {
    "TANDEM_DATABASE_URL": "postgresql://creator@db/tandem",
    "TANDEM_JWT_ISSUER": "https://issuer.test",
    "TANDEM_JWT_AUDIENCE": "tandem",
}


def kids(keys: KeySet) -> list[str]:
    return [key.kid for key in keys.keys]


def rotated() -> Issuer:
    return Issuer({"two": rsa_key("another")})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        '{"keys": {}}',
        '{"keys": []}',
        '{"keys": [7, {"kty": "RSA"}]}',
        "[" * 5_000,
        "\ud800".encode("utf-8", "surrogatepass"),
    ],
)
def test_a_text_without_keys_is_refused(text: str | bytes) -> None:
    with pytest.raises(InvalidKeySet):
        parse_key_set(text)


def private_jwk() -> dict[str, Any]:
    found = jwt.algorithms.RSAAlgorithm.to_jwk(rsa_key("one"), as_dict=True)
    return {**found, "kid": "private"}


def test_keys_that_cannot_or_must_not_verify_are_left_out() -> None:
    secret = {"kty": "oct", "k": "c2VjcmV0", "kid": "secret", "alg": "HS256"}
    locks = public_jwk(rsa_key("one"), kid="locks", use="enc")
    signs = public_jwk(rsa_key("one"), kid="signs", key_ops=["sign"])
    right = public_jwk(rsa_key("one"), kid="right")
    found = parse_key_set(
        json.dumps({"keys": [secret, private_jwk(), locks, signs, right]})
    )

    assert kids(found) == ["right"]


def test_a_key_is_used_with_its_own_algorithm_only() -> None:
    bound = public_jwk(rsa_key("one"), kid="one", alg="RS512")
    found = parse_key_set(json.dumps({"keys": [bound]}))

    assert found.find("one", "RS256") is None
    assert found.find("one", "RS512") is not None


def test_an_rsa_key_that_can_be_broken_verifies_nothing() -> None:
    weak = generate_private_key(public_exponent=65537, key_size=1024)
    found = parse_key_set(json.dumps({"keys": [public_jwk(weak, kid="weak")]}))

    assert found.find("weak", "RS256") is None


async def test_a_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    place = tmp_path / "keys.json"
    Issuer().write(place)
    source = KeyFile(place)
    before = await source.current()
    rotated().write(place)

    after = await source.renewed()

    assert (kids(before), kids(after)) == (["one"], ["two"])
    assert await source.renewed() is after


async def test_a_change_of_the_file_is_seen_in_passing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched, "LOOK_AGAIN", 0.0)
    place = tmp_path / "keys.json"
    Issuer().write(place)
    source = KeyFile(place)
    rotated().write(place)

    assert kids(await source.current()) == ["two"]


@pytest.mark.parametrize("text", [None, "{", " " * 300_000])
async def test_a_file_that_breaks_leaves_the_keys_as_they_were(
    tmp_path: Path, text: str | None
) -> None:
    place = tmp_path / "keys.json"
    Issuer().write(place)
    source = KeyFile(place)
    place.unlink()
    if text is not None:
        place.write_text(text)

    with capture_logs() as logs:
        assert kids(await source.renewed()) == ["one"]
        await source.renewed()
    assert [line["event"] for line in logs] == ["key set not read"]


async def test_a_url_is_asked_once_for_many_unknown_keys() -> None:
    async with shown(Issuer()) as server:
        source = KeyUrl(server.url)
        found = await asyncio.gather(*(source.renewed() for _ in range(50)))
        found += await asyncio.gather(*(source.renewed() for _ in range(50)))

    assert {id(keys) for keys in found} == {id(found[0])}
    assert server.asked == 1


async def test_a_rotation_behind_the_url_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(key_urls, "APART_SECONDS", 0.0)
    async with shown(Issuer()) as server:
        source = KeyUrl(server.url)
        before = await source.current()
        assert await source.renewed() is before
        server.answer = rotated().jwks().encode()

        assert kids(await source.renewed()) == ["two"]


async def test_a_key_that_was_withdrawn_is_noticed_without_an_unknown_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(key_urls, "REFRESH_SECONDS", 0.0)
    monkeypatch.setattr(key_urls, "APART_SECONDS", 0.0)
    async with shown(Issuer()) as server:
        source = KeyUrl(server.url)
        await source.current()
        server.answer = rotated().jwks().encode()

        assert kids(await source.current()) == ["two"]


@pytest.mark.parametrize(
    ("status", "headers", "answer"),
    [
        ("500 Oh", "", b"{}"),
        ("", "", b""),
        ("200 OK", "Transfer-Encoding: chunked\r\n", b"zz\r\n"),
        ("302 Found", "Location: http://127.0.0.1:1/\r\n", b""),
        ("200 OK", "", b"{"),
        ("200 OK", "", b" " * 300_000),
        ("200 OK", "Content-Length: 9999\r\n", b"{}"),
    ],
)
async def test_a_bad_answer_leaves_the_keys_as_they_were(
    monkeypatch: pytest.MonkeyPatch, status: str, headers: str, answer: bytes
) -> None:
    monkeypatch.setattr(key_urls, "APART_SECONDS", 0.0)
    async with shown(Issuer()) as server:
        source = KeyUrl(server.url)
        before = await source.current()
        server.status, server.headers, server.answer = status, headers, answer

        with capture_logs() as logs:
            assert await source.renewed() is before
        assert [line["event"] for line in logs] == ["key set not fetched"]
        assert server.url not in repr(logs)


async def test_an_issuer_that_is_silent_holds_up_only_so_many_calls(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(key_urls, "MOST_WAITING", 3)
    async with shown(Issuer()) as server:
        server.held.clear()
        source = KeyUrl(server.url)
        asked = [asyncio.create_task(source.current()) for _ in range(5)]
        done, waiting = await asyncio.wait(
            asked, timeout=LIMIT, return_when=asyncio.FIRST_EXCEPTION
        )
        server.held.set()

        async with asyncio.timeout(LIMIT):
            served = await asyncio.gather(*waiting)
    assert {kids(keys)[0] for keys in served} == {"one"}
    assert len(waiting) == 3
    assert {type(each.exception()) for each in done} == {IssuerUnavailable}


async def test_an_issuer_that_does_not_answer_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(key_urls, "FETCH_LIMIT", 0.2)
    async with shown(Issuer()) as server:
        server.held.clear()

        with pytest.raises(IssuerUnavailable):
            await KeyUrl(server.url).current()
        server.held.set()


async def test_nobody_is_kept_waiting_for_new_keys_while_old_ones_serve(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with shown(Issuer()) as server:
        source = KeyUrl(server.url)
        before = await source.current()
        source._begun -= key_urls.REFRESH_SECONDS + 1
        server.held.clear()

        assert await source.current() is before
        server.held.set()


@pytest.mark.parametrize("place", ["file", "url"])
def test_the_settings_name_a_file_or_a_url(tmp_path: Path, place: str) -> None:
    file = tmp_path / "keys.json"
    Issuer().write(file)
    named = {"file": str(file), "url": "https://issuer.test/keys"}[place]

    settings = CreatorSettings.from_environ(NEEDED | {"TANDEM_JWT_JWKS": named})
    assert isinstance(web_tokens(settings), WebTokens)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("JWKS", "http://issuer.test/keys"),
        ("JWKS", "http://127.0.0.1.issuer.test/keys"),
        ("JWKS", "ftp://127.0.0.1/keys"),
        ("ALGORITHMS", "HS256"),
        ("ALGORITHMS", "RS256,none"),
        ("ALGORITHMS", "rs256"),
    ],
)
def test_settings_that_would_let_anybody_in_are_refused(name: str, value: str) -> None:
    with pytest.raises(InvalidSettings, match=f"TANDEM_JWT_{name} must be"):
        CreatorSettings.from_environ(NEEDED | {f"TANDEM_JWT_{name}": value})


def test_what_tokens_need_is_named() -> None:
    with pytest.raises(InvalidSettings, match="TANDEM_JWT_JWKS must be set"):
        web_tokens(CreatorSettings.from_environ(NEEDED))


def test_a_file_without_keys_is_named(tmp_path: Path) -> None:
    place = tmp_path / "keys.json"
    settings = CreatorSettings.from_environ(NEEDED | {"TANDEM_JWT_JWKS": str(place)})

    with pytest.raises(InvalidSettings, match=r"TANDEM_JWT_JWKS names .*keys\.json"):
        web_tokens(settings)


@pytest.mark.parametrize("is_away", [True, False])
async def test_keys_of_an_issuer_that_stays_away_do_not_hold_for_ever(
    monkeypatch: pytest.MonkeyPatch, *, is_away: bool
) -> None:
    monkeypatch.setattr(key_urls, "APART_SECONDS", 0.0)
    async with shown(Issuer()) as server:
        source = KeyUrl(server.url)
        await source.current()
        if is_away:
            server.status = "503 Service Unavailable"
        # It is asked again and again meanwhile: only an answer counts.
        source._got -= key_urls.LAST_SECONDS + 1

        if is_away:
            for ask in (source.current, source.renewed):
                with pytest.raises(IssuerUnavailable):
                    await ask()
        else:
            assert (await source.current()).keys


@pytest.mark.parametrize("name", ["kid", "alg", "use", "key_ops"])
def test_null_in_a_key_is_as_if_it_were_not_there(name: str) -> None:
    jwk = {**public_jwk(rsa_key("one")), "kid": "one", name: None}

    assert len(parse_key_set(json.dumps({"keys": [jwk]})).keys) == 1


def test_a_key_whose_uses_are_no_list_is_left_out() -> None:
    good = public_jwk(rsa_key("one"), kid="one")
    keys = [{**good, "key_ops": 7}, good]

    assert len(parse_key_set(json.dumps({"keys": keys})).keys) == 1
