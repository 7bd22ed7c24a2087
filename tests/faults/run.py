"""One run: everything is started, disturbed, calmed, waited for and judged."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import asyncpg

from tandem import calls
from tandem.postgres.connect import connected
from tests.faults.callers import Callers
from tests.faults.checker import violations
from tests.faults.dump import COUNT, dump
from tests.faults.lines import Lines
from tests.faults.operators import Operators
from tests.faults.records import Journal, load
from tests.faults.schedule import Blow, draw
from tests.faults.site import Site, running_site
from tests.faults.subscribers import Subscriber
from tests.faults.troubles import Troubles

APPLICATION: Final = "tandem-faults"

PROGRESS: Final = 10.0
"""Seconds between two lines about how it goes."""

LOOK_AGAIN: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """How much is done, and for how long it is disturbed."""

    tasks: int
    seconds: float
    """In which faults begin, and over which creates are spread."""

    gap: float
    """Seconds between two faults, on average."""

    callers: int = 12
    subscribers: int = 3
    creators: int = 2
    processors: int = 3
    meddling: float = 0.15
    """Seconds between two looks of an operator."""

    patience: float = 90.0
    """Seconds without any progress, after which what is left counts as stranded."""


@dataclass(slots=True, kw_only=True)
class Counts:
    """Tasks by how they stand."""

    created: int = 0
    finished: int = 0
    claims: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What a run came to."""

    faults: dict[str, int] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)
    violations: list[str] = field(default_factory=list)
    recoveries: dict[str, list[float]] = field(default_factory=dict)
    """Seconds, by what recovered."""


Say = Callable[[str], None]


async def run(scenario: Scenario, *, seed: int, folder: Path, say: Say) -> Outcome:
    """Everything from start to verdict. The folder keeps what the run leaves behind."""
    journals = folder / "journals"
    journals.mkdir()
    with closing(Lines(folder / "services.log")) as lines:
        async with running_site(
            folder / "postgres",
            journals=journals,
            seed=seed,
            on_line=lines.add,
            creators=scenario.creators,
            processors=scenario.processors,
        ) as site:
            with closing(_Run(scenario, site, journals, seed=seed, say=say)) as one:
                outcome = await one.through()
    outcome.violations += await asyncio.to_thread(lambda: violations(load(journals)))
    outcome.violations += lines.defects
    return outcome


class _Run:
    """The parties of one run, and how far they are."""

    def __init__(
        self, scenario: Scenario, site: Site, folder: Path, *, seed: int, say: Say
    ) -> None:
        self._scenario = scenario
        self._site = site
        self._folder = folder
        self._journals: list[Journal] = []
        self._seed = seed
        self._say = say
        self._start = time.monotonic()
        self._calm_at = 0.0
        self._last_progress = self._start
        self._counts = Counts()
        addresses = site.creator_addresses
        self._callers = Callers(self._journal("callers"), addresses, seed=seed)
        self._operators = Operators(
            self._journal("operators"), site.processors, self._callers.known, seed=seed
        )
        self._subscribers = [
            Subscriber(name, self._journal(f"subscriber-{name}"), addresses, seed=seed)
            for name in map(str, range(scenario.subscribers))
        ]
        self._troubles = Troubles(site, self._operators)
        self._recoveries: dict[str, list[float]] = {}

    def _journal(self, name: str) -> Journal:
        journal = Journal(self._folder / f"{name}.jsonl")
        self._journals.append(journal)
        return journal

    def close(self) -> None:
        for journal in self._journals:
            journal.close()

    async def through(self) -> Outcome:
        """All of it but the verdict."""
        scenario = self._scenario
        schedule = draw(self._seed, seconds=scenario.seconds, gap=scenario.gap)
        await self._disturb(schedule)
        await self._settle()
        return await self._outcome()

    async def _disturb(self, schedule: Sequence[Blow]) -> None:
        """Have everything done while faults come, until calls and faults are over."""
        over = asyncio.Event()
        async with self._watched(), asyncio.TaskGroup() as group:
            for subscriber in self._subscribers:
                group.create_task(subscriber.run(over))
            group.create_task(self._operators.run(over, gap=self._scenario.meddling))
            calls = group.create_task(self._call())
            await self._troubles.run(schedule)
            self._site.clear()
            self._calm_at = time.monotonic()
            await self._patiently(calls)
            over.set()

    async def _call(self) -> None:
        await self._callers.run(
            tasks=self._scenario.tasks,
            callers=self._scenario.callers,
            seconds=self._scenario.seconds,
        )

    async def _settle(self) -> None:
        """Wait until every task is final, and every subscriber has seen all of them."""
        async with self._watched(), asyncio.TaskGroup() as group:
            for subscriber in self._subscribers:
                catching_up = group.create_task(subscriber.catch_up())
                group.create_task(self._patiently(catching_up))
            await self._patiently(group.create_task(self._finish()))

    async def _finish(self) -> None:
        # Another process's rows have no event.
        while self._counts.finished < max(self._counts.created, 1):  # noqa: ASYNC110
            await asyncio.sleep(LOOK_AGAIN)
        self._recoveries["all tasks final"] = [time.monotonic() - self._calm_at]

    async def _patiently(self, task: asyncio.Task[None]) -> None:
        """Wait for as long as anything goes on. What is cancelled, the checker finds."""
        while not task.done():
            await asyncio.wait({task}, timeout=LOOK_AGAIN)
            if self._has_stalled():
                task.cancel()
                await asyncio.wait({task})
                self._say(f"nothing has moved for {self._scenario.patience:.0f} s")
                return

    def _has_stalled(self) -> bool:
        quiet = time.monotonic() - max(self._last_progress, self._calm_at)
        return quiet > self._scenario.patience

    @asynccontextmanager
    async def _watched(self) -> AsyncIterator[None]:
        """Counts are kept fresh, and said now and then, for the length of the block."""
        async with asyncio.TaskGroup() as group:
            watching = [
                group.create_task(self._keep_counting()),
                group.create_task(self._keep_saying()),
            ]
            yield
            for task in watching:
                task.cancel()

    async def _keep_counting(self) -> None:
        while True:
            try:
                async with self._owner() as owner:
                    while True:
                        await self._count(owner)
                        await asyncio.sleep(LOOK_AGAIN)
            except calls.STORE_AWAY:
                await asyncio.sleep(LOOK_AGAIN)

    async def _count(self, owner: asyncpg.Connection) -> None:
        async with asyncio.timeout(10):
            row = await owner.fetchrow(COUNT)
        assert row is not None
        counts = Counts(**dict(row))
        if counts != self._counts:
            self._counts, self._last_progress = counts, time.monotonic()

    async def _keep_saying(self) -> None:
        while True:
            await asyncio.sleep(PROGRESS)
            made = sum(self._troubles.made.values())
            self._say(
                f"{time.monotonic() - self._start:4.0f} s: {made} faults,"
                f" {self._callers.answered} answers, {self._counts.created} tasks,"
                f" {self._counts.finished} of them final"
            )

    async def _outcome(self) -> Outcome:
        """What the database holds goes to the other journals, and is counted."""
        async with self._owner() as owner:
            await dump(owner, self._journal("database"))
            await self._count(owner)
        site = self._site
        slots = (*site.creators, *site.processors)
        died = sum(slot.starts - 1 for slot in slots)
        faults = {**self._troubles.made, **self._operators.made}
        return Outcome(
            faults={**faults, "process started again": died},
            counts=self._counts,
            violations=[d for slot in slots for d in slot.defects],
            recoveries={
                "creator serves again": _all_of(s.recoveries for s in site.creators),
                "processor serves again": _all_of(
                    s.recoveries for s in site.processors
                ),
                "Postgres serves again": site.database_recoveries,
                "longest wait for an answer": [self._callers.longest_wait],
                **self._recoveries,
            },
        )

    def _owner(self) -> AbstractAsyncContextManager[asyncpg.Connection]:
        return connected(self._site.owner_url, application_name=APPLICATION)


def _all_of(lists: Iterable[Sequence[float]]) -> list[float]:
    return [each for one in lists for each in one]
