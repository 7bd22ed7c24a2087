-- What the caller of a cancel said about it. It stays apart from the status row,
-- which every claim rewrites.
ALTER TABLE tandem.task_outputs
    ADD COLUMN cancel_comment text CHECK (length(cancel_comment) BETWEEN 1 AND 255);

-- As before, with the comment as its last column: a replaced view may only grow.
CREATE OR REPLACE VIEW tandem.task_view AS
SELECT
    t.task_id, t.project, t.request_id, t.external_id, t.type, t.queue, t.priority,
    t.title, t.labels, t.payload, t.not_before_time, t.start_delay, t.max_attempts,
    t.initial_backoff, t.max_backoff, t.attempt_timeout, t.defaulted,
    t.create_time, t.created_by, t.trace_context, t.prune_time,
    coalesce(s.state, t.final_state) AS state,
    coalesce(s.attempt, 0) AS attempt,
    coalesce(s.claim, 0) AS claim,
    s.processor_id, s.progress, s.due_time, s.start_time, s.update_time,
    coalesce(s.finish_time, t.finish_time) AS finish_time,
    s.cancel_request_time,
    o.result, o.errors, o.annotations,
    o.cancel_comment
FROM tandem.tasks AS t
LEFT JOIN tandem.task_status AS s ON s.task_id = t.task_id
LEFT JOIN tandem.task_outputs AS o ON o.task_id = t.task_id;


-- ---------------------------------------------------------------- grants

GRANT INSERT (cancel_comment), UPDATE (cancel_comment)
    ON tandem.task_outputs TO tandem_processor;
