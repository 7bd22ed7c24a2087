"""The client for programs on asyncio. It is `Client`, awaited."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Self, Unpack
from uuid import UUID, uuid4

import grpc

from tandem import traceparents
from tandem.addresses import CREATOR_ADDRESS, PROCESSOR_ADDRESS
from tandem.client import batches, requests
from tandem.client.async_calls import AsyncCalls
from tandem.client.channels import channel
from tandem.client.created import Created, Outcome
from tandem.client.credentials import NOTHING, Credentials
from tandem.client.failures import naming
from tandem.client.ids import as_request_id
from tandem.client.repeats import Deadlines
from tandem.client.requests import Creating, Filters, Following
from tandem.client.specs import Spec
from tandem.errors import OutcomeUnknown, TandemError
from tandem.v1 import (
    creator_pb2,
    creator_pb2_grpc,
    processor_pb2,
    processor_pb2_grpc,
    task_pb2,
)

if TYPE_CHECKING:
    from tandem.v1.creator_pb2_grpc import CreatorServiceAsyncStub
    from tandem.v1.processor_pb2_grpc import ProcessorServiceAsyncStub

Target = str | Sequence[str] | grpc.aio.Channel
"""Where a service is: an address, several, or a channel of one's own."""


class AsyncClient:
    """What `Client` is, for a program on asyncio; each method says there what it does.

    Make it, and use it, inside one running event loop. A task that is cancelled
    while it waits for a create leaves the outcome open, as TimedOut does.
    """

    def __init__(
        self,
        creator: Target = CREATOR_ADDRESS,
        processor: Target = PROCESSOR_ADDRESS,
        *,
        credentials: Credentials = NOTHING,
        deadlines: Deadlines | None = None,
    ) -> None:
        """Nothing is connected before the first call.

        Raises:
            ValueError: several addresses, of which one is a name.
            InvalidCredentials: a file cannot be read, or a token would go in the clear.
        """
        self._credentials = credentials
        self._opened: list[grpc.aio.Channel] = []
        self._creator: CreatorServiceAsyncStub = creator_pb2_grpc.CreatorServiceStub(
            self._channel(creator)
        )
        self._processor: ProcessorServiceAsyncStub = (
            processor_pb2_grpc.ProcessorServiceStub(self._channel(processor))
        )
        self._deadlines = deadlines or Deadlines()
        self._calls = AsyncCalls(self._deadlines)

    def _channel(self, target: Target) -> grpc.aio.Channel:
        if isinstance(target, grpc.aio.Channel):
            return target
        self._opened.append(channel(target, self._credentials))
        return self._opened[-1]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End what is under way, and close the channels that it opened itself."""
        for opened in self._opened:
            await opened.close()

    async def create(
        self,
        spec: Spec | task_pb2.TaskSpec,
        *,
        within: float | None = None,
        **options: Unpack[Creating],
    ) -> Created:
        """The one task of this intended call, made now or earlier. See `Client.create`."""
        request = requests.create_request(spec, options)
        traceparent = requests.traceparent_of(options)
        limit = requests.create_limit(request, within or self._deadlines.create)
        with naming(request_id=request.request_id):
            try:
                answer = await self._calls.answer(
                    self._creator.CreateTask, request, limit, traceparent
                )
            except OutcomeUnknown as failure:
                return await self._find(request.spec.project, failure)
        return Created.of(answer)

    async def _find(self, project: str, failure: OutcomeUnknown) -> Created:
        # A blind repeat could make a second task.
        request_id = failure.metadata.get("request_id", "")
        try:
            task = await self.lookup(project, request_id=request_id)
        except TandemError as error:
            raise failure from error
        return Created(task=task, outcome=Outcome.CREATED, request_id=request_id)

    async def create_many(
        self,
        specs: Iterable[Spec | task_pb2.TaskSpec],
        *,
        request_id: str | UUID | None = None,
        reject_existing: bool = False,
        traceparent: str = "",
        within: float | None = None,
    ) -> Sequence[Created]:
        """One task for each spec, in their order. See `Client.create_many`."""
        traceparent = traceparents.checked(traceparent)
        batch_id = as_request_id(request_id or uuid4())
        creates = batches.requests(
            specs,
            UUID(batch_id),
            policy=requests.policy(reject_existing=reject_existing),
        )
        limit = within or self._deadlines.create_many
        created: list[Created] = []
        for batch in batches.split(creates):
            with naming(batch_request_id=batch_id), batches.counted_from(batch.first):
                created += await self.create_batch(
                    batch.requests, within=limit, traceparent=traceparent
                )
        return created

    async def create_batch(
        self,
        creates: Sequence[creator_pb2.CreateTaskRequest],
        *,
        within: float | None = None,
        traceparent: str = "",
    ) -> Sequence[Created]:
        """One task for each request, all or nothing. See `Client.create_batch`."""
        request = creator_pb2.BatchCreateTasksRequest(requests=creates)
        limit = within or self._deadlines.create_many
        answer = await self._calls.answer(
            self._creator.BatchCreateTasks, request, limit, traceparent
        )
        return [Created.of(result) for result in answer.results]

    async def lookup(
        self,
        project: str,
        *,
        request_id: str | UUID = "",
        external_id: str = "",
        within: float | None = None,
    ) -> task_pb2.Task:
        """The task with one of these ids; nothing is created. See `Client.lookup`."""
        request = requests.lookup_request(
            project, request_id=request_id, external_id=external_id
        )
        limit = within or self._deadlines.lookup
        answer = await self._calls.answer(self._creator.LookupTask, request, limit)
        return answer.task

    async def get(
        self, task_id: str, *, full: bool = True, within: float | None = None
    ) -> task_pb2.Task:
        """The task as it is now. See `Client.get`."""
        request = processor_pb2.GetTaskRequest(
            task_id=task_id, view=requests.view(full=full)
        )
        limit = within or self._deadlines.get
        answer = await self._calls.answer(self._processor.GetTask, request, limit)
        return answer.task

    async def list(
        self,
        project: str,
        *,
        full: bool = False,
        within: float | None = None,
        **filters: Unpack[Filters],
    ) -> AsyncIterator[task_pb2.Task]:
        """The project's tasks, newest first. See `Client.list`."""
        request = requests.list_request(project, filters, full=full)
        limit = within or self._deadlines.list
        while True:
            page = await self._calls.answer(self._processor.ListTasks, request, limit)
            for task in page.tasks:
                yield task
            request.page_token = page.next_page_token
            if not request.page_token:
                return

    async def watch(
        self, task_id: str, *, full: bool = False, within: float | None = None
    ) -> AsyncIterator[task_pb2.Task]:
        """The task now, then after changes, until it is final. See `Client.watch`."""
        request = processor_pb2.WatchTaskRequest(
            task_id=task_id, view=requests.view(full=full)
        )
        last = None
        frames = self._calls.frames(self._processor.WatchTask, request, within)
        async with aclosing(frames):
            async for answer in frames:
                # A stream opened again begins with what was seen before it broke.
                if answer.HasField("task") and answer.task != last:
                    last = answer.task
                    yield answer.task

    async def cancel(
        self,
        task_id: str,
        *,
        expected_attempt: int | None = None,
        comment: str = "",
        within: float | None = None,
    ) -> task_pb2.Task:
        """Cancel a task, or ask it to stop; then as it is now. See `Client.cancel`."""
        request = requests.cancel_request(
            task_id, expected_attempt=expected_attempt, comment=comment
        )
        limit = within or self._deadlines.change
        answer = await self._calls.answer(self._processor.CancelTask, request, limit)
        return answer.task

    async def retry(
        self, task_id: str, *, expected_attempt: int, within: float | None = None
    ) -> task_pb2.Task:
        """Put a task back to PENDING; then as it is now. See `Client.retry`."""
        request = processor_pb2.RetryTaskRequest(
            task_id=task_id, expected_attempt=expected_attempt
        )
        limit = within or self._deadlines.change
        answer = await self._calls.answer(self._processor.RetryTask, request, limit)
        return answer.task

    async def pause_queue(self, queue: str, *, within: float | None = None) -> None:
        """No more claims from the queue. See `Client.pause_queue`."""
        request = processor_pb2.PauseQueueRequest(queue=queue)
        limit = within or self._deadlines.change
        await self._calls.answer(self._processor.PauseQueue, request, limit)

    async def resume_queue(self, queue: str, *, within: float | None = None) -> None:
        """Claims from the queue again. See `Client.resume_queue`."""
        request = processor_pb2.ResumeQueueRequest(queue=queue)
        limit = within or self._deadlines.change
        await self._calls.answer(self._processor.ResumeQueue, request, limit)

    async def stats(
        self, project: str = "", *, days: int = 0, within: float | None = None
    ) -> processor_pb2.GetStatsResponse:
        """Counts of tasks by queue, state and day, and more. See `Client.stats`."""
        request = processor_pb2.GetStatsRequest(project=project, days=days)
        limit = within or self._deadlines.stats
        return await self._calls.answer(self._processor.GetStats, request, limit)

    async def stream_created(
        self, *, within: float | None = None, **following: Unpack[Following]
    ) -> AsyncIterator[creator_pb2.StreamCreatedTasksResponse]:
        """The ids of created tasks, then live. See `Client.stream_created`."""
        request = requests.stream_request(following)
        frames = self._calls.frames(self._creator.StreamCreatedTasks, request, within)
        async with aclosing(frames):
            async for message in frames:
                request.resume_token = message.resume_token
                yield message
