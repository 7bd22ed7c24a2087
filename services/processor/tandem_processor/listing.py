"""Lists of a project's tasks, newest first, in pages that never overlap."""

from __future__ import annotations

from typing import Final
from uuid import UUID

import asyncpg

from tandem import limits
from tandem.v1 import processor_pb2
from tandem_processor.pages import add_tasks
from tandem_processor.requests import ListFilter, ListQuery
from tandem_processor.tokens import Place, write_place

# Which index serves depends on what is chosen. A plan for whatever may be chosen
# reads the whole project for a page, and Postgres would take to it at the sixth call.
PLAN_FOR_WHAT_IS_CHOSEN: Final = "SET LOCAL plan_cache_mode = force_custom_plan"

# Bounds that are not given become ones that hold for all, so that they stay
# conditions of the index. The page before ends within the time that is chosen, so one
# pair bounds both: of two bounds a scan may begin at the looser one, and pass over all
# the pages before. A prefix is a range up to the last character there is, for
# the index on external ids.
LIST_TASKS: Final = """
SELECT t.task_id, t.create_time
FROM tandem.tasks AS t
LEFT JOIN tandem.task_status AS s ON s.task_id = t.task_id
WHERE t.project = $1
  AND ($2::text[] IS NULL OR coalesce(s.state, t.final_state)::text = ANY ($2))
  AND ($3::text[] IS NULL OR t.type = ANY ($3))
  AND ($4::text[] IS NULL OR t.queue = ANY ($4))
  AND t.create_time >= coalesce($5::timestamptz, '-infinity')
  AND ($7::text IS NULL OR t.labels @> $7::jsonb)
  AND ($8::text IS NULL OR (t.external_id >= $8 AND t.external_id < $8 || chr(1114111)))
  AND (t.create_time, t.task_id) < (
      coalesce($9::timestamptz, $6::timestamptz, 'infinity'),
      coalesce($10::uuid, '00000000-0000-0000-0000-000000000000')
  )
ORDER BY t.create_time DESC, t.task_id DESC
LIMIT $11
"""

COUNT_TASKS: Final = """
SELECT count(*)
FROM (
    SELECT
    FROM tandem.tasks AS t
    LEFT JOIN tandem.task_status AS s ON s.task_id = t.task_id
    WHERE t.project = $1
      AND ($2::text[] IS NULL OR coalesce(s.state, t.final_state)::text = ANY ($2))
      AND ($3::text[] IS NULL OR t.type = ANY ($3))
      AND ($4::text[] IS NULL OR t.queue = ANY ($4))
      AND t.create_time >= coalesce($5::timestamptz, '-infinity')
      AND t.create_time < coalesce($6::timestamptz, 'infinity')
      AND ($7::text IS NULL OR t.labels @> $7::jsonb)
      AND ($8::text IS NULL OR (t.external_id >= $8 AND t.external_id < $8 || chr(1114111)))
    LIMIT $9
) AS counted
"""


async def list_tasks(
    pool: asyncpg.Pool, query: ListQuery
) -> processor_pb2.ListTasksResponse:
    """One page, and the token of the next where there is one."""
    response = processor_pb2.ListTasksResponse()
    places = await read_places(pool, query)
    shown = places[: query.page_size]
    found, complete = await add_tasks(
        pool,
        [place.task_id for place in shown],
        full=query.full,
        to=response.tasks,
        most_bytes=limits.MAX_PAGE_BYTES,
    )
    if not complete or len(places) > len(shown):
        last = shown[-1] if complete else _last(shown, found)
        response.next_page_token = write_place(last, query.filter_hash)
    if query.include_total:
        total = await count_tasks(pool, query.filter)
        response.total_size = min(total, limits.MAX_EXACT_TOTAL)
        response.total_size_capped = total > limits.MAX_EXACT_TOTAL
    return response


def _last(places: list[Place], found: set[UUID]) -> Place:
    return [place for place in places if place.task_id in found][-1]


async def read_places(pool: asyncpg.Pool, query: ListQuery) -> list[Place]:
    """The page's tasks, and one more if there is one."""
    after = query.after
    rows = await _fetch(
        pool,
        LIST_TASKS,
        *_conditions(query.filter),
        after.create_time if after else None,
        after.task_id if after else None,
        query.page_size + 1,
    )
    return [Place(row["create_time"], row["task_id"]) for row in rows]


async def count_tasks(pool: asyncpg.Pool, chosen: ListFilter) -> int:
    """How many tasks there are, counted to one past the limit."""
    [row] = await _fetch(
        pool, COUNT_TASKS, *_conditions(chosen), limits.MAX_EXACT_TOTAL + 1
    )
    count: int = row["count"]
    return count


async def _fetch(pool: asyncpg.Pool, sql: str, *args: object) -> list[asyncpg.Record]:
    async with pool.acquire() as connection, connection.transaction(readonly=True):
        await connection.execute(PLAN_FOR_WHAT_IS_CHOSEN)
        return await connection.fetch(sql, *args)


def _conditions(chosen: ListFilter) -> tuple[object, ...]:
    return (
        chosen.project,
        chosen.states,
        chosen.types,
        chosen.queues,
        chosen.create_time_from,
        chosen.create_time_to,
        chosen.labels,
        chosen.external_id_prefix,
    )
