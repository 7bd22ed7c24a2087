"""Rows that belong together: specs, statuses, processors and what they have claimed."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import asyncpg

from tandem.doctor.findings import Finding

SILENT: Final = timedelta(minutes=1)
"""Without a heartbeat for so long a processor is dead by any usual TANDEM_DEAD_AFTER."""

SHOWN: Final = 3

READ_WITHOUT_STATUS: Final = """
SELECT count(*) AS count, (array_agg(t.task_id))[1:3] AS ids
FROM tandem.tasks AS t
LEFT JOIN tandem.task_status AS s ON s.task_id = t.task_id
WHERE t.prune_time IS NULL
  AND s.task_id IS NULL
"""

READ_WITHOUT_TASK: Final = """
SELECT count(*) AS count, (array_agg(s.task_id))[1:3] AS ids
FROM tandem.task_status AS s
LEFT JOIN tandem.tasks AS t ON t.task_id = s.task_id
WHERE t.task_id IS NULL
"""

READ_UNHELD: Final = """
SELECT count(*) AS count, (array_agg(s.task_id))[1:3] AS ids
FROM tandem.task_status AS s
LEFT JOIN tandem.processors AS p
    ON p.processor_id = s.processor_id
    AND p.state = 'LIVE'
WHERE s.state = 'RUNNING'
  AND p.processor_id IS NULL
"""

READ_UNNOTED: Final = """
SELECT count(*) AS count, (array_agg(s.task_id))[1:3] AS ids
FROM tandem.task_status AS s
LEFT JOIN (
    SELECT DISTINCT b.processor_id, n.task_id
    FROM tandem.claim_batches AS b
    CROSS JOIN unnest(b.task_ids) AS n (task_id)
) AS noted
    ON noted.task_id = s.task_id
    AND noted.processor_id = s.processor_id
WHERE s.state = 'RUNNING'
  AND noted.task_id IS NULL
"""

READ_BATCHES_OF_NOBODY: Final = """
SELECT count(*) AS count, (array_agg(b.batch_id))[1:3] AS ids
FROM tandem.claim_batches AS b
LEFT JOIN tandem.processors AS p
    ON p.processor_id = b.processor_id
    AND p.state = 'LIVE'
WHERE p.processor_id IS NULL
"""

READ_SILENT: Final = """
SELECT count(*) AS count, (array_agg(p.processor_id))[1:3] AS ids
FROM tandem.processors AS p
WHERE p.state = 'LIVE'
  AND p.heartbeat_time < now() - $1::interval
"""

PAST_US: Final = "somebody has written past the services, or restored in part"

PUT_BACK: Final = (
    "as tandem_owner UPDATE tandem.task_status SET state = 'PENDING', due_time = now()"
    " WHERE state = 'RUNNING' AND task_id = ..."
)


async def without_status(connection: asyncpg.Connection) -> list[Finding]:
    """Specs that nobody can run: they were not stripped, and have no status."""
    return await _found(
        connection,
        READ_WITHOUT_STATUS,
        "tasks without a status",
        f"{PAST_US}: create them again under other request ids",
    )


async def without_task(connection: asyncpg.Connection) -> list[Finding]:
    """Statuses of no task."""
    return await _found(
        connection,
        READ_WITHOUT_TASK,
        "statuses without a task",
        f"{PAST_US}: restore the tasks, or delete these as tandem_owner",
    )


async def unheld(connection: asyncpg.Connection) -> list[Finding]:
    """Tasks that are to be running, and by nobody."""
    return await _found(
        connection,
        READ_UNHELD,
        "tasks RUNNING whose processor does not live",
        f"{PAST_US}: {PUT_BACK}",
    )


async def unnoted(connection: asyncpg.Connection) -> list[Finding]:
    """Tasks that would stay RUNNING if their processor died now."""
    return await _found(
        connection,
        READ_UNNOTED,
        "tasks RUNNING that are in no claim batch of their processor",
        f"{PAST_US}: {PUT_BACK}",
    )


async def batches(connection: asyncpg.Connection) -> list[Finding]:
    """Claim batches that nobody will ever look at again."""
    return await _found(
        connection,
        READ_BATCHES_OF_NOBODY,
        "claim batches of no living processor",
        f"{PAST_US}: they do no harm; delete them as tandem_owner",
    )


async def silent(connection: asyncpg.Connection) -> list[Finding]:
    """Processors that are dead, and whose tasks nobody has returned."""
    return await _found(
        connection,
        READ_SILENT,
        f"processors LIVE without a heartbeat for over {SILENT.seconds} s",
        "start a processor: any that lives returns their tasks",
        SILENT,
    )


async def _found(
    connection: asyncpg.Connection, sql: str, what: str, remedy: str, *values: object
) -> list[Finding]:
    row = await connection.fetchrow(sql, *values)
    assert row is not None
    if not row["count"]:
        return []
    more = ", ..." if row["count"] > SHOWN else ""
    shown = ", ".join(map(str, row["ids"]))
    return [Finding(f"{what}: {row['count']:,} ({shown}{more})", remedy)]
