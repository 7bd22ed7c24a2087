"""ProcessorService on the wire: parse, do, render."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
from structlog.contextvars import bind_contextvars

from tandem import limits, tasks
from tandem.access import current_caller
from tandem.authentication.door import Context
from tandem.errors import TaskNotFound
from tandem.permissions import denied
from tandem.tasks import TaskRow
from tandem.v1 import processor_pb2 as pb
from tandem.validation import Violations
from tandem.violations import at_fault
from tandem_processor import cancels, queues, retries
from tandem_processor.cancelling import CancelBell
from tandem_processor.listing import list_tasks
from tandem_processor.pages import add_tasks
from tandem_processor.requests import (
    is_full,
    parse_cancel,
    parse_list,
    parse_queue,
    parse_retry,
    parse_stats,
    parse_task_ids,
)
from tandem_processor.stats import Stats
from tandem_processor.watch import Watch


class ProcessorServicer:
    """Reads and moves tasks; it cannot make one."""

    def __init__(
        self, pool: asyncpg.Pool, watch: Watch, cancel_bell: CancelBell
    ) -> None:
        self._pool = pool
        self._watch = watch
        self._cancel_bell = cancel_bell
        self.stats = Stats(pool)

    async def GetTask(
        self, request: pb.GetTaskRequest, context: Context
    ) -> pb.GetTaskResponse:
        violations = Violations()
        full = is_full(request.view, violations, default=True)
        task_id = _task_id(request.task_id, violations)
        row = await self._read(task_id, full=full)
        return pb.GetTaskResponse(task=tasks.render_task(row))

    async def BatchGetTasks(
        self, request: pb.BatchGetTasksRequest, context: Context
    ) -> pb.BatchGetTasksResponse:
        violations = Violations()
        full = is_full(request.view, violations, default=False)
        task_ids = parse_task_ids(request.task_ids, violations)
        response = pb.BatchGetTasksResponse()
        found, complete = await add_tasks(
            self._pool,
            task_ids,
            full=full,
            to=response.tasks,
            most_bytes=limits.MAX_MESSAGE_BYTES - limits.MAX_BATCH * 40,
        )
        if not complete:
            raise at_fault("task_ids", "would make an answer over 4 MiB: ask for fewer")
        response.missing_task_ids.extend(
            str(task_id) for task_id in task_ids if task_id not in found
        )
        return response

    async def ListTasks(
        self, request: pb.ListTasksRequest, context: Context
    ) -> pb.ListTasksResponse:
        wanted = parse_list(request)
        bind_contextvars(project=wanted.project)
        return await list_tasks(self._pool, wanted)

    async def WatchTask(
        self, request: pb.WatchTaskRequest, context: Context
    ) -> AsyncIterator[pb.WatchTaskResponse]:
        violations = Violations()
        full = is_full(request.view, violations, default=False)
        task_id = _task_id(request.task_id, violations)
        async with self._watch.following(task_id) as changes:
            sent = None
            while True:
                row = await self._read(task_id, full=full)
                if row != sent:
                    yield pb.WatchTaskResponse(task=tasks.render_task(row))
                    sent = row
                if row.state.is_final:
                    return
                while not await changes.wait():
                    yield pb.WatchTaskResponse()

    async def _read(self, task_id: UUID, *, full: bool) -> TaskRow:
        found = await tasks.read_tasks(self._pool, [task_id], full=full)
        for row in tasks.visible(current_caller.get(), found.values()):
            bind_contextvars(request_id=str(row.request_id))
            return row
        raise TaskNotFound("no task has this id", task_id=str(task_id))

    async def CancelTask(
        self, request: pb.CancelTaskRequest, context: Context
    ) -> pb.CancelTaskResponse:
        wanted = parse_cancel(request)
        bind_contextvars(task_id=str(wanted.task_id))
        # Whoever may not read a task may not cancel it either.
        _require_operating(await self._read(wanted.task_id, full=False))
        asked = await cancels.cancel(self._pool, wanted)
        if asked is not None:
            self._watch.ring([wanted.task_id])
            self._cancel_bell.ring(wanted.task_id, asked.claim)
        row = await self._read(wanted.task_id, full=False)
        return pb.CancelTaskResponse(task=tasks.render_task(row))

    async def RetryTask(
        self, request: pb.RetryTaskRequest, context: Context
    ) -> pb.RetryTaskResponse:
        wanted = parse_retry(request)
        bind_contextvars(task_id=str(wanted.task_id))
        row = await self._read(wanted.task_id, full=False)
        _require_operating(row)
        moved = False
        # Again only after somebody else has moved the task in between.
        while not moved and retries.is_asked_for(row, wanted):
            moved = await retries.retry(self._pool, wanted)
            row = await self._read(wanted.task_id, full=False)
        if moved:
            self._watch.ring([wanted.task_id])
        return pb.RetryTaskResponse(task=tasks.render_task(row))

    async def PauseQueue(
        self, request: pb.PauseQueueRequest, context: Context
    ) -> pb.PauseQueueResponse:
        queue = parse_queue(request.queue)
        bind_contextvars(queue=queue)
        await queues.pause(self._pool, queue)
        return pb.PauseQueueResponse()

    async def ResumeQueue(
        self, request: pb.ResumeQueueRequest, context: Context
    ) -> pb.ResumeQueueResponse:
        queue = parse_queue(request.queue)
        bind_contextvars(queue=queue)
        await queues.resume(self._pool, queue)
        return pb.ResumeQueueResponse()

    async def GetStats(
        self, request: pb.GetStatsRequest, context: Context
    ) -> pb.GetStatsResponse:
        query = parse_stats(request)
        return await self.stats.get(query, current_caller.get())


def _require_operating(row: TaskRow) -> None:
    """Of a task that the caller may read.

    Raises:
        PermissionDenied: they may do no more than that.
    """
    if not current_caller.get().may("operate", row.project):
        raise denied(("operate",), row.project)


def _task_id(text: str, violations: Violations) -> UUID:
    """The one id of a request, after which nothing in it is left to check."""
    task_id = violations.uuid("task_id", text)
    violations.refuse()
    assert task_id is not None
    bind_contextvars(task_id=str(task_id))
    return task_id
