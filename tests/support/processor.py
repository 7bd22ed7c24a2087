"""A processor in this process, on a free port, and a client of it."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import grpc
import pytest

from tandem import client
from tandem.handlers import Handlers
from tandem.server import Server
from tandem.v1 import processor_pb2 as pb
from tandem.v1 import processor_pb2_grpc, task_pb2
from tandem_processor.cancelling import CancelBell
from tandem_processor.running import SERVICE, run_processor
from tandem_processor.service import ProcessorServicer
from tandem_processor.settings import ProcessorSettings
from tandem_processor.watch import Watch
from tests.support.until import until

if TYPE_CHECKING:
    from tandem.v1.processor_pb2_grpc import ProcessorServiceAsyncStub

NOBODY = "127.0.0.1:9"
"""An address without a creator: what is due is worked all the same."""

LIMIT = 20.0


@dataclass(frozen=True, slots=True)
class Working:
    """A processor that works and serves."""

    address: str
    channel: grpc.aio.Channel
    stub: ProcessorServiceAsyncStub
    _stop: asyncio.Event
    _run: asyncio.Task[None]

    async def stop(self) -> None:
        """What SIGTERM does, to its end."""
        self._stop.set()
        async with asyncio.timeout(LIMIT):
            await self._run

    async def finished(self, task_id: object) -> task_pb2.Task:
        """The task, once it is final."""
        request = pb.WatchTaskRequest(
            task_id=str(task_id), view=task_pb2.TASK_VIEW_FULL
        )
        task = task_pb2.Task()
        async with asyncio.timeout(LIMIT):
            async for response in self.stub.WatchTask(request):
                task = response.task if response.HasField("task") else task
        return task


@asynccontextmanager
async def working(
    url: str, handlers: Handlers, **settings: Any
) -> AsyncIterator[Working]:
    """A processor with these handlers for the length of the block."""
    given = {"grace": 1.0, "heartbeat": 0.2, "dead_after": 1.0, **settings}
    given.setdefault("creator_address", (NOBODY,))
    stop = asyncio.Event()
    with tempfile.TemporaryDirectory() as folder:
        port_file = Path(folder) / "port"
        run = asyncio.create_task(
            run_processor(
                ProcessorSettings(
                    database_url=url,
                    listen="127.0.0.1:0",
                    handlers="in:process",
                    port_file=str(port_file),
                    **given,
                ),
                handlers,
                stop,
            )
        )
        port = await until(lambda: _port(port_file, run))
    address = f"127.0.0.1:{port}"
    async with grpc.aio.insecure_channel(address) as channel:
        stub: Any = processor_pb2_grpc.ProcessorServiceStub(channel)
        processor = Working(address, channel, stub, stop, run)
        try:
            yield processor
        finally:
            await processor.stop()


@asynccontextmanager
async def only_serving(pool: asyncpg.Pool) -> AsyncIterator[ProcessorServiceAsyncStub]:
    """The calls alone: nothing is run, and watches hear bells and nothing else."""
    servicer = ProcessorServicer(pool, Watch(pool), CancelBell())
    server = Server(servicer, SERVICE, listen="127.0.0.1:0")
    port = await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield processor_pb2_grpc.ProcessorServiceStub(channel)
    await server.stop(0)


async def refused(call: Any) -> tuple[grpc.StatusCode, client.Reason]:
    """Why the call was refused."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    reason = client.reason_of(raised.value)
    assert reason is not None
    return raised.value.code(), reason


async def fields_refused(call: Any) -> list[str]:
    """The fields that the call was refused for."""
    code, reason = await refused(call)
    assert (code, reason.reason) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_REQUEST",
    )
    return sorted(violation.field for violation in reason.violations)


async def _port(path: Path, run: asyncio.Task[None]) -> str:
    if run.done():
        run.result()
    return _text(path)


def _text(path: Path) -> str:
    return path.read_text().strip() if path.exists() else ""
