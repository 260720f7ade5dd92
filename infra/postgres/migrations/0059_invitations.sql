-- Who is invited into which organisation. Whoever is invited finds it by the address that they have verified: no row
-- says whether an address is anybody's.

CREATE TABLE read.invitations (
    invitation_id text COLLATE "C" PRIMARY KEY,
    org_id        text COLLATE "C",
    organization  text NOT NULL,
    zone_id       text COLLATE "C",
    role          text COLLATE "C" NOT NULL,
    class_id      text COLLATE "C",
    email         text NOT NULL,
    email_hash    text COLLATE "C" NOT NULL,
    invited_at    timestamptz NOT NULL,
    expires_at    timestamptz NOT NULL,
    status        text COLLATE "C" NOT NULL CHECK (status IN ('pending', 'accepted', 'revoked', 'expired')),
    accepted_by   text COLLATE "C",
    version       bigint NOT NULL
);
COMMENT ON COLUMN read.invitations.status IS 'As the log has it: a pending one whose time is over is over.';
CREATE INDEX invitations_of_organization ON read.invitations (org_id, invitation_id);
CREATE INDEX invitations_of_address ON read.invitations (email_hash);
CREATE INDEX invitations_by_end ON read.invitations (expires_at) WHERE status = 'pending';

CREATE TABLE read.verified_addresses (
    user_id    text COLLATE "C" PRIMARY KEY,
    zone_id    text COLLATE "C",
    email_hash text COLLATE "C" NOT NULL
);
COMMENT ON TABLE read.verified_addresses IS 'Keyed hashes of the addresses that people have shown to read.';

CREATE FUNCTION read.asker_email_hash() RETURNS text
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog
    AS $$
BEGIN
    RETURN (SELECT v.email_hash FROM read.verified_addresses v WHERE v.user_id = read.asker_id());
END $$;
COMMENT ON FUNCTION read.asker_email_hash() IS 'Null for those who have not verified an address.';
REVOKE ALL ON FUNCTION read.asker_email_hash() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION read.asker_email_hash() TO megacity_reader;

-- As for every table of the read side: see 0020_read_models.sql and 0054_row_level_security.sql.

DO $$
DECLARE
    table_name text;
BEGIN
    FOREACH table_name IN ARRAY ARRAY['invitations', 'verified_addresses'] LOOP
        EXECUTE format('ALTER TABLE read.%I ENABLE ROW LEVEL SECURITY', table_name);
        EXECUTE format('ALTER TABLE read.%I FORCE ROW LEVEL SECURITY', table_name);
        EXECUTE format(
            'CREATE POLICY everything ON read.%I TO megacity_projector, megacity_owner USING (true) WITH CHECK (true)',
            table_name
        );
        EXECUTE format(
            'CREATE POLICY zone_wall ON read.%I AS RESTRICTIVE FOR SELECT TO megacity_reader '
            'USING (zone_id = (SELECT read.asker_zone()) OR (SELECT read.asker_passes_zone_wall()))',
            table_name
        );
    END LOOP;
END $$;

CREATE POLICY invited ON read.invitations FOR SELECT TO megacity_reader
    USING (email_hash = (SELECT read.asker_email_hash()));
CREATE POLICY administration ON read.invitations FOR SELECT TO megacity_reader
    USING (
        zone_id = (SELECT read.asker_zone()) AND org_id = ANY ((SELECT read.asker_orgs_as('org_admin'))::text[])
    );
CREATE POLICY oneself ON read.verified_addresses FOR SELECT TO megacity_reader
    USING (user_id = (SELECT read.asker_id()));

-- Invitations go out by mail. Which kinds of mail there are is said in one place, the code: the table holds
-- whatever it is asked for.
ALTER TABLE ops.outbox DROP CONSTRAINT IF EXISTS outbox_kind_check;
ALTER TABLE ops.outbox ADD CONSTRAINT outbox_kind_check CHECK (kind ~ '^[a-z_]+$');
