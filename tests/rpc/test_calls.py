from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import grpc
import pytest
import structlog
from google.rpc import error_details_pb2, status_pb2
from structlog.testing import capture_logs

from tandem import errors
from tandem.server import PortTaken, Server
from tandem.v1 import creator_pb2
from tandem.v1.creator_pb2_grpc import CreatorServiceStub

SERVICE = creator_pb2.DESCRIPTOR.services_by_name["CreatorService"]
CREATE = "/tandem.v1.CreatorService/CreateTask"
REQUEST = creator_pb2.CreateTaskRequest()

Behaviour = Callable[[Any, Any], Awaitable[creator_pb2.CreateTaskResponse]]


class Scripted:
    """A creator whose CreateTask does what the test says."""

    def __init__(self, create: Behaviour) -> None:
        self.CreateTask = create

    async def StreamCreatedTasks(
        self, request: Any, context: Any
    ) -> AsyncIterator[creator_pb2.StreamCreatedTasksResponse]:
        yield creator_pb2.StreamCreatedTasksResponse(resume_token="a")
        raise errors.Stopping("this creator is shutting down")

    async def BatchCreateTasks(self, request: Any, context: Any) -> None:
        raise errors.NotBuilt("BatchCreateTasks")

    LookupTask = BatchCreateTasks
    ConsumeCreatedTasks = StreamCreatedTasks


@asynccontextmanager
async def served(create: Behaviour) -> AsyncIterator[grpc.aio.Channel]:
    server = Server(Scripted(create), SERVICE, listen="127.0.0.1:0")
    port = await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    await server.stop(0)


async def failure(channel: grpc.aio.Channel, data: bytes = b"") -> grpc.aio.AioRpcError:
    raw: Any = channel.unary_unary(CREATE)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await raw(data, timeout=5)
    return raised.value


def raising(error: Exception) -> Behaviour:
    async def create(request: Any, context: Any) -> creator_pb2.CreateTaskResponse:
        raise error

    return create


async def test_malformed_bytes_are_invalid_argument_without_their_words() -> None:
    async with served(raising(AssertionError("never called"))) as channel:
        error = await failure(channel, b"\xff\xff\xff")

    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error.details() == (
        "INVALID_REQUEST: the bytes sent are not a message of this method"
    )


async def test_an_error_arrives_as_one_rich_status() -> None:
    lost = errors.InvalidRequest(
        "spec.type is required",
        violations=[errors.Violation("spec.type", "is required")],
    )
    async with served(raising(lost)) as channel:
        error = await failure(channel)

    trailers = dict(error.trailing_metadata() or ())
    status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    assert status.details[0].Unpack(info)
    assert status.details[1].Unpack(bad)
    assert (info.domain, info.reason) == ("tandem", "INVALID_REQUEST")
    assert bad.field_violations[0].field == "spec.type"


@pytest.mark.parametrize(
    "fault",
    [
        asyncpg.ConnectionDoesNotExistError("x"),
        asyncpg.InterfaceError("x"),
        asyncpg.LockNotAvailableError("x"),
        asyncpg.QueryCanceledError("x"),
        asyncpg.AdminShutdownError("x"),
        asyncpg.CannotConnectNowError("x"),
        asyncpg.TooManyConnectionsError("x"),
        asyncpg.DeadlockDetectedError("x"),
        asyncpg.ReadOnlySQLTransactionError("x"),
        ConnectionRefusedError("x"),
        TimeoutError("x"),
    ],
    ids=lambda e: type(e).__name__,
)
async def test_a_fault_of_the_environment_is_retryable_and_says_when(
    fault: Exception,
) -> None:
    async with served(raising(fault)) as channel:
        error = await failure(channel)

    trailers = dict(error.trailing_metadata() or ())
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert str(error.details()).startswith("STORE_UNAVAILABLE: ")
    assert trailers["grpc-retry-pushback-ms"] == "250"


async def test_what_the_database_refuses_is_not_blamed_on_the_environment() -> None:
    async with served(raising(asyncpg.CheckViolationError("secret row"))) as channel:
        error = await failure(channel)

    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert str(error.details()).startswith("STORE_REFUSED: ")
    assert "secret" not in str(error.details())


async def test_a_defect_is_logged_and_says_nothing_of_itself() -> None:
    with capture_logs() as logged:
        async with served(raising(KeyError("secret"))) as channel:
            error = await failure(channel)

    assert error.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in str(error.details())
    assert [line["event"] for line in logged if line["log_level"] == "error"] == [
        "call failed by a defect"
    ]


async def test_each_call_leaves_one_line() -> None:
    async def create(request: Any, context: Any) -> creator_pb2.CreateTaskResponse:
        return creator_pb2.CreateTaskResponse()

    with capture_logs() as logged:
        async with served(create) as channel:
            await CreatorServiceStub(channel).CreateTask(REQUEST, timeout=5)

    lines = [line for line in logged if line["event"] == "call"]
    assert [(line["method"], line["outcome"]) for line in lines] == [
        ("CreateTask", "OK")
    ]


async def test_a_refusal_that_names_a_task_has_it_on_its_line() -> None:
    refused = errors.RequestIdReused("it was", task_id="7")
    with capture_logs([structlog.contextvars.merge_contextvars]) as logged:
        async with served(raising(refused)) as channel:
            await failure(channel)

    lines = [line for line in logged if line["event"] == "call"]
    assert [line["task_id"] for line in lines] == ["7"]


async def test_a_cancelled_call_is_recorded_as_such() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def create(request: Any, context: Any) -> creator_pb2.CreateTaskResponse:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    with capture_logs() as logged:
        async with served(create) as channel, asyncio.timeout(10):
            call = CreatorServiceStub(channel).CreateTask(REQUEST)
            await begun.wait()
            call.cancel()
            await ended.wait()

    assert [x["outcome"] for x in logged if x["event"] == "call"] == ["CANCELLED"]


async def test_a_stream_that_fails_midway_keeps_what_it_sent() -> None:
    async with served(raising(AssertionError())) as channel:
        request = creator_pb2.StreamCreatedTasksRequest()
        call = CreatorServiceStub(channel).StreamCreatedTasks(request, timeout=5)
        first = await call.read()
        with pytest.raises(grpc.aio.AioRpcError, match="STOPPING") as raised:
            await call.read()

    assert isinstance(first, creator_pb2.StreamCreatedTasksResponse)
    assert first.resume_token == "a"
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_second_server_on_the_same_port_is_refused() -> None:
    first = Server(Scripted(raising(KeyError())), SERVICE, listen="127.0.0.1:0")
    port = await first.start()
    second = Server(Scripted(raising(KeyError())), SERVICE, listen=f"127.0.0.1:{port}")

    with pytest.raises(PortTaken, match=f"cannot listen on 127.0.0.1:{port}"):
        await second.start()
    await first.stop(0)


async def test_a_burst_that_python_has_yet_to_begin_is_not_cancelled() -> None:
    """By itself gRPC cancels at random from 1,000 on, and all from 3,000."""

    async def create(_request: Any, _context: Any) -> creator_pb2.CreateTaskResponse:
        return creator_pb2.CreateTaskResponse()

    server = Server(Scripted(create), SERVICE, listen="127.0.0.1:0")
    port = await server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        call: Any = channel.unary_unary(CREATE)
        await asyncio.to_thread(call, b"", timeout=30)
        # Sent by the thread of the server's loop, which so takes up none of them.
        sent = [call.future(b"", timeout=30) for _ in range(4_000)]
        codes = {await asyncio.to_thread(each.code) for each in sent}
    await server.stop(0)

    assert codes == {grpc.StatusCode.OK}
