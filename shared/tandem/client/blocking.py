"""The client for programs without an event loop."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import Self, Unpack
from uuid import UUID, uuid4

import grpc

from tandem import traceparents
from tandem.addresses import CREATOR_ADDRESS, PROCESSOR_ADDRESS
from tandem.client import batches, requests
from tandem.client.blocking_calls import Calls, Clock, SystemClock
from tandem.client.channels import blocking_channel
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

Target = str | Sequence[str] | grpc.Channel
"""Where a service is: an address, several, or a channel of one's own."""


class Client:
    """Creates tasks, each once, reads and directs them. Threads may share it.

    Every call is one intended call: it has one request id, kept through all its
    repeats, and is repeated by itself, until its time is over, while the service
    is away or does not answer. It raises the classes of `tandem.errors`, one for
    each reason, or CallFailed, Unreachable and TimedOut, or InvalidCredentials where
    the file of its token cannot be read now; all are TandemError.

    `within` is in seconds, repeats included; unset, that of `deadlines` holds.
    """

    def __init__(
        self,
        creator: Target = CREATOR_ADDRESS,
        processor: Target = PROCESSOR_ADDRESS,
        *,
        credentials: Credentials = NOTHING,
        deadlines: Deadlines | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Nothing is connected before the first call.

        Raises:
            ValueError: several addresses, of which one is a name.
            InvalidCredentials: a file cannot be read, or a token would go in the clear.
        """
        self._credentials = credentials
        self._opened = ExitStack()
        self._creator = creator_pb2_grpc.CreatorServiceStub(self._channel(creator))
        self._processor = processor_pb2_grpc.ProcessorServiceStub(
            self._channel(processor)
        )
        self._deadlines = deadlines or Deadlines()
        self._calls = Calls(self._deadlines, clock or SystemClock())

    def _channel(self, target: Target) -> grpc.Channel:
        if isinstance(target, grpc.Channel):
            return target
        return self._opened.enter_context(blocking_channel(target, self._credentials))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End what is under way, and close the channels that it opened itself."""
        self._opened.close()

    def create(
        self,
        spec: Spec | task_pb2.TaskSpec,
        *,
        within: float | None = None,
        **options: Unpack[Creating],
    ) -> Created:
        """The one task of this intended call, made now or earlier.

        After a failure that leaves its outcome open, such as TimedOut, repeat it
        with `metadata["request_id"]` of the exception.

        Raises:
            RequestIdReused: the request id made a task of other content.
            ExternalIdTaken: another request holds the external id, with `reject_existing`.
            OutcomeUnknown: with `content_window` only; nor did a look-up find it.
        """
        request = requests.create_request(spec, options)
        traceparent = requests.traceparent_of(options)
        limit = requests.create_limit(request, within or self._deadlines.create)
        with naming(request_id=request.request_id):
            try:
                answer = self._calls.answer(
                    self._creator.CreateTask, request, limit, traceparent
                )
            except OutcomeUnknown as failure:
                return self._find(request.spec.project, failure)
        return Created.of(answer)

    def _find(self, project: str, failure: OutcomeUnknown) -> Created:
        # A blind repeat could make a second task.
        request_id = failure.metadata.get("request_id", "")
        try:
            task = self.lookup(project, request_id=request_id)
        except TandemError as error:
            raise failure from error
        return Created(task=task, outcome=Outcome.CREATED, request_id=request_id)

    def create_many(
        self,
        specs: Iterable[Spec | task_pb2.TaskSpec],
        *,
        request_id: str | UUID | None = None,
        reject_existing: bool = False,
        traceparent: str = "",
        within: float | None = None,
    ) -> Sequence[Created]:
        """One task for each spec, in their order; the tasks come without payload.

        Up to 1,000 specs and 2 MiB are all or nothing. A longer list is sent in
        batches, and a failure leaves the earlier ones done: repeat the whole list with
        the same request id (`metadata["batch_request_id"]` of the exception) and
        each task is made once, however the list is split. `within` is for each batch.

        Raises:
            InvalidRequest: names every bad spec by its place in the list.
        """
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
                created += self.create_batch(
                    batch.requests, within=limit, traceparent=traceparent
                )
        return created

    def create_batch(
        self,
        creates: Sequence[creator_pb2.CreateTaskRequest],
        *,
        within: float | None = None,
        traceparent: str = "",
    ) -> Sequence[Created]:
        """One task for each request, in their order, all or nothing.

        What `create_many` is for one call's worth of requests that have their own ids:
        at most 1,000, and 2 MiB.

        Raises:
            InvalidRequest: names every bad request as `requests[place]`.
        """
        request = creator_pb2.BatchCreateTasksRequest(requests=creates)
        limit = within or self._deadlines.create_many
        answer = self._calls.answer(
            self._creator.BatchCreateTasks, request, limit, traceparent
        )
        return [Created.of(result) for result in answer.results]

    def lookup(
        self,
        project: str,
        *,
        request_id: str | UUID = "",
        external_id: str = "",
        within: float | None = None,
    ) -> task_pb2.Task:
        """The task with one of these ids; nothing is created.

        Raises:
            TaskNotFound: there is none; a create under way may still make it.
        """
        request = requests.lookup_request(
            project, request_id=request_id, external_id=external_id
        )
        limit = within or self._deadlines.lookup
        return self._calls.answer(self._creator.LookupTask, request, limit).task

    def get(
        self, task_id: str, *, full: bool = True, within: float | None = None
    ) -> task_pb2.Task:
        """The task as it is now.

        Raises:
            TaskNotFound: there is none.
        """
        request = processor_pb2.GetTaskRequest(
            task_id=task_id, view=requests.view(full=full)
        )
        limit = within or self._deadlines.get
        return self._calls.answer(self._processor.GetTask, request, limit).task

    def list(
        self,
        project: str,
        *,
        full: bool = False,
        within: float | None = None,
        **filters: Unpack[Filters],
    ) -> Iterator[task_pb2.Task]:
        """The project's tasks, newest first, asked for page by page.

        A task created meanwhile is not seen; none is left out or repeated.
        `within` is for each page.
        """
        request = requests.list_request(project, filters, full=full)
        limit = within or self._deadlines.list
        while True:
            page = self._calls.answer(self._processor.ListTasks, request, limit)
            yield from page.tasks
            request.page_token = page.next_page_token
            if not request.page_token:
                return

    def watch(
        self, task_id: str, *, full: bool = False, within: float | None = None
    ) -> Iterator[task_pb2.Task]:
        """The task now, then after changes, until it is final.

        Changes that follow fast may be merged; the final one always comes.

        Raises:
            TaskNotFound: there is none.
            TimedOut: it was not final in time; unset, there is no limit.
        """
        request = processor_pb2.WatchTaskRequest(
            task_id=task_id, view=requests.view(full=full)
        )
        last = None
        for answer in self._calls.frames(self._processor.WatchTask, request, within):
            # A stream opened again begins with what was seen before it broke.
            if answer.HasField("task") and answer.task != last:
                last = answer.task
                yield answer.task

    def cancel(
        self,
        task_id: str,
        *,
        expected_attempt: int | None = None,
        comment: str = "",
        within: float | None = None,
    ) -> task_pb2.Task:
        """Cancel a task that waits, or ask one that runs to stop; then as it is now.

        It becomes CANCELLED unless it succeeded; `watch` tells. One that is final is
        left as it is, and with `expected_attempt` one at any other attempt: then a
        repeat never cancels what was retried in between. `comment` is at most 255
        characters; that of the first request stands, in `status.cancel_comment`.

        Raises:
            TaskNotFound: there is none.
        """
        request = requests.cancel_request(
            task_id, expected_attempt=expected_attempt, comment=comment
        )
        limit = within or self._deadlines.change
        return self._calls.answer(self._processor.CancelTask, request, limit).task

    def retry(
        self, task_id: str, *, expected_attempt: int, within: float | None = None
    ) -> task_pb2.Task:
        """Put a task that FAILED or was CANCELLED back to PENDING; then as it is now.

        `expected_attempt` is its `status.attempt` as you saw it end; at any other the
        task is left as it is. It has one attempt more at least.

        Raises:
            TaskNotFound: there is none.
            TransitionRefused: it runs, waits for a decision or succeeded; or was pruned.
        """
        request = processor_pb2.RetryTaskRequest(
            task_id=task_id, expected_attempt=expected_attempt
        )
        limit = within or self._deadlines.change
        return self._calls.answer(self._processor.RetryTask, request, limit).task

    def pause_queue(self, queue: str, *, within: float | None = None) -> None:
        """No more claims from the queue, by any processor; what runs goes on."""
        request = processor_pb2.PauseQueueRequest(queue=queue)
        limit = within or self._deadlines.change
        self._calls.answer(self._processor.PauseQueue, request, limit)

    def resume_queue(self, queue: str, *, within: float | None = None) -> None:
        """Claims from the queue again."""
        request = processor_pb2.ResumeQueueRequest(queue=queue)
        limit = within or self._deadlines.change
        self._calls.answer(self._processor.ResumeQueue, request, limit)

    def stats(
        self, project: str = "", *, days: int = 0, within: float | None = None
    ) -> processor_pb2.GetStatsResponse:
        """Counts of tasks by queue, state and day, groups and processors; 5 s old at most.

        Without a project, of all that may be read. `days` of history, 0 to 31, in UTC,
        today included.
        """
        request = processor_pb2.GetStatsRequest(project=project, days=days)
        limit = within or self._deadlines.stats
        return self._calls.answer(self._processor.GetStats, request, limit)

    def stream_created(
        self, *, within: float | None = None, **following: Unpack[Following]
    ) -> Iterator[creator_pb2.StreamCreatedTasksResponse]:
        """The ids of created tasks, in the stream's order, then live.

        It goes on from the last message after a break: some ids may come again,
        and none is left out. Keep the token of the last message that you handled;
        one without ids has a newer place all the same.

        Raises:
            ResumeTokenExpired: `metadata["earliest_resume_token"]` still works.
            Unreachable: nobody served it for `Deadlines.outage`.
        """
        request = requests.stream_request(following)
        for message in self._calls.frames(
            self._creator.StreamCreatedTasks, request, within
        ):
            request.resume_token = message.resume_token
            yield message
