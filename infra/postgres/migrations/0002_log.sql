-- The event log, and what must be unique beside it.
--
-- The table and its composite type are shaped as the library's PostgreSQL recorder expects them;
-- the migration owns them, so that no process of ours needs the right to create tables.

CREATE TABLE log.megacity_events (
    originator_id      text   NOT NULL,
    originator_version bigint NOT NULL CHECK (originator_version > 0),
    topic              text   NOT NULL,
    state              bytea  NOT NULL,
    notification_id    bigserial,
    PRIMARY KEY (originator_id, originator_version)
) WITH (
    autovacuum_vacuum_threshold = 100000000,
    autovacuum_analyze_threshold = 1000,
    autovacuum_analyze_scale_factor = 0.01
);

CREATE UNIQUE INDEX megacity_events_notification_id_idx ON log.megacity_events (notification_id);

CREATE TYPE log.stored_event_text AS (
    originator_id text, originator_version bigint, topic text, state bytea
);

-- The recorder locks the table, for which PostgreSQL asks the right to change rows. So the right is
-- granted and its use is forbidden: no role of the application alters or removes an event. (The table's owner
-- and a superuser are stopped as well, until they disable the trigger.)
CREATE FUNCTION log.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the event log is append-only: % is refused', TG_OP
        USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON log.megacity_events
    FOR EACH STATEMENT EXECUTE FUNCTION log.refuse_change();

GRANT SELECT, INSERT, UPDATE ON log.megacity_events TO megacity_writer;
GRANT USAGE ON SEQUENCE log.megacity_events_notification_id_seq TO megacity_writer;
GRANT SELECT ON log.megacity_events TO megacity_projector;

-- Names that may be held once (an e-mail's keyed hash, an examinee's first attempt, an item code).
-- A claim points to the stream that is to hold the name; the stream's first event decides. The
-- table can be rebuilt from the log.
CREATE TABLE ops.claims (
    scope      text NOT NULL,
    key        text NOT NULL,
    stream_id  text NOT NULL,
    claimed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (scope, key)
);
