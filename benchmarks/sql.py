"""The table of the floor, and what the run asks the database."""

from __future__ import annotations

from typing import Final

CREATE_FLOOR: Final = """
CREATE TABLE IF NOT EXISTS floor_tasks (
    task_id     uuid        PRIMARY KEY,
    request_id  uuid        NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now(),
    project     text        NOT NULL,
    type        text        NOT NULL,
    payload     json,
    UNIQUE (project, request_id)
)
"""

INSERT_FLOOR: Final = """
INSERT INTO floor_tasks (task_id, request_id, project, type, payload)
VALUES ($1, $2, $3, $4, $5)
RETURNING create_time
"""

# One row for everything: an upserted or dead row of any table would show.
READ_WRITES: Final = """
SELECT sum(n_tup_ins + n_tup_upd + n_tup_del + n_dead_tup)::bigint
FROM pg_stat_user_tables
WHERE schemaname = 'tandem'
"""

READ_WAL: Final = "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint"

READ_FACTS: Final = """
SELECT name, setting
FROM pg_settings
WHERE name IN ('server_version', 'fsync', 'synchronous_commit', 'full_page_writes')
"""

COUNT_LIVE: Final = """
SELECT count(*)
FROM tandem.processors
WHERE state = 'LIVE'
  AND process_id = $1
"""
