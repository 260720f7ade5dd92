-- When somebody was here last, also after the sign-in itself is forgotten: for the report of accounts that nobody
-- uses. Outside the log, like the sign-ins: it is personal, and a moment is all that is kept.

CREATE TABLE ops.last_seen (
    subject_id text COLLATE "C" PRIMARY KEY,
    seen_at    timestamptz NOT NULL
);
REVOKE ALL ON ops.last_seen FROM megacity_projector;
GRANT SELECT, INSERT, UPDATE, DELETE ON ops.last_seen TO megacity_writer;

-- A sign-in is removed when its time is over. A trigger, because whatever removes one has to leave this behind.
CREATE FUNCTION ops.remember_last_seen() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog
    AS $$
BEGIN
    INSERT INTO ops.last_seen AS known (subject_id, seen_at)
    SELECT gone.subject_id, max(coalesce(gone.last_used_at, gone.created_at)) FROM gone GROUP BY gone.subject_id
    ORDER BY gone.subject_id
    ON CONFLICT (subject_id) DO UPDATE SET seen_at = greatest(known.seen_at, excluded.seen_at);
    RETURN NULL;
END $$;

CREATE TRIGGER remember_last_seen AFTER DELETE ON ops.refresh_families
    REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION ops.remember_last_seen();
