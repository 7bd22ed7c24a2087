"""What it costs to ask who calls: CPU of a service for each call, as ratios in one run.

    python -m benchmarks.access [--calls N] [--rounds N]

Client and services share one process, so the client's own CPU is in both sides of
a ratio; the difference in microseconds is the door's alone.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import grpc
import uvloop

from benchmarks.databases import Databases, databases
from benchmarks.stopping import stop_on_sigterm
from tandem import logs
from tandem.access import parse_scope
from tandem.authentication.key_store import create_key
from tandem.authentication.key_text import new_key
from tandem.authentication.kinds import opened_door
from tandem.postgres.connect import connected
from tandem.postgres.roles import CREATOR, OWNER, PROCESSOR
from tandem.server import Server
from tandem.starting import open_pool
from tandem.v1 import creator_pb2, processor_pb2, task_pb2
from tandem.v1.creator_pb2_grpc import CreatorServiceStub
from tandem.v1.processor_pb2_grpc import ProcessorServiceStub
from tandem_creator.running import running_creator
from tandem_creator.settings import CreatorSettings
from tandem_processor.cancelling import CancelBell
from tandem_processor.running import SERVICE
from tandem_processor.service import ProcessorServicer
from tandem_processor.settings import ProcessorSettings
from tandem_processor.watch import Watch

ANY_PORT = "127.0.0.1:0"
AT_ONCE = 32
KINDS: Mapping[str, tuple[str, ...]] = {"off": (), "key": ("key",)}
"""Another kind of credentials joins here, and in `credentials`."""

Call = Callable[[], Awaitable[object]]


async def credentials(made: Databases) -> dict[str, tuple[tuple[str, str], ...]]:
    """What a caller sends, for each kind."""
    text, key = new_key()
    scopes = [parse_scope(each) for each in ("create:bench", "read:bench")]
    url = made.login(OWNER)
    async with connected(url, application_name="tandem-bench") as owner:
        await create_key(owner, key, name="bench", scopes=scopes, expires_in=None)
    return {"off": (), "key": (("authorization", f"Bearer {text}"),)}


@asynccontextmanager
async def creating(
    url: str, auth: tuple[str, ...], metadata: tuple[tuple[str, str], ...]
) -> AsyncIterator[Call]:
    """CreateTask at a creator of its own."""
    settings = CreatorSettings(database_url=url, listen=ANY_PORT, auth=auth)
    spec = task_pb2.TaskSpec(project="bench", type="bench", queue="unserved")
    request = creator_pb2.CreateTaskRequest(spec=spec)
    async with (
        running_creator(settings) as creator,
        grpc.aio.insecure_channel(f"127.0.0.1:{creator.port}") as channel,
    ):
        stub = CreatorServiceStub(channel)

        async def call() -> object:
            return await stub.CreateTask(request, metadata=metadata)

        yield call


@asynccontextmanager
async def getting(
    url: str, auth: tuple[str, ...], metadata: tuple[tuple[str, str], ...], task_id: str
) -> AsyncIterator[Call]:
    """GetTask at the calls of a processor."""
    settings = ProcessorSettings(
        database_url=url, listen=ANY_PORT, handlers="not:run", auth=auth
    )
    request = processor_pb2.GetTaskRequest(task_id=task_id)
    async with (
        open_pool(settings, size=5, application_name="tandem-bench") as pool,
        opened_door(settings, pool) as door,
    ):
        servicer = ProcessorServicer(pool, Watch(pool), CancelBell())
        server = Server(servicer, SERVICE, listen=ANY_PORT, door=door)
        port = await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = ProcessorServiceStub(channel)

            async def call() -> object:
                return await stub.GetTask(request, metadata=metadata)

            yield call
        await server.stop(0)


async def microseconds(call: Call, calls: int) -> float:
    """CPU of this process for each call."""

    async def some() -> None:
        for _ in range(calls // AT_ONCE):
            await call()

    start = time.process_time()
    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(some())
    return (time.process_time() - start) / (calls // AT_ONCE * AT_ONCE) * 1e6


async def compare(
    name: str, by_kind: Mapping[str, Call], calls: int, rounds: int
) -> None:
    """Rounds of each kind in turn, so that a slow minute is everybody's."""
    found: dict[str, list[float]] = {kind: [] for kind in by_kind}
    for each in by_kind.values():
        await microseconds(each, calls)
    for _ in range(rounds):
        for kind, call in by_kind.items():
            found[kind].append(await microseconds(call, calls))
    off = statistics.median(found["off"])
    for kind, values in found.items():
        cost = statistics.median(values)
        print(
            f"{name:<12} {kind:<6} {cost:8.1f} us  x{cost / off:.3f}  {cost - off:+.1f} us"
        )


async def measure(made: Databases, calls: int, rounds: int) -> None:
    shown = await credentials(made)
    async with AsyncExitStack() as stack:
        creates = {
            kind: await stack.enter_async_context(
                creating(made.login(CREATOR), auth, shown[kind])
            )
            for kind, auth in KINDS.items()
        }
        await compare("CreateTask", creates, calls, rounds)
        created = await creates["off"]()
        assert isinstance(created, creator_pb2.CreateTaskResponse)
        gets = {
            kind: await stack.enter_async_context(
                getting(made.login(PROCESSOR), auth, shown[kind], created.task.task_id)
            )
            for kind, auth in KINDS.items()
        }
        await compare("GetTask", gets, calls, rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=6_400)
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    stop_on_sigterm()
    with (
        # Lines of calls are part of the cost; where they go is not.
        Path(os.devnull).open("w") as nowhere,
        tempfile.TemporaryDirectory(prefix="tandem-bench-") as folder,
        databases(Path(folder), copies=()) as made,
    ):
        logs.configure("bench", form="json", out=nowhere)
        uvloop.run(measure(made, max(given.calls, AT_ONCE), given.rounds))


if __name__ == "__main__":
    main()
