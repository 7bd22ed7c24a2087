"""CreatorService on the wire: parse, do, render."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any, Final

import asyncpg
import grpc
from structlog.contextvars import bind_contextvars

from tandem import access
from tandem.errors import NotBuilt
from tandem.v1 import creator_pb2 as pb
from tandem_creator.batcher import Batcher
from tandem_creator.drafts import Draft
from tandem_creator.groups import Groups
from tandem_creator.lookup import look_up, parse_lookup
from tandem_creator.outcomes import render, respond, respond_created
from tandem_creator.parsing import is_full, parse_create
from tandem_creator.store.winners import find_winners
from tandem_creator.stream import Stream

Context = grpc.aio.ServicerContext[Any, Any]

TRACE_CONTEXT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
"""The W3C's `traceparent`."""


class CreatorServicer:
    """Everything that is not in the request is given to it."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        *,
        batcher: Batcher,
        stream: Stream,
        groups: Groups,
        require_request_id: bool = False,
    ) -> None:
        self._require_request_id = require_request_id
        self._pool = pool
        self._groups = groups
        self._batcher = batcher
        self._stream = stream

    async def CreateTask(
        self, request: pb.CreateTaskRequest, context: Context
    ) -> pb.CreateTaskResponse:
        bind_contextvars(request_id=request.request_id[:36])
        draft = parse_create(
            request,
            require_request_id=self._require_request_id,
            created_by=access.current_caller.get().name,
            trace_context=_trace_context(context),
        )
        bind_contextvars(request_id=str(draft.request_id))
        full = is_full(request.view)
        if request.validate_only:
            return await self._preview(draft, full=full)
        answer = await self._batcher.create(draft, deadline=_deadline(context))
        return _noted(respond(draft, answer, full=full))

    async def _preview(self, draft: Draft, *, full: bool) -> pb.CreateTaskResponse:
        found = await find_winners(self._pool, [draft])
        if winner := found.winners.get(draft.task_id):
            return _noted(respond(draft, winner, full=full))
        return respond_created(draft, None, full=full)

    async def BatchCreateTasks(
        self, request: pb.BatchCreateTasksRequest, context: Context
    ) -> pb.BatchCreateTasksResponse:
        raise NotBuilt("BatchCreateTasks is not part of this release")

    async def StreamCreatedTasks(
        self, request: pb.StreamCreatedTasksRequest, context: Context
    ) -> AsyncIterator[pb.StreamCreatedTasksResponse]:
        async for response in self._stream.follow(request):
            yield response

    async def ConsumeCreatedTasks(
        self, requests: AsyncIterator[pb.ConsumeCreatedTasksRequest], context: Context
    ) -> AsyncIterator[pb.ConsumeCreatedTasksResponse]:
        async for response in self._groups.consume(requests):
            yield response

    async def LookupTask(
        self, request: pb.LookupTaskRequest, context: Context
    ) -> pb.LookupTaskResponse:
        lookup = parse_lookup(request)
        row = await look_up(self._pool, lookup)
        task = render(row, full=lookup.full)
        bind_contextvars(task_id=task.task_id, request_id=task.request_id)
        return pb.LookupTaskResponse(task=task)


def _noted(response: pb.CreateTaskResponse) -> pb.CreateTaskResponse:
    """The same response; its ids stand on the call's log line."""
    outcome = pb.CreateTaskResponse.Outcome.Name(response.outcome)
    bind_contextvars(
        task_id=response.task.task_id, made=outcome.removeprefix("OUTCOME_")
    )
    return response


def _deadline(context: Context) -> float | None:
    remaining = context.time_remaining()
    if remaining is None:
        return None
    return asyncio.get_running_loop().time() + remaining


def _trace_context(context: Context) -> str:
    for key, value in context.invocation_metadata() or ():
        if key == "traceparent" and TRACE_CONTEXT.fullmatch(str(value)):
            return str(value)
    return ""
