"""Callers by their certificate, as a file lists them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tandem import watched
from tandem.access import parse_scope
from tandem.authentication.certificates import Certificates, identities
from tandem.authentication.presenting import Presented
from tandem.settings import InvalidSettings

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
