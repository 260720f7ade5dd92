-- Projections that can be paused, and events that one of them cannot apply.

-- A projection may be paused by an operator, and is rebuilt beside the one that goes on.
ALTER TABLE ops.projections DROP CONSTRAINT projections_status_check;
ALTER TABLE ops.projections
    ADD CONSTRAINT projections_status_check CHECK (status IN ('running', 'paused', 'failed', 'rebuilding')),
    ADD COLUMN set_aside bigint NOT NULL DEFAULT 0 CHECK (set_aside >= 0),
    ADD COLUMN orders_version bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN ops.projections.status IS 'failed: it cannot go on and keeps trying; paused: by an operator, until resumed.';
COMMENT ON COLUMN ops.projections.set_aside IS 'Events set aside that wait; where it is 0, a batch need not look for them.';
COMMENT ON COLUMN ops.projections.orders_version IS 'Version of the projection''s system stream up to which its orders are carried out.';

CREATE TABLE ops.set_aside_events (
    projection   text   COLLATE "C" NOT NULL,
    position     bigint NOT NULL CHECK (position > 0),
    stream_id    text   COLLATE "C" NOT NULL,
    version      bigint NOT NULL,
    type         text   COLLATE "C" NOT NULL,
    error        text,
    error_kind   text,
    set_aside_at timestamptz NOT NULL DEFAULT now(),
    status       text NOT NULL DEFAULT 'waiting' CHECK (status IN ('waiting', 'applied', 'skipped')),
    settled_at   timestamptz,
    attempts     integer NOT NULL CHECK (attempts >= 0),
    told         boolean NOT NULL,
    PRIMARY KEY (projection, position),
    CHECK ((error IS NULL) = (error_kind IS NULL))
);
COMMENT ON TABLE ops.set_aside_events IS 'Events that a projection went on without, with all that follow them in their streams.';
COMMENT ON COLUMN ops.set_aside_events.error IS 'Null where the event only waits behind another of its stream.';
COMMENT ON COLUMN ops.set_aside_events.told IS 'Whether the log has the fact: written here first, told soon after.';

CREATE INDEX set_aside_events_waiting ON ops.set_aside_events (projection, stream_id, position)
    WHERE status = 'waiting';
CREATE INDEX set_aside_events_untold ON ops.set_aside_events (projection, position) WHERE NOT told;

-- One row for each time that somebody began to follow the log for a projection. A row without an end whose
-- owner is gone tells of a death; `trying` names the event that was being applied, where that was noted.
CREATE TABLE ops.projection_runs (
    run_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    projection text COLLATE "C" NOT NULL,
    began_at   timestamptz NOT NULL DEFAULT now(),
    ended_at   timestamptz,
    died       boolean NOT NULL DEFAULT false,
    trying     bigint
);
CREATE INDEX projection_runs_of ON ops.projection_runs (projection, run_id);

GRANT SELECT, INSERT, UPDATE, DELETE ON ops.set_aside_events, ops.projection_runs TO megacity_projector;
-- What an operator orders is found by the stream that the projection's claim names.
GRANT SELECT ON ops.claims TO megacity_projector;
-- The write side looks, and changes nothing here.
REVOKE INSERT, UPDATE, DELETE ON ops.set_aside_events, ops.projection_runs FROM megacity_writer;

-- Its rows are updated with every batch: room on the page for new versions of them.
ALTER TABLE ops.projections SET (fillfactor = 50);

-- How old what is not yet applied is: by the batch that gave it its position.
CREATE INDEX batches_last_position ON log.batches (last_position);
