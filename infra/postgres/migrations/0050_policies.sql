-- Policies as they stand, and decisions about access that are recorded one by one. Both are for administrators of
-- the whole system alone: a policy belongs to no zone, and a decision names its person.

CREATE TABLE read.policies (
    policy_id       text COLLATE "C" PRIMARY KEY,
    status          text COLLATE "C" NOT NULL CHECK (
        status IN ('proposed', 'approved', 'active', 'superseded', 'withdrawn')
    ),
    rule            jsonb,
    replaces        text COLLATE "C",
    proposal_sha256 text COLLATE "C" NOT NULL,
    widens          boolean,
    validated       boolean NOT NULL,
    simulation      jsonb,
    proposers       jsonb NOT NULL,
    reason          text,
    proposed_at     timestamptz,
    approved_by     text COLLATE "C",
    approved_at     timestamptz,
    activated_at    timestamptz,
    active_from     timestamptz,
    superseded_by   text COLLATE "C",
    superseded_from timestamptz,
    withdrawn_by    text COLLATE "C",
    ended_at        timestamptz,
    changed_at      timestamptz NOT NULL,
    version         bigint NOT NULL
);
COMMENT ON TABLE read.policies IS 'One row per policy; see projections/policies.';
COMMENT ON COLUMN read.policies.rule IS 'As it is proposed or in force; null where the policy only ends another one.';
CREATE INDEX policies_by_status ON read.policies (status, policy_id);

CREATE TABLE read.access_decisions (
    decision_id       text COLLATE "C" PRIMARY KEY,
    recorded_in       text COLLATE "C" NOT NULL,
    position          bigint NOT NULL,
    decided_at        timestamptz NOT NULL,
    principal_id      text COLLATE "C" NOT NULL,
    zone_id           text COLLATE "C",
    action            text COLLATE "C" NOT NULL,
    resource_kind     text COLLATE "C" NOT NULL,
    resource_id       text COLLATE "C" NOT NULL,
    allowed           boolean NOT NULL,
    reason            text COLLATE "C" NOT NULL,
    decided_by        jsonb NOT NULL,
    audited           boolean NOT NULL,
    policies_position bigint NOT NULL
) WITH (
    autovacuum_vacuum_insert_scale_factor = 0.05,
    autovacuum_analyze_scale_factor = 0.02
);
COMMENT ON TABLE read.access_decisions IS 'Where each recorded decision stands in the log. Queries show those of a year, as long as the observations are kept.';
CREATE INDEX access_decisions_recorded_in ON read.access_decisions (recorded_in);
CREATE INDEX access_decisions_of_principal ON read.access_decisions (principal_id, decided_at);

DO $$
DECLARE
    table_name text;
BEGIN
    FOREACH table_name IN ARRAY ARRAY['policies', 'access_decisions'] LOOP
        EXECUTE format('ALTER TABLE read.%I ENABLE ROW LEVEL SECURITY', table_name);
        EXECUTE format('ALTER TABLE read.%I FORCE ROW LEVEL SECURITY', table_name);
        EXECUTE format(
            'CREATE POLICY everything ON read.%I TO megacity_projector, megacity_owner USING (true) WITH CHECK (true)',
            table_name
        );
        EXECUTE format(
            'CREATE POLICY administrators ON read.%I FOR SELECT TO megacity_reader '
            'USING ((SELECT read.asker_passes_zone_wall()))',
            table_name
        );
    END LOOP;
END $$;
