-- run-as: admin
-- Roles (of the whole server), schemas (of this database), and the rights that later tables start with.
-- Passwords and the right to connect are no migration: see roles.py.

DO $$
DECLARE
    role_name text;
    dangerous text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY[
        'megacity_owner', 'megacity_writer', 'megacity_projector', 'megacity_reader', 'megacity_analyst'
    ] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name) THEN
            BEGIN
                EXECUTE format(
                    'CREATE ROLE %I %s NOINHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS',
                    role_name,
                    CASE role_name WHEN 'megacity_owner' THEN 'NOLOGIN' ELSE 'LOGIN' END
                );
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;  -- another database of this server is being migrated and was faster
            END;
        END IF;
    END LOOP;

    -- A role that was there before is looked at, not trusted.
    SELECT string_agg(rolname, ', ') INTO dangerous
    FROM pg_roles
    WHERE rolname IN (
            'megacity_owner', 'megacity_writer', 'megacity_projector', 'megacity_reader', 'megacity_analyst'
        )
        AND (rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls
             OR (rolcanlogin AND rolname = 'megacity_owner'));
    IF dangerous IS NOT NULL THEN
        RAISE EXCEPTION 'these roles exist and may do more than they should: %', dangerous
            USING HINT = 'Take their attributes away (ALTER ROLE … NOSUPERUSER NOBYPASSRLS …) and try again.';
    END IF;

    SELECT string_agg(member.rolname || ' in ' || granted.rolname, ', ') INTO dangerous
    FROM pg_auth_members
    JOIN pg_roles member ON member.oid = pg_auth_members.member
    JOIN pg_roles granted ON granted.oid = pg_auth_members.roleid
    WHERE member.rolname IN ('megacity_writer', 'megacity_projector', 'megacity_reader', 'megacity_analyst');
    IF dangerous IS NOT NULL THEN
        RAISE EXCEPTION 'these roles are members of others and so may do more than they should: %', dangerous
            USING HINT = 'Take the memberships away (REVOKE … FROM …) and try again.';
    END IF;

    -- Who migrates without being superuser acts as the owner by membership.
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
        AND NOT EXISTS (
            SELECT FROM pg_auth_members
            WHERE roleid = 'megacity_owner'::regrole AND member = current_user::regrole AND NOT admin_option
        )
    THEN
        EXECUTE format('GRANT megacity_owner TO %I', current_user);
    END IF;

    -- A second wall only: the reader has no right to write anything, whatever it sets.
    IF NOT EXISTS (
        SELECT FROM pg_db_role_setting
        WHERE setrole = 'megacity_reader'::regrole AND setdatabase = 0
            AND setconfig @> ARRAY['default_transaction_read_only=on', 'statement_timeout=10s']
    ) THEN
        ALTER ROLE megacity_reader SET default_transaction_read_only = on;
        ALTER ROLE megacity_reader SET statement_timeout = '10s';
    END IF;
END
$$;

REVOKE ALL ON SCHEMA public FROM PUBLIC;

CREATE SCHEMA log AUTHORIZATION megacity_owner;
CREATE SCHEMA read AUTHORIZATION megacity_owner;
CREATE SCHEMA ops AUTHORIZATION megacity_owner;

SET LOCAL ROLE megacity_owner;

COMMENT ON SCHEMA log IS 'Events and what orders them. Only ever added to.';
COMMENT ON SCHEMA read IS 'Read models. Everything here can be rebuilt from log.';
COMMENT ON SCHEMA ops IS 'What running needs: migrations, idempotency keys, checkpoints, credentials.';

CREATE TABLE ops.schema_migrations (
    version integer PRIMARY KEY,
    name text NOT NULL UNIQUE,
    sha256 text NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

GRANT USAGE ON SCHEMA log TO megacity_writer, megacity_projector;
GRANT USAGE ON SCHEMA ops TO megacity_writer, megacity_projector;
GRANT USAGE ON SCHEMA read TO megacity_projector, megacity_reader;
GRANT SELECT ON ops.schema_migrations TO megacity_writer, megacity_projector;

-- Rights that tables start with from here on. What a table needs beyond them, its own migration grants:
-- INSERT in log, anything in ops for the projector, views for the analyst.
ALTER DEFAULT PRIVILEGES IN SCHEMA log GRANT SELECT ON TABLES TO megacity_writer, megacity_projector;
ALTER DEFAULT PRIVILEGES IN SCHEMA ops GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO megacity_writer;
ALTER DEFAULT PRIVILEGES IN SCHEMA read GRANT SELECT ON TABLES TO megacity_reader;
ALTER DEFAULT PRIVILEGES IN SCHEMA read
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO megacity_projector;
