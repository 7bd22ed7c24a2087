"""Counts under the processor's login, and the rows that they are of."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import asyncpg

from tandem.access import ANONYMOUS, Caller
from tandem.v1 import processor_pb2 as pb
from tandem.v1 import task_pb2
from tandem_processor.requests import StatsQuery
from tandem_processor.stats import Stats

Counting = Callable[..., Any]

AGE = "UPDATE tandem.tasks SET create_time = now() - $2::interval WHERE task_id = $1"

FINISH = """
UPDATE tandem.task_status
SET state = $2, finish_time = $3
WHERE task_id = $1
"""

SIX_MINUTES = timedelta(minutes=6)


def counting_in(processor_pool: asyncpg.Pool) -> Counting:
    """What counts there, anew each time."""

    async def counted(
        project: str = "", *, days: int = 0, caller: Caller = ANONYMOUS
    ) -> pb.GetStatsResponse:
        stats = Stats(processor_pool, keep_seconds=0)
        return await stats.get(StatsQuery(project=project, days=days), caller)

    return counted


def by_state(stats: pb.GetStatsResponse) -> dict[tuple[str, str], int]:
    names = task_pb2.TaskStatus.State
    return {
        (each.queue, names.Name(each.state).removeprefix("STATE_")): each.count
        for each in stats.queues
    }


def lags(stats: pb.GetStatsResponse) -> dict[str, int]:
    return {each.group: each.lag for each in stats.groups}
