"""Creating and processing side by side: what is made, what is done, and what piles up."""

from __future__ import annotations

import asyncio
import statistics
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import asyncpg

from benchmarks import process_sql as sql
from benchmarks.filling import connected, resume
from benchmarks.loads.shared import Figures
from benchmarks.measures import order
from benchmarks.pair import Pair, Place, pair

SIZE = 100
"""Tasks in one BatchCreateTasks."""

LOOK_EVERY = 0.5
"""Seconds. A long run is looked at less often: each look counts all tasks."""

LOOKS = 20

LIMIT = 60.0

WARMUP = 2.0


@dataclass(frozen=True, slots=True)
class Sample:
    """How many tasks there are, and how many of them are final."""

    at: float
    created: int
    finished: int

    @property
    def pending(self) -> int:
        return self.created - self.finished


def side_by_side(
    place: Place,
    database: str,
    *,
    rate: float,
    seconds: float,
    concurrency: int,
    seed: int,
) -> Figures:
    """Create so many tasks a second, in batches that arrive by the clock, and work them."""
    url = place.databases.url(database)
    asyncio.run(resume(url))
    with pair(place, database, concurrency=str(concurrency)) as both:
        orders = {"rate": rate / SIZE, "seconds": seconds, "seed": seed}
        figures, samples = _measure(place, both, url, orders)
    third = max(len(samples) // 3, 1)
    first, last = samples[0], samples[-1]
    span = last.at - first.at
    growth = _pending(samples[-third:]) - _pending(samples[:third])
    figures.outcomes.update(
        {
            "created/s": round((last.created - first.created) / span),
            "pending grew": round(growth / max(last.created - first.created, 1), 4),
        }
    )
    return replace(figures, rate=(last.finished - first.finished) / span)


def _measure(
    place: Place, both: Pair, url: str, orders: dict[str, float]
) -> tuple[Figures, list[Sample]]:
    with ThreadPoolExecutor(max_workers=1) as beside:
        loading = beside.submit(
            order,
            "batch",
            both.creator.address,
            size=SIZE,
            warmup=WARMUP,
            limit=LIMIT + orders["seconds"],
            watched={**both.watched, "postgres": [place.databases.pid]},
            **orders,
        )
        time.sleep(WARMUP)
        samples = asyncio.run(_sample(url, orders["seconds"], loading))
        return loading.result(), samples


def _pending(samples: list[Sample]) -> float:
    return statistics.mean(each.pending for each in samples)


async def _sample(url: str, seconds: float, loading: Future[Figures]) -> list[Sample]:
    async with connected(url) as connection:
        end, pause = time.monotonic() + seconds, max(LOOK_EVERY, seconds / LOOKS)
        samples = [await _look(connection)]
        while time.monotonic() < end and not _is_lost(loading):
            await asyncio.sleep(pause)
            samples.append(await _look(connection))
        return samples


def _is_lost(loading: Future[Figures]) -> bool:
    return loading.done() and loading.exception() is not None


async def _look(connection: asyncpg.Connection) -> Sample:
    [row] = await connection.fetch(sql.COUNT_TASKS)
    return Sample(time.monotonic(), row["created"], row["finished"])
