"""CreatorService on the wire: parse, do, render."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

import grpc
from structlog.contextvars import bind_contextvars

from tandem import access, wire
from tandem.traceparents import current_traceparent, sent_traceparent
from tandem.v1 import creator_pb2 as pb
from tandem_creator.batcher import Batcher
from tandem_creator.batches import parse_batch
from tandem_creator.connections import Kept
from tandem_creator.drafts import Draft
from tandem_creator.groups import Groups
from tandem_creator.lookup import look_up, parse_lookup
from tandem_creator.outcomes import render, respond
from tandem_creator.parsing import is_full, parse_create
from tandem_creator.results import refuse_batch, respond_batch
from tandem_creator.statistics import Statistics
from tandem_creator.store.winners import Winner, find_winners
from tandem_creator.stream import Stream
from tandem_creator.twins import foreseen
from tandem_creator.whole import WholeBatches

Context = grpc.aio.ServicerContext[Any, Any]

OUTCOMES: Final = MappingProxyType(
    {
        number: name.removeprefix("OUTCOME_")
        for name, number in pb.CreateTaskResponse.Outcome.items()
    }
)


class CreatorServicer:
    """Everything that is not in the request is given to it."""

    def __init__(
        self,
        kept: Kept,
        *,
        batcher: Batcher,
        whole_batches: WholeBatches,
        statistics: Statistics,
        stream: Stream,
        groups: Groups,
        require_request_id: bool = False,
    ) -> None:
        self._require_request_id = require_request_id
        self._kept = kept
        self._groups = groups
        self._batcher = batcher
        self._whole_batches = whole_batches
        self._statistics = statistics
        self._stream = stream

    async def CreateTask(
        self, request: pb.CreateTaskRequest, context: Context
    ) -> pb.CreateTaskResponse:
        with self._statistics.call():
            bind_contextvars(request_id=request.request_id[:36])
            draft = parse_create(request, **self._origin(context))
            bind_contextvars(request_id=str(draft.request_id))
            full = is_full(request.view)
            if request.validate_only:
                answers = await self._foresee([draft])
                return _noted(respond(draft, answers.get(draft.task_id), full=full))
            answer = await self._batcher.create(draft, deadline=_deadline(context))
            response = _noted(respond(draft, answer, full=full))
            self._statistics.answered(_outcome(response))
            return response

    async def BatchCreateTasks(
        self, request: pb.BatchCreateTasksRequest, context: Context
    ) -> pb.BatchCreateTasksResponse:
        with self._statistics.call():
            bind_contextvars(request_id=request.request_id[:36])
            batch = parse_batch(request, **self._origin(context))
            bind_contextvars(request_id=str(batch.request_id))
            if batch.validate_only:
                winners = await self._foresee(batch.drafts)
                refuse_batch(batch.drafts, winners)
                return _counted(respond_batch(batch.drafts, winners, full=batch.full))
            judge = partial(refuse_batch, batch.drafts)
            answers = await self._whole_batches.create(batch, judge=judge)
            response = _counted(respond_batch(batch.drafts, answers, full=batch.full))
            self._note(response.summary)
            return response

    async def _foresee(self, drafts: Sequence[Draft]) -> dict[UUID, Winner]:
        """What the drafts would find if they were created now. Nothing is held."""
        async with self._kept.connected() as connection:
            found = await find_winners(connection, drafts)
        return foreseen(drafts, found.winners)

    def _origin(self, context: Context) -> dict[str, Any]:
        """What a draft says beside its request."""
        return {
            "require_request_id": self._require_request_id,
            "created_by": access.current_caller.get().name,
            "trace_context": _trace_context(context),
        }

    def _note(self, summary: pb.BatchSummary) -> None:
        self._statistics.answered("CREATED", summary.created)
        self._statistics.answered("REPLAYED", summary.replayed)
        self._statistics.answered("EXISTING", summary.existing)

    async def StreamCreatedTasks(
        self, request: pb.StreamCreatedTasksRequest, context: Context
    ) -> AsyncIterator[pb.StreamCreatedTasksResponse]:
        async for response in self._stream.follow(request, ready=_begun(context)):
            yield response

    async def ConsumeCreatedTasks(
        self, requests: AsyncIterator[pb.ConsumeCreatedTasksRequest], context: Context
    ) -> AsyncIterator[pb.ConsumeCreatedTasksResponse]:
        async for response in self._groups.consume(requests, ready=_begun(context)):
            yield response

    async def LookupTask(
        self, request: pb.LookupTaskRequest, context: Context
    ) -> pb.LookupTaskResponse:
        lookup = parse_lookup(request)
        async with self._kept.connected() as connection:
            found = await look_up(connection, lookup)
        response = pb.LookupTaskResponse()
        expire_time = wire.timestamp(found.ids_expire_time)
        # It tells that the task is final.
        if expire_time and access.current_caller.get().may_read(lookup.project):
            response.request_id_expire_time.CopyFrom(expire_time)
        render(response.task, found.row, full=lookup.full)
        task = response.task
        bind_contextvars(task_id=task.task_id, request_id=task.request_id)
        return response


def _begun(context: Context) -> Callable[[], Awaitable[None]]:
    """Says that a stream has begun.

    Until then gRPC repeats the call by itself, and goes on with that over a path that
    is dead, in place of telling its caller.
    """
    return partial(context.send_initial_metadata, ())


def _noted(response: pb.CreateTaskResponse) -> pb.CreateTaskResponse:
    """The same response; its ids stand on the call's log line."""
    bind_contextvars(task_id=response.task.task_id, made=_outcome(response))
    return response


def _outcome(response: pb.CreateTaskResponse) -> str:
    return OUTCOMES[response.outcome]


def _counted(response: pb.BatchCreateTasksResponse) -> pb.BatchCreateTasksResponse:
    """The same response; its counts stand on the call's log line."""
    summary = response.summary
    bind_contextvars(
        requested=summary.requested,
        created=summary.created,
        replayed=summary.replayed,
        existing=summary.existing,
    )
    return response


def _deadline(context: Context) -> float | None:
    remaining = context.time_remaining()
    if remaining is None:
        return None
    return asyncio.get_running_loop().time() + remaining


def _trace_context(context: Context) -> str:
    """Of the caller's span; where it sent none, of the span of the call itself."""
    return sent_traceparent(context.invocation_metadata()) or current_traceparent()
