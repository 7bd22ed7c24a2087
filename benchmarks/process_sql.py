"""What a run of processing loads, and asks the database."""

from __future__ import annotations

from typing import Final

ADD_LANE: Final = """
WITH added AS (
    INSERT INTO tandem.lanes (queue, priority)
    VALUES ('default', 3)
    ON CONFLICT DO NOTHING
    RETURNING lane_id
)
SELECT lane_id FROM added
UNION ALL
SELECT lane_id FROM tandem.lanes WHERE queue = 'default' AND priority = 3
"""

NAME_FILLED: Final = """
CREATE TEMPORARY TABLE filled ON COMMIT DROP AS
SELECT n, uuidv7() AS task_id
FROM generate_series(1, $1) AS n
"""

FILL_TASKS: Final = """
INSERT INTO tandem.tasks
    (task_id, request_id, create_time, priority, defaulted, project, type, queue, payload)
SELECT f.task_id, gen_random_uuid(), now(), 3, 3, 'bench', $1, 'default', $2::json
FROM filled AS f
ORDER BY f.n
"""

FILL_PENDING: Final = """
INSERT INTO tandem.task_status (task_id, lane_id, position)
SELECT f.task_id, $1, nextval('tandem.positions')
FROM filled AS f
ORDER BY f.n
"""

FILL_FINISHED: Final = """
INSERT INTO tandem.task_status (
    task_id, lane_id, position, state, attempt, claim, processor_id,
    progress, start_time, update_time, finish_time
)
SELECT
    f.task_id, $1, nextval('tandem.positions'), 'SUCCEEDED', 1, 1, gen_random_uuid(),
    1, now(), now(), now()
FROM filled AS f
ORDER BY f.n
"""

READ_LAST_POSITION: Final = "SELECT last_value FROM tandem.positions"

# What is finished was taken long ago.
MOVE_PLACE: Final = """
INSERT INTO tandem.group_places (group_name, lane_id, position)
VALUES ('processors', $1, $2)
ON CONFLICT (group_name, lane_id) DO UPDATE
SET position = excluded.position
"""

SET_PAUSED: Final = """
INSERT INTO tandem.queues (queue, paused)
VALUES ('default', $1)
ON CONFLICT (queue) DO UPDATE
SET paused = excluded.paused
"""

COUNT_UNFINISHED: Final = """
SELECT count(*)
FROM tandem.task_status
WHERE lane_id = $1
  AND position BETWEEN $2 AND $3
  AND finish_time IS NULL
"""

COUNT_CLAIMED: Final = """
SELECT count(*)
FROM tandem.task_status
WHERE lane_id = $1
  AND position BETWEEN $2 AND $3
  AND claim >= $4
"""

READ_DRAIN: Final = """
SELECT
    count(*) FILTER (WHERE state = 'SUCCEEDED' AND attempt = 1) AS succeeded,
    extract(epoch FROM max(finish_time) - min(start_time))::float8 AS seconds
FROM tandem.task_status
WHERE lane_id = $1
  AND position BETWEEN $2 AND $3
"""

COUNT_TASKS: Final = """
SELECT
    count(*) AS created,
    count(*) FILTER (WHERE finish_time IS NOT NULL) AS finished
FROM tandem.task_status
"""

READ_UPDATES: Final = """
SELECT
    sum(n_tup_upd)::bigint AS updated,
    sum(n_tup_hot_upd)::bigint AS hot,
    sum(n_dead_tup)::bigint AS dead
FROM pg_stat_user_tables
WHERE schemaname = 'tandem'
  AND relname = 'task_status'
"""

COUNT_TRANSACTIONS: Final = """
SELECT (xact_commit + xact_rollback)::bigint
FROM pg_stat_database
WHERE datname = $1
"""

PIN: Final = "SELECT pg_current_xact_id(), count(*) FROM tandem.task_status"

COUNT_SOME: Final = "SELECT count(*) FROM (SELECT FROM tandem.tasks LIMIT 1) AS one"

READ_PLACE: Final = """
SELECT lane_id, position
FROM tandem.group_places
WHERE group_name = 'processors'
"""

READ_SOAK: Final = """
SELECT
    (
        SELECT count(*)
        FROM pg_stat_activity
        WHERE datname = current_database()
          AND backend_type = 'client backend'
    ) AS connections,
    (
        SELECT sum(n_dead_tup)::bigint
        FROM pg_stat_user_tables
        WHERE schemaname = 'tandem'
    ) AS dead,
    (SELECT count(*) FROM tandem.task_status WHERE finish_time IS NULL) AS unfinished,
    (SELECT count(*) FROM tandem.claim_batches) AS batches,
    (SELECT count(*) FROM tandem.takes) AS takes
"""

READ_STARTS: Final = """
SELECT
    1000 * percentile_cont(0.5) WITHIN GROUP (ORDER BY w.seconds) AS p50,
    1000 * percentile_cont(0.99) WITHIN GROUP (ORDER BY w.seconds) AS p99
FROM (
    SELECT extract(epoch FROM s.start_time - t.create_time)::float8 AS seconds
    FROM tandem.tasks AS t
    JOIN tandem.task_status AS s ON s.task_id = t.task_id
    WHERE t.project = 'bench'
      AND t.create_time > now() - make_interval(secs => $1)
      AND s.start_time IS NOT NULL
) AS w
"""

READ_LONGEST: Final = """
SELECT
    count(*) FILTER (WHERE s.finish_time IS NULL) AS unfinished,
    extract(epoch FROM max(s.finish_time - t.create_time))::float8 AS longest
FROM tandem.tasks AS t
JOIN tandem.task_status AS s ON s.task_id = t.task_id
WHERE t.project = $1
"""

READ_RUN: Final = """
SELECT extract(epoch FROM s.finish_time - s.start_time)::float8
FROM tandem.task_status AS s
WHERE s.task_id = $1::uuid
"""

READ_END: Final = """
SELECT
    s.state::text AS state,
    s.crashes,
    extract(epoch FROM s.finish_time - t.create_time)::float8 AS seconds
FROM tandem.tasks AS t
JOIN tandem.task_status AS s ON s.task_id = t.task_id
WHERE t.task_id = $1::uuid
"""

LOCK: Final = "LOCK TABLE tandem.tasks IN EXCLUSIVE MODE"

SILENCE: Final = (
    "REVOKE EXECUTE ON FUNCTION pg_catalog.pg_notify(text, text) FROM PUBLIC"
)
