-- How long what is final is kept. The janitor writes down what it goes by before it
-- goes by it, so that a creator can tell callers until when their ids are known.
CREATE TABLE tandem.retention (
    strip_after  interval NOT NULL CHECK (strip_after >= interval '0'),
    delete_after interval NOT NULL,
    CONSTRAINT stripped_before_deleted CHECK (delete_after >= strip_after)
);
CREATE UNIQUE INDEX retention_is_one_row ON tandem.retention ((true));
INSERT INTO tandem.retention (strip_after, delete_after)
VALUES (interval '7 days', interval '30 days');


-- ---------------------------------------------------------------- grants

GRANT SELECT ON tandem.retention TO tandem_creator;

GRANT SELECT, UPDATE (strip_after, delete_after) ON tandem.retention TO tandem_janitor;

-- What a group has not taken yet is not stripped; nor is what is not settled.
GRANT SELECT ON tandem.lanes, tandem.group_places, tandem.takes TO tandem_janitor;
GRANT SELECT ON SEQUENCE tandem.positions TO tandem_janitor;
GRANT EXECUTE ON FUNCTION tandem.settled_position_v1 TO tandem_janitor;

-- Takes of which nothing is open any more, and groups that an operator gives up.
GRANT DELETE ON tandem.takes, tandem.group_places TO tandem_janitor;
