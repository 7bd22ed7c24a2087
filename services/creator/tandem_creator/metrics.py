"""What a creator tells Prometheus, read from what it counts anyway."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import asyncpg
from prometheus_client import Metric

from tandem.metrics import (
    added_up,
    counter,
    gauge,
    histogram,
    of_pools,
    of_server,
    one,
    shown,
)
from tandem.server import Server
from tandem_creator.batcher import Batcher
from tandem_creator.connections import Kept
from tandem_creator.groups import Groups
from tandem_creator.statistics import Statistics

OUTCOMES: Final = ("CREATED", "REPLAYED", "EXISTING")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The parts that have something to tell."""

    server: Server
    pool: asyncpg.Pool
    kept: Kept
    batcher: Batcher
    groups: Groups
    statistics: Statistics

    async def read(self) -> Iterable[Metric]:
        """Everything as it is now."""
        return [
            *of_server(self.server.counts, is_serving=self.server.is_serving),
            *of_pools(self.pool, kept=self.kept.idle),
            *_of_creates(self.statistics),
            *_of_batches(self.statistics, waiting=self.batcher.waiting),
            *_of_groups(self.groups),
        ]


def _of_creates(statistics: Statistics) -> Iterator[Metric]:
    yield counter(
        "tandem_creates_total",
        "Creates that were answered with a task",
        {(outcome,): statistics.made[outcome] for outcome in OUTCOMES},
        ["outcome"],
    )
    yield counter(
        "tandem_creates_refused_total",
        "Calls to create, of one or a batch, that failed",
        {(reason,): count for reason, count in statistics.refused.items()},
        ["reason"],
    )
    yield counter(
        "tandem_constraint_violations_total",
        "Calls to create that a constraint of the database refused",
        one(statistics.constraint_violations),
    )


def _of_batches(statistics: Statistics, *, waiting: int) -> Iterator[Metric]:
    yield gauge(
        "tandem_creates_waiting", "Creates that wait for a micro-batch", one(waiting)
    )
    yield histogram(
        "tandem_micro_batch_creates", "Creates in a micro-batch", {(): statistics.sizes}
    )
    yield histogram(
        "tandem_micro_batch_wait_seconds",
        "How long the first create of a micro-batch waited for it",
        {(): statistics.waits},
    )
    yield histogram(
        "tandem_caller_batch_creates",
        "Creates in a batch that a caller made, and that was written",
        {(): statistics.batches},
    )


def _of_groups(groups: Groups) -> Iterator[Metric]:
    counts = groups.counts
    names = shown({group: count.members for group, count in counts.items()})
    yield gauge(
        "tandem_group_members",
        "Members of the group whose streams this process serves",
        added_up(((names[g],), count.members) for g, count in counts.items()),
        ["group"],
    )
    yield gauge(
        "tandem_group_members_deaf",
        "Those of them that take nothing, or answer for nothing",
        added_up(((names[g],), count.deaf) for g, count in counts.items()),
        ["group"],
    )
