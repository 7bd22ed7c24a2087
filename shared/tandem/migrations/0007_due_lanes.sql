-- Due work by lane: an urgent retry does not wait behind every older task that is
-- due. As before no row without a due time is in it, so claims and finishes of
-- what was announced stay HOT updates.
DROP INDEX tandem.task_status_due;
CREATE INDEX task_status_due ON tandem.task_status (lane_id, due_time)
    WHERE due_time IS NOT NULL;
