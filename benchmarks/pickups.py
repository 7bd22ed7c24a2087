"""Both services at rest: how soon a task is picked up, and what the rest costs."""

from __future__ import annotations

import asyncio
import time

from benchmarks import process_sql as sql
from benchmarks.cpu import Clock
from benchmarks.filling import resume
from benchmarks.loads.shared import Figures
from benchmarks.measures import order
from benchmarks.pair import Place, pair, resident

SETTLE = 3.0
"""Seconds after which a pair that has started is at rest."""

COUNTED = 12.0
"""Seconds after which idle sessions have told what they did at the start: they wait ten."""


def pickup(place: Place, database: str, *, count: int, seed: int) -> Figures:
    """Tasks one at a time, created and run by a pair that has nothing else to do."""
    asyncio.run(resume(place.databases.url(database)))
    with pair(place, database) as both:
        time.sleep(SETTLE)
        return order(
            "pickup",
            both.creator.address,
            seed=seed,
            count=count,
            socket=str(place.socket),
            watched={**both.watched, "postgres": [place.databases.pid]},
        )


def idle(place: Place, database: str, *, seconds: float) -> Figures:
    """Nothing at all. `rate` is statements a second, each a transaction of its own.

    They are counted by pg_stat_database, from sessions in another database.
    """
    databases = place.databases
    with pair(place, database) as both:
        watched = {**both.watched, "postgres": [databases.pid]}
        time.sleep(COUNTED)
        before, first = _transactions(place, database), Clock.read(watched)
        time.sleep(seconds)
        last, after = Clock.read(watched), _transactions(place, database)
        memory = {
            "creator MB": resident(both.creator),
            "processor MB": resident(both.processor),
        }
    rate = (after - before) / (last.at - first.at)
    return Figures(rate=rate, cores=last.cores_since(first), outcomes=memory)


def _transactions(place: Place, database: str) -> int:
    query = sql.COUNT_TRANSACTIONS.replace("$1", f"'{database}'")
    return int(place.databases.fetch(query)[0][0])
