"""Rows for tests, made as the creator makes them; a test states only what matters to it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from tandem.postgres.logins import Connection

LANE = """
WITH made AS (
    INSERT INTO tandem.lanes (queue, priority)
    VALUES ($1, $2)
    ON CONFLICT DO NOTHING
    RETURNING lane_id
)
SELECT m.lane_id FROM made AS m
UNION ALL
SELECT l.lane_id FROM tandem.lanes AS l WHERE l.queue = $1 AND l.priority = $2
"""

CREATE = """
SELECT c.new_task_id
FROM tandem.create_tasks_v1(
    $1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::text[], $6::text[],
    $7::smallint[], $8::integer[], $9::text[], $10::text[], $11::text[],
    $12::timestamptz[], $13::interval[], $14::smallint[], $15::interval[],
    $16::interval[], $17::interval[], $18::smallint[], $19::text[], $20::text[]
) AS c
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sketch:
    """A task as a test wants it."""

    type: str = "echo"
    project: str = "acme"
    queue: str = "default"
    priority: int = 3
    payload: Mapping[str, Any] = field(default_factory=dict)
    labels: Mapping[str, str] | None = None
    title: str | None = None
    external_id: str | None = None
    not_before_time: datetime | None = None
    start_delay: timedelta | None = None
    max_attempts: int | None = None
    initial_backoff: timedelta | None = None
    max_backoff: timedelta | None = None
    attempt_timeout: timedelta | None = None


async def create_task(pool: Connection, **wanted: Any) -> UUID:
    """One task, through the function and the login of the creator."""
    return (await create_tasks(pool, [Sketch(**wanted)]))[0]


async def create_many(pool: Connection, count: int, **wanted: Any) -> list[UUID]:
    return await create_tasks(pool, [Sketch(**wanted)] * count)


async def create_tasks(pool: Connection, sketches: Sequence[Sketch]) -> list[UUID]:
    lanes = {
        lane: await pool.fetchval(LANE, *lane)
        for lane in {(s.queue, s.priority) for s in sketches}
    }
    rows = [_row(sketch, lanes[sketch.queue, sketch.priority]) for sketch in sketches]
    await pool.fetch(CREATE, *(list(column) for column in zip(*rows, strict=True)))
    return [row[0] for row in rows]


def _row(sketch: Sketch, lane_id: int) -> tuple[Any, ...]:
    return (
        uuid4(),
        sketch.project,
        uuid4(),
        sketch.external_id,
        sketch.type,
        sketch.queue,
        sketch.priority,
        lane_id,
        json.dumps(sketch.payload),
        None if sketch.labels is None else json.dumps(sketch.labels),
        sketch.title,
        sketch.not_before_time,
        sketch.start_delay,
        sketch.max_attempts,
        sketch.initial_backoff,
        sketch.max_backoff,
        sketch.attempt_timeout,
        0,
        None,
        None,
    )
