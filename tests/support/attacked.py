"""A pair under attack: others who go on calling, and what must hold meanwhile."""

from __future__ import annotations

import asyncio
import re
import resource
import time
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

import grpc

from tandem.processes import ServiceProcess
from tandem.v1 import processor_pb2
from tests.support.creator import a_request
from tests.support.running_pair import RunningPair

Metadata: TypeAlias = tuple[tuple[str, str], ...]

SERVED_LIMIT: Final = 20.0
"""Seconds within which others are answered, on a machine that is slow and shared."""

PAUSE: Final = 0.02
"""Seconds between the calls of the others."""

GROWTH_LIMIT: Final = 128
"""MiB by which a service may grow under one attack, unless the attack says otherwise."""

LEAKS: Final = re.compile(
    r"Traceback|\.py\b|/site-packages/|/shared/tandem|/services/"
    r"|File \"|-of-tests|postgres(ql)?://"
)
"""Stack traces, places of files, and the passwords and addresses that were given."""


def resident(pid: int) -> int:
    """MiB that the process holds."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) // 1024


@contextmanager
def many_files(count: int) -> Iterator[None]:
    """This process may have so many connections, for the length of a block."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(soft, count if hard == resource.RLIM_INFINITY else min(count, hard))
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@dataclass(slots=True)
class Others:
    """Clients that mean no harm. Each call must be answered."""

    running: RunningPair
    metadata: Metadata = ()
    slowest: float = 0.0
    served: int = 0
    told: set[str] = field(default_factory=set)
    """What was wrong, if anything."""

    async def call(self) -> None:
        """One call of each service."""
        began = time.monotonic()
        try:
            await self._create_and_get()
        except grpc.aio.AioRpcError as error:
            self.told.add(f"{error.code().name}: {error.details()}")
        self.served += 1
        self.slowest = max(self.slowest, time.monotonic() - began)

    async def _create_and_get(self) -> None:
        made = await self.running.creators[0].CreateTask(
            a_request(), timeout=SERVED_LIMIT, metadata=self.metadata
        )
        wanted = processor_pb2.GetTaskRequest(task_id=made.task.task_id)
        for processor in self.running.processors:
            await processor.GetTask(
                wanted, timeout=SERVED_LIMIT, metadata=self.metadata
            )

    async def go_on(self) -> None:
        while True:
            await self.call()
            await asyncio.sleep(PAUSE)


@dataclass(slots=True)
class Attack:
    """Where to attack, and how much a service may grow by it."""

    addresses: tuple[str, ...]
    """The creator's, then the processor's, if there is one."""

    others: Others
    growth_limit: int = GROWTH_LIMIT

    @property
    def creator(self) -> str:
        return self.addresses[0]

    @property
    def processor(self) -> str:
        return self.addresses[1]


@asynccontextmanager
async def attacked(
    running: RunningPair,
    name: str,
    *,
    metadata: Metadata = (),
    secrets: Sequence[str] = (),
) -> AsyncIterator[Attack]:
    """An attack for the length of the block; all that must hold is looked at after it.

    Args:
        running: whom to attack.
        name: of the attack, beside its figures.
        metadata: of the others' calls.
        secrets: what no log may tell.

    Raises:
        AssertionError: somebody else was not served, a service grew or ended, or a
            log tells what nobody is to know.
    """
    processes = (*running.pair.creators, *running.pair.processors)
    before = [resident(process.pid) for process in processes]
    lines = len(running.logs.written)
    others = Others(running, metadata)
    attack = Attack(tuple(process.address for process in processes), others)
    peaks = list(before)
    async with _meanwhile(others.go_on()), _meanwhile(_watch(processes, peaks)):
        yield attack
        await others.call()
    grown = [peak - was for peak, was in zip(peaks, before, strict=True)]
    print(  # noqa: T201 - the figures of this run
        f"{name}: grown by {grown} MiB, others served {others.served} times,"
        f" the slowest in {others.slowest * 1000:.0f} ms"
    )
    assert all(process.is_running for process in processes)
    assert others.told == set()
    assert max(grown) < attack.growth_limit
    written = [line.text for line in running.logs.written[lines:]]
    assert leaks(written) == []
    assert not [secret for secret in secrets if secret in "\n".join(written)]


@asynccontextmanager
async def _meanwhile(doing: Coroutine[None, None, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(doing)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _watch(processes: Sequence[ServiceProcess], peaks: list[int]) -> None:
    while True:
        for number, process in enumerate(processes):
            peaks[number] = max(peaks[number], resident(process.pid))
        await asyncio.sleep(PAUSE)


def leaks(texts: Sequence[str]) -> list[str]:
    """Those of the texts that tell what nobody is to know."""
    return [text for text in texts if LEAKS.search(text)]
