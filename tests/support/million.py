"""A million tasks, half of them finished: what plans are judged by."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg

from tandem.postgres.connect import connected
from tests.support.cluster import Cluster, Database, cloned_database

MILLION = 1_000_000

PROCESSOR = UUID(int=1)

LOAD = (
    """
    INSERT INTO tandem.lanes (queue, priority)
    SELECT q.queue, p.priority
    FROM unnest(ARRAY['default', 'slow']) AS q (queue)
    CROSS JOIN generate_series(1, 4) AS p (priority)
    ORDER BY q.queue, p.priority
    """,
    # Ten projects, of which each has every type, queue and state.
    """
    INSERT INTO tandem.tasks (
        task_id, request_id, create_time, project, type, queue, priority, defaulted,
        external_id, labels, payload, final_state, finish_time, prune_time
    )
    SELECT
        tandem.nth(n), tandem.nth(n), now() - (1000000 - n) * interval '2 s',
        'p' || n % 10,
        CASE WHEN n / 10 % 3 = 0 THEN 'mail' ELSE 'echo' END,
        CASE WHEN n / 10 % 8 = 0 THEN 'slow' ELSE 'default' END,
        n / 10 % 4 + 1,
        0,
        CASE WHEN n % 3 = 0 THEN 'wf-' || n / 30 || ':' || n END,
        CASE WHEN n / 10 % 20 = 0 THEN jsonb_build_object('user', (n / 200)::text) END,
        CASE WHEN n > 20000 THEN '{"topic": "Tea"}'::json END,
        CASE WHEN n <= 20000 THEN 'SUCCEEDED'::tandem.task_state END,
        CASE WHEN n <= 20000 THEN now() - (1000000 - n) * interval '2 s' END,
        CASE WHEN n <= 20000 THEN now() END
    FROM generate_series(1, 1000000) AS g (n)
    """,
    # The oldest are stripped; of the youngest a hundred are due, and 32 run.
    """
    INSERT INTO tandem.task_status (
        task_id, position, lane_id, state, attempt, claim, processor_id, due_time,
        start_time, update_time, finish_time
    )
    SELECT
        tandem.nth(n), n + 1, l.lane_id,
        CASE WHEN n > 500032 THEN 'PENDING' WHEN n > 500000 THEN 'RUNNING'
             WHEN n % 50 = 0 THEN 'FAILED' ELSE 'SUCCEEDED' END::tandem.task_state,
        (n <= 500032)::integer,
        (n <= 500032)::integer,
        CASE WHEN n <= 500032 THEN '00000000-0000-0000-0000-000000000001'::uuid END,
        CASE WHEN n > 999900 THEN now() - interval '1 s' END,
        CASE WHEN n <= 500032 THEN now() END,
        now(),
        CASE WHEN n <= 500000 THEN now() - (1000000 - n) * interval '2 s' END
    FROM generate_series(20001, 1000000) AS g (n)
    JOIN tandem.lanes AS l
        ON l.queue = CASE WHEN n / 10 % 8 = 0 THEN 'slow' ELSE 'default' END
        AND l.priority = n / 10 % 4 + 1
    ORDER BY n
    """,
    """
    INSERT INTO tandem.task_stages (task_id, name, state, attempt, claim, start_time, result)
    SELECT tandem.nth(n), 'draft', 'SUCCEEDED', 1, 1, now(), '1'
    FROM generate_series(450001, 500032) AS g (n)
    """,
    """
    INSERT INTO tandem.task_outputs (task_id, claim, result)
    SELECT tandem.nth(n), 1, '{}'
    FROM generate_series(450001, 500000) AS g (n)
    """,
    """
    INSERT INTO tandem.content_windows (content_key, task_id, create_time, window_length)
    SELECT sha256(n::text::bytea), tandem.nth(n), now(), interval '1 min'
    FROM generate_series(1, 50000) AS g (n)
    """,
    """
    INSERT INTO tandem.group_places (group_name, lane_id, position)
    SELECT 'processors', l.lane_id, 500033
    FROM tandem.lanes AS l
    """,
    """
    INSERT INTO tandem.takes
        (group_name, lane_id, from_position, to_position, types, take_time)
    SELECT 'processors', l.lane_id, 499000 + n * 10, 499010 + n * 10, '{echo}', now()
    FROM tandem.lanes AS l
    CROSS JOIN generate_series(1, 100) AS g (n)
    """,
    """
    INSERT INTO tandem.processors (processor_id, host, process_id, queues, types)
    VALUES ('00000000-0000-0000-0000-000000000001', 'here', 1, '{default}', '{echo,mail}')
    """,
    """
    INSERT INTO tandem.claim_batches (processor_id, task_ids)
    SELECT '00000000-0000-0000-0000-000000000001', array_agg(tandem.nth(n))
    FROM generate_series(500001, 500032) AS g (n)
    """,
    "SELECT setval('tandem.positions', 1000001)",
)

# In the order of their numbers, so that a million of them are soon inserted.
NTH = """
CREATE FUNCTION tandem.nth(n integer) RETURNS uuid LANGUAGE sql IMMUTABLE
AS $$ SELECT ('00000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0'))::uuid $$
"""


def nth(number: int) -> UUID:
    """The id, and the request id, of a task by the number of its creation."""
    return UUID(f"00000000-0000-4000-8000-{number:012x}")


@asynccontextmanager
async def a_million_tasks(cluster: Cluster, template: str) -> AsyncIterator[Database]:
    """A database full of them, for the length of a block."""
    async with cloned_database(cluster, template) as database:
        async with connected(
            database.owner_url, application_name="tandem-tests"
        ) as owner:
            await _load(owner)
        yield database


async def _load(owner: asyncpg.Connection) -> None:
    await owner.execute(NTH)
    for sql in LOAD:
        await owner.execute(sql)
    await owner.execute("DROP FUNCTION tandem.nth")
    # Visibility, too: a plan must not look worse than it is in a kept database.
    await owner.execute("VACUUM (ANALYZE)")
