"""TLS on a port: who is let in, and what is served after a renewal."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tandem import watched
from tandem.authentication.certificates import Certificates
from tandem.authentication.door import Door
from tandem.server import Server
from tandem.settings import InvalidSettings, Settings
from tandem.tls import server_credentials
from tandem.v1 import creator_pb2, creator_pb2_grpc
from tests.support.certificates import Authority, Signed

SERVICE = creator_pb2.DESCRIPTOR.services_by_name["CreatorService"]
LIMIT = 20.0


class Unbuilt:
    """Has every method. None is reached: callers are refused before."""

    def __getattr__(self, name: str) -> object:
        return None


class Files:
    """What the settings name."""

    def __init__(self, folder: Path) -> None:
        self.cert, self.key, self.ca = (
            folder / name for name in ("cert.pem", "key.pem", "ca.pem")
        )

    def write(self, signed: Signed, ca: bytes = b"") -> None:
        self.key.write_bytes(signed.key)
        self.cert.write_bytes(signed.certificate)
        if ca:
            self.ca.write_bytes(ca)

    def settings(self, *, mutual: bool = False) -> Settings:
        return Settings(
            database_url="",
            listen="127.0.0.1:0",
            tls_cert=str(self.cert),
            tls_key=str(self.key),
            tls_client_ca=str(self.ca) if mutual else "",
        )


@pytest.fixture
def authority() -> Authority:
    return Authority()


@pytest.fixture
def files(tmp_path: Path, authority: Authority) -> Files:
    made = Files(tmp_path)
    made.write(authority.sign("first"), authority.pem)
    return made


@asynccontextmanager
async def serving(settings: Settings, door: Door | None = None) -> AsyncIterator[str]:
    server = Server(
        Unbuilt(),
        SERVICE,
        listen=settings.listen,
        door=door,
        credentials=server_credentials(settings),
    )
    port = await server.start()
    await server.set_serving(serving=True)
    try:
        yield f"localhost:{port}"
    finally:
        await server.stop(0)


async def asked(channel: grpc.aio.Channel) -> bool:
    stub: Any = health_pb2_grpc.HealthStub(channel)
    answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=LIMIT)
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


async def is_let_in(address: str, ca: bytes, shown: Signed | None = None) -> bool:
    pair = (shown.key, shown.certificate) if shown else (None, None)
    credentials = grpc.ssl_channel_credentials(ca, *pair)
    async with grpc.aio.secure_channel(address, credentials) as channel:
        try:
            return await asked(channel)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            return False


async def served_name(address: str, ca: bytes) -> str:
    context = ssl.create_default_context(cadata=ca.decode())
    host, _, port = address.rpartition(":")
    async with asyncio.timeout(LIMIT):
        _, writer = await asyncio.open_connection(host, int(port), ssl=context)
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return x509.load_der_x509_certificate(der).subject.rfc4514_string()


async def test_clients_of_the_right_authority_are_served(
    files: Files, authority: Authority
) -> None:
    async with serving(files.settings()) as address:
        assert await is_let_in(address, authority.pem)
        assert not await is_let_in(address, Authority().pem)
        async with grpc.aio.insecure_channel(address) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await asked(channel)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_mutual_tls_takes_only_certificates_of_its_authority(
    files: Files, authority: Authority
) -> None:
    async with serving(files.settings(mutual=True)) as address:
        assert await is_let_in(address, authority.pem, authority.sign("caller"))
        assert not await is_let_in(address, authority.pem)
        assert not await is_let_in(address, authority.pem, Authority().sign("caller"))
        old = authority.sign("caller", ends=timedelta(days=-1))
        assert not await is_let_in(address, authority.pem, old)


async def test_an_expired_certificate_or_another_name_is_not_trusted(
    files: Files, authority: Authority
) -> None:
    for wrong in (
        authority.sign("old", ends=timedelta(days=-1)),
        authority.sign("other", (x509.DNSName("other.example"),)),
    ):
        files.write(wrong)
        async with serving(files.settings()) as address:
            assert not await is_let_in(address, authority.pem)


async def test_a_renewed_certificate_is_served_and_connections_live_on(
    files: Files, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched, "LOOK_AGAIN", 0.0)
    trusted = grpc.ssl_channel_credentials(authority.pem)
    async with (
        serving(files.settings()) as address,
        grpc.aio.secure_channel(address, trusted) as channel,
    ):
        assert await asked(channel)
        assert await served_name(address, authority.pem) == "CN=first"
        files.key.write_text("half written")
        assert await served_name(address, authority.pem) == "CN=first"
        files.write(authority.sign("second"))
        assert await served_name(address, authority.pem) == "CN=second"
        assert await asked(channel)


def test_faults_of_the_files_are_named_without_what_they_hold(
    files: Files, authority: Authority
) -> None:
    settings = files.settings()
    files.key.write_bytes(authority.sign("other").key)
    with pytest.raises(InvalidSettings, match="is not the key"):
        server_credentials(settings)
    files.key.write_text("a secret")
    with pytest.raises(InvalidSettings, match="TANDEM_TLS_KEY holds no") as fault:
        server_credentials(settings)
    assert "a secret" not in str(fault.value)
    files.cert.unlink()
    with pytest.raises(InvalidSettings, match="TANDEM_TLS_CERT: cannot read"):
        server_credentials(settings)


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", "tasks.example:0"])
def test_other_machines_are_not_served_in_the_clear_unless_by_name(listen: str) -> None:
    with pytest.raises(InvalidSettings, match="TANDEM_TLS=off"):
        server_credentials(Settings(database_url="", listen=listen))
    allowed = Settings(database_url="", listen=listen, tls="off")
    assert server_credentials(allowed) is None


@pytest.mark.parametrize("listen", ["127.0.0.2:0", "[::1]:0", "localhost:0"])
def test_loopback_is_served_in_the_clear(listen: str) -> None:
    assert server_credentials(Settings(database_url="", listen=listen)) is None


async def test_a_caller_is_known_by_its_certificate(
    files: Files, authority: Authority, tmp_path: Path
) -> None:
    uri = "spiffe://a/reader"
    listed = tmp_path / "callers.toml"
    listed.write_text(f'["{uri}"]\nscopes = ["read:*"]\n')
    door = Door([Certificates(listed)], certificates=True)
    reader = authority.sign("r", (x509.UniformResourceIdentifier(uri),))
    forged = authority.sign(uri, ())
    async with serving(files.settings(mutual=True), door) as address:
        for shown, code in (
            (reader, grpc.StatusCode.PERMISSION_DENIED),
            (forged, grpc.StatusCode.UNAUTHENTICATED),
        ):
            assert await creating(address, authority.pem, shown) is code


async def creating(address: str, ca: bytes, shown: Signed) -> grpc.StatusCode:
    trusted = grpc.ssl_channel_credentials(ca, shown.key, shown.certificate)
    async with grpc.aio.secure_channel(address, trusted) as channel:
        stub = creator_pb2_grpc.CreatorServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.CreateTask(creator_pb2.CreateTaskRequest(), timeout=LIMIT)
    return refused.value.code()
