"""Callers by their certificate, as a file lists them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tandem import watched
from tandem.access import parse_scope
from tandem.authentication.certificates import Certificates, expiry, identities
from tandem.authentication.presenting import Presented
from tandem.errors import Unauthenticated
from tandem.settings import InvalidSettings
from tests.support.certificates import Authority

BILLING = '["spiffe://a/billing"]\nname = "billing"\nscopes = ["create:billing"]\n'
SHOWN = Presented(identities=("spiffe://a/billing", "billing.example"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "callers.toml"
    path.write_text(BILLING)
    return path


def write(file: Path, text: str) -> None:
    file.write_text(text)


async def test_a_listed_name_is_a_caller_and_others_are_not(file: Path) -> None:
    callers = Certificates(file)
    caller = await callers.authenticate(SHOWN)
    assert caller is not None
    assert caller.name == "billing"
    assert caller.scopes == {parse_scope("create:billing")}
    assert await callers.authenticate(Presented()) is None
    assert await callers.authenticate(Presented(identities=("other",))) is None


async def test_the_file_is_read_again_and_a_broken_one_changes_nothing(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched, "LOOK_AGAIN", 0.0)
    callers = Certificates(file)
    write(file, "broken")
    assert await callers.authenticate(SHOWN) is not None
    write(file, '["other"]\nscopes = ["read:*"]\n')
    assert await callers.authenticate(SHOWN) is None


def test_all_faults_of_the_file_are_named_at_once(file: Path) -> None:
    file.write_text(
        'flat = 1\n["a"]\nscopes = ["fly:*", 1]\n["b"]\nscopes = ["fly:*"]\nrole = "x"\n'
    )
    with pytest.raises(InvalidSettings) as fault:
        Certificates(file)
    for part in ("'flat'", "scopes of 'a'", "scope of 'b'", "'role'"):
        assert part in str(fault.value)


def test_only_a_uri_of_the_certificate_may_look_like_one() -> None:
    shown = {
        "peer_dns": [b"d.example", b"spiffe://a/forged"],
        "peer_uri": [b"spiffe://a/b"],
        "x509_common_name": [b"spiffe://a/forged"],
    }
    assert identities(shown) == ("spiffe://a/b", "d.example")


def test_a_common_name_counts_only_where_there_is_no_other() -> None:
    named = {"x509_common_name": [b"billing.example"]}

    assert identities(named) == ("billing.example",)
    assert identities({**named, "peer_dns": [b"evil.example"]}) == ("evil.example",)
    assert identities({**named, "peer_uri": [b"spiffe://a/x"]}) == ("spiffe://a/x",)


@pytest.mark.parametrize(("left", "is_known"), [(60, True), (-1, False)])
async def test_a_certificate_ends_on_an_open_connection(
    file: Path, left: int, *, is_known: bool
) -> None:
    ends = datetime.now(UTC) + timedelta(seconds=left)
    shown = Presented(identities=SHOWN.identities, ends=ends)
    callers = Certificates(file)

    if is_known:
        assert await callers.authenticate(shown)
    else:
        with pytest.raises(Unauthenticated, match="expired"):
            await callers.authenticate(shown)


async def test_who_presents_a_token_is_not_known_by_a_certificate(file: Path) -> None:
    shown = Presented("some-token", SHOWN.identities)

    assert await Certificates(file).authenticate(shown) is None


def test_the_end_of_a_certificate_is_read() -> None:
    signed = Authority().sign("client", ends=timedelta(hours=1))

    assert expiry(signed.certificate) - datetime.now(UTC) <= timedelta(hours=1)
