"""What the database holds in the end, as records, and how many tasks are not final."""

from __future__ import annotations

import json
from typing import Any, Final

import asyncpg

from tests.faults.handlers import HASTY
from tests.faults.records import Journal, Stored, StoredStage

COUNT: Final = """
SELECT
    count(*) AS created,
    count(*) FILTER (WHERE s.finish_time IS NOT NULL) AS finished,
    coalesce(sum(s.claim), 0) AS claims,
    count(*) FILTER (WHERE s.state = 'SUCCEEDED') AS succeeded,
    count(*) FILTER (WHERE s.state = 'FAILED') AS failed,
    count(*) FILTER (WHERE s.state = 'CANCELLED') AS cancelled
FROM tandem.task_status AS s
"""

READ_TASKS: Final = """
SELECT
    t.task_id::text, t.request_id::text, coalesce(t.external_id, '') AS external_id,
    t.type, coalesce(t.payload ->> 'content', '') AS content, t.max_attempts,
    coalesce(s.position, 0) AS position, coalesce(s.state::text, '') AS state,
    coalesce(s.attempt, 0) AS attempt, coalesce(s.claim, 0) AS claim,
    coalesce(s.crashes, 0) AS crashes, o.result::text AS result,
    coalesce(o.claim, 0) AS result_claim, coalesce(o.errors::text, '[]') AS errors
FROM tandem.tasks AS t
LEFT JOIN tandem.task_status AS s ON s.task_id = t.task_id
LEFT JOIN tandem.task_outputs AS o ON o.task_id = t.task_id
"""

READ_STAGES: Final = """
SELECT g.task_id::text, g.name, g.state, g.claim, g.result::text AS result
FROM tandem.task_stages AS g
"""


async def dump(owner: asyncpg.Connection, journal: Journal) -> None:
    """Write every task and every stage into the journal."""
    async with owner.transaction():
        async for row in owner.cursor(READ_TASKS):
            journal.add(_stored(dict(row)))
        async for row in owner.cursor(READ_STAGES):
            values = dict(row)
            journal.add(StoredStage(**values | {"result": _read(values["result"])}))


def _stored(values: dict[str, Any]) -> Stored:
    return Stored(
        **values
        | {
            "max_attempts": values["max_attempts"] or HASTY.max_attempts,
            "result": _read(values["result"]),
            "errors": json.loads(values["errors"]),
        }
    )


def _read(text: str | None) -> Any:
    return None if text is None else json.loads(text)
