-- Who did what: rows that the audit projection derives from the log. Nothing else writes them, and nothing in
-- them is personal: people are named by their ids.

CREATE TABLE read.audit_entries (
    position          bigint PRIMARY KEY,
    recorded_at       timestamptz NOT NULL,
    actor_kind        text COLLATE "C" NOT NULL,
    actor_id          text COLLATE "C" NOT NULL,
    zone_id           text COLLATE "C",
    org_id            text COLLATE "C",
    action            text COLLATE "C" NOT NULL CHECK (
        action IN (
            'login', 'logout', 'create', 'update', 'delete', 'access', 'approve', 'reject', 'export', 'erase'
        )
    ),
    resource_category text COLLATE "C" NOT NULL,
    resource_id       text COLLATE "C" NOT NULL,
    resource_version  bigint NOT NULL,
    type              text COLLATE "C" NOT NULL,
    event_id          text COLLATE "C" NOT NULL,
    correlation_id    text COLLATE "C" NOT NULL,
    causation_id      text COLLATE "C" NOT NULL
) WITH (
    autovacuum_vacuum_insert_scale_factor = 0.05,
    autovacuum_analyze_scale_factor = 0.02
);
COMMENT ON TABLE read.audit_entries IS 'One row per event, keyed by its position; see projections/audit.';

-- The questions of an audit: what did this person do, where was that done, what happened at all; newest first.
CREATE INDEX audit_entries_of_actor ON read.audit_entries (actor_id, recorded_at, position);
CREATE INDEX audit_entries_by_action ON read.audit_entries (action, recorded_at, position);
CREATE INDEX audit_entries_in_time ON read.audit_entries (recorded_at, position);

CREATE FUNCTION read.asker_may_audit_zone() RETURNS boolean
    LANGUAGE sql STABLE SET search_path = pg_catalog
    AS $$
        SELECT string_to_array(coalesce(current_setting('app.roles', true), ''), ',')
               && ARRAY['sys_admin', 'zone_admin', 'org_admin']
    $$;
COMMENT ON FUNCTION read.asker_may_audit_zone() IS 'Whether an administrator''s role was granted for the whole zone.';

CREATE FUNCTION read.asker_audited_orgs() RETURNS text[]
    LANGUAGE sql STABLE SET search_path = pg_catalog
    AS $$
        SELECT coalesce(array_agg(split_part(grants.entry, '@', 2)), '{}')
        FROM unnest(string_to_array(coalesce(current_setting('app.roles', true), ''), ',')) AS grants(entry)
        WHERE split_part(grants.entry, '@', 1) = 'org_admin' AND split_part(grants.entry, '@', 2) <> ''
    $$;
COMMENT ON FUNCTION read.asker_audited_orgs() IS 'Organisations that the asker administers.';

REVOKE ALL ON FUNCTION read.asker_may_audit_zone(), read.asker_audited_orgs() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION read.asker_may_audit_zone(), read.asker_audited_orgs() TO megacity_reader;

-- As for every table of the read side: see 0020_read_models.sql. Only its staff are others: no teacher, no
-- service, and nobody sees an entry because it is about themselves.

ALTER TABLE read.audit_entries ENABLE ROW LEVEL SECURITY;
ALTER TABLE read.audit_entries FORCE ROW LEVEL SECURITY;
CREATE POLICY everything ON read.audit_entries TO megacity_projector, megacity_owner
    USING (true) WITH CHECK (true);
CREATE POLICY zone_wall ON read.audit_entries AS RESTRICTIVE FOR SELECT TO megacity_reader
    USING (zone_id = (SELECT read.asker_zone()) OR (SELECT read.asker_passes_zone_wall()));
CREATE POLICY staff ON read.audit_entries FOR SELECT TO megacity_reader
    USING (
        org_id = ANY ((SELECT read.asker_audited_orgs())::text[]) OR (SELECT read.asker_may_audit_zone())
    );
