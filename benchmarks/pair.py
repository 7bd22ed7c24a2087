"""A creator and a processor as users run them, and what is asked of both."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from benchmarks.children import DidNotStart, Server, creator, healthy, serving
from benchmarks.databases import Databases
from benchmarks.handlers import SOCKET
from benchmarks.sql import COUNT_LIVE
from tandem.postgres.roles import CREATOR, PROCESSOR

JOIN_LIMIT = 30.0
LOOK_AGAIN = 0.05

SETTLED = 1.0
"""Seconds until a processor that has joined stands at its creator, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where pairs of a run live."""

    folder: Path
    databases: Databases

    @property
    def socket(self) -> Path:
        """Where handlers tell that they were picked up."""
        return self.folder / "pickups.socket"


@dataclass(frozen=True, slots=True)
class Pair:
    """Both, up."""

    creator: Server
    processor: Server

    @property
    def watched(self) -> dict[str, list[int]]:
        """Their process ids, as a Clock takes them."""
        return {"creator": [self.creator.pid], "processor": [self.processor.pid]}


@contextmanager
def pair(place: Place, database: str, **environ: str) -> Iterator[Pair]:
    """Both of them, joined, for the length of a block."""
    login = place.databases.login(CREATOR, database)
    with (
        creator(login, place.folder, name=f"creator-{database}") as first,
        processor(place, database, first.address, **environ) as second,
    ):
        yield Pair(first, second)


@contextmanager
def processor(
    place: Place, database: str, creator_address: str, *, name: str = "", **environ: str
) -> Iterator[Server]:
    """A processor that has joined. `environ` is lower-case and without its prefix."""
    settings = {
        "TANDEM_DATABASE_URL": place.databases.login(PROCESSOR, database),
        "TANDEM_LISTEN": "127.0.0.1:0",
        "TANDEM_CREATOR_ADDRESS": creator_address,
        "TANDEM_HANDLERS": "benchmarks.handlers:handlers",
        SOCKET: str(place.socket),
        **_variables(environ),
    }
    label = name or f"processor-{database}"
    with serving(
        "tandem_processor", place.folder, name=label, environ=settings
    ) as server:
        asyncio.run(healthy(server.address))
        asyncio.run(_joined(place.databases.url(database), server.pid))
        time.sleep(SETTLED)
        yield server


def resident(server: Server) -> float:
    """Megabytes of memory that a server and its children hold at this moment."""
    fields = Path(f"/proc/{server.pid}/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") / 1_000_000


def _variables(environ: Mapping[str, str]) -> dict[str, str]:
    return {f"TANDEM_{name.upper()}": value for name, value in environ.items()}


async def _joined(url: str, pid: int) -> None:
    connection = await asyncpg.connect(url)
    give_up = time.monotonic() + JOIN_LIMIT
    try:
        while not await connection.fetchval(COUNT_LIVE, pid):
            if time.monotonic() > give_up:
                raise DidNotStart(f"process {pid} did not join")
            await asyncio.sleep(LOOK_AGAIN)
    finally:
        await connection.close()
