"""What is counted in the database, for Prometheus: the count that GetStats answers with."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

import asyncpg
import structlog
from prometheus_client import Metric

from tandem import wire
from tandem.calls import STORE_AWAY
from tandem.metrics import added_up, gauge, largest, one, shown
from tandem.states import TaskState
from tandem.v1 import processor_pb2 as pb
from tandem_processor.sharing import Shared
from tandem_processor.stats import KEEP_SECONDS, Stats
from tandem_processor.upkeep import Upkeep, read_upkeep

log = structlog.get_logger()

COUNT_LIMIT: Final = 8.0
"""Seconds that a scrape waits for a count. Prometheus waits ten in all."""


class Figures:
    """Nothing is counted until somebody asks, and then at most once in five seconds."""

    def __init__(self, pool: asyncpg.Pool, stats: Stats) -> None:
        self._stats = stats

        async def read(_: None) -> Upkeep:
            return await read_upkeep(pool)

        self._upkeep = Shared(read, keep_seconds=KEEP_SECONDS)

    async def read(self) -> Iterable[Metric]:
        """What was counted; where that failed, that it did."""
        try:
            async with asyncio.timeout(COUNT_LIMIT):
                stats = await self._stats.of_all()
                upkeep = await self._upkeep.get(None)
        except STORE_AWAY as error:
            log.warning("tasks not counted", error=type(error).__name__)
            return [_counted(found=False)]
        return [
            _counted(found=True),
            *of_queues(stats.queues),
            *_of_readers(stats),
            *_of_upkeep(upkeep),
        ]


def _counted(*, found: bool) -> Metric:
    return gauge(
        "tandem_counted",
        "1 if this answer has what is counted in the database, else 0",
        one(int(found)),
    )


def of_queues(queues: Iterable[pb.QueueStats]) -> Iterator[Metric]:
    """Tasks by queue and state, and how long they have been due."""
    queues = list(queues)
    weights: Counter[str] = Counter()
    for each in queues:
        weights[each.queue] += each.count
    names = shown(weights)
    pending = [each for each in queues if _state(each) is TaskState.PENDING]
    yield gauge(
        "tandem_tasks",
        "Tasks that are kept, by state",
        added_up(((names[q.queue], _state(q)), q.count) for q in queues),
        ["queue", "state"],
    )
    yield gauge(
        "tandem_oldest_due_age_seconds",
        "For how long the oldest pending task has been due",
        largest(((names[q.queue],), _seconds(q)) for q in pending),
        ["queue"],
    )
    yield gauge(
        "tandem_tasks_overdue",
        "Pending tasks that have been due for over five minutes",
        added_up(((names[q.queue],), q.waiting_over_five_minutes) for q in pending),
        ["queue"],
    )
    yield gauge(
        "tandem_queue_paused",
        "1 if nothing is claimed from the queue",
        largest(((names[q.queue],), int(q.paused)) for q in queues),
        ["queue"],
    )


def _of_readers(stats: pb.GetStatsResponse) -> Iterator[Metric]:
    names = shown({group.group: group.lag for group in stats.groups})
    yield gauge(
        "tandem_group_lag",
        "Created ids that were not sent to the group yet",
        added_up(((names[g.group],), g.lag) for g in stats.groups),
        ["group"],
    )
    dead = sum(each.dead for each in stats.processors)
    yield gauge(
        "tandem_processors",
        "Processors that live, and those that died within the hour",
        {("live",): len(stats.processors) - dead, ("dead",): dead},
        ["state"],
    )


def _of_upkeep(upkeep: Upkeep) -> Iterator[Metric]:
    yield gauge(
        "tandem_table_dead_rows",
        "Rows that vacuum has yet to clean up, as the database estimates them",
        {(table,): count for table, count in upkeep.dead_rows.items()},
        ["table"],
    )
    yield gauge(
        "tandem_oldest_transaction_age_seconds",
        "Of those that the login may see: without pg_read_all_stats, its own",
        one(upkeep.oldest_transaction.total_seconds()),
    )


def _state(queue: pb.QueueStats) -> TaskState:
    return wire.STATES_FROM_WIRE[queue.state]


def _seconds(queue: pb.QueueStats) -> float:
    return queue.oldest_age.ToTimedelta().total_seconds()
