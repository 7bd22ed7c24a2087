"""Each thing that is measured: one load, or what has to stand around it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.children import Server, creator
from benchmarks.cpu import Clock
from benchmarks.databases import Databases
from benchmarks.ghz import Ghz
from benchmarks.loads.shared import Figures, Orders
from benchmarks.stopping import run_load
from tandem.postgres.roles import CREATOR

LOAD_LIMIT = 120.0

CALLERS = (1, 16, 64, 256)
BATCH = 500
BATCH_CALLERS = 2
OPEN_RATE = 1000.0
LIVE_RATE = 100.0
NAMED = 1_000
REPLAYS = 4_000
PROCESSES = 2
PAIR_CALLERS = (64, 256)
PAIR_CONNECTIONS = 16
"""The kernel deals connections out at random: of four, one process may get none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What is up while a run measures."""

    folder: Path
    databases: Databases
    echo: Server
    floor: Server
    tandem: Server
    peers_python: Path | None
    seconds: float
    ghz: Ghz | None
    seeds: Iterator[int]
    peer_versions: dict[str, str] = field(default_factory=dict)

    def load(self, kind: str, server: Server, **orders: Any) -> Figures:
        """One load against a server, in a process of its own."""
        return self._direct(
            kind, server.address, watched={"server": [server.pid]}, **orders
        )

    def insert(self) -> Figures:
        return self._direct("insert", self.databases.url("floor"))

    def copy(self) -> Figures:
        url = self.databases.url("copies")
        return self._direct("copy", url, size=BATCH, concurrency=BATCH_CALLERS)

    def batch(self, size: int, *, callers: int) -> Figures:
        return self.load("batch", self.tandem, size=size, concurrency=callers)

    def lookup(self) -> Figures:
        """By external id, one caller, among tasks made before."""
        seed = next(self.seeds)
        made = {"seed": seed, "concurrency": 16, "count": NAMED}
        self.load("create-named", self.tandem, **made)
        return self.load("lookup", self.tandem, seed=seed, cycle=NAMED)

    def replay(self) -> Figures:
        """Replays alone, on a creator and in a database that nothing else writes to.

        Counters of a session reach pg_stat for certain when it ends: each creator
        is stopped before they are read.
        """
        databases, seed = self.databases, next(self.seeds)
        url = databases.login(CREATOR, "replays")
        cycled = {"seed": seed, "cycle": REPLAYS, "concurrency": 16}
        with creator(url, self.folder, name="replays-fill") as server:
            self.load("create", server, count=REPLAYS, **cycled)
        writes, wal = databases.writes("replays"), databases.wal()
        with creator(url, self.folder, name="replays") as server:
            figures = self.load("create", server, **cycled)
        figures.outcomes["rows written"] = databases.writes("replays") - writes
        figures.outcomes["bytes of WAL"] = databases.wal() - wal
        return figures

    def pair(self) -> dict[str, Figures]:
        """Creates at a creator of several processes, which is up for this alone."""
        url = self.databases.login(CREATOR)
        with creator(url, self.folder, name="pair", processes=PROCESSES) as server:
            return {
                pair_name(callers): self.load(
                    "create",
                    server,
                    concurrency=callers,
                    connections=PAIR_CONNECTIONS,
                )
                for callers in PAIR_CALLERS
            }

    def by_ghz(self, server: Server, *, callers: int) -> Figures:
        assert self.ghz
        return self.ghz.load(
            server,
            callers=callers,
            seconds=self.seconds,
            postgres=self.databases.pid,
        )

    def peer(self, name: str) -> dict[str, Figures]:
        """Single creates and bulk of one peer, in its own process."""
        command = [str(self.peers_python), "-m", "benchmarks.peers", name]
        given = {"url": self.databases.url("peers"), "seconds": self.seconds}
        watched = {"postgres": [self.databases.pid]}
        first = Clock.read(watched)
        found = json.loads(output(command, given=json.dumps(given)))
        cores = Clock.read(watched).cores_since(first)
        self.peer_versions[name] = found["version"]
        return {
            f"{name} {way}": Figures(rate=found[way], cores=cores, is_apart=False)
            for way in ("single", "bulk")
        }

    def _direct(
        self,
        kind: str,
        address: str,
        *,
        watched: Mapping[str, list[int]] | None = None,
        **orders: Any,
    ) -> Figures:
        all_orders = {
            "seconds": self.seconds,
            "seed": next(self.seeds),
            "watched": {**(watched or {}), "postgres": [self.databases.pid]},
            **orders,
        }
        return order(kind, address, **all_orders)


def pair_name(callers: int) -> str:
    return f"tandem {callers}, {PROCESSES} processes"


def order(
    kind: str, address: str, *, limit: float = LOAD_LIMIT, **orders: Any
) -> Figures:
    """One load, in a process of its own."""
    given = Orders(kind=kind, address=address, **orders)
    command = [sys.executable, "-m", "benchmarks.load"]
    found = output(command, given=given.to_json(), limit=limit)
    return Figures(**json.loads(found))


def output(command: list[str], *, given: str, limit: float = LOAD_LIMIT) -> str:
    """The last line of a program that reads what is `given`: URLs hold passwords."""
    return run_load(command, given=given, limit=limit).splitlines()[-1]
