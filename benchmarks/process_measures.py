"""Each thing that is measured of processing: one measurement, or what stands around it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import drains, endtoend, pickups, recovery
from benchmarks import process_sql as sql
from benchmarks.filling import Span, connected, fill, fill_finished, pause
from benchmarks.loads.shared import Figures
from benchmarks.measures import output
from benchmarks.pair import Place
from tandem.postgres.bootstrap import DATABASE

COPIES = ("laden", "pinned", "ends", "held", "idle")
"""Databases beside the one in which drains are measured. In the last of them there is
nothing to vacuum, which would be counted, too."""

CONCURRENCY = 256
"""Tasks at once, for Tandem and for every peer."""

BY_DEFAULT = 32

BESIDE_SHARE = 0.45
"""Of the rate of a drain: tasks created beside their processing."""

STEADY_SHARE = 0.25
"""The same, while a transaction is pinned."""

SLOW = {"procrastinate": 0.1}
"""Of the tasks of a drain: it takes each by itself."""

IDLE_SECONDS = 10.0

PEER_LIMIT = 240.0


@dataclass(kw_only=True, slots=True)
class ProcessBench:
    """What is up while a run measures, and what it has found of use for the next."""

    place: Place
    tasks: int
    pickups: int
    backlog: int
    pinned: float
    seconds: float
    peers_python: Path | None
    seeds: Iterator[int]
    peer_versions: dict[str, str] = field(default_factory=dict)
    drain_rate: float = 0.0

    def drain(self, *, concurrency: int = CONCURRENCY) -> Figures:
        """D-1."""
        figures = drains.drain(
            self.place, DATABASE, tasks=self.tasks, concurrency=concurrency
        )
        self.drain_rate = figures.rate
        return figures

    def laden(self) -> Figures:
        """D-2: among as many pending and finished tasks as the backlog says."""
        span = asyncio.run(self._load())
        return drains.drain_span(self.place, "laden", span, concurrency=CONCURRENCY)

    def pinned_drain(self) -> Figures:
        """D-3: a transaction stays open while tasks come and go; then a drain."""
        return asyncio.run(self._drain_pinned())

    def pickup(self) -> Figures:
        """D-4."""
        return pickups.pickup(
            self.place, DATABASE, count=self.pickups, seed=next(self.seeds)
        )

    def ends(self) -> Figures:
        """D-5."""
        return self._side_by_side("ends", self.seconds, BESIDE_SHARE)

    def idle(self) -> Figures:
        """I-1."""
        return pickups.idle(self.place, "idle", seconds=IDLE_SECONDS)

    def killed_processor(self) -> Figures:
        """R-1."""
        return recovery.killed_processor(self.place, "held")

    def killed_creator(self) -> Figures:
        """R-2."""
        return recovery.killed_creator(self.place, DATABASE, seed=next(self.seeds))

    def killed_postgres(self) -> Figures:
        """R-2."""
        return recovery.killed_postgres(self.place, DATABASE)

    def peer(self, name: str) -> dict[str, Figures]:
        """A drain and pickups of one peer, in its own process."""
        orders = {
            "url": self.place.databases.url("peers"),
            "tasks": round(self.tasks * SLOW.get(name, 1)),
            "pickups": self.pickups,
            "concurrency": CONCURRENCY,
            "postgres": self.place.databases.pid,
        }
        command = [str(self.peers_python), "-m", "benchmarks.peers.work", name]
        given = json.dumps(orders)
        found = json.loads(output(command, given=given, limit=PEER_LIMIT))
        self.peer_versions[name] = found["version"]
        return {
            f"{name} {what}": Figures(**found[what]) for what in ("drain", "pickup")
        }

    async def _load(self) -> Span:
        """The next tasks of the backlog, which keeps its size."""
        async with connected(self.place.databases.url("laden")) as connection:
            await pause(connection)
            if not await connection.fetchval(sql.COUNT_SOME):
                await fill_finished(connection, self.backlog)
                await fill(connection, self.backlog)
            await fill(connection, self.tasks)
            [(lane_id, place)] = await connection.fetch(sql.READ_PLACE)
        return Span(lane_id, place + 1, place + self.tasks)

    async def _drain_pinned(self) -> Figures:
        async with connected(self.place.databases.url("pinned")) as connection:
            await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            await connection.execute(sql.PIN)
            traffic = await asyncio.to_thread(
                self._side_by_side, "pinned", self.pinned, STEADY_SHARE
            )
            figures = await asyncio.to_thread(
                drains.drain,
                self.place,
                "pinned",
                tasks=self.tasks,
                concurrency=CONCURRENCY,
            )
            await connection.execute("ROLLBACK")
        figures.outcomes["traffic before, s"] = self.pinned
        figures.outcomes["traffic before, tasks/s"] = round(traffic.rate)
        return figures

    def _side_by_side(self, database: str, seconds: float, share: float) -> Figures:
        return endtoend.side_by_side(
            self.place,
            database,
            rate=self.drain_rate * share,
            seconds=seconds,
            concurrency=CONCURRENCY,
            seed=next(self.seeds),
        )
