-- Who may see which rows of the read side, said anew and in one place: docs/row-level-security.md.
--
-- What an asker may do is what the token says and what the rows of `access` say now: a role that was taken away
-- shows nothing at the very next read, however long the token lives. Programs hold no memberships; theirs is what
-- the token says.
--
-- Every policy calls functions in uncorrelated subqueries: they are evaluated once for a statement, not for each
-- row. They run as the owner, so that the policy of one table may look into another; PL/pgSQL keeps their plans,
-- which go by arrays, as those lead to an index whatever the planner thinks of a function.
-- No policy names another table than its own, as a table that is rebuilt changes places with another.

-- The asker ------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION read.asker_id() RETURNS text
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog
    AS $$
DECLARE
    asker text := nullif(current_setting('app.user_id', true), '');
BEGIN
    IF EXISTS (SELECT FROM read.accounts a WHERE a.user_id = asker AND NOT a.active) THEN
        RETURN NULL;
    END IF;
    RETURN asker;
END $$;
COMMENT ON FUNCTION read.asker_id() IS 'Null where nobody asks, or somebody whose account was deactivated.';

CREATE OR REPLACE FUNCTION read.asker_zone() RETURNS text
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog
    AS $$
BEGIN
    RETURN CASE WHEN read.asker_id() IS NOT NULL THEN nullif(current_setting('app.zone_id', true), '') END;
END $$;

CREATE FUNCTION read.asker_grants() RETURNS TABLE (role text, org_id text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 4 SET search_path = pg_catalog
    AS $$
DECLARE
    asker text := read.asker_id();
BEGIN
    RETURN QUERY
        SELECT named.role, nullif(named.org, '')
        FROM (
            SELECT split_part(entries.entry, '@', 1), split_part(entries.entry, '@', 2)
            FROM unnest(string_to_array(current_setting('app.roles', true), ',')) AS entries(entry)
        ) AS named(role, org)
        WHERE named.role <> '' AND (
            starts_with(asker, 'client-')
            OR EXISTS (
                SELECT FROM read.memberships m
                WHERE m.user_id = asker AND m.role = named.role
                  AND m.place = coalesce(nullif(named.org, ''), 'zone')
                  AND m.zone_id = current_setting('app.zone_id', true)
            )
        );
END $$;
COMMENT ON FUNCTION read.asker_grants() IS 'The roles that the token names and that the asker still holds.';

CREATE FUNCTION read.asker_holds(VARIADIC roles text[]) RETURNS boolean
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog
    AS $$
BEGIN
    RETURN EXISTS (SELECT FROM read.asker_grants() g WHERE g.org_id IS NULL AND g.role = ANY (roles));
END $$;
COMMENT ON FUNCTION read.asker_holds(text[]) IS 'Whether one of these roles is held in the whole zone.';

CREATE FUNCTION read.asker_orgs_as(VARIADIC roles text[]) RETURNS text[]
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog
    AS $$
BEGIN
    RETURN coalesce(
        (SELECT array_agg(g.org_id) FROM read.asker_grants() g WHERE g.org_id IS NOT NULL AND g.role = ANY (roles)),
        '{}'
    );
END $$;
COMMENT ON FUNCTION read.asker_orgs_as(text[]) IS 'The organisations in which one of these roles is held.';

-- Roles, as the policies ask for them. `staff` work with an organisation's exams and items; those who
-- `administer` it see its people and what they did.

CREATE OR REPLACE FUNCTION read.asker_passes_zone_wall() RETURNS boolean
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog
    AS $$ BEGIN RETURN read.asker_holds('sys_admin'); END $$;

CREATE OR REPLACE FUNCTION read.asker_orgs() RETURNS text[]
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog
    AS $$
BEGIN
    RETURN coalesce((SELECT array_agg(g.org_id) FROM read.asker_grants() g WHERE g.org_id IS NOT NULL), '{}');
END $$;

CREATE OR REPLACE FUNCTION read.asker_staff_orgs() RETURNS text[]
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog
    AS $$ BEGIN RETURN read.asker_orgs_as('teacher', 'tutor', 'org_admin', 'service'); END $$;

CREATE OR REPLACE FUNCTION read.asker_is_zone_staff() RETURNS boolean
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog
    AS $$ BEGIN RETURN read.asker_holds('teacher', 'tutor', 'org_admin', 'service'); END $$;

CREATE FUNCTION read.asker_administered_orgs() RETURNS text[]
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog
    AS $$ BEGIN RETURN read.asker_orgs_as('org_admin', 'service'); END $$;

CREATE FUNCTION read.asker_administers_zone() RETURNS boolean
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog
    AS $$ BEGIN RETURN read.asker_holds('org_admin', 'service'); END $$;
COMMENT ON FUNCTION read.asker_administers_zone() IS 'All organisations of the zone. Administrators of the zone itself see no people.';

CREATE FUNCTION read.asker_is_zone_admin() RETURNS boolean
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog
    AS $$ BEGIN RETURN read.asker_holds('zone_admin'); END $$;

CREATE OR REPLACE FUNCTION read.asker_may_audit_zone() RETURNS boolean
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog
    AS $$ BEGIN RETURN read.asker_holds('zone_admin', 'org_admin'); END $$;

CREATE OR REPLACE FUNCTION read.asker_audited_orgs() RETURNS text[]
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog
    AS $$ BEGIN RETURN read.asker_orgs_as('org_admin'); END $$;

DROP FUNCTION read.asker_is_staff_of(text);
CREATE FUNCTION read.asker_is_staff_of(org text, zone text) RETURNS boolean
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog
    AS $$
BEGIN
    RETURN coalesce(zone = read.asker_zone(), false)
        AND (read.asker_is_zone_staff() OR coalesce(org = ANY (read.asker_staff_orgs()), false));
END $$;
COMMENT ON FUNCTION read.asker_is_staff_of(text, text) IS 'Of an organisation''s exam: whether the asker is shown what its staff is shown.';

-- Relations: whom the asker answers for, and whom the asker teaches ----------------------------------------

CREATE FUNCTION read.asker_examinees() RETURNS SETOF text
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 2 SET search_path = pg_catalog
    AS $$
DECLARE
    asker text := read.asker_id();
BEGIN
    IF asker IS NOT NULL THEN
        RETURN NEXT asker;
        RETURN QUERY
            SELECT l.student_id FROM read.parent_links l WHERE l.parent_id = asker AND l.status = 'approved';
    END IF;
END $$;
COMMENT ON FUNCTION read.asker_examinees() IS 'The asker, and the children that the asker is linked with.';

CREATE FUNCTION read.asker_taught_classes() RETURNS SETOF text
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 10 SET search_path = pg_catalog
    AS $$
BEGIN
    RETURN QUERY
        SELECT c.class_id
        FROM read.class_members m JOIN read.classes c ON c.class_id = m.class_id AND c.closed_at IS NULL
        WHERE m.user_id = read.asker_id() AND m.part = 'teacher' AND EXISTS (
            SELECT FROM read.asker_grants() g
            WHERE g.role IN ('teacher', 'tutor') AND (g.org_id IS NULL OR g.org_id = m.org_id)
        );
END $$;
COMMENT ON FUNCTION read.asker_taught_classes() IS 'Open classes whose teacher the asker is, and still may be.';

CREATE FUNCTION read.asker_attended_classes() RETURNS SETOF text
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 5 SET search_path = pg_catalog
    AS $$
BEGIN
    RETURN QUERY
        SELECT m.class_id FROM read.class_members m
        WHERE m.user_id = read.asker_id() AND m.part = 'student' AND EXISTS (
            SELECT FROM read.asker_grants() g
            WHERE g.role = 'student' AND (g.org_id IS NULL OR g.org_id = m.org_id)
        );
END $$;

CREATE FUNCTION read.asker_students() RETURNS TABLE (org_id text, user_id text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 100 SET search_path = pg_catalog
    AS $$
BEGIN
    RETURN QUERY
        SELECT DISTINCT m.org_id, m.user_id FROM read.class_members m
        WHERE m.part = 'student' AND m.class_id = ANY (ARRAY(SELECT read.asker_taught_classes()));
END $$;
COMMENT ON FUNCTION read.asker_students() IS 'The students of the asker''s classes: what they do at other organisations is theirs.';

CREATE FUNCTION read.asker_authored_exams() RETURNS SETOF text
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 20 SET search_path = pg_catalog
    AS $$
BEGIN
    RETURN QUERY
        SELECT e.exam_id FROM read.exams e
        WHERE e.author_id = read.asker_id() AND e.zone_id = read.asker_zone() AND EXISTS (
            SELECT FROM read.asker_grants() g
            WHERE g.role IN ('teacher', 'tutor', 'org_admin') AND (g.org_id IS NULL OR g.org_id = e.org_id)
        );
END $$;
COMMENT ON FUNCTION read.asker_authored_exams() IS 'Exams that the asker drafted, and for whose organisation the asker still works.';

CREATE FUNCTION read.asker_people() RETURNS SETOF text
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 1000 SET search_path = pg_catalog
    AS $$
BEGIN
    RETURN QUERY
        SELECT m.user_id FROM read.memberships m WHERE m.org_id = ANY (read.asker_administered_orgs())
        UNION ALL
        SELECT s.user_id FROM read.asker_students() s
        UNION ALL
        SELECT a.examinee_id FROM read.attempts a WHERE a.exam_id = ANY (ARRAY(SELECT read.asker_authored_exams()));
END $$;
COMMENT ON FUNCTION read.asker_people() IS 'Whose names the asker works with.';

-- What the attempts of the asker, and of the asker's children, open -----------------------------------------

CREATE OR REPLACE FUNCTION read.asker_exams() RETURNS SETOF text
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 20 SET search_path = pg_catalog
    AS $$
BEGIN
    RETURN QUERY
        SELECT a.exam_id FROM read.attempts a WHERE a.examinee_id = ANY (ARRAY(SELECT read.asker_examinees()));
END $$;

CREATE OR REPLACE FUNCTION read.asker_forms() RETURNS SETOF text
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 20 SET search_path = pg_catalog
    AS $$
BEGIN
    RETURN QUERY
        SELECT e.exam_id FROM read.exams e
        WHERE e.delivery = 'fixed' AND e.exam_id = ANY (ARRAY(SELECT read.asker_exams()));
END $$;

CREATE OR REPLACE FUNCTION read.asker_presented_items()
    RETURNS TABLE (attempt_id text, step bigint, item_id text, item_version bigint)
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 100 SET search_path = pg_catalog
    AS $$
BEGIN
    RETURN QUERY
        SELECT s.attempt_id, s.step, s.item_id, s.item_version
        FROM read.attempts a JOIN read.attempt_steps s ON s.attempt_id = a.attempt_id
        WHERE a.examinee_id = ANY (ARRAY(SELECT read.asker_examinees()))
          AND (a.zone_id = read.asker_zone() OR read.asker_passes_zone_wall());
END $$;

CREATE OR REPLACE FUNCTION read.asker_item_versions() RETURNS TABLE (item_id text, item_version bigint)
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 200 SET search_path = pg_catalog
    AS $$
BEGIN
    RETURN QUERY
        SELECT i.item_id, i.item_version FROM read.exam_items i
        WHERE i.exam_id = ANY (ARRAY(SELECT read.asker_forms()))
        UNION ALL
        SELECT own.item_id, own.item_version FROM read.asker_presented_items() own;
END $$;

CREATE OR REPLACE FUNCTION read.asker_released_attempts() RETURNS SETOF text
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 20 SET search_path = pg_catalog
    AS $$
BEGIN
    RETURN QUERY
        SELECT a.attempt_id FROM read.attempts a
        WHERE a.examinee_id = ANY (ARRAY(SELECT read.asker_examinees())) AND a.status = 'scored'
          AND read.results_are_released(a.exam_id);
END $$;

CREATE OR REPLACE FUNCTION read.asker_released_item_versions() RETURNS TABLE (item_id text, item_version bigint)
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 200 SET search_path = pg_catalog
    AS $$
BEGIN
    RETURN QUERY
        SELECT i.item_id, i.item_version FROM read.exam_items i
        WHERE i.exam_id = ANY (ARRAY(
            SELECT a.exam_id FROM read.attempts a JOIN read.exams e ON e.exam_id = a.exam_id
            WHERE a.attempt_id = ANY (ARRAY(SELECT read.asker_released_attempts())) AND e.delivery = 'fixed'
        ));
END $$;

CREATE OR REPLACE FUNCTION read.shown_keys(attempt text)
    RETURNS TABLE (item_id text, item_version bigint, key jsonb, explanation jsonb)
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 50 SET search_path = pg_catalog
    AS $$
BEGIN
    RETURN QUERY
        SELECT k.item_id, k.item_version, k.key, k.explanation
        FROM read.attempts a
        JOIN read.adaptive_exams e ON e.exam_id = a.exam_id AND (e.rules ->> 'shows_key')::boolean
        JOIN read.attempt_steps s ON s.attempt_id = a.attempt_id AND s.responded_at IS NOT NULL
        JOIN read.item_keys k ON k.item_id = s.item_id AND k.item_version = s.item_version
        WHERE a.attempt_id = attempt AND a.examinee_id IN (SELECT read.asker_examinees()) AND a.status = 'scored'
          AND (a.zone_id = read.asker_zone() OR read.asker_passes_zone_wall())
          AND read.results_are_released(a.exam_id);
END $$;

DO $$
DECLARE
    function_name text;
BEGIN
    FOREACH function_name IN ARRAY ARRAY[
        'asker_grants()', 'asker_holds(text[])', 'asker_orgs_as(text[])', 'asker_administered_orgs()',
        'asker_administers_zone()', 'asker_is_zone_admin()', 'asker_is_staff_of(text, text)', 'asker_examinees()',
        'asker_taught_classes()', 'asker_attended_classes()', 'asker_students()', 'asker_authored_exams()',
        'asker_people()'
    ] LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION read.%s FROM PUBLIC', function_name);
        EXECUTE format('GRANT EXECUTE ON FUNCTION read.%s TO megacity_reader', function_name);
    END LOOP;
END $$;

-- Policies ---------------------------------------------------------------------------------------------------
-- The zone wall is restrictive: it narrows whatever else is allowed. What a role opens beside sys_admin is in the
-- asker's own zone, or two roles would add up to more than each of them shows.

DO $$
DECLARE
    old record;
    table_name text;
    own_zone constant text := 'zone_id = (SELECT read.asker_zone())';
    staff constant text := '(org_id = ANY ((SELECT read.asker_staff_orgs())::text[]) OR (SELECT read.asker_is_zone_staff()))';
    administration constant text := '(org_id = ANY ((SELECT read.asker_administered_orgs())::text[]) OR (SELECT read.asker_administers_zone()))';
    taught constant text := '((org_id, examinee_id) IN (SELECT s.org_id, s.user_id FROM read.asker_students() s) OR exam_id IN (SELECT read.asker_authored_exams()))';
BEGIN
    FOR old IN
        SELECT p.polname, c.relname FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid
        WHERE c.relnamespace = 'read'::regnamespace AND c.relname = ANY (ARRAY[
            'people', 'item_banks', 'item_versions', 'item_keys', 'exams', 'exam_items', 'adaptive_exams',
            'attempts', 'attempt_responses', 'scored_items', 'attempt_abilities', 'attempt_steps', 'analysis_items',
            'exam_statistics', 'item_statistics', 'option_statistics', 'score_distribution', 'audit_entries',
            'bank_scales', 'calibrations', 'calibrated_items', 'promoted_items', 'drift_alarms'
        ]) AND p.polname NOT IN ('everything', 'zone_wall')
    LOOP
        EXECUTE format('DROP POLICY %I ON read.%I', old.polname, old.relname);
    END LOOP;

    FOREACH table_name IN ARRAY ARRAY[
        'accounts', 'memberships', 'organizations', 'classes', 'class_members', 'parent_links', 'attempt_scores'
    ] LOOP
        EXECUTE format(
            'CREATE POLICY zone_wall ON read.%I AS RESTRICTIVE FOR SELECT TO megacity_reader '
            'USING (%s OR (SELECT read.asker_passes_zone_wall()))', table_name, own_zone
        );
    END LOOP;

    -- What an organisation works with: for its staff.
    FOREACH table_name IN ARRAY ARRAY[
        'item_banks', 'item_versions', 'item_keys', 'exams', 'exam_items', 'adaptive_exams', 'analysis_items',
        'exam_statistics', 'item_statistics', 'option_statistics', 'score_distribution', 'bank_scales',
        'calibrations', 'calibrated_items', 'promoted_items', 'drift_alarms'
    ] LOOP
        EXECUTE format('CREATE POLICY staff ON read.%I FOR SELECT TO megacity_reader USING (%s AND %s)',
                       table_name, own_zone, staff);
    END LOOP;

    -- What people did: for those who administer the organisation, and for those who teach them.
    FOREACH table_name IN ARRAY ARRAY[
        'attempts', 'attempt_responses', 'attempt_scores', 'scored_items', 'attempt_abilities', 'attempt_steps'
    ] LOOP
        EXECUTE format('CREATE POLICY administration ON read.%I FOR SELECT TO megacity_reader USING (%s AND %s)',
                       table_name, own_zone, administration);
        EXECUTE format('CREATE POLICY teacher ON read.%I FOR SELECT TO megacity_reader USING (%s AND %s)',
                       table_name, own_zone, taught);
    END LOOP;
    FOREACH table_name IN ARRAY ARRAY['memberships', 'classes', 'class_members'] LOOP
        EXECUTE format('CREATE POLICY administration ON read.%I FOR SELECT TO megacity_reader USING (%s AND %s)',
                       table_name, own_zone, administration);
    END LOOP;
END $$;

-- Oneself, and one's children.

CREATE POLICY own ON read.attempts FOR SELECT TO megacity_reader
    USING (examinee_id IN (SELECT read.asker_examinees()));
CREATE POLICY own ON read.attempt_responses FOR SELECT TO megacity_reader
    USING (examinee_id IN (SELECT read.asker_examinees()));
CREATE POLICY released ON read.attempt_scores FOR SELECT TO megacity_reader
    USING (attempt_id IN (SELECT read.asker_released_attempts()));
CREATE POLICY released ON read.scored_items FOR SELECT TO megacity_reader
    USING (attempt_id IN (SELECT read.asker_released_attempts()));
CREATE POLICY released ON read.attempt_abilities FOR SELECT TO megacity_reader
    USING (attempt_id IN (SELECT read.asker_released_attempts()));

CREATE POLICY examinee ON read.exam_items FOR SELECT TO megacity_reader
    USING (exam_id IN (SELECT read.asker_forms()));
CREATE POLICY examinee ON read.item_versions FOR SELECT TO megacity_reader
    USING ((item_id, item_version) IN (SELECT own.item_id, own.item_version FROM read.asker_item_versions() own));
CREATE POLICY released ON read.item_keys FOR SELECT TO megacity_reader
    USING (
        (item_id, item_version)
        IN (SELECT own.item_id, own.item_version FROM read.asker_released_item_versions() own)
    );

CREATE POLICY oneself ON read.people FOR SELECT TO megacity_reader
    USING (user_id IN (SELECT read.asker_examinees()));
CREATE POLICY known ON read.people FOR SELECT TO megacity_reader
    USING (
        zone_id = (SELECT read.asker_zone())
        AND ((SELECT read.asker_administers_zone()) OR user_id IN (SELECT read.asker_people()))
    );

CREATE POLICY oneself ON read.accounts FOR SELECT TO megacity_reader
    USING (user_id = (SELECT read.asker_id()));
CREATE POLICY oneself ON read.memberships FOR SELECT TO megacity_reader
    USING (user_id = (SELECT read.asker_id()));
CREATE POLICY oneself ON read.class_members FOR SELECT TO megacity_reader
    USING (user_id = (SELECT read.asker_id()));
CREATE POLICY ends ON read.parent_links FOR SELECT TO megacity_reader
    USING ((SELECT read.asker_id()) IN (parent_id, student_id));

CREATE POLICY taught ON read.class_members FOR SELECT TO megacity_reader
    USING (class_id IN (SELECT read.asker_taught_classes()) AND zone_id = (SELECT read.asker_zone()));
CREATE POLICY member ON read.classes FOR SELECT TO megacity_reader
    USING (
        zone_id = (SELECT read.asker_zone())
        AND (
            class_id IN (SELECT read.asker_taught_classes())
            OR class_id IN (SELECT read.asker_attended_classes())
        )
    );

-- Exams and organisations.

CREATE POLICY audience ON read.exams FOR SELECT TO megacity_reader
    USING (
        status <> 'draft'
        AND (
            audience = 'zone'
            OR (zone_id = (SELECT read.asker_zone()) AND org_id = ANY ((SELECT read.asker_orgs())::text[]))
            OR exam_id IN (SELECT read.asker_exams())
        )
    );
CREATE POLICY zone_admin ON read.exams FOR SELECT TO megacity_reader
    USING (zone_id = (SELECT read.asker_zone()) AND (SELECT read.asker_is_zone_admin()));

CREATE POLICY member ON read.organizations FOR SELECT TO megacity_reader
    USING (
        zone_id = (SELECT read.asker_zone())
        AND (
            org_id = ANY ((SELECT read.asker_orgs())::text[])
            OR (SELECT read.asker_is_zone_staff())
            OR (SELECT read.asker_is_zone_admin())
        )
    );
CREATE POLICY sys_admin ON read.organizations FOR SELECT TO megacity_reader
    USING ((SELECT read.asker_passes_zone_wall()));

-- Who did what.

CREATE POLICY staff ON read.audit_entries FOR SELECT TO megacity_reader
    USING (
        zone_id = (SELECT read.asker_zone())
        AND (
            org_id = ANY ((SELECT read.asker_audited_orgs())::text[]) OR (SELECT read.asker_may_audit_zone())
        )
    );
CREATE POLICY sys_admin ON read.audit_entries FOR SELECT TO megacity_reader
    USING ((SELECT read.asker_passes_zone_wall()));
