-- Two writers, no overlap: the creator inserts specs, the processor moves statuses.
-- The grants at the end say so, and Postgres holds both services to it.

CREATE TYPE tandem.task_state AS ENUM
    ('PENDING', 'RUNNING', 'SUSPENDED', 'SUCCEEDED', 'FAILED', 'CANCELLED');

CREATE TYPE tandem.processor_state AS ENUM ('LIVE', 'DEAD');


-- ---------------------------------------------------------------- specs

-- Insert-only for the creator. A stripped row keeps its ids, so that it is its
-- own tombstone in the same unique indexes.
CREATE TABLE tandem.tasks (
    task_id         uuid        PRIMARY KEY,
    request_id      uuid        NOT NULL,
    create_time     timestamptz NOT NULL DEFAULT statement_timestamp(),
    not_before_time timestamptz,
    start_delay     interval,
    initial_backoff interval,
    max_backoff     interval,
    attempt_timeout interval,
    max_attempts    smallint    CHECK (max_attempts BETWEEN 1 AND 100),
    priority        smallint    NOT NULL CHECK (priority BETWEEN 1 AND 4),
    -- Bits of the fields that were unset and took a default; `Defaulted` in
    -- tandem_creator/drafts.py names them.
    defaulted       smallint    NOT NULL,
    project         text        COLLATE "C" NOT NULL CHECK (length(project) BETWEEN 1 AND 63),
    type            text        COLLATE "C" NOT NULL CHECK (length(type) BETWEEN 1 AND 63),
    queue           text        COLLATE "C" NOT NULL CHECK (length(queue) BETWEEN 1 AND 63),
    external_id     text        COLLATE "C" CHECK (length(external_id) BETWEEN 1 AND 255),
    title           text        CHECK (length(title) BETWEEN 1 AND 255),
    created_by      text,
    trace_context   text,
    labels          jsonb,
    -- Canonical text: equal content is equal bytes.
    payload         json,

    -- Set by the janitor alone, when it strips a finished task.
    final_state     tandem.task_state CHECK (final_state IN ('SUCCEEDED', 'FAILED', 'CANCELLED')),
    finish_time     timestamptz,
    prune_time      timestamptz,

    CONSTRAINT request_id_is_not_nil CHECK (request_id <> '00000000-0000-0000-0000-000000000000'),
    CONSTRAINT one_start CHECK (not_before_time IS NULL OR start_delay IS NULL),
    CONSTRAINT pruned_iff_final_is_kept_here CHECK
        ((prune_time IS NULL) = (final_state IS NULL) AND (prune_time IS NULL) = (finish_time IS NULL))
);

CREATE UNIQUE INDEX tasks_request_id ON tandem.tasks (project, request_id);
CREATE UNIQUE INDEX tasks_external_id ON tandem.tasks (project, external_id)
    WHERE external_id IS NOT NULL;
CREATE INDEX tasks_newest ON tandem.tasks (project, create_time, task_id);
CREATE INDEX tasks_labels ON tandem.tasks USING gin (labels jsonb_path_ops)
    WHERE labels IS NOT NULL;

-- A label on the stream: where a task waits, and how urgent it is.
CREATE TABLE tandem.lanes (
    lane_id  integer  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    queue    text     COLLATE "C" NOT NULL CHECK (length(queue) BETWEEN 1 AND 63),
    priority smallint NOT NULL CHECK (priority BETWEEN 1 AND 4),
    UNIQUE (queue, priority)
);


-- ---------------------------------------------------------------- statuses

-- Narrow, and with no index that names `state` or `processor_id`: claims and
-- finishes stay HOT updates. No foreign key: one function writes both rows.
CREATE TABLE tandem.task_status (
    task_id             uuid              PRIMARY KEY,
    position            bigint            NOT NULL,
    lane_id             integer           NOT NULL,
    state               tandem.task_state NOT NULL DEFAULT 'PENDING',
    attempt             integer           NOT NULL DEFAULT 0 CHECK (attempt >= 0),
    claim               integer           NOT NULL DEFAULT 0 CHECK (claim >= attempt),
    crashes             integer           NOT NULL DEFAULT 0,
    processor_id        uuid,
    progress            double precision  CHECK (progress BETWEEN 0 AND 1),
    due_time            timestamptz,
    start_time          timestamptz,
    update_time         timestamptz,
    finish_time         timestamptz,
    cancel_request_time timestamptz,

    CONSTRAINT finished_iff_final CHECK
        ((finish_time IS NOT NULL) = (state IN ('SUCCEEDED', 'FAILED', 'CANCELLED'))),
    CONSTRAINT running_is_held CHECK
        (state <> 'RUNNING' OR (processor_id IS NOT NULL AND claim > 0 AND start_time IS NOT NULL)),
    CONSTRAINT only_pending_is_due CHECK (due_time IS NULL OR state = 'PENDING')
) WITH (fillfactor = 70);

CREATE UNIQUE INDEX task_status_position ON tandem.task_status (lane_id, position);
CREATE INDEX task_status_due ON tandem.task_status (due_time) WHERE due_time IS NOT NULL;

-- Kept steps of handlers.
CREATE TABLE tandem.task_stages (
    task_id     uuid        NOT NULL,
    name        text        NOT NULL CHECK (length(name) BETWEEN 1 AND 63),
    state       text        NOT NULL CHECK (state IN ('RUNNING', 'SUCCEEDED', 'FAILED')),
    attempt     integer     NOT NULL,
    claim       integer     NOT NULL,
    start_time  timestamptz NOT NULL,
    finish_time timestamptz,
    result      json,
    PRIMARY KEY (task_id, name)
) WITH (fillfactor = 80);

-- What attempts left behind: only tasks that have something to say have a row.
CREATE TABLE tandem.task_outputs (
    task_id     uuid    PRIMARY KEY,
    -- The claim whose result this is.
    claim       integer NOT NULL,
    result      json,
    -- Newest first, at most 6: {reason, message, attempt, error_time}.
    errors      json,
    annotations json
) WITH (fillfactor = 80);


-- ---------------------------------------------------------------- the stream

-- CACHE 1: a cached value would be handed out after a higher one had settled.
CREATE SEQUENCE tandem.positions AS bigint CACHE 1;
-- A fresh sequence has last_value 1 and gives 1 first; a marker must lie below
-- every position of its holder.
SELECT nextval('tandem.positions');

-- One row per (cluster, timeline) that positions were given under.
CREATE TABLE tandem.epochs (
    epoch_id          uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    system_identifier bigint      NOT NULL,
    timeline          integer     NOT NULL,
    create_time       timestamptz NOT NULL DEFAULT now(),
    UNIQUE (system_identifier, timeline)
);

-- Resume tokens below this are older than retention.
CREATE TABLE tandem.stream_floor (
    position bigint NOT NULL
);
CREATE UNIQUE INDEX stream_floor_is_one_row ON tandem.stream_floor ((true));
INSERT INTO tandem.stream_floor (position) VALUES (0);

-- How far a group has taken each lane.
CREATE TABLE tandem.group_places (
    group_name text    COLLATE "C" NOT NULL CHECK (length(group_name) BETWEEN 1 AND 63),
    lane_id    integer NOT NULL,
    position   bigint  NOT NULL,
    PRIMARY KEY (group_name, lane_id)
) WITH (fillfactor = 50);

-- Ranges that were taken and not yet confirmed. `member_id` names the creator
-- process that answers for one among the group's members; none: to be sent again.
CREATE TABLE tandem.takes (
    take_id       bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    group_name    text        COLLATE "C" NOT NULL,
    lane_id       integer     NOT NULL,
    from_position bigint      NOT NULL,
    to_position   bigint      NOT NULL CHECK (to_position > from_position),
    -- Only tasks of these types are still to be sent.
    types         text[]      NOT NULL,
    member_id     text,
    take_time     timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 70);

CREATE TABLE tandem.queues (
    queue  text    COLLATE "C" PRIMARY KEY CHECK (length(queue) BETWEEN 1 AND 63),
    paused boolean NOT NULL DEFAULT false
);


-- ---------------------------------------------------------------- processors

-- One row per start of a processor. Leases belong to it, not to tasks.
CREATE TABLE tandem.processors (
    processor_id   uuid                   PRIMARY KEY,
    state          tandem.processor_state NOT NULL DEFAULT 'LIVE',
    start_time     timestamptz            NOT NULL DEFAULT now(),
    heartbeat_time timestamptz            NOT NULL DEFAULT now(),
    host           text                   NOT NULL,
    process_id     integer                NOT NULL,
    queues         text[]                 NOT NULL,
    types          text[]                 NOT NULL
) WITH (fillfactor = 50);

-- The ids of one claim statement, so that the tasks of a dead processor are
-- found without an index that every claim would pay for.
CREATE TABLE tandem.claim_batches (
    batch_id     bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    processor_id uuid        NOT NULL,
    claim_time   timestamptz NOT NULL DEFAULT now(),
    task_ids     uuid[]      NOT NULL
);
CREATE INDEX claim_batches_processor ON tandem.claim_batches (processor_id);


-- ---------------------------------------------------------------- reading

-- A stripped task has no status row: its last state stands in the spec's row.
CREATE VIEW tandem.task_view AS
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
    o.result, o.errors, o.annotations
FROM tandem.tasks AS t
LEFT JOIN tandem.task_status AS s ON s.task_id = t.task_id
LEFT JOIN tandem.task_outputs AS o ON o.task_id = t.task_id;


-- ---------------------------------------------------------------- functions

-- Advisory keys whose top byte is 84 ('T') mark creates in flight.
CREATE FUNCTION tandem.marker_key_v1(last_position bigint)
RETURNS bigint
LANGUAGE sql IMMUTABLE STRICT
AS $$ SELECT (84::bigint << 56) | last_position $$;

-- Inserts the drafts whose ids are free, gives each a position, and answers the
-- new ones. A draft that lost is simply not answered: its winner is read by the
-- caller in a statement of its own, under a fresh snapshot.
--
-- The order of the statements is the promise. The marker is taken before the
-- first position is drawn and lives until the commit is visible, so whoever
-- sees no marker under a position knows that the position is settled.
CREATE FUNCTION tandem.create_tasks_v1(
    task_ids uuid[], projects text[], request_ids uuid[], external_ids text[],
    types text[], queues text[], priorities smallint[], lane_ids integer[],
    payloads text[], labels text[], titles text[],
    not_before_times timestamptz[], start_delays interval[],
    max_attempts smallint[], initial_backoffs interval[], max_backoffs interval[],
    attempt_timeouts interval[], defaulted smallint[],
    created_by text[], trace_contexts text[]
)
RETURNS TABLE (new_task_id uuid, new_position bigint, new_create_time timestamptz, new_due_time timestamptz)
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
AS $$
DECLARE
    new_ids uuid[];
    marker  bigint;
BEGIN
    -- Under one snapshot for the whole transaction the order below proves nothing.
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'tasks are created at READ COMMITTED only'
            USING ERRCODE = 'invalid_transaction_state';
    END IF;

    WITH inserted AS (
        INSERT INTO tandem.tasks (
            task_id, project, request_id, external_id, type, queue, priority,
            payload, labels, title, not_before_time, start_delay, max_attempts,
            initial_backoff, max_backoff, attempt_timeout, defaulted,
            created_by, trace_context
        )
        SELECT
            d.task_id, d.project, d.request_id, d.external_id, d.type, d.queue, d.priority,
            d.payload::json, d.labels::jsonb, d.title, d.not_before_time, d.start_delay,
            d.max_attempts, d.initial_backoff, d.max_backoff, d.attempt_timeout, d.defaulted,
            d.created_by, d.trace_context
        FROM unnest(
            task_ids, projects, request_ids, external_ids, types, queues, priorities,
            payloads, labels, titles, not_before_times, start_delays, max_attempts,
            initial_backoffs, max_backoffs, attempt_timeouts, defaulted,
            created_by, trace_contexts
        ) WITH ORDINALITY AS d (
            task_id, project, request_id, external_id, type, queue, priority,
            payload, labels, title, not_before_time, start_delay, max_attempts,
            initial_backoff, max_backoff, attempt_timeout, defaulted,
            created_by, trace_context, ordinal
        )
        ORDER BY d.ordinal
        ON CONFLICT DO NOTHING
        RETURNING task_id
    )
    SELECT array_agg(i.task_id) INTO new_ids FROM inserted AS i;

    IF new_ids IS NULL THEN
        RETURN;
    END IF;

    SELECT p.last_value INTO marker FROM tandem.positions AS p;
    PERFORM pg_advisory_xact_lock_shared(tandem.marker_key_v1(marker));

    RETURN QUERY
    INSERT INTO tandem.task_status AS s (task_id, lane_id, position, due_time)
    SELECT n.task_id, n.lane_id, nextval('tandem.positions'), n.due_time
    FROM (
        SELECT
            d.task_id,
            d.lane_id,
            CASE
                WHEN d.start_delay > interval '0' THEN statement_timestamp() + d.start_delay
                WHEN d.not_before_time > statement_timestamp() THEN d.not_before_time
            END AS due_time
        FROM unnest(task_ids, lane_ids, not_before_times, start_delays)
            WITH ORDINALITY AS d (task_id, lane_id, not_before_time, start_delay, ordinal)
        WHERE d.task_id = ANY (new_ids)
        ORDER BY d.ordinal
    ) AS n
    RETURNING s.task_id, s.position, statement_timestamp(), s.due_time;
END
$$;

-- The highest position at or under which nothing is open any more. The sequence
-- is read first: a position drawn later than that is above the answer anyway.
CREATE FUNCTION tandem.settled_position_v1()
RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
AS $$
DECLARE
    highest bigint;
    lowest_marker bigint;
BEGIN
    SELECT p.last_value INTO highest FROM tandem.positions AS p;
    SELECT min(((l.classid::bigint & x'FFFFFF'::bigint) << 32) | l.objid::bigint)
    INTO lowest_marker
    FROM pg_catalog.pg_locks AS l
    WHERE l.locktype = 'advisory'
      AND l.objsubid = 1
      AND l.granted
      AND l.classid::bigint >> 24 = 84
      AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = current_database());
    RETURN least(highest, lowest_marker);
END
$$;

-- Answers the present epoch. The first to meet a cluster or timeline that is not
-- recorded moves the sequence on, past anything that a lost history gave out.
CREATE FUNCTION tandem.enter_epoch_v1()
RETURNS uuid
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
AS $$
DECLARE
    here_system   bigint;
    here_timeline integer;
    found         uuid;
BEGIN
    SELECT c.system_identifier INTO here_system FROM pg_catalog.pg_control_system() AS c;
    here_timeline := ('x' || left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 8))::bit(32)::integer;

    INSERT INTO tandem.epochs AS e (system_identifier, timeline)
    VALUES (here_system, here_timeline)
    ON CONFLICT DO NOTHING
    RETURNING e.epoch_id INTO found;

    IF found IS NOT NULL THEN
        PERFORM setval('tandem.positions', nextval('tandem.positions') + 1000000000);
    ELSE
        SELECT e.epoch_id INTO found
        FROM tandem.epochs AS e
        WHERE e.system_identifier = here_system AND e.timeline = here_timeline;
    END IF;
    RETURN found;
END
$$;

-- A fresh database has nothing to move past.
INSERT INTO tandem.epochs (system_identifier, timeline)
SELECT
    c.system_identifier,
    ('x' || left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 8))::bit(32)::integer
FROM pg_catalog.pg_control_system() AS c;


-- ---------------------------------------------------------------- grants

GRANT USAGE ON SCHEMA tandem TO tandem_creator, tandem_processor, tandem_janitor;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA tandem FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    tandem.marker_key_v1, tandem.create_tasks_v1, tandem.settled_position_v1, tandem.enter_epoch_v1
    TO tandem_creator;

-- The creator: inserts specs and first statuses; keeps its own stream places.
-- INSERT on task_status is by column, so that it cannot forge a state.
GRANT SELECT ON
    tandem.tasks, tandem.task_status, tandem.task_stages, tandem.task_outputs, tandem.task_view,
    tandem.lanes, tandem.epochs, tandem.stream_floor, tandem.group_places, tandem.takes, tandem.queues
    TO tandem_creator;
GRANT INSERT (
    task_id, project, request_id, external_id, type, queue, priority,
    payload, labels, title, not_before_time, start_delay, max_attempts,
    initial_backoff, max_backoff, attempt_timeout, defaulted, created_by, trace_context
) ON tandem.tasks TO tandem_creator;
GRANT INSERT (task_id, lane_id, position, due_time) ON tandem.task_status TO tandem_creator;
GRANT INSERT (queue, priority) ON tandem.lanes TO tandem_creator;
GRANT INSERT (system_identifier, timeline) ON tandem.epochs TO tandem_creator;
GRANT INSERT (group_name, lane_id, position), UPDATE (position) ON tandem.group_places TO tandem_creator;
GRANT INSERT (group_name, lane_id, from_position, to_position, types, member_id),
      UPDATE (types, member_id, take_time),
      DELETE
    ON tandem.takes TO tandem_creator;
GRANT SELECT, USAGE, UPDATE ON SEQUENCE tandem.positions TO tandem_creator;

-- The processor: reads everything, moves statuses, keeps what attempts leave behind.
GRANT SELECT ON
    tandem.tasks, tandem.task_status, tandem.task_stages, tandem.task_outputs, tandem.task_view,
    tandem.lanes, tandem.group_places, tandem.takes, tandem.queues,
    tandem.processors, tandem.claim_batches
    TO tandem_processor;
GRANT UPDATE (
    state, attempt, claim, crashes, processor_id, progress, due_time,
    start_time, update_time, finish_time, cancel_request_time
) ON tandem.task_status TO tandem_processor;
GRANT INSERT (task_id, name, state, attempt, claim, start_time, finish_time, result),
      UPDATE (state, attempt, claim, start_time, finish_time, result)
    ON tandem.task_stages TO tandem_processor;
GRANT INSERT (task_id, claim, result, errors, annotations),
      UPDATE (claim, result, errors, annotations)
    ON tandem.task_outputs TO tandem_processor;
GRANT INSERT (processor_id, host, process_id, queues, types),
      UPDATE (state, heartbeat_time),
      DELETE
    ON tandem.processors TO tandem_processor;
GRANT INSERT (processor_id, task_ids), DELETE ON tandem.claim_batches TO tandem_processor;
GRANT INSERT (queue, paused), UPDATE (paused) ON tandem.queues TO tandem_processor;

-- The janitor: strips finished tasks to their ids, and later deletes the rows.
GRANT SELECT ON tandem.tasks, tandem.task_status, tandem.task_stages, tandem.task_outputs TO tandem_janitor;
GRANT UPDATE (payload, title, labels, final_state, finish_time, prune_time) ON tandem.tasks TO tandem_janitor;
GRANT DELETE ON tandem.tasks, tandem.task_status, tandem.task_stages, tandem.task_outputs TO tandem_janitor;
GRANT SELECT, UPDATE (position) ON tandem.stream_floor TO tandem_janitor;
