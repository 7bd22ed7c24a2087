-- Equal content within a time is one task. One row per content names the task
-- that holds it: the row is the lock that racing creates wait at, and unlike the
-- task's payload it outlives a strip.
CREATE TABLE tandem.content_windows (
    -- SHA-256 of project, type and the payload keys that were named.
    content_key   bytea       PRIMARY KEY CHECK (length(content_key) = 32),
    task_id       uuid        NOT NULL,
    create_time   timestamptz NOT NULL,
    -- What its create asked for. Others are measured by their own window.
    window_length interval    NOT NULL
) WITH (fillfactor = 70);

-- Like create_tasks_v1, for drafts of which some hold a content window. Contents
-- are claimed first, in a statement of its own: whoever waits there for another
-- creator decides under what that one committed.
--
-- A draft that lost its content is not answered, as one that lost an id is not.
-- `gone_ids` are tasks that held a content and are deleted: they hold it no more.
-- The caller has looked for them under a later snapshot than the one that showed
-- the claim, so none of them can be on its way.
CREATE FUNCTION tandem.create_in_windows_v1(
    task_ids uuid[], projects text[], request_ids uuid[], external_ids text[],
    types text[], queues text[], priorities smallint[], lane_ids integer[],
    payloads text[], labels text[], titles text[],
    not_before_times timestamptz[], start_delays interval[],
    max_attempts smallint[], initial_backoffs interval[], max_backoffs interval[],
    attempt_timeouts interval[], defaulted smallint[],
    created_by text[], trace_contexts text[],
    content_keys bytea[], window_lengths interval[], gone_ids uuid[]
)
RETURNS TABLE (new_task_id uuid, new_position bigint, new_create_time timestamptz, new_due_time timestamptz)
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
AS $$
DECLARE
    claimed uuid[];
BEGIN
    -- Under one snapshot for the whole transaction a claim that was waited for
    -- would stay unseen.
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'tasks are created at READ COMMITTED only'
            USING ERRCODE = 'invalid_transaction_state';
    END IF;

    WITH claims AS (
        INSERT INTO tandem.content_windows AS w (content_key, task_id, create_time, window_length)
        SELECT f.content_key, f.task_id, statement_timestamp(), f.window_length
        FROM (
            SELECT DISTINCT ON (d.content_key) d.content_key, d.task_id, d.window_length
            FROM unnest(task_ids, projects, request_ids, content_keys, window_lengths)
                WITH ORDINALITY AS d (task_id, project, request_id, content_key, window_length, ordinal)
            WHERE d.content_key IS NOT NULL
              -- A replay claims nothing: its request id decides.
              AND NOT EXISTS (
                  SELECT FROM tandem.tasks AS t
                  WHERE t.project = d.project AND t.request_id = d.request_id
              )
              -- Nor does a duplicate: it writes nothing, not even a lock.
              AND NOT EXISTS (
                  SELECT FROM tandem.content_windows AS k
                  WHERE k.content_key = d.content_key
                    AND k.create_time > statement_timestamp() - d.window_length
                    AND k.task_id <> ALL (gone_ids)
              )
            ORDER BY d.content_key, d.ordinal
        ) AS f
        -- One order for all creators, or crossed contents would deadlock.
        ORDER BY f.content_key
        ON CONFLICT (content_key) DO UPDATE
        SET task_id = excluded.task_id,
            create_time = excluded.create_time,
            window_length = excluded.window_length
        WHERE w.create_time <= excluded.create_time - excluded.window_length
           OR w.task_id = ANY (gone_ids)
        RETURNING w.task_id
    )
    SELECT coalesce(array_agg(c.task_id), '{}') INTO claimed FROM claims AS c;

    RETURN QUERY
    SELECT c.new_task_id, c.new_position, c.new_create_time, c.new_due_time
    FROM (
        SELECT
            array_agg(d.task_id ORDER BY d.ordinal) AS task_ids,
            array_agg(d.project ORDER BY d.ordinal) AS projects,
            array_agg(d.request_id ORDER BY d.ordinal) AS request_ids,
            array_agg(d.external_id ORDER BY d.ordinal) AS external_ids,
            array_agg(d.type ORDER BY d.ordinal) AS types,
            array_agg(d.queue ORDER BY d.ordinal) AS queues,
            array_agg(d.priority ORDER BY d.ordinal) AS priorities,
            array_agg(d.lane_id ORDER BY d.ordinal) AS lane_ids,
            array_agg(d.payload ORDER BY d.ordinal) AS payloads,
            array_agg(d.labels ORDER BY d.ordinal) AS labels,
            array_agg(d.title ORDER BY d.ordinal) AS titles,
            array_agg(d.not_before_time ORDER BY d.ordinal) AS not_before_times,
            array_agg(d.start_delay ORDER BY d.ordinal) AS start_delays,
            array_agg(d.max_attempts ORDER BY d.ordinal) AS max_attempts,
            array_agg(d.initial_backoff ORDER BY d.ordinal) AS initial_backoffs,
            array_agg(d.max_backoff ORDER BY d.ordinal) AS max_backoffs,
            array_agg(d.attempt_timeout ORDER BY d.ordinal) AS attempt_timeouts,
            array_agg(d.defaulted ORDER BY d.ordinal) AS defaulted,
            array_agg(d.created_by ORDER BY d.ordinal) AS created_by,
            array_agg(d.trace_context ORDER BY d.ordinal) AS trace_contexts
        FROM unnest(
            task_ids, projects, request_ids, external_ids, types, queues, priorities,
            lane_ids, payloads, labels, titles, not_before_times, start_delays,
            max_attempts, initial_backoffs, max_backoffs, attempt_timeouts, defaulted,
            created_by, trace_contexts, content_keys
        ) WITH ORDINALITY AS d (
            task_id, project, request_id, external_id, type, queue, priority,
            lane_id, payload, labels, title, not_before_time, start_delay,
            max_attempts, initial_backoff, max_backoff, attempt_timeout, defaulted,
            created_by, trace_context, content_key, ordinal
        )
        WHERE d.content_key IS NULL OR d.task_id = ANY (claimed)
    ) AS kept
    CROSS JOIN LATERAL tandem.create_tasks_v1(
        kept.task_ids, kept.projects, kept.request_ids, kept.external_ids,
        kept.types, kept.queues, kept.priorities, kept.lane_ids,
        kept.payloads, kept.labels, kept.titles,
        kept.not_before_times, kept.start_delays,
        kept.max_attempts, kept.initial_backoffs, kept.max_backoffs,
        kept.attempt_timeouts, kept.defaulted,
        kept.created_by, kept.trace_contexts
    ) AS c;
END
$$;


-- ---------------------------------------------------------------- grants

REVOKE ALL ON FUNCTION tandem.create_in_windows_v1 FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tandem.create_in_windows_v1 TO tandem_creator;

GRANT SELECT,
      INSERT (content_key, task_id, create_time, window_length),
      UPDATE (task_id, create_time, window_length)
    ON tandem.content_windows TO tandem_creator;

-- A claim means nothing once the longest window, a day, is over.
GRANT SELECT, DELETE ON tandem.content_windows TO tandem_janitor;
