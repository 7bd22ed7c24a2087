"""Creators and processors as processes, with a client for each of them."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import grpc

from tandem.pair import ANY_PORT, Logins, Pair
from tandem.v1 import (
    creator_pb2_grpc,
    processor_pb2,
    processor_pb2_grpc,
    task_pb2,
)
from tests.support.cluster import Database
from tests.support.proxy import Proxy, running_proxy
from tests.support.service_logs import ServiceLogs

if TYPE_CHECKING:
    from tandem.v1.creator_pb2_grpc import CreatorServiceAsyncStub
    from tandem.v1.processor_pb2_grpc import ProcessorServiceAsyncStub

ROOT: Final = Path(__file__).parents[2]

HANDLERS: Final = "tests.support.content_handlers:handlers"

HOLDER: Final = """
SELECT p.process_id
FROM tandem.task_status AS s
JOIN tandem.processors AS p ON p.processor_id = s.processor_id
WHERE s.task_id = $1::uuid
"""

# A dead processor is to be found dead while the test waits.
HASTE: Final = {
    "TANDEM_HEARTBEAT": "0.3",
    "TANDEM_DEAD_AFTER": "1.5",
    "TANDEM_GRACE": "5",
}

FINISH_LIMIT: Final = 30.0
"""Seconds until a task must be final."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningPair:
    """Processes that serve, one client of each, and what they write."""

    pair: Pair
    database: Database
    logs: ServiceLogs
    look_ups: Proxy
    """Handlers read tasks through it."""

    creators: Sequence[CreatorServiceAsyncStub]
    processors: Sequence[ProcessorServiceAsyncStub]
    environ: Mapping[str, str]

    async def start_processors(self, count: int) -> None:
        """More of them, with the settings of the first ones; without clients."""
        await self.pair.start_processors([ANY_PORT] * count, environ=self.environ)

    async def holder(self, task_id: str) -> tuple[int, int]:
        """The number of the processor that runs the task, and of the other one."""
        async with self.database.admin() as admin:
            pid = await admin.fetchval(HOLDER, task_id)
        at = [process.pid for process in self.pair.processors].index(pid)
        return at, 1 - at

    async def finished(self, task_id: str, *, at: int = 1) -> task_pb2.Task:
        """The task, once it is final."""
        return await self.seen(
            task_id, lambda task: task.status.HasField("finish_time"), at=at
        )

    async def seen(
        self, task_id: str, wanted: Callable[[task_pb2.Task], bool], *, at: int = 1
    ) -> task_pb2.Task:
        """The task, once it is as wanted, as the watch of one processor tells."""
        request = processor_pb2.WatchTaskRequest(
            task_id=task_id, view=task_pb2.TASK_VIEW_FULL
        )
        watch = self.processors[at].WatchTask(request, timeout=FINISH_LIMIT)
        try:
            async for message in watch:
                if message.HasField("task") and wanted(message.task):
                    return message.task
        finally:
            watch.cancel()
        raise AssertionError(f"task {task_id} ended otherwise")


@asynccontextmanager
async def running_pair(
    database: Database,
    *,
    handlers: str,
    environ: Mapping[str, str] | None = None,
    creators: int = 2,
    processors: int = 2,
) -> AsyncIterator[RunningPair]:
    """Creators and processors on this database."""
    logs = ServiceLogs()
    logins = Logins(
        creator_url=database.creator_url, processor_url=database.processor_url
    )
    async with (
        running_proxy() as look_ups,
        Pair(logins, handlers=handlers, on_line=logs.add) as pair,
        AsyncExitStack() as channels,
    ):
        common = {"TANDEM_LOG": "json", **(environ or {})}
        processors_environ = {
            **common,
            "PYTHONPATH": handlers_path(),
            "TANDEM_PROCESSOR_ADDRESS": look_ups.address,
        }
        await pair.start_creators([ANY_PORT] * creators, environ=common)
        await pair.start_processors([ANY_PORT] * processors, environ=processors_environ)
        if pair.processors:
            look_ups.target = pair.processors[0].address
        yield RunningPair(
            pair=pair,
            database=database,
            logs=logs,
            look_ups=look_ups,
            environ=processors_environ,
            creators=[
                creator_pb2_grpc.CreatorServiceStub(await _open(p.address, channels))
                for p in pair.creators
            ],
            processors=[
                processor_pb2_grpc.ProcessorServiceStub(
                    await _open(p.address, channels)
                )
                for p in pair.processors
            ],
        )


def handlers_path() -> str:
    """The path on which a process finds the tests' handlers, and what it found before."""
    told = os.environ.get("PYTHONPATH")
    return os.pathsep.join([told, str(ROOT)] if told else [str(ROOT)])


async def _open(address: str, channels: AsyncExitStack) -> grpc.aio.Channel:
    return await channels.enter_async_context(grpc.aio.insecure_channel(address))


@asynccontextmanager
async def only_processor(
    database: Database, *, handlers: str, creator_address: str
) -> AsyncIterator[ServiceLogs]:
    """What a processor writes that takes its ids from this address."""
    logs = ServiceLogs()
    logins = Logins(
        creator_url=database.creator_url, processor_url=database.processor_url
    )
    environ = {
        "TANDEM_LOG": "json",
        "TANDEM_CREATOR_ADDRESS": creator_address,
        "PYTHONPATH": handlers_path(),
    }
    async with Pair(logins, handlers=handlers, on_line=logs.add) as pair:
        await pair.start_processors([ANY_PORT], environ=environ)
        yield logs
