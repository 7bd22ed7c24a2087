-- Who shares a group's ids: counted by the creators, read by whoever tells statistics.

-- One row per creator process and group, written when a number changes and at least
-- every ten seconds. One older than half a minute is of a creator that is gone.
CREATE TABLE tandem.group_members (
    group_name   text        COLLATE "C" NOT NULL CHECK (length(group_name) BETWEEN 1 AND 63),
    -- As in `takes.member_id`.
    creator_name text        COLLATE "C" NOT NULL,
    members      integer     NOT NULL CHECK (members > 0),
    -- Those that are there and take nothing, or answer for nothing.
    deaf         integer     NOT NULL CHECK (deaf BETWEEN 0 AND members),
    update_time  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (group_name, creator_name)
) WITH (fillfactor = 50);

-- Only tasks of these projects are still to be sent. NULL, from the release before:
-- of all projects in the range.
ALTER TABLE tandem.takes ADD COLUMN task_projects text[];


-- ---------------------------------------------------------------- grants

GRANT SELECT,
      INSERT (group_name, creator_name, members, deaf),
      UPDATE (members, deaf, update_time),
      DELETE
    ON tandem.group_members TO tandem_creator;

GRANT SELECT ON tandem.group_members TO tandem_processor;

GRANT INSERT (task_projects), UPDATE (task_projects) ON tandem.takes TO tandem_creator;
