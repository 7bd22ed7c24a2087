"""Types that wait in vain: found, told now and then, and left as they are."""

from __future__ import annotations

from datetime import timedelta

import asyncpg
import pytest
from structlog.testing import capture_logs

from tandem_processor import unserved
from tandem_processor.unserved import Lookout, Unserved, read_unserved
from tests.factories import create_task
from tests.support.processors import TYPES, join

TAKE = """
INSERT INTO tandem.takes
    (group_name, lane_id, from_position, to_position, types, member_id)
SELECT 'processors', s.lane_id, s.position - 1, s.position, $2, $3
FROM tandem.task_status AS s
WHERE s.task_id = $1
"""

OVERDUE = """
UPDATE tandem.task_status AS s
SET due_time = now() - interval '1 minute'
WHERE s.task_id = $1
"""

LOOK = ["default"]


async def test_types_that_nobody_runs_are_found_in_takes_and_among_what_is_due(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    await join(processor_pool)
    for type_, holder in (("lost", None), ("elsewhere", "a-creator"), (TYPES[0], None)):
        task_id = await create_task(creator_pool, type=type_)
        await creator_pool.execute(TAKE, task_id, [type_], holder)
    for type_ in ("late", TYPES[1]):
        task_id = await create_task(creator_pool, type=type_)
        await processor_pool.execute(OVERDUE, task_id)
    other = await create_task(creator_pool, type="late", queue="not-mine")
    await processor_pool.execute(OVERDUE, other)
    await create_task(creator_pool, type="soon", start_delay=timedelta(milliseconds=1))

    found = await read_unserved(processor_pool, LOOK)

    assert found == [Unserved("default", "late"), Unserved("default", "lost")]


async def test_the_types_of_the_dead_are_run_by_nobody(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    await join(processor_pool)
    task_id = await create_task(creator_pool, type=TYPES[0])
    await processor_pool.execute(OVERDUE, task_id)
    assert await read_unserved(processor_pool, LOOK) == []

    await processor_pool.execute("UPDATE tandem.processors SET state = 'DEAD'")

    assert await read_unserved(processor_pool, LOOK) == [Unserved("default", TYPES[0])]


async def test_what_waits_in_vain_is_told_once_in_a_while_and_stays_pending(
    creator_pool: asyncpg.Pool,
    processor_pool: asyncpg.Pool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await join(processor_pool)
    task_id = await create_task(creator_pool, type="lost")
    await processor_pool.execute(OVERDUE, task_id)
    lookout = Lookout(processor_pool, queues=LOOK)

    with capture_logs() as lines:
        await lookout.run_once()
        await lookout.run_once()
        monkeypatch.setattr(unserved, "TELL_SECONDS", 0.0)
        await lookout.run_once()

    told = {
        "event": "no processor runs this type",
        "type": "lost",
        "queue": "default",
        "log_level": "warning",
    }
    assert lines == [told, told]
    assert await processor_pool.fetchval(
        "SELECT state = 'PENDING' FROM tandem.task_status"
    )
