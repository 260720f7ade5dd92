-- Adaptive exams: what each examinee was given and when, what was found, and what nobody but staff may see of it.
--
-- Row-level security hides rows, not columns. So what examinees see sooner than the rest of it, or instead of
-- it, comes from functions that name the columns (`asker_presented_items`, `shown_keys`), and ability has a
-- table of its own, which opens with the results.

-- Exams ------------------------------------------------------------------------------------------

ALTER TABLE read.exams
    ADD COLUMN delivery text NOT NULL DEFAULT 'fixed' CHECK (delivery IN ('fixed', 'adaptive')),
    ADD COLUMN bank_id text COLLATE "C",
    ADD COLUMN bank_version bigint,
    ALTER COLUMN max_score DROP NOT NULL;
COMMENT ON COLUMN read.exams.item_count IS 'Of an adaptive exam: the most that one test has.';
COMMENT ON COLUMN read.exams.max_score IS 'Null of an adaptive exam: its tests are of different items.';
COMMENT ON COLUMN read.exams.bank_id IS 'Whose scale the pool is on: of a published adaptive exam alone.';
CREATE INDEX exams_on_bank ON read.exams (bank_id) WHERE bank_id IS NOT NULL;

CREATE TABLE read.adaptive_exams (
    exam_id   text COLLATE "C" PRIMARY KEY,
    zone_id   text COLLATE "C",
    org_id    text COLLATE "C",
    rules     jsonb NOT NULL,
    pool_size bigint NOT NULL
);
COMMENT ON TABLE read.adaptive_exams IS 'How items are chosen: for staff, as the rules name items of the pool.';

ALTER TABLE read.exam_items ADD COLUMN parameters jsonb;
COMMENT ON COLUMN read.exam_items.parameters IS 'a, b, c and d as pinned when an adaptive exam was published; null: a pretest item, or no adaptive exam.';

-- Attempts ---------------------------------------------------------------------------------------

ALTER TABLE read.attempts ADD COLUMN adaptive boolean NOT NULL DEFAULT false;

CREATE TABLE read.attempt_abilities (
    attempt_id        text COLLATE "C" PRIMARY KEY,
    exam_id           text COLLATE "C" NOT NULL,
    examinee_id       text COLLATE "C" NOT NULL,
    zone_id           text COLLATE "C",
    org_id            text COLLATE "C",
    prior_mean        double precision NOT NULL,
    prior_sd          double precision NOT NULL,
    carried_over_from text COLLATE "C",
    theta             double precision NOT NULL,
    se                double precision NOT NULL,
    method            text NOT NULL,
    items_presented   bigint NOT NULL,
    items_counted     bigint NOT NULL,
    stop_reason       text,
    category          bigint,
    bank_version      bigint NOT NULL,
    algorithm_version bigint NOT NULL
) WITH (fillfactor = 70);
COMMENT ON TABLE read.attempt_abilities IS 'What each adaptive attempt has found so far (logits).';
COMMENT ON COLUMN read.attempt_abilities.items_counted IS 'Responses that ability rests on: those to pretest items do not count.';
CREATE INDEX attempt_abilities_at_exam ON read.attempt_abilities (exam_id, attempt_id);

CREATE TABLE read.attempt_steps (
    attempt_id        text COLLATE "C",
    step              bigint,
    exam_id           text COLLATE "C" NOT NULL,
    examinee_id       text COLLATE "C" NOT NULL,
    zone_id           text COLLATE "C",
    org_id            text COLLATE "C",
    item_id           text COLLATE "C" NOT NULL,
    item_version      bigint NOT NULL,
    pretest           boolean NOT NULL,
    presented_at      timestamptz NOT NULL,
    theta_before      double precision NOT NULL,
    draw              double precision,
    responded_at      timestamptz,
    is_right          boolean,
    theta             double precision,
    se                double precision,
    bank_version      bigint NOT NULL,
    algorithm_version bigint NOT NULL,
    PRIMARY KEY (attempt_id, step)
) WITH (fillfactor = 70);
COMMENT ON TABLE read.attempt_steps IS 'Each item of an adaptive test as it was presented, and ability after its response.';
CREATE INDEX attempt_steps_at_exam ON read.attempt_steps (exam_id);
CREATE INDEX attempt_steps_of_item ON read.attempt_steps (item_id, item_version);

-- What the asker's own attempts open ---------------------------------------------------------------
-- As in 0020_read_models.sql: these run as the owner and are evaluated once per statement.

CREATE FUNCTION read.asker_forms() RETURNS SETOF text
    LANGUAGE sql STABLE SECURITY DEFINER ROWS 20 SET search_path = pg_catalog
    AS $$
        SELECT e.exam_id FROM read.exams e
        WHERE e.delivery = 'fixed'
          AND e.exam_id IN (SELECT a.exam_id FROM read.attempts a WHERE a.examinee_id = read.asker_id())
    $$;
COMMENT ON FUNCTION read.asker_forms() IS 'Exams of which the asker was given all items. Goes by the exam, whose row is written with its items.';

CREATE FUNCTION read.asker_presented_items()
    RETURNS TABLE (attempt_id text, step bigint, item_id text, item_version bigint)
    LANGUAGE sql STABLE SECURITY DEFINER ROWS 100 SET search_path = pg_catalog
    AS $$
        SELECT s.attempt_id, s.step, s.item_id, s.item_version
        FROM read.attempts a JOIN read.attempt_steps s ON s.attempt_id = a.attempt_id
        WHERE a.examinee_id = read.asker_id()
    $$;
COMMENT ON FUNCTION read.asker_presented_items() IS 'Of adaptive tests. Examinees see no row of attempt_steps: it holds ability.';

CREATE OR REPLACE FUNCTION read.asker_item_versions() RETURNS TABLE (item_id text, item_version bigint)
    LANGUAGE sql STABLE SECURITY DEFINER ROWS 200 SET search_path = pg_catalog
    AS $$
        SELECT i.item_id, i.item_version FROM read.exam_items i
        WHERE i.exam_id IN (SELECT read.asker_forms())
        UNION ALL
        SELECT own.item_id, own.item_version FROM read.asker_presented_items() own
    $$;

CREATE OR REPLACE FUNCTION read.asker_released_item_versions() RETURNS TABLE (item_id text, item_version bigint)
    LANGUAGE sql STABLE SECURITY DEFINER ROWS 200 SET search_path = pg_catalog
    AS $$
        SELECT i.item_id, i.item_version FROM read.exam_items i
        WHERE i.exam_id IN (
            SELECT a.exam_id FROM read.attempts a JOIN read.exams e ON e.exam_id = a.exam_id
            WHERE a.examinee_id = read.asker_id() AND a.status = 'scored' AND e.delivery = 'fixed'
              AND read.results_are_released(a.exam_id)
        )
    $$;
COMMENT ON FUNCTION read.asker_released_item_versions() IS 'Of fixed exams: read.item_keys holds parameters too. For adaptive ones see read.shown_keys.';

CREATE FUNCTION read.shown_keys(attempt text)
    RETURNS TABLE (item_id text, item_version bigint, key jsonb, explanation jsonb)
    LANGUAGE sql STABLE SECURITY DEFINER ROWS 50 SET search_path = pg_catalog
    AS $$
        SELECT k.item_id, k.item_version, k.key, k.explanation
        FROM read.attempts a
        JOIN read.adaptive_exams e ON e.exam_id = a.exam_id AND (e.rules ->> 'shows_key')::boolean
        JOIN read.attempt_steps s ON s.attempt_id = a.attempt_id AND s.responded_at IS NOT NULL
        JOIN read.item_keys k ON k.item_id = s.item_id AND k.item_version = s.item_version
        WHERE a.attempt_id = attempt AND a.examinee_id = read.asker_id() AND a.status = 'scored'
          AND (a.zone_id = read.asker_zone() OR read.asker_passes_zone_wall())
          AND read.results_are_released(a.exam_id)
    $$;
COMMENT ON FUNCTION read.shown_keys(text) IS 'What an examinee sees of the items answered in an adaptive test, where its rules show it: no parameters.';

REVOKE ALL ON FUNCTION read.asker_forms(), read.asker_presented_items(), read.shown_keys(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION read.asker_forms(), read.asker_presented_items(), read.shown_keys(text)
    TO megacity_reader;

-- Row-level security -------------------------------------------------------------------------------

DO $$
DECLARE
    table_name text;
BEGIN
    FOREACH table_name IN ARRAY ARRAY['adaptive_exams', 'attempt_abilities', 'attempt_steps'] LOOP
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

CREATE POLICY released ON read.attempt_abilities FOR SELECT TO megacity_reader
    USING (attempt_id IN (SELECT read.asker_released_attempts()));

-- The pool of an adaptive exam is nobody's but its staff's.
DROP POLICY examinee ON read.exam_items;
CREATE POLICY examinee ON read.exam_items FOR SELECT TO megacity_reader
    USING (exam_id IN (SELECT read.asker_forms()));
