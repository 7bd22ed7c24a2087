"""What a client shows: read from variables, kept from networks in the clear and from logs."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest

from tandem.client import (
    AsyncClient,
    Client,
    Credentials,
    InvalidCredentials,
    Spec,
    as_request_id,
    blocking_channel,
)
from tandem.errors import TandemError
from tests.support.certificates import Authority

TOKEN = "tandem_0123456789abcdef_secret"

NOBODY = "127.0.0.1:1"

SPEC = Spec(project="shop", type="email")


@pytest.mark.parametrize(
    ("environ", "fault"),
    [
        ({"TANDEM_CLIENT_CERT": "cert.pem"}, "TANDEM_CLIENT_KEY go together"),
        ({"TANDEM_CLIENT_CA": "/no/ca.pem"}, "TANDEM_CLIENT_CA: cannot read"),
        ({"TANDEM_CLIENT_TOKEN_FILE": "/no/token"}, "TANDEM_CLIENT_TOKEN_FILE: cannot"),
        ({"TANDEM_CLIENT_TLS": "yes"}, "must be true or off"),
        (
            {"TANDEM_CLIENT_TLS": "off", "TANDEM_CLIENT_CA": "ca.pem"},
            "is off, and files for TLS are set",
        ),
        (
            {"TANDEM_CLIENT_TOKEN": TOKEN, "TANDEM_CLIENT_TOKEN_FILE": "token"},
            "are both set",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused(
    environ: dict[str, str], fault: str
) -> None:
    with pytest.raises(InvalidCredentials, match=fault) as refused:
        Credentials.from_environ(environ)

    assert TOKEN not in str(refused.value)


def test_a_token_stays_off_networks_in_the_clear() -> None:
    credentials = Credentials(token=TOKEN)
    for local in ("127.0.0.1:7101", "localhost:7101", "[::1]:7101"):
        blocking_channel(local, credentials).close()

    with pytest.raises(InvalidCredentials, match=r"to 10\.0\.0\.1:7101 in the clear"):
        blocking_channel("10.0.0.1:7101", credentials)
    with pytest.raises(InvalidCredentials, match="in the clear"):
        blocking_channel("dns:///creator:7101", credentials)

    blocking_channel("10.0.0.1:7101", Credentials(token=TOKEN, tls=True)).close()
    blocking_channel("10.0.0.1:7101", Credentials(token=TOKEN, tls=False)).close()


def test_a_token_is_not_shown_by_whoever_prints_it() -> None:
    assert TOKEN not in repr(Credentials(token=TOKEN))


def test_a_token_file_is_read_for_each_call(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("one\n")
    credentials = Credentials(token_file=str(file))
    first = credentials.metadata()
    file.write_text("two\n")

    assert [first, credentials.metadata()] == [
        (("authorization", "Bearer one"),),
        (("authorization", "Bearer two"),),
    ]


def test_a_token_file_that_is_gone_fails_a_call_as_every_failure_does(
    tmp_path: Path,
) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    shown = Credentials(token_file=str(file))
    with Client(NOBODY, NOBODY, credentials=shown) as client:
        file.unlink()
        with pytest.raises(TandemError, match="TOKEN_FILE: cannot read") as created:
            client.create(SPEC, request_id="order-7")
        with pytest.raises(TandemError, match="TOKEN_FILE: cannot read"):
            next(client.watch("7"))

    assert_tells_what_to_repeat(created.value)


async def test_a_token_file_that_is_gone_fails_an_awaited_call_alike(
    tmp_path: Path,
) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    shown = Credentials(token_file=str(file))
    async with AsyncClient(NOBODY, NOBODY, credentials=shown) as client:
        file.unlink()
        with pytest.raises(TandemError, match="TOKEN_FILE: cannot read") as created:
            await client.create(SPEC, request_id="order-7")
        with pytest.raises(TandemError, match="TOKEN_FILE: cannot read"):
            await anext(client.watch("7"))

    assert_tells_what_to_repeat(created.value)


def assert_tells_what_to_repeat(failure: TandemError) -> None:
    assert isinstance(failure, InvalidCredentials)
    assert failure.reason == "INVALID_CREDENTIALS"
    assert failure.code is grpc.StatusCode.UNAUTHENTICATED
    assert failure.metadata == {"request_id": as_request_id("order-7")}


@pytest.mark.parametrize("held", [b"", b" \n", b"one two", b"one\ntwo", b"\xff\xfe"])
def test_a_file_without_exactly_one_token_is_refused(
    tmp_path: Path, held: bytes
) -> None:
    file = tmp_path / "token"
    file.write_bytes(held)

    with pytest.raises(InvalidCredentials, match="TANDEM_CLIENT_TOKEN_FILE holds"):
        blocking_channel("127.0.0.1:7101", Credentials(token_file=str(file)))


def test_files_that_are_no_certificates_are_refused_without_what_they_hold(
    tmp_path: Path,
) -> None:
    authority = Authority()
    signed, other = authority.sign("a"), authority.sign("b")
    garbage, cert, key = (tmp_path / name for name in ("garbage", "cert", "key"))
    garbage.write_text(TOKEN)
    cert.write_bytes(signed.certificate)
    key.write_bytes(other.key)

    for wrong, fault in (
        (Credentials(ca=str(garbage)), "TANDEM_CLIENT_CA holds no certificate"),
        (Credentials(certificate=str(cert), key=str(garbage)), "TANDEM_CLIENT_KEY"),
        (Credentials(certificate=str(cert), key=str(key)), "TANDEM_CLIENT_KEY"),
    ):
        with pytest.raises(InvalidCredentials, match=fault) as refused:
            wrong.check()
        assert TOKEN not in str(refused.value)


def test_what_does_not_fit_is_refused_however_it_is_made() -> None:
    with pytest.raises(InvalidCredentials, match="go together"):
        Credentials(key="key.pem")


def test_an_empty_file_is_no_authority(tmp_path: Path) -> None:
    empty = tmp_path / "ca.pem"
    empty.write_text("")

    with pytest.raises(InvalidCredentials, match="holds no certificate"):
        Credentials(ca=str(empty)).check()
