-- Calibrations of item banks from live responses: what was found, what was decided, what drifts. For staff alone:
-- all of it is about parameters.

CREATE TABLE read.bank_scales (
    bank_id        text COLLATE "C" PRIMARY KEY,
    zone_id        text COLLATE "C",
    org_id         text COLLATE "C",
    bank_version   bigint NOT NULL,
    rules          jsonb NOT NULL,
    calibration_id text COLLATE "C",
    version        bigint NOT NULL
);
COMMENT ON TABLE read.bank_scales IS 'Of each item bank: how often its parameters were changed, its rules, its newest calibration.';

CREATE TABLE read.calibrations (
    calibration_id text COLLATE "C" PRIMARY KEY,
    bank_id        text COLLATE "C" NOT NULL,
    zone_id        text COLLATE "C",
    org_id         text COLLATE "C",
    calibrated_at  timestamptz NOT NULL,
    bank_version   bigint NOT NULL,
    "window"       jsonb NOT NULL,
    figures        jsonb NOT NULL,
    rules          jsonb NOT NULL,
    examinees      bigint NOT NULL,
    responses      bigint NOT NULL,
    proposals      jsonb NOT NULL,
    version        bigint NOT NULL
);
COMMENT ON COLUMN read.calibrations.proposals IS 'How many items each proposal was made for.';
CREATE INDEX calibrations_of_bank ON read.calibrations (bank_id, version);

CREATE TABLE read.calibrated_items (
    calibration_id text COLLATE "C",
    ordinal        bigint,
    bank_id        text COLLATE "C" NOT NULL,
    zone_id        text COLLATE "C",
    org_id         text COLLATE "C",
    item_id        text COLLATE "C" NOT NULL,
    item_version   bigint NOT NULL,
    role           text COLLATE "C" NOT NULL,
    proposal       text COLLATE "C" NOT NULL,
    found          jsonb NOT NULL,
    PRIMARY KEY (calibration_id, ordinal)
);
COMMENT ON COLUMN read.calibrated_items.found IS 'Counts, parameters with their errors, fit, drift, flags, and the rule that decided.';
CREATE INDEX calibrated_items_of_item ON read.calibrated_items (item_id, item_version);

CREATE TABLE read.promoted_items (
    bank_id        text COLLATE "C",
    bank_version   bigint,
    item_id        text COLLATE "C",
    item_version   bigint NOT NULL,
    zone_id        text COLLATE "C",
    org_id         text COLLATE "C",
    calibration_id text COLLATE "C" NOT NULL,
    parameters     jsonb NOT NULL,
    promoted_at    timestamptz NOT NULL,
    promoted_by    text COLLATE "C" NOT NULL,
    reason         text NOT NULL,
    automatic      boolean NOT NULL,
    PRIMARY KEY (bank_id, bank_version, item_id)
);

CREATE TABLE read.drift_alarms (
    calibration_id text COLLATE "C",
    ordinal        bigint,
    bank_id        text COLLATE "C" NOT NULL,
    zone_id        text COLLATE "C",
    org_id         text COLLATE "C",
    item_id        text COLLATE "C" NOT NULL,
    item_version   bigint NOT NULL,
    found_at       timestamptz NOT NULL,
    responses      bigint NOT NULL,
    used           jsonb NOT NULL,
    drift          jsonb NOT NULL,
    PRIMARY KEY (calibration_id, ordinal)
);
CREATE INDEX drift_alarms_of_bank ON read.drift_alarms (bank_id, found_at);

-- As for every table of the read side: see 0020_read_models.sql. Nobody but staff sees any of these rows.

DO $$
DECLARE
    table_name text;
BEGIN
    FOREACH table_name IN ARRAY ARRAY[
        'bank_scales', 'calibrations', 'calibrated_items', 'promoted_items', 'drift_alarms'
    ] LOOP
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
        EXECUTE format(
            'CREATE POLICY staff ON read.%I FOR SELECT TO megacity_reader '
            'USING (org_id = ANY ((SELECT read.asker_staff_orgs())::text[]) OR (SELECT read.asker_is_zone_staff()))',
            table_name
        );
    END LOOP;
END $$;
