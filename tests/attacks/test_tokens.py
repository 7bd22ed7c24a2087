"""A creator that asks for tokens, and what comes without a right one."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import pytest

from tandem.authentication.door import REFUSAL
from tandem.v1 import creator_pb2, creator_pb2_grpc
from tests.support.attacked import Attack, attacked
from tests.support.cluster import Cluster, cloned_database
from tests.support.creator import a_request, reason_of
from tests.support.http2 import Kind, call, frame, kept, literal, message, raw
from tests.support.issuer import AUDIENCE, ISSUER, Issuer, rsa_key
from tests.support.running_pair import RunningPair, running_pair
from tests.support.until import until
from tests.support.wrong_tokens import ONE, OTHER, WRONG

HANDLERS = "tests.support.system_handlers:handlers"

CREATE = "/tandem.v1.CreatorService/CreateTask"

LIMIT = 30.0
RATE, STREAMS, MESSAGE_BYTES = 100, 10, 256 * 1024


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("issuer") / "keys.json"
    ONE.write(place)
    return place


@pytest.fixture(scope="module")
async def locked(
    cluster: Cluster, template: str, place: Path
) -> AsyncIterator[RunningPair]:
    environ = {
        "TANDEM_AUTH": "jwt",
        "TANDEM_JWT_ISSUER": ISSUER,
        "TANDEM_JWT_AUDIENCE": AUDIENCE,
        "TANDEM_JWT_JWKS": str(place),
        "TANDEM_CALLER_RATE": str(RATE),
        "TANDEM_CALLER_STREAMS": str(STREAMS),
        "TANDEM_CALLER_MESSAGE_BYTES": str(MESSAGE_BYTES),
    }
    async with (
        cloned_database(cluster, template) as database,
        running_pair(
            database, handlers=HANDLERS, environ=environ, creators=1, processors=0
        ) as running,
    ):
        yield running


def bearing(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


FORGED = {name: made() for name, made in WRONG.items()}


@pytest.fixture
async def attack(
    locked: RunningPair, request: pytest.FixtureRequest
) -> AsyncIterator[Attack]:
    right = ONE.token(sub="others", scope="create:shop")
    async with attacked(
        locked,
        request.node.name,
        metadata=bearing(right),
        secrets=[right, *FORGED.values()],
    ) as attack:
        yield attack


async def created(channel: grpc.aio.Channel, token: str) -> grpc.aio.AioRpcError | None:
    """How a create ends with this token; None: well."""
    stub = creator_pb2_grpc.CreatorServiceStub(channel)
    try:
        await stub.CreateTask(a_request(), metadata=bearing(token), timeout=LIMIT)
    except grpc.aio.AioRpcError as error:
        return error
    return None


async def test_confused_tokens_open_nothing(attack: Attack) -> None:
    async with grpc.aio.insecure_channel(attack.creator) as channel:
        ends = {name: await created(channel, token) for name, token in FORGED.items()}

    assert [name for name, end in ends.items() if end is None] == []
    said = {(end.code().name, end.details()) for end in ends.values() if end}
    assert said == {("UNAUTHENTICATED", f"UNAUTHENTICATED: {REFUSAL}")}


async def test_a_flood_of_forged_tokens(attack: Attack) -> None:
    """Each of them another one; half name a key that nobody has."""

    async def forged(channel: grpc.aio.Channel, number: int) -> str:
        kid = {"kid": f"key-{number}"} if number % 2 else {}
        end = await created(channel, OTHER.token(header=kid, sub=f"caller-{number}"))
        return "OK" if end is None else end.code().name

    async with grpc.aio.insecure_channel(attack.creator) as channel:
        ends = Counter(
            await asyncio.gather(*(forged(channel, number) for number in range(1_000)))
        )

    assert ends == {"UNAUTHENTICATED": 1_000}


def half_a_message(stream: int, token: str) -> bytes:
    part = message(bytes(16_000), length=MESSAGE_BYTES)
    bearer = literal("authorization", f"Bearer {token}")
    return call(CREATE, stream, bearer) + frame(Kind.DATA, part, stream=stream)


async def test_nobody_is_refused_before_its_message_is_there(attack: Attack) -> None:
    async with raw(attack.creator) as connection:
        await connection.greet()
        await connection.send(half_a_message(1, FORGED["expired"]))
        async with asyncio.timeout(LIMIT):
            refusal = await connection.hear_next(Kind.HEADERS)

    assert refusal is not None
    assert b"grpc-status\x0216" in refusal


async def test_messages_of_nobody_fill_no_memory(attack: Attack) -> None:
    """2,000 of them at once, each a half."""
    async with AsyncExitStack() as open_ones:
        for _ in range(2):
            connection = await open_ones.enter_async_context(kept(attack.creator))
            for stream in range(1, 2_000, 2):
                await connection.send(half_a_message(stream, FORGED["expired"]))
        await attack.others.call()


async def test_a_caller_with_a_right_token_has_its_limits(attack: Attack) -> None:
    alice = ONE.token(sub="alice", scope="create:shop read:shop")
    async with grpc.aio.insecure_channel(attack.creator) as channel:
        stub = creator_pb2_grpc.CreatorServiceStub(channel)
        request = creator_pb2.StreamCreatedTasksRequest()
        request.projects.append("shop")
        streams = [
            stub.StreamCreatedTasks(request, metadata=bearing(alice), timeout=LIMIT)
            for _ in range(STREAMS + 1)
        ]
        refused = [error for each in streams if (error := await _refused(each))]
        too_long = a_request(payload={"text": "x" * MESSAGE_BYTES})
        with pytest.raises(grpc.aio.AioRpcError) as long:
            await stub.CreateTask(too_long, metadata=bearing(alice), timeout=LIMIT)
        ends = await asyncio.gather(*(created(channel, alice) for _ in range(4 * RATE)))
        for each in streams:
            each.cancel()

    limited = [end for end in ends if end is not None]
    assert [reason_of(each).reason for each in refused] == ["RATE_LIMITED"]
    assert long.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert {reason_of(end).reason for end in limited} == {"RATE_LIMITED"}
    assert all(
        int(dict(end.trailing_metadata() or ())["grpc-retry-pushback-ms"]) > 0
        for end in limited
    )


async def _refused(
    stream: grpc.aio.UnaryStreamCall[
        creator_pb2.StreamCreatedTasksRequest, creator_pb2.StreamCreatedTasksResponse
    ],
) -> grpc.aio.AioRpcError | None:
    try:
        async for _ in stream:
            return None
    except grpc.aio.AioRpcError as error:
        return error
    raise AssertionError("the stream ended by itself")


async def test_a_withdrawn_key_ends_its_tokens_over_the_wire(
    locked: RunningPair, place: Path
) -> None:
    two = Issuer({"one": rsa_key("one"), "two": rsa_key("another")})
    old, new = ONE.token(sub="old"), two.token("two", sub="new")
    address = locked.pair.creators[0].address
    async with grpc.aio.insecure_channel(address) as channel:
        assert await created(channel, old) is None
        two.write(place)
        assert await created(channel, new) is None
        two.keys.pop("one")
        two.write(place)
        end = await until(lambda: created(channel, old))
        assert end is not None
        assert end.code() is grpc.StatusCode.UNAUTHENTICATED
        assert await created(channel, new) is None
