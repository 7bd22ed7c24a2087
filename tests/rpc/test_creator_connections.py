from __future__ import annotations

import resource
from contextlib import AsyncExitStack

import grpc
import pytest

from tandem import calls, doorstep, server
from tests.support.cluster import Database
from tests.support.creator import a_request, opened
from tests.support.http2 import Kind, call, frame, literal, message, raw
from tests.support.keys import EVERYTHING, a_key
from tests.support.until import until

MOST = 20


async def test_too_many_connections_are_turned_away_and_harm_nobody(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "MOST_CONNECTIONS", MOST)
    async with opened(database.creator_url) as (stub, creator):
        await stub.CreateTask(a_request(), timeout=20)
        async with AsyncExitStack() as crowd:
            connections = [
                await crowd.enter_async_context(raw(f"127.0.0.1:{creator.port}"))
                for _ in range(2 * MOST)
            ]
            turned_away = [await each.listen(limit=0.2) for each in connections]
            await stub.CreateTask(a_request(), timeout=20)

        assert sum(turned_away) >= MOST
        assert await until(lambda: _serves_another(creator.port))


async def _serves_another(port: int) -> bool:
    """Whether a client that comes now is let in."""
    alone = (("grpc.use_local_subchannel_pool", 1),)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=alone) as channel:
        check: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            "/grpc.health.v1.Health/Check"
        )
        try:
            await check(b"", timeout=5)
        except grpc.aio.AioRpcError:
            return False
        return True


async def test_a_message_that_does_not_come_ends_its_call(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "TAKE_LIMIT", 0.1)
    key = literal("authorization", f"Bearer {await a_key(database, *EVERYTHING)}")
    async with (
        opened(database.creator_url, access={"auth": ("key",)}) as (_, creator),
        raw(f"127.0.0.1:{creator.port}") as connection,
    ):
        await connection.greet()
        half = frame(Kind.DATA, message(b"x", length=1_000), stream=1)
        await connection.send(
            call("/tandem.v1.CreatorService/CreateTask", 1, key), half
        )
        refusal = await connection.hear_next(Kind.HEADERS)

    assert refusal is not None
    assert b"INVALID_REQUEST: the message did not arrive" in refusal


@pytest.mark.parametrize(
    ("files", "connections"),
    [
        (1_024, 1_024 - server.OTHER_FILES),
        (10**6, server.MOST_CONNECTIONS),
        (resource.RLIM_INFINITY, server.MOST_CONNECTIONS),
        (10, 1),
    ],
)
def test_connections_leave_files_for_the_rest(
    monkeypatch: pytest.MonkeyPatch, files: int, connections: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (files, files))

    assert server.most_connections() == connections


async def test_half_messages_to_health_give_way_to_whole_ones(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doorstep, "MOST", 3)
    async with (
        opened(database.creator_url, access={"auth": ("key",)}) as (_, creator),
        raw(f"127.0.0.1:{creator.port}") as connection,
    ):
        await connection.greet()
        half = message(b"x", length=1_000_000)
        for stream in range(1, 21, 2):
            begun = call("/grpc.health.v1.Health/Check", stream)
            await connection.send(begun, frame(Kind.DATA, half, stream=stream))
        refusal = await connection.hear_next(Kind.HEADERS)
        serves = await _serves_another(creator.port)

    assert refusal is not None
    assert b"INVALID_REQUEST: the message did not arrive in time" in refusal
    assert serves


async def test_a_member_that_never_joins_is_not_kept(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "TAKE_LIMIT", 0.1)
    async with opened(database.creator_url) as (stub, _):
        silent = stub.ConsumeCreatedTasks(timeout=20)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await silent.read()

    assert "join did not come in time" in (refused.value.details() or "")
