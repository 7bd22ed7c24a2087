"""Every kind of call of our channels over TLS: with its token, to one address or several."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from tandem.client import Credentials, blocking_channel, channel, failure_of
from tests.support.certificates import Authority

LIMIT = 20.0

KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")


class Echo(grpc.GenericRpcHandler):
    """Answers each kind of call with the token that came along."""

    def service(
        self, details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[Any, Any]:
        kind = details.method.rpartition("/")[2]
        told = str(dict(details.invocation_metadata)["authorization"]).encode()

        async def one(_request: Any, _context: Any) -> bytes:
            return told

        async def stream(_request: Any, _context: Any) -> AsyncIterator[bytes]:
            yield told

        behaviour = one if kind.endswith("unary") else stream
        made: grpc.RpcMethodHandler[Any, Any] = getattr(
            grpc, f"{kind}_rpc_method_handler"
        )(behaviour)
        return made


@asynccontextmanager
async def serving(authority: Authority, count: int = 1) -> AsyncIterator[list[str]]:
    signed = authority.sign("service")
    credentials = grpc.ssl_server_credentials([(signed.key, signed.certificate)])
    servers = [grpc.aio.server(handlers=[Echo()]) for _ in range(count)]
    ports = [each.add_secure_port("127.0.0.1:0", credentials) for each in servers]
    for each in servers:
        await each.start()
    try:
        yield [f"127.0.0.1:{port}" for port in ports]
    finally:
        for each in servers:
            await each.stop(0)


@pytest.fixture
def authority() -> Authority:
    return Authority()


@pytest.fixture
def credentials(authority: Authority, tmp_path: Path) -> Credentials:
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    return Credentials(ca=str(tmp_path / "ca.pem"), token="a-token")


def sent(kind: str) -> Any:
    return b"" if kind.startswith("unary") else iter([b""])


@pytest.mark.parametrize("kind", KINDS)
async def test_each_kind_of_call_carries_the_token(
    authority: Authority, credentials: Credentials, kind: str
) -> None:
    async with (
        serving(authority) as addresses,
        channel(addresses, credentials) as opened,
    ):
        called = getattr(opened, kind)(f"/echo/{kind}")(sent(kind), timeout=LIMIT)
        told = await (called.read() if kind.endswith("stream") else called)

    assert told == b"Bearer a-token"


@pytest.mark.parametrize("kind", KINDS)
async def test_each_kind_of_blocking_call_carries_the_token(
    authority: Authority, credentials: Credentials, kind: str
) -> None:
    def call(addresses: list[str]) -> Any:
        with blocking_channel(addresses, credentials) as opened:
            called = getattr(opened, kind)(f"/echo/{kind}")(sent(kind), timeout=LIMIT)
            return next(called) if kind.endswith("stream") else called

    async with serving(authority) as addresses:
        told = await asyncio.to_thread(call, addresses)

    assert told == b"Bearer a-token"


async def test_several_addresses_are_called_over_tls(
    authority: Authority, credentials: Credentials
) -> None:
    async with (
        serving(authority, 2) as addresses,
        channel(addresses, credentials) as opened,
    ):
        method: Any = opened.unary_unary("/echo/unary_unary")
        told = [await method(b"", timeout=LIMIT) for _ in range(4)]

    assert told == [b"Bearer a-token"] * 4


async def test_a_caller_in_the_clear_is_told_of_tls(authority: Authority) -> None:
    async with serving(authority) as addresses, channel(addresses) as opened:
        method: Any = opened.unary_unary("/echo/unary_unary")
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await method(b"", timeout=LIMIT)

    assert "if it speaks TLS, set TANDEM_CLIENT_CA" in str(failure_of(failed.value))
