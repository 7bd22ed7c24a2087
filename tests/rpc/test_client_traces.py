"""What both clients say of the trace that they are called in, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from opentelemetry import trace

from tandem.client import AsyncClient, Client, Spec
from tandem.v1 import creator_pb2 as pb
from tandem.v1 import processor_pb2, task_pb2
from tests.support.scripted import Served, away, scripted
from tests.support.tracing import a_traceparent, span_of

SPEC = Spec(project="shop", type="email")
SEVEN = task_pb2.Task(task_id="7")
CREATED = pb.CreateTaskResponse(
    task=SEVEN, outcome=pb.CreateTaskResponse.OUTCOME_CREATED
)
BATCH = pb.BatchCreateTasksResponse(results=[CREATED])
GOT = processor_pb2.GetTaskResponse(task=SEVEN)

GRPC_TRIES = 5

Call = Callable[..., Awaitable[Any]]


async def call_awaited(served: Served, method: str, *args: Any, **given: Any) -> Any:
    async with AsyncClient(served.creator, served.processor) as client:
        return await getattr(client, method)(*args, **given)


async def call_blocking(served: Served, method: str, *args: Any, **given: Any) -> Any:
    with Client(served.creator, served.processor) as client:
        return await asyncio.to_thread(getattr(client, method), *args, **given)


@pytest.fixture(params=[call_awaited, call_blocking], ids=["awaited", "blocking"])
def call(request: pytest.FixtureRequest) -> Call:
    found: Call = request.param
    return found


async def test_a_call_carries_the_current_span_through_all_its_tries(
    call: Call,
) -> None:
    """Those of gRPC, and those of the client that follow them."""
    caller = a_traceparent()
    async with scripted(*[away()] * GRPC_TRIES, CREATED) as served:
        with trace.use_span(span_of(caller)):
            await call(served, "create", SPEC)

    assert served.script.traceparents == [caller] * (GRPC_TRIES + 1)


@pytest.mark.parametrize(
    ("method", "wanted", "answer"),
    [("create", SPEC, CREATED), ("create_many", [SPEC], BATCH)],
)
async def test_a_traceparent_that_is_given_comes_before_the_current_span(
    call: Call, method: str, wanted: Any, answer: Any
) -> None:
    given = a_traceparent("00")
    async with scripted(answer) as served:
        with trace.use_span(span_of(a_traceparent())):
            await call(served, method, wanted, traceparent=given)

    assert served.script.traceparents == [given]


async def test_reads_carry_it_as_well(call: Call) -> None:
    caller = a_traceparent()
    async with scripted(GOT) as served:
        with trace.use_span(span_of(caller)):
            await call(served, "get", "7")

    assert served.script.traceparents == [caller]


async def test_a_stream_that_is_opened_again_keeps_it() -> None:
    caller = a_traceparent()
    message = pb.StreamCreatedTasksResponse(resume_token="1")
    async with (
        scripted(message, away(), message) as served,
        AsyncClient(served.creator, served.processor) as client,
    ):
        with trace.use_span(span_of(caller)):
            tokens = [each.resume_token async for each in client.stream_created()]

    assert tokens == ["1", "1"]
    assert set(served.script.traceparents) == {caller}
    assert len(served.asked) > 1


async def test_a_program_without_a_span_sends_none(call: Call) -> None:
    async with scripted(CREATED) as served:
        await call(served, "create", SPEC)

    assert served.script.traceparents == [""]


@pytest.mark.parametrize("method", ["create", "create_many"])
async def test_what_is_no_traceparent_is_refused_before_anything_is_sent(
    call: Call, method: str
) -> None:
    wanted = SPEC if method == "create" else [SPEC]
    async with scripted(CREATED) as served:
        with pytest.raises(ValueError, match="no traceparent"):
            await call(served, method, wanted, traceparent="00-1-2-3")

    assert served.asked == []
