-- Read models: rows that projections derive from the log, and who may see which of them.
--
-- Ids and codes are COLLATE "C": they are compared byte by byte, whatever the database's locale is, so
-- that lists have the same order everywhere and a fingerprint of the rows means the same on every machine.
-- Numbers that add up over examinees are numeric: exact, and never too large.

-- Checkpoints ------------------------------------------------------------------------------------

CREATE TABLE ops.projections (
    name            text COLLATE "C" PRIMARY KEY,
    version         integer NOT NULL,
    position        bigint NOT NULL DEFAULT 0,
    status          text NOT NULL DEFAULT 'running' CHECK (status IN ('running', 'failed')),
    error           text,
    failed_position bigint,
    updated_at      timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE ops.projections IS 'How far each projection has come; written in the transaction that writes its rows.';
GRANT SELECT, INSERT, UPDATE ON ops.projections TO megacity_projector;
-- The write side may look (lag in /readyz), and has no business here beyond that.
REVOKE INSERT, UPDATE, DELETE ON ops.projections FROM megacity_writer;
GRANT SELECT ON ops.projections TO megacity_writer;

-- People -----------------------------------------------------------------------------------------

CREATE TABLE read.people (
    user_id       text COLLATE "C" PRIMARY KEY,
    zone_id       text COLLATE "C",
    org_id        text COLLATE "C",
    display_name  text NOT NULL,
    language      text NOT NULL,
    email         text,
    roles         jsonb NOT NULL,
    registered_at timestamptz NOT NULL,
    version       bigint NOT NULL
);

-- Catalogue: item banks, items, exams ------------------------------------------------------------

CREATE TABLE read.item_banks (
    bank_id     text COLLATE "C" PRIMARY KEY,
    zone_id     text COLLATE "C",
    org_id      text COLLATE "C",
    name        text NOT NULL,
    description text NOT NULL,
    created_at  timestamptz NOT NULL,
    version     bigint NOT NULL
);

CREATE TABLE read.item_versions (
    item_id      text COLLATE "C",
    item_version bigint,
    bank_id      text COLLATE "C" NOT NULL,
    zone_id      text COLLATE "C",
    org_id       text COLLATE "C",
    code         text COLLATE "C" NOT NULL,
    kind         text NOT NULL,
    content_area text NOT NULL,
    points       bigint NOT NULL,
    public       jsonb NOT NULL,
    newest       boolean NOT NULL,
    created_at   timestamptz NOT NULL,
    version      bigint NOT NULL,
    PRIMARY KEY (item_id, item_version)
);
COMMENT ON COLUMN read.item_versions.public IS 'Stem and options: what an examinee sees. Never key, explanation or parameters.';
CREATE INDEX item_versions_of_bank ON read.item_versions (bank_id, item_id) WHERE newest;

CREATE TABLE read.item_keys (
    item_id      text COLLATE "C",
    item_version bigint,
    zone_id      text COLLATE "C",
    org_id       text COLLATE "C",
    key          jsonb NOT NULL,
    explanation  jsonb,
    irt          jsonb,
    PRIMARY KEY (item_id, item_version)
);
COMMENT ON TABLE read.item_keys IS 'Key, explanation and parameters live here alone: nothing that an examinee fetches before release touches it.';

CREATE TABLE read.exams (
    exam_id          text COLLATE "C" PRIMARY KEY,
    zone_id          text COLLATE "C",
    org_id           text COLLATE "C",
    status           text NOT NULL CHECK (status IN ('draft', 'published', 'closed')),
    title            jsonb NOT NULL,
    description      jsonb NOT NULL,
    time_limit_s     bigint,
    opens_at         timestamptz,
    closes_at        timestamptz,
    attempts_allowed bigint NOT NULL,
    release          text NOT NULL,
    audience         text NOT NULL,
    item_count       bigint NOT NULL,
    max_score        numeric NOT NULL,
    results_released boolean NOT NULL,
    drafted_at       timestamptz,
    published_at     timestamptz,
    closed_at        timestamptz,
    version          bigint NOT NULL
);

CREATE TABLE read.exam_items (
    exam_id      text COLLATE "C",
    ordinal      bigint,
    item_id      text COLLATE "C" NOT NULL,
    item_version bigint NOT NULL,
    zone_id      text COLLATE "C",
    org_id       text COLLATE "C",
    PRIMARY KEY (exam_id, ordinal)
);

-- Attempts ---------------------------------------------------------------------------------------

CREATE TABLE read.attempts (
    attempt_id      text COLLATE "C" PRIMARY KEY,
    exam_id         text COLLATE "C" NOT NULL,
    examinee_id     text COLLATE "C" NOT NULL,
    zone_id         text COLLATE "C",
    org_id          text COLLATE "C",
    ordinal         bigint NOT NULL,
    status          text NOT NULL CHECK (status IN ('in_progress', 'submitted', 'scored')),
    started_at      timestamptz NOT NULL,
    deadline        timestamptz,
    grace_s         double precision NOT NULL,
    submitted_at    timestamptz,
    submitted_by    text,
    scored_at       timestamptz,
    score           numeric,
    max_score       numeric,
    responses_given bigint NOT NULL,
    version         bigint NOT NULL
);
COMMENT ON COLUMN read.attempts.version IS 'The last version of the attempt''s stream that these rows show.';
CREATE INDEX attempts_at_exam ON read.attempts (exam_id, attempt_id);
CREATE INDEX attempts_of_examinee ON read.attempts (examinee_id, exam_id);
-- What is due: looked for every second.
CREATE INDEX attempts_in_progress ON read.attempts (deadline) WHERE status = 'in_progress';

CREATE TABLE read.attempt_responses (
    attempt_id   text COLLATE "C",
    item_id      text COLLATE "C",
    item_version bigint NOT NULL,
    examinee_id  text COLLATE "C" NOT NULL,
    zone_id      text COLLATE "C",
    org_id       text COLLATE "C",
    response     jsonb,
    sequence     bigint NOT NULL,
    responded_at timestamptz NOT NULL,
    changes      bigint NOT NULL,
    PRIMARY KEY (attempt_id, item_id)
);

CREATE TABLE read.scored_items (
    attempt_id   text COLLATE "C",
    item_id      text COLLATE "C",
    item_version bigint NOT NULL,
    exam_id      text COLLATE "C" NOT NULL,
    examinee_id  text COLLATE "C" NOT NULL,
    zone_id      text COLLATE "C",
    org_id       text COLLATE "C",
    score        bigint NOT NULL,
    max_score    bigint NOT NULL,
    PRIMARY KEY (attempt_id, item_id)
);

-- Item analysis: whole-number sums, from which every statistic follows -----------------------------

CREATE TABLE read.analysis_items (
    item_id      text COLLATE "C",
    item_version bigint,
    zone_id      text COLLATE "C",
    org_id       text COLLATE "C",
    points       bigint NOT NULL,
    options      jsonb NOT NULL,
    PRIMARY KEY (item_id, item_version)
);
COMMENT ON TABLE read.analysis_items IS 'Points and option ids of each item version: what the projection needs when an exam is published.';

CREATE TABLE read.exam_statistics (
    exam_id           text COLLATE "C" PRIMARY KEY,
    zone_id           text COLLATE "C",
    org_id            text COLLATE "C",
    items             bigint NOT NULL,
    max_score         numeric NOT NULL,
    n                 bigint NOT NULL,
    sum_score         numeric NOT NULL,
    sum_score_squared numeric NOT NULL
);

CREATE TABLE read.item_statistics (
    exam_id              text COLLATE "C",
    ordinal              bigint,
    item_id              text COLLATE "C" NOT NULL,
    item_version         bigint NOT NULL,
    zone_id              text COLLATE "C",
    org_id               text COLLATE "C",
    max_score            bigint NOT NULL,
    n                    bigint NOT NULL,
    answered             bigint NOT NULL,
    sum_item             numeric NOT NULL,
    sum_item_squared     numeric NOT NULL,
    sum_item_times_total numeric NOT NULL,
    PRIMARY KEY (exam_id, ordinal)
);

CREATE TABLE read.option_statistics (
    exam_id   text COLLATE "C",
    item_id   text COLLATE "C",
    option    text COLLATE "C",
    ordinal   bigint NOT NULL,
    zone_id   text COLLATE "C",
    org_id    text COLLATE "C",
    chosen    bigint NOT NULL,
    sum_total numeric NOT NULL,
    PRIMARY KEY (exam_id, item_id, option)
);

CREATE TABLE read.score_distribution (
    exam_id   text COLLATE "C",
    score     numeric,
    zone_id   text COLLATE "C",
    org_id    text COLLATE "C",
    examinees bigint NOT NULL,
    PRIMARY KEY (exam_id, score)
);

-- Positions, for consistency tokens ----------------------------------------------------------------
-- The reader sees neither the log nor ops; it learns two numbers.

CREATE FUNCTION read.projection_position(projection text) RETURNS bigint
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog
    AS $$ SELECT p.position FROM ops.projections p WHERE p.name = projection $$;

CREATE FUNCTION read.position_of(stream_id text, version bigint) RETURNS bigint
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog
    AS $$
        SELECT e.notification_id FROM log.megacity_events e
        WHERE e.originator_id = stream_id AND e.originator_version = version
    $$;

-- Who asks -----------------------------------------------------------------------------------------
-- The read side sets app.user_id, app.zone_id, app.org_ids and app.roles in each transaction; where they are
-- not set nobody asks, and nothing is visible. app.roles holds entries such as `student` (everywhere in the
-- zone) and `teacher@organization-...` (there alone), separated by commas.

CREATE FUNCTION read.asker_id() RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog
    AS $$ SELECT nullif(current_setting('app.user_id', true), '') $$;

CREATE FUNCTION read.asker_zone() RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog
    AS $$ SELECT nullif(current_setting('app.zone_id', true), '') $$;

CREATE FUNCTION read.asker_passes_zone_wall() RETURNS boolean
    LANGUAGE sql STABLE SET search_path = pg_catalog
    AS $$ SELECT 'sys_admin' = ANY (string_to_array(coalesce(current_setting('app.roles', true), ''), ',')) $$;

CREATE FUNCTION read.asker_orgs() RETURNS text[]
    LANGUAGE sql STABLE SET search_path = pg_catalog
    AS $$ SELECT string_to_array(coalesce(current_setting('app.org_ids', true), ''), ',') $$;

CREATE FUNCTION read.asker_staff_orgs() RETURNS text[]
    LANGUAGE sql STABLE SET search_path = pg_catalog
    AS $$
        SELECT coalesce(array_agg(split_part(grants.entry, '@', 2)), '{}')
        FROM unnest(string_to_array(coalesce(current_setting('app.roles', true), ''), ',')) AS grants(entry)
        WHERE split_part(grants.entry, '@', 1) IN ('teacher', 'tutor', 'org_admin', 'service')
          AND split_part(grants.entry, '@', 2) <> ''
    $$;
COMMENT ON FUNCTION read.asker_staff_orgs() IS 'Organisations that the asker works for.';

CREATE FUNCTION read.asker_is_zone_staff() RETURNS boolean
    LANGUAGE sql STABLE SET search_path = pg_catalog
    AS $$
        SELECT string_to_array(coalesce(current_setting('app.roles', true), ''), ',')
               && ARRAY['teacher', 'tutor', 'org_admin', 'service']
    $$;
COMMENT ON FUNCTION read.asker_is_zone_staff() IS 'Whether a staff role was granted for the whole zone.';

CREATE FUNCTION read.asker_is_staff_of(org text) RETURNS boolean
    LANGUAGE sql STABLE SET search_path = pg_catalog
    AS $$ SELECT coalesce(org = ANY (read.asker_staff_orgs()), false) OR read.asker_is_zone_staff() $$;

-- What the asker's own attempts open. These run as the owner, so that one table's policy may look into
-- another table without asking that table's policies in turn (they would ask back, for ever). Policies name
-- them in uncorrelated subqueries: each is evaluated once per statement, not once per row.

CREATE FUNCTION read.asker_exams() RETURNS SETOF text
    LANGUAGE sql STABLE SECURITY DEFINER ROWS 20 SET search_path = pg_catalog
    AS $$ SELECT a.exam_id FROM read.attempts a WHERE a.examinee_id = read.asker_id() $$;

CREATE FUNCTION read.asker_item_versions() RETURNS TABLE (item_id text, item_version bigint)
    LANGUAGE sql STABLE SECURITY DEFINER ROWS 200 SET search_path = pg_catalog
    AS $$
        SELECT i.item_id, i.item_version FROM read.exam_items i
        WHERE i.exam_id IN (SELECT a.exam_id FROM read.attempts a WHERE a.examinee_id = read.asker_id())
    $$;

CREATE FUNCTION read.results_are_released(exam text) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog
    AS $$
        SELECT coalesce((
            SELECT e.results_released
                OR e.release = 'at_once'
                -- Closing hands in what runs; until the last of those is in, the key would help it.
                OR (e.release = 'after_closing' AND e.status = 'closed' AND NOT EXISTS (
                    SELECT FROM read.attempts a WHERE a.exam_id = e.exam_id AND a.status = 'in_progress'))
            FROM read.exams e WHERE e.exam_id = exam
        ), false)
    $$;
COMMENT ON FUNCTION read.results_are_released(text) IS 'The release rule, said in this one place: queries and policies ask here.';

CREATE FUNCTION read.asker_released_attempts() RETURNS SETOF text
    LANGUAGE sql STABLE SECURITY DEFINER ROWS 20 SET search_path = pg_catalog
    AS $$
        SELECT a.attempt_id FROM read.attempts a
        WHERE a.examinee_id = read.asker_id() AND a.status = 'scored' AND read.results_are_released(a.exam_id)
    $$;

CREATE FUNCTION read.asker_released_item_versions() RETURNS TABLE (item_id text, item_version bigint)
    LANGUAGE sql STABLE SECURITY DEFINER ROWS 200 SET search_path = pg_catalog
    AS $$
        SELECT i.item_id, i.item_version FROM read.exam_items i
        WHERE i.exam_id IN (
            SELECT a.exam_id FROM read.attempts a
            WHERE a.examinee_id = read.asker_id() AND a.status = 'scored'
              AND read.results_are_released(a.exam_id)
        )
    $$;

DO $$
DECLARE
    function_name text;
BEGIN
    FOREACH function_name IN ARRAY ARRAY[
        'projection_position(text)', 'position_of(text, bigint)', 'asker_id()', 'asker_zone()',
        'asker_passes_zone_wall()', 'asker_orgs()', 'asker_staff_orgs()', 'asker_is_zone_staff()',
        'asker_is_staff_of(text)', 'asker_exams()', 'asker_item_versions()', 'results_are_released(text)',
        'asker_released_attempts()', 'asker_released_item_versions()'
    ] LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION read.%s FROM PUBLIC', function_name);
        EXECUTE format('GRANT EXECUTE ON FUNCTION read.%s TO megacity_reader', function_name);
    END LOOP;
END $$;

-- Row-level security -------------------------------------------------------------------------------
-- For the reader every table has the zone wall (restrictive: it narrows whatever else is allowed) and is open
-- to the staff of the row's organisation; what opens it to others follows below.

DO $$
DECLARE
    table_name text;
BEGIN
    FOREACH table_name IN ARRAY ARRAY[
        'people', 'item_banks', 'item_versions', 'item_keys', 'exams', 'exam_items', 'attempts',
        'attempt_responses', 'scored_items', 'analysis_items', 'exam_statistics', 'item_statistics',
        'option_statistics', 'score_distribution'
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

CREATE POLICY oneself ON read.people FOR SELECT TO megacity_reader
    USING (user_id = (SELECT read.asker_id()));

CREATE POLICY audience ON read.exams FOR SELECT TO megacity_reader
    USING (
        status <> 'draft'
        AND (
            audience = 'zone'
            OR org_id = ANY ((SELECT read.asker_orgs())::text[])
            OR exam_id IN (SELECT read.asker_exams())
        )
    );

CREATE POLICY examinee ON read.exam_items FOR SELECT TO megacity_reader
    USING (exam_id IN (SELECT read.asker_exams()));

CREATE POLICY examinee ON read.item_versions FOR SELECT TO megacity_reader
    USING ((item_id, item_version) IN (SELECT own.item_id, own.item_version FROM read.asker_item_versions() own));

CREATE POLICY released ON read.item_keys FOR SELECT TO megacity_reader
    USING (
        (item_id, item_version)
        IN (SELECT own.item_id, own.item_version FROM read.asker_released_item_versions() own)
    );

CREATE POLICY own ON read.attempts FOR SELECT TO megacity_reader
    USING (examinee_id = (SELECT read.asker_id()));

CREATE POLICY own ON read.attempt_responses FOR SELECT TO megacity_reader
    USING (examinee_id = (SELECT read.asker_id()));

CREATE POLICY released ON read.scored_items FOR SELECT TO megacity_reader
    USING (attempt_id IN (SELECT read.asker_released_attempts()));
