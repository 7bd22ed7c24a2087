"""20,000 random and broken requests: each is answered by name, and none does harm."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from structlog.testing import capture_logs

from tandem.v1 import creator_pb2 as pb
from tandem.v1 import creator_pb2_grpc
from tandem_creator.running import running_creator
from tandem_creator.settings import CreatorSettings
from tests.support.cluster import Database
from tests.support.creator import a_new_id, a_request, reason_of
from tests.support.noise import Noise
from tests.support.postgres_log import PostgresLog

CALLS = {
    "CreateTask": 10_000,
    "BatchCreateTasks": 2_500,
    "LookupTask": 4_500,
    "StreamCreatedTasks": 1_500,
    "ConsumeCreatedTasks": 1_500,
}
REQUESTS = {
    "CreateTask": pb.CreateTaskRequest,
    "BatchCreateTasks": pb.BatchCreateTasksRequest,
    "LookupTask": pb.LookupTaskRequest,
    "StreamCreatedTasks": pb.StreamCreatedTasksRequest,
    "ConsumeCreatedTasks": pb.ConsumeCreatedTasksRequest,
}
STREAMS = frozenset({"StreamCreatedTasks", "ConsumeCreatedTasks"})
SERVICE = "/tandem.v1.CreatorService/"

AT_ONCE = 24
HOSTILITY = 0.05
BROKEN = 0.15

LISTENERS = 24
LISTEN_FOR = 2.0
"""Seconds on a stream that does not end by itself."""

LEFT = ("connection to client lost", "canceling statement due to user request")

LIVE = "OK, a live stream with messages"
QUIET = "OK, a live stream without a message"

# Whoever is told one of these was answered from the database.
FROM_THE_DATABASE = frozenset(
    {
        "OK",
        LIVE,
        "ALREADY_EXISTS REQUEST_ID_REUSED",
        "ALREADY_EXISTS EXTERNAL_ID_TAKEN",
        "NOT_FOUND TASK_NOT_FOUND",
        "OUT_OF_RANGE RESUME_TOKEN_EXPIRED",
    }
)
# The client's own core says so where a refusal comes before the request is out.
# What this service said stands in its log.
UNSENT = "Internal error from Core"

KNOWN = FROM_THE_DATABASE | {QUIET, "INVALID_ARGUMENT INVALID_REQUEST"}


class Fuzz:
    """Sends noise to one creator, and counts what is said to it."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        # Bytes go out as they are.
        self._channel: Any = channel
        self._noise = Noise(1, hostility=HOSTILITY)
        self._room = asyncio.Semaphore(AT_ONCE)
        self._seats = asyncio.Semaphore(LISTENERS)
        self.told: Counter[tuple[str, str]] = Counter()
        self.unsent = 0

    async def send(self, method: str) -> None:
        async with self._seats if method in STREAMS else self._room:
            try:
                outcome = await self._outcome(method)
            except grpc.aio.AioRpcError as error:
                if error.details() == UNSENT:
                    self.unsent += 1
                    return
                outcome = f"{error.code().name} {_reason(error)}"
            self.told[method, outcome] += 1

    async def _outcome(self, method: str) -> str:
        path = SERVICE + method
        if method == "StreamCreatedTasks":
            request = self._request(method)
            return await _listen(self._channel.unary_stream(path)(request))
        if method == "ConsumeCreatedTasks":
            requests = iter([self._request(method, n) for n in range(3)])
            return await _listen(self._channel.stream_stream(path)(requests))
        await self._channel.unary_unary(path)(self._request(method), timeout=60)
        return "OK"

    def _request(self, method: str, place: int = 0) -> bytes:
        request: Message = REQUESTS[method]()
        if isinstance(request, pb.ConsumeCreatedTasksRequest):
            # Out of turn now and then.
            kinds = ["join", "grant", "confirm", "give_back"]
            weights = [9, 1, 1, 1] if place == 0 else [1, 9, 9, 9]
            kind = self._noise.random.choices(kinds, weights)[0]
            part = getattr(request, kind)
            part.SetInParent()
            self._noise.fill(part)
        else:
            self._noise.fill(request)
        if isinstance(request, pb.CreateTaskRequest):
            self._make_sense(request)
        for each in getattr(request, "requests", ()):
            self._make_sense(each)
        if isinstance(request, pb.LookupTaskRequest):
            request.ClearField(self._noise.random.choice(["request_id", "external_id"]))
        data = request.SerializeToString()
        if self._noise.random.random() < BROKEN:
            return self._noise.mutate(data)
        return data

    def _make_sense(self, request: pb.CreateTaskRequest) -> None:
        """What excludes each other comes together only now and then."""
        if self._noise.random.random() < 0.1:
            return
        if request.HasField("content_window"):
            request.ClearField("request_id")
            request.spec.ClearField("external_id")
            del request.content_window.payload_keys[:]
        if request.spec.HasField("not_before_time"):
            request.spec.ClearField("start_delay")
        request.spec.retry_policy.ClearField("max_backoff")


async def _listen(call: Any) -> str:
    """What a stream comes to; one that goes on is left."""
    heard = 0
    try:
        async with asyncio.timeout(LISTEN_FOR):
            while await call.read() is not grpc.aio.EOF:
                heard += 1
    except TimeoutError:
        call.cancel()
        return LIVE if heard else QUIET
    return "OK"


def _reason(error: grpc.aio.AioRpcError) -> str:
    try:
        return reason_of(error).reason
    except KeyError:
        return f"without a reason: {error.details()}"


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    with capture_logs() as lines:
        yield lines


@pytest.mark.timeout(240)
async def test_p10_noise_is_refused_by_name_and_does_no_harm(
    database: Database,
    logged: list[Any],
    postgres_log: PostgresLog,
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = CreatorSettings(
        database_url=database.creator_url, listen="127.0.0.1:0", grace=5.0
    )
    async with (
        running_creator(settings) as creator,
        grpc.aio.insecure_channel(f"127.0.0.1:{creator.port}") as channel,
    ):
        fuzz = Fuzz(channel)
        methods = [method for method, calls in CALLS.items() for _ in range(calls)]
        Noise(2, hostility=0).random.shuffle(methods)
        async with asyncio.TaskGroup() as group:
            for method in methods:
                group.create_task(fuzz.send(method))
        stub = creator_pb2_grpc.CreatorServiceStub(channel)
        good = await stub.CreateTask(a_request(request_id=a_new_id()), timeout=30)
        assert not creator.failed.is_set()

    _report(fuzz.told)
    reached = sum(n for (_, told), n in fuzz.told.items() if told in FROM_THE_DATABASE)
    assert {told for _, told in fuzz.told} <= KNOWN
    assert fuzz.unsent < sum(CALLS.values()) / 1000
    assert reached > sum(CALLS.values()) / 3
    assert good.outcome == pb.CreateTaskResponse.OUTCOME_CREATED
    said = {line["outcome"] for line in logged if line["event"] == "call"}
    assert said <= {"OK", "CANCELLED", *(told.partition(" ")[2] for told in KNOWN)}
    unary = sum(calls for method, calls in CALLS.items() if method not in STREAMS)
    assert sum(line["event"] == "call" for line in logged) > unary
    assert [line for line in logged if line["log_level"] in {"error", "critical"}] == []
    assert [r for r in caplog.records if r.levelno >= logging.ERROR] == []
    # A reader that left in the middle of its statement is no fault of the request.
    assert [e for e in postgres_log.errors() if not e.endswith(LEFT)] == []


def _report(told: Counter[tuple[str, str]]) -> None:
    for (method, outcome), count in sorted(told.items()):
        share = count / CALLS[method]
        print(f"{method:20} {outcome:50} {count:6,} {share:6.1%}")  # noqa: T201
