-- Rebuilding read models beside the live ones, looking back, and checking rows against the log.
--
-- What is rebuilt lies in tables of its own, `rebuild_<projection>.<table>`, made after the live ones. When
-- they have caught up, the tables change places: catalogue entries, not rows, so it takes the same time
-- whatever the size is. See docs/decisions/0020-blue-green-rebuild.md.

CREATE TABLE ops.rebuilds (
    projection  text COLLATE "C" PRIMARY KEY,
    rebuild_id  uuid NOT NULL UNIQUE,
    version     integer NOT NULL,
    code_sha256 text NOT NULL,
    shape       text NOT NULL,
    target      bigint NOT NULL,
    position    bigint NOT NULL DEFAULT 0,
    events      bigint NOT NULL DEFAULT 0,
    taken_over  boolean NOT NULL DEFAULT false,
    started_at  timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE ops.rebuilds IS 'Rebuilds that are under way, or were when their process died: the next one goes on.';
COMMENT ON COLUMN ops.rebuilds.code_sha256 IS 'Of the projection''s source: rows of other code are thrown away.';
COMMENT ON COLUMN ops.rebuilds.shape IS 'Of the live tables: a migration meanwhile means to begin again.';
COMMENT ON COLUMN ops.rebuilds.target IS 'Up to here the partitions go; what follows is applied by one alone.';
COMMENT ON COLUMN ops.rebuilds.position IS 'How far it has come once the partitions are done.';

CREATE TABLE ops.rebuild_partitions (
    rebuild_id uuid NOT NULL REFERENCES ops.rebuilds (rebuild_id) ON DELETE CASCADE,
    index      integer NOT NULL,
    count      integer NOT NULL CHECK (index BETWEEN 0 AND count - 1),
    position   bigint NOT NULL DEFAULT 0,
    events     bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (rebuild_id, index)
);
COMMENT ON TABLE ops.rebuild_partitions IS 'A checkpoint for each part of a rebuild, written in the transaction that writes its rows.';

CREATE TABLE ops.rebuild_set_aside (
    rebuild_id uuid   NOT NULL REFERENCES ops.rebuilds (rebuild_id) ON DELETE CASCADE,
    position   bigint NOT NULL,
    stream_id  text   COLLATE "C" NOT NULL,
    version    bigint NOT NULL,
    type       text   COLLATE "C" NOT NULL,
    error      text,
    error_kind text,
    status     text NOT NULL CHECK (status IN ('waiting', 'skipped')),
    own        boolean NOT NULL,
    PRIMARY KEY (rebuild_id, position)
);
COMMENT ON TABLE ops.rebuild_set_aside IS 'What the rebuilt rows go on without.';
COMMENT ON COLUMN ops.rebuild_set_aside.own IS 'Found by the rebuild; the others are those that the live rows go on without.';

CREATE TABLE ops.rebuild_certificates (
    certificate_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    projection     text   COLLATE "C" NOT NULL,
    position       bigint NOT NULL,
    issued_at      timestamptz NOT NULL DEFAULT now(),
    agrees         boolean,
    certificate    jsonb  NOT NULL
);
COMMENT ON COLUMN ops.rebuild_certificates.agrees IS 'Old rows against new ones of the same position; null where the code had changed, or the positions differ.';

CREATE TABLE ops.untold_rebuilds (
    certificate_id bigint PRIMARY KEY REFERENCES ops.rebuild_certificates,
    actor_kind     text COLLATE "C" NOT NULL,
    actor_id       text COLLATE "C" NOT NULL
);
COMMENT ON TABLE ops.untold_rebuilds IS 'Certificates that the log does not know of yet, and who had the rows rebuilt: written here first, told soon after.';

CREATE TABLE ops.checker_differences (
    difference_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    found_at      timestamptz NOT NULL DEFAULT now(),
    projection    text   COLLATE "C" NOT NULL,
    checkpoint    bigint NOT NULL,
    position      bigint NOT NULL,
    stream_id     text   COLLATE "C" NOT NULL,
    table_name    text   COLLATE "C" NOT NULL,
    key           jsonb  NOT NULL,
    column_name   text   COLLATE "C",
    fault         text   NOT NULL
);
COMMENT ON TABLE ops.checker_differences IS 'Where rows, or the stored bytes of an event, were not what the log gives. No values: they may be personal.';
COMMENT ON COLUMN ops.checker_differences.position IS 'Of the last event of the stream that the rows should hold, or of the event that is damaged.';
COMMENT ON COLUMN ops.checker_differences.column_name IS 'Null where the whole row is at fault.';
CREATE INDEX checker_differences_of ON ops.checker_differences (projection, stream_id, found_at);

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ops.rebuild_certificates
    FOR EACH STATEMENT EXECUTE FUNCTION log.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ops.checker_differences
    FOR EACH STATEMENT EXECUTE FUNCTION log.refuse_change();

GRANT SELECT, INSERT, UPDATE, DELETE ON ops.rebuilds, ops.rebuild_partitions, ops.rebuild_set_aside
    TO megacity_projector;
GRANT SELECT, INSERT ON ops.rebuild_certificates, ops.checker_differences TO megacity_projector;
GRANT SELECT, INSERT, DELETE ON ops.untold_rebuilds TO megacity_projector;
REVOKE INSERT, UPDATE, DELETE ON
    ops.rebuilds, ops.rebuild_partitions, ops.rebuild_set_aside, ops.rebuild_certificates,
    ops.untold_rebuilds, ops.checker_differences
    FROM megacity_writer;

-- Scratch schemas ------------------------------------------------------------------------------------
-- No login role may create anything. These functions make, swap and remove scratch tables for the projector
-- as the owner, and touch no schema but those named so, and the tables of `read` that are told them.

CREATE FUNCTION ops.refuse_other_schemas(schema_name text) RETURNS void
    LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog AS $$
BEGIN
    IF schema_name !~ '^(rebuild|retired|as_of|check)_[a-z0-9_]+$' OR length(schema_name) > 63 THEN
        RAISE EXCEPTION 'not the name of a scratch schema: %', schema_name
            USING ERRCODE = 'invalid_schema_name';
    END IF;
END $$;

-- Everything about a table but its rows, as text: two tables of one shape can change places.
CREATE FUNCTION ops.table_shape(schema_name text, table_name text) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    WITH it AS (
        SELECT c.* FROM pg_class c WHERE c.oid = to_regclass(format('%I.%I', schema_name, table_name))
    ), lines(line) AS (
        SELECT format('table %s %s %s %s %s', relkind, pg_get_userbyid(relowner), relrowsecurity,
                      relforcerowsecurity, reloptions)
        FROM it
        UNION ALL
        SELECT format('column %s %I %s %s %s %s %s %s %s',
                      row_number() OVER (ORDER BY a.attnum), a.attname,
                      format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attcollation::regcollation,
                      a.attidentity, a.attgenerated, a.attacl, pg_get_expr(d.adbin, d.adrelid))
        FROM it JOIN pg_attribute a ON a.attrelid = it.oid AND a.attnum > 0 AND NOT a.attisdropped
        LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        UNION ALL
        SELECT format('constraint %I %s', n.conname, pg_get_constraintdef(n.oid))
        FROM it JOIN pg_constraint n ON n.conrelid = it.oid AND n.contype IN ('c', 'p', 'u', 'x', 'f')
        UNION ALL
        SELECT format('index %s', replace(pg_get_indexdef(i.indexrelid),
                                          format(' ON %I.%I ', schema_name, table_name), ' ON '))
        FROM it JOIN pg_index i ON i.indrelid = it.oid
        UNION ALL
        SELECT format('policy %I %s %s %s %s %s', p.polname, p.polcmd, p.polpermissive,
                      (SELECT string_agg(r.id::regrole::text, ' ' ORDER BY r.id::regrole::text)
                       FROM unnest(p.polroles) AS r(id)),
                      pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
        FROM it JOIN pg_policy p ON p.polrelid = it.oid
        UNION ALL
        SELECT format('grant %s %s %s', a.grantee::regrole, a.privilege_type, a.is_grantable)
        FROM it, aclexplode(coalesce(it.relacl, acldefault('r', it.relowner))) a
        UNION ALL
        SELECT format('trigger %s', pg_get_triggerdef(g.oid))
        FROM it JOIN pg_trigger g ON g.tgrelid = it.oid AND NOT g.tgisinternal
        UNION ALL
        SELECT format('statistics %s', s.stxname) FROM it JOIN pg_statistic_ext s ON s.stxrelid = it.oid
    )
    SELECT string_agg(line, E'\n' ORDER BY line) FROM lines
$$;
COMMENT ON FUNCTION ops.table_shape IS 'Null where there is no such table.';

CREATE FUNCTION ops.drop_scratch(schema_name text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    PERFORM ops.refuse_other_schemas(schema_name);
    EXECUTE format('DROP SCHEMA IF EXISTS %I CASCADE', schema_name);
END $$;

-- Empty tables that are as the live ones in everything: names of indexes and constraints, policies, grants.
CREATE FUNCTION ops.create_scratch(schema_name text, tables text[], logged boolean) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    table_name text;
    live regclass;
    scratch text;
    statement text;
BEGIN
    PERFORM ops.refuse_other_schemas(schema_name);
    EXECUTE format('CREATE SCHEMA %I', schema_name);
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO megacity_projector', schema_name);
    FOREACH table_name IN ARRAY tables LOOP
        live := format('read.%I', table_name)::regclass;
        scratch := format('%I.%I', schema_name, table_name);
        EXECUTE format(
            'CREATE %s TABLE %s (LIKE %s INCLUDING ALL EXCLUDING INDEXES EXCLUDING STATISTICS)',
            CASE WHEN logged THEN '' ELSE 'UNLOGGED' END, scratch, live
        );
        FOR statement IN
            SELECT format('ALTER TABLE %s ADD CONSTRAINT %I %s', scratch, n.conname,
                          pg_get_constraintdef(n.oid))
            FROM pg_constraint n WHERE n.conrelid = live AND n.contype IN ('p', 'u', 'x')
            UNION ALL
            SELECT replace(pg_get_indexdef(i.indexrelid), format(' ON read.%I ', table_name),
                           format(' ON %s ', scratch))
            FROM pg_index i
            WHERE i.indrelid = live AND NOT EXISTS (SELECT FROM pg_constraint n WHERE n.conindid = i.indexrelid)
            UNION ALL
            SELECT format('ALTER TABLE %s SET (%s)', scratch, array_to_string(c.reloptions, ', '))
            FROM pg_class c WHERE c.oid = live AND c.reloptions IS NOT NULL
            UNION ALL
            SELECT format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', scratch)
            FROM pg_class c WHERE c.oid = live AND c.relrowsecurity
            UNION ALL
            SELECT format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', scratch)
            FROM pg_class c WHERE c.oid = live AND c.relforcerowsecurity
            UNION ALL
            SELECT format('CREATE POLICY %I ON %s AS %s FOR %s TO %s%s%s', p.polname, scratch,
                          CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
                          CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE'
                                        WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
                          (SELECT string_agg(CASE r.id WHEN 0 THEN 'PUBLIC' ELSE r.id::regrole::text END, ', ')
                           FROM unnest(p.polroles) AS r(id)),
                          ' USING (' || pg_get_expr(p.polqual, p.polrelid) || ')',
                          ' WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')')
            FROM pg_policy p WHERE p.polrelid = live
            UNION ALL
            SELECT format('GRANT %s ON %s TO %s%s', a.privilege_type, scratch,
                          CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END,
                          CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
            FROM pg_class c, aclexplode(c.relacl) a WHERE c.oid = live AND a.grantee <> c.relowner
            UNION ALL
            SELECT format('GRANT %s (%I) ON %s TO %s', a.privilege_type, t.attname, scratch,
                          CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END)
            FROM pg_attribute t, aclexplode(t.attacl) a WHERE t.attrelid = live AND NOT t.attisdropped
            UNION ALL
            SELECT format('COMMENT ON TABLE %s IS %L', scratch, obj_description(live, 'pg_class'))
            WHERE obj_description(live, 'pg_class') IS NOT NULL
        LOOP
            EXECUTE statement;
        END LOOP;
        IF logged AND ops.table_shape(schema_name, table_name)
            IS DISTINCT FROM ops.table_shape('read', table_name)
        THEN
            RAISE EXCEPTION 'read.% has something that a rebuild cannot make after it', table_name
                USING ERRCODE = 'feature_not_supported', DETAIL = format(
                    E'live:\n%s\nmade:\n%s', ops.table_shape('read', table_name),
                    ops.table_shape(schema_name, table_name)
                );
        END IF;
    END LOOP;
END $$;

-- Without it the planner would know nothing of the new tables in the first minutes.
CREATE FUNCTION ops.analyze_scratch(schema_name text, tables text[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    table_name text;
BEGIN
    PERFORM ops.refuse_other_schemas(schema_name);
    FOREACH table_name IN ARRAY tables LOOP
        EXECUTE format('ANALYZE %I.%I', schema_name, table_name);
    END LOOP;
END $$;

-- The rebuilt tables go to `read`, the live ones to `retired_<projection>`. The caller sets lock_timeout: while
-- this waits for a lock, readers queue behind it.
CREATE FUNCTION ops.take_over(projection text, tables text[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    rebuilt text := 'rebuild_' || projection;
    retired text := 'retired_' || projection;
    table_name text;
    live oid[];
    bound text;
    bound_again text[];
BEGIN
    PERFORM ops.refuse_other_schemas(rebuilt);
    PERFORM ops.refuse_other_schemas(retired);
    -- In one order, whoever takes over.
    FOR table_name IN SELECT name FROM unnest(tables) AS names(name) ORDER BY name LOOP
        EXECUTE format('LOCK TABLE read.%I IN ACCESS EXCLUSIVE MODE', table_name);
        EXECUTE format('LOCK TABLE %I.%I IN ACCESS EXCLUSIVE MODE', rebuilt, table_name);
        IF ops.table_shape(rebuilt, table_name) IS DISTINCT FROM ops.table_shape('read', table_name) THEN
            RAISE EXCEPTION 'read.% was changed while it was rebuilt', table_name
                USING ERRCODE = 'object_not_in_prerequisite_state';
        END IF;
        live := live || format('read.%I', table_name)::regclass::oid;
    END LOOP;

    -- Queries and string bodies find tables by name. What holds them by id is bound anew, or refused.
    SELECT string_agg(pg_describe_object(d.classid, d.objid, d.objsubid), ', ') INTO bound
    FROM pg_depend d
    WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = ANY (live) AND d.deptype = 'n'
        AND NOT (d.classid = 'pg_proc'::regclass)
        AND NOT (d.classid = 'pg_policy'::regclass AND EXISTS (
            SELECT FROM pg_policy p WHERE p.oid = d.objid AND p.polrelid = d.refobjid))
        AND NOT (d.classid = 'pg_constraint'::regclass AND EXISTS (
            SELECT FROM pg_constraint n WHERE n.oid = d.objid AND n.conrelid = d.refobjid AND n.contype <> 'f'))
        AND NOT (d.classid = 'pg_rewrite'::regclass AND EXISTS (
            SELECT FROM pg_rewrite r JOIN pg_class v ON v.oid = r.ev_class
            WHERE r.oid = d.objid AND v.relkind = 'v'));
    IF bound IS NOT NULL THEN
        RAISE EXCEPTION 'bound to a table that is to change places: %', bound
            USING ERRCODE = 'dependent_objects_still_exist';
    END IF;
    SELECT array_agg(ddl) INTO bound_again FROM (
        SELECT DISTINCT format('CREATE OR REPLACE VIEW %s %s AS %s', v.oid::regclass,
                               'WITH (' || array_to_string(v.reloptions, ', ') || ')', pg_get_viewdef(v.oid)) AS ddl
        FROM pg_depend d JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
        JOIN pg_class v ON v.oid = r.ev_class
        WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = ANY (live) AND d.deptype = 'n'
        UNION
        SELECT DISTINCT pg_get_functiondef(d.objid)
        FROM pg_depend d
        WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = ANY (live) AND d.deptype = 'n'
            AND d.classid = 'pg_proc'::regclass
    ) definitions;

    EXECUTE format('CREATE SCHEMA IF NOT EXISTS %I', retired);
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO megacity_projector', retired);
    FOREACH table_name IN ARRAY tables LOOP
        EXECUTE format('ALTER TABLE read.%I SET SCHEMA %I', table_name, retired);
        EXECUTE format('ALTER TABLE %I.%I SET SCHEMA read', rebuilt, table_name);
    END LOOP;
    FOREACH bound IN ARRAY coalesce(bound_again, '{}') LOOP
        EXECUTE bound;
    END LOOP;
END $$;

DO $$
DECLARE
    function_name text;
BEGIN
    FOREACH function_name IN ARRAY ARRAY[
        'refuse_other_schemas(text)', 'table_shape(text, text)', 'drop_scratch(text)',
        'create_scratch(text, text[], boolean)', 'analyze_scratch(text, text[])', 'take_over(text, text[])'
    ] LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION ops.%s FROM PUBLIC', function_name);
        EXECUTE format('GRANT EXECUTE ON FUNCTION ops.%s TO megacity_projector', function_name);
    END LOOP;
END $$;
