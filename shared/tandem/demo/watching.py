"""The articles' tasks as a reader of the processor's API sees them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Final

import grpc

from tandem import limits, wire
from tandem.client import channel
from tandem.v1 import processor_pb2, processor_pb2_grpc, task_pb2

LOOK_AGAIN: Final = 0.2
CALL_LIMIT: Final = 5.0
"""Seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """How far the whole run is."""

    tasks: int
    stages: int
    """Done, over all tasks."""

    running: int
    succeeded: int
    final: int

    @classmethod
    def of(cls, tasks: list[task_pb2.Task]) -> Sight:
        states = [wire.STATES_FROM_WIRE[task.status.state] for task in tasks]
        return cls(
            tasks=len(tasks),
            stages=sum(_done(task) for task in tasks),
            running=states.count("RUNNING"),  # type: ignore[arg-type]
            succeeded=states.count("SUCCEEDED"),  # type: ignore[arg-type]
            final=sum(state.is_final for state in states),
        )


class Reader:
    """Reads the tasks of one project, from whichever processor answers."""

    def __init__(self, address: str, project: str) -> None:
        self._channel = channel(address)
        self._stub: Any = processor_pb2_grpc.ProcessorServiceStub(self._channel)
        self._project = project

    async def close(self) -> None:
        await self._channel.close()

    async def until_final(self, count: int, *, seen: Callable[[Sight], None]) -> None:
        """Return once `count` tasks are final. Bound it yourself."""
        while True:
            sight = Sight.of(
                [task async for task in self._tasks(task_pb2.TASK_VIEW_BASIC)]
            )
            seen(sight)
            if sight.final >= count:
                return
            await asyncio.sleep(LOOK_AGAIN)

    async def results(self) -> list[dict[str, Any]]:
        """What the handlers returned, for each task that succeeded."""
        return [
            wire.from_struct(task.status.result, "result", report=_refuse)
            async for task in self._tasks(task_pb2.TASK_VIEW_FULL)
            if task.status.HasField("result")
        ]

    async def _tasks(
        self, view: task_pb2.TaskView.ValueType
    ) -> AsyncIterator[task_pb2.Task]:
        request = processor_pb2.ListTasksRequest(
            project=self._project, page_size=limits.MAX_PAGE_SIZE, view=view
        )
        while True:
            page = await self._page(request)
            for task in page.tasks:
                yield task
            request.page_token = page.next_page_token
            if not request.page_token:
                return

    async def _page(
        self, request: processor_pb2.ListTasksRequest
    ) -> processor_pb2.ListTasksResponse:
        # A call that was on its way to the processor that died is asked again.
        for _ in range(3):
            try:
                return await self._list(request)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
        return await self._list(request)

    async def _list(
        self, request: processor_pb2.ListTasksRequest
    ) -> processor_pb2.ListTasksResponse:
        page: processor_pb2.ListTasksResponse = await self._stub.ListTasks(
            request, timeout=CALL_LIMIT, wait_for_ready=True
        )
        return page


def _done(task: task_pb2.Task) -> int:
    return sum(
        stage.state == task_pb2.Stage.STATE_SUCCEEDED for stage in task.status.stages
    )


def _refuse(path: str, fault: str) -> None:
    # The processor let nothing of the kind into the database.
    raise ValueError(f"{path} {fault}")
