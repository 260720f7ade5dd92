-- statement-timeout: 30min
-- The event log in tables of its own: appended to without a global lock, put in order by a sequencer.
--
-- `log.events` is what was acknowledged, `log.positions` the one order in which everybody reads it. An append
-- writes the first and never the second, so it waits for nobody; the sequencer gives dense positions to what
-- has been committed.

CREATE TABLE log.events (
    append_id bigint GENERATED ALWAYS AS IDENTITY (CACHE 1),
    xid       xid8   NOT NULL DEFAULT pg_current_xact_id(),
    version   bigint NOT NULL CHECK (version > 0),
    leaf      bytea  NOT NULL CHECK (octet_length(leaf) = 32), -- so early for the sequencer, which reads no more
    stream_id text   COLLATE "C" NOT NULL,
    type      text   COLLATE "C" NOT NULL,
    meta      bytea  NOT NULL,
    payload   bytea  NOT NULL,
    PRIMARY KEY (stream_id, version)
) WITH (
    autovacuum_vacuum_insert_scale_factor = 0.05,
    autovacuum_analyze_scale_factor = 0.02
);
COMMENT ON COLUMN log.events.append_id IS 'Grows along each stream: taken after the version before was seen committed.';
COMMENT ON COLUMN log.events.xid IS 'The transaction that wrote the row: what the sequencer finds new rows by.';
COMMENT ON COLUMN log.events.leaf IS 'RFC 6962 leaf hash of the event as stored; see infra/event_store/leaves.py.';

CREATE UNIQUE INDEX events_append_id ON log.events (append_id);
CREATE INDEX events_xid ON log.events (xid);

CREATE TABLE log.positions (
    position  bigint PRIMARY KEY CHECK (position > 0),
    append_id bigint NOT NULL UNIQUE,
    leaf      bytea  NOT NULL
) WITH (
    autovacuum_vacuum_insert_scale_factor = 0.05,
    autovacuum_analyze_scale_factor = 0.02
);
COMMENT ON TABLE log.positions IS 'Dense, from 1, in the order of every stream; never changed once written.';

-- What was there before: notification ids may have had gaps, positions have none, so checkpoints move along.

INSERT INTO log.events (stream_id, version, type, meta, payload, leaf)
SELECT s.originator_id, s.originator_version, s.topic, s.meta, s.payload,
    sha256('\x0001'::bytea
        || sha256(convert_to(format('["%s",%s,"%s",', s.originator_id, s.originator_version, s.topic), 'UTF8')
                  || s.meta || ']'::bytea)
        || sha256(convert_to(s.event_id, 'UTF8') || s.payload))
FROM (
    SELECT originator_id, originator_version, topic, notification_id,
        convert_to((stored -> 'meta')::text, 'UTF8') AS meta,
        convert_to((stored -> 'data')::text, 'UTF8') AS payload,
        stored -> 'meta' ->> 'event_id' AS event_id
    FROM log.megacity_events, LATERAL (SELECT convert_from(state, 'UTF8')::json) AS parsed(stored)
) s
ORDER BY s.notification_id;

INSERT INTO log.positions (position, append_id, leaf)
SELECT row_number() OVER (ORDER BY append_id), append_id, leaf FROM log.events;

UPDATE ops.projections p SET
    position = (SELECT count(*) FROM log.megacity_events e WHERE e.notification_id <= p.position),
    failed_position = (
        SELECT count(*) FROM log.megacity_events e WHERE e.notification_id <= p.failed_position
    );

DROP TABLE log.megacity_events;
DROP TYPE log.stored_event_text;

-- Nothing is ever changed or removed: no role of the application has the right, and the table's owner and a
-- superuser are stopped as well, until they disable the trigger.

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON log.events
    FOR EACH STATEMENT EXECUTE FUNCTION log.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON log.positions
    FOR EACH STATEMENT EXECUTE FUNCTION log.refuse_change();

-- Neither the append id nor the transaction can be made up.
GRANT SELECT, INSERT (stream_id, version, type, meta, payload, leaf) ON log.events TO megacity_writer;
GRANT SELECT ON log.events, log.positions TO megacity_projector;
GRANT SELECT, INSERT ON log.positions TO megacity_writer;

-- One call for the events of many commands. A command's first event stands in the first arrays with the
-- version its stream must have; what follows it stands in the `more_` arrays. Answers the streams whose
-- commands lost against another writer: nothing of those is stored, and everything of the others is.
-- A command that is there already, because its caller repeats it after a lost answer, has not lost.
-- A stream may occur only once in a call, and streams come in the order of their bytes: calls in different
-- orders deadlock.

CREATE FUNCTION log.append(
    stream_ids text[], expected_versions bigint[], types text[], metas bytea[], payloads bytea[], leaves bytea[],
    more_stream_ids text[], more_versions bigint[], more_types text[], more_metas bytea[],
    more_payloads bytea[], more_leaves bytea[]
) RETURNS SETOF text
    LANGUAGE plpgsql SET search_path = pg_catalog SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    went_in integer;
BEGIN
    IF cardinality(more_stream_ids) = 0 THEN
        BEGIN
            INSERT INTO log.events (stream_id, version, type, meta, payload, leaf)
            SELECT c.s, c.x + 1, c.t, c.m, c.p, c.l
            FROM (
                SELECT unnest(stream_ids) AS s, unnest(expected_versions) AS x, unnest(types) AS t,
                    unnest(metas) AS m, unnest(payloads) AS p, unnest(leaves) AS l
            ) AS c
            -- A scalar subselect, never EXISTS: that would become a hash of the whole table.
            WHERE c.x = 0 OR (SELECT true FROM log.events p WHERE p.stream_id = c.s AND p.version = c.x);
            GET DIAGNOSTICS went_in = ROW_COUNT;
            IF went_in = cardinality(stream_ids) THEN
                RETURN;
            END IF;
        EXCEPTION WHEN unique_violation THEN
            -- Somebody has lost, which is rare: to be ready for it in the first place costs a fifth more.
            NULL;
        END;
    END IF;
    WITH head AS (
        INSERT INTO log.events AS written (stream_id, version, type, meta, payload, leaf)
        SELECT c.s, c.x + 1, c.t, c.m, c.p, c.l
        FROM unnest(stream_ids, expected_versions, types, metas, payloads, leaves) AS c(s, x, t, m, p, l)
        WHERE c.x = 0 OR (SELECT true FROM log.events p WHERE p.stream_id = c.s AND p.version = c.x)
        ORDER BY c.s COLLATE "C"
        ON CONFLICT (stream_id, version) DO NOTHING
        RETURNING written.stream_id
    ), more AS (
        -- Only a first event can conflict: where its version was free, so are those after it.
        INSERT INTO log.events (stream_id, version, type, meta, payload, leaf)
        SELECT c.s, c.v, c.t, c.m, c.p, c.l
        FROM unnest(more_stream_ids, more_versions, more_types, more_metas, more_payloads, more_leaves)
            AS c(s, v, t, m, p, l)
        JOIN head ON head.stream_id = c.s
        ORDER BY c.s COLLATE "C", c.v
    )
    SELECT count(*) INTO went_in FROM head;
    IF went_in < cardinality(stream_ids) THEN
        RETURN QUERY
        SELECT c.s
        FROM unnest(stream_ids, expected_versions, metas) AS c(s, x, m)
        WHERE (
            SELECT convert_from(e.meta, 'UTF8')::json ->> 'event_id' FROM log.events e
            WHERE e.stream_id = c.s AND e.version = c.x + 1
        ) IS DISTINCT FROM convert_from(c.m, 'UTF8')::json ->> 'event_id';
    END IF;
END $$;
REVOKE ALL ON FUNCTION log.append FROM PUBLIC;
GRANT EXECUTE ON FUNCTION log.append TO megacity_writer;

-- The same for one command that spans streams: all of it or none. Nobody can have lost when it returns.

CREATE FUNCTION log.append_together(
    stream_ids text[], expected_versions bigint[], types text[], metas bytea[], payloads bytea[], leaves bytea[],
    more_stream_ids text[], more_versions bigint[], more_types text[], more_metas bytea[],
    more_payloads bytea[], more_leaves bytea[]
) RETURNS SETOF text
    LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    lost text;
BEGIN
    SELECT s INTO lost
    FROM log.append(
        stream_ids, expected_versions, types, metas, payloads, leaves,
        more_stream_ids, more_versions, more_types, more_metas, more_payloads, more_leaves
    ) AS s LIMIT 1;
    IF lost IS NOT NULL THEN
        RAISE EXCEPTION 'stream % has moved on', lost USING ERRCODE = 'unique_violation', DETAIL = lost;
    END IF;
END $$;
REVOKE ALL ON FUNCTION log.append_together FROM PUBLIC;
GRANT EXECUTE ON FUNCTION log.append_together TO megacity_writer;

-- States of long streams, so that loading need not fold them from the beginning. They follow from the events
-- and hold what those hold: any may be removed at any time, and those of a person go when the person does.

CREATE TABLE log.snapshots (
    stream_id text   COLLATE "C" NOT NULL,
    version   bigint NOT NULL CHECK (version >= 0),
    type      text   COLLATE "C" NOT NULL,
    state     bytea  NOT NULL,
    taken_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (stream_id, version)
);
COMMENT ON COLUMN log.snapshots.type IS 'What the state is, with a fingerprint of its class: of another one it is useless.';
GRANT SELECT, INSERT, DELETE ON log.snapshots TO megacity_writer;

CREATE OR REPLACE FUNCTION read.position_of(stream_id text, version bigint) RETURNS bigint
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog
    AS $$
        SELECT coalesce(p.position, 9223372036854775807)
        FROM log.events e LEFT JOIN log.positions p USING (append_id)
        WHERE e.stream_id = position_of.stream_id AND e.version = position_of.version
    $$;
COMMENT ON FUNCTION read.position_of IS 'Null where there is no such event; out of reach until it has a position.';
