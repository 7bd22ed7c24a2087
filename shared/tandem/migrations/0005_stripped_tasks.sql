-- Stripped tasks count in the days on which they ended, and have no status row to
-- be found by. Only a strip writes to this index: creates never do.
CREATE INDEX tasks_stripped ON tandem.tasks (finish_time) INCLUDE (project, final_state)
    WHERE prune_time IS NOT NULL;
