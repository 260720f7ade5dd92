-- What the sequencer remembers: one row a batch. The newest says where the log of positions ends, and which
-- transactions had been looked at by then, so that the next batch is what has become visible since.
--
-- Rows are added and never changed: a single row that is updated grows slow while somebody holds a
-- transaction open.

CREATE TABLE log.batches (
    batch          bigint GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY,
    last_position  bigint      NOT NULL CHECK (last_position >= 0),
    last_append_id bigint      NOT NULL CHECK (last_append_id >= 0),
    snapshot       pg_snapshot NOT NULL,
    system_id      bigint      NOT NULL,
    sequenced_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON COLUMN log.batches.last_append_id IS
    'Of the events visible in the snapshot, those up to here have a position and those after it have none.';
COMMENT ON COLUMN log.batches.system_id IS
    'The cluster whose transaction ids the snapshot speaks of: in another one they mean nothing.';

CREATE INDEX batches_sequenced_at ON log.batches (sequenced_at);

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON log.batches
    FOR EACH STATEMENT EXECUTE FUNCTION log.refuse_change();

GRANT SELECT, INSERT ON log.batches TO megacity_writer;
GRANT SELECT ON log.batches TO megacity_projector;

-- The sequencer looks for rows of transactions that were late, among many of transactions that are new: their
-- append ids tell them apart, and stand in the index so that it need not fetch the rows.
DROP INDEX log.events_xid;
CREATE INDEX events_xid ON log.events (xid, append_id);

-- All that has a position up to here got it at once, in the order of the append ids.
INSERT INTO log.batches (last_position, last_append_id, snapshot, system_id)
SELECT coalesce(max(p.position), 0), coalesce(max(p.append_id), 0), pg_current_snapshot(),
    (SELECT system_identifier FROM pg_control_system())
FROM log.positions p;
