"""What each database role may do, and above all what it may not."""

import psycopg
import pytest
from psycopg import errors

from infra.postgres import roles
from tests.support.postgres import ROLE_SECRET


@pytest.fixture
def as_role(migrated):
    """Connections by role, to a database with a table in each schema; the one in `read` has row security."""
    with psycopg.connect(migrated, autocommit=True) as admin:
        admin.execute(f"""
            SET ROLE {roles.OWNER};
            CREATE TABLE log.a_fact (n int);
            CREATE TABLE ops.a_key (n int);
            CREATE TABLE read.a_view (n int, zone text);
            INSERT INTO log.a_fact VALUES (1);
            INSERT INTO read.a_view VALUES (1, 'univprep'), (2, 'kzone');
            ALTER TABLE read.a_view ENABLE ROW LEVEL SECURITY;
            ALTER TABLE read.a_view FORCE ROW LEVEL SECURITY;
            CREATE POLICY own_zone ON read.a_view FOR SELECT TO {roles.READER}
                USING (zone = current_setting('app.zone_id', true));
            CREATE POLICY fill ON read.a_view TO {roles.PROJECTOR} USING (true) WITH CHECK (true);
        """)
    opened = []

    def connect(role):
        conninfo = roles.role_conninfo(migrated, role, ROLE_SECRET)
        opened.append(psycopg.connect(conninfo, autocommit=True))
        return opened[-1]

    yield connect
    for connection in opened:
        connection.close()


def test_the_reader_cannot_write_even_when_it_takes_its_read_only_setting_off(as_role):
    reader = as_role(roles.READER)
    with pytest.raises(errors.ReadOnlySqlTransaction):
        reader.execute("CREATE TABLE read.own (n int)")
    reader.execute("SET default_transaction_read_only = off")
    for statement in (
        "INSERT INTO read.a_view VALUES (3, 'univprep')",
        "UPDATE read.a_view SET n = 0",
        "DELETE FROM read.a_view",
        "TRUNCATE read.a_view",
        "CREATE TABLE read.own (n int)",
        "CREATE TABLE public.own (n int)",
        "CREATE TEMPORARY TABLE own (n int)",
        "CREATE SCHEMA own",
        "DROP TABLE read.a_view",
    ):
        with pytest.raises(errors.InsufficientPrivilege):
            reader.execute(statement)


def test_the_reader_sees_only_what_row_security_shows_and_cannot_go_round_it(as_role):
    reader = as_role(roles.READER)
    assert reader.execute("SELECT n FROM read.a_view").fetchall() == []
    reader.execute("SELECT set_config('app.zone_id', 'kzone', false)")
    assert reader.execute("SELECT n FROM read.a_view").fetchall() == [(2,)]
    reader.execute("SET row_security = off")
    with pytest.raises(errors.InsufficientPrivilege, match="row-level security"):
        reader.execute("SELECT n FROM read.a_view")
    reader.execute("SET default_transaction_read_only = off")
    with pytest.raises(errors.InsufficientPrivilege):
        reader.execute("ALTER TABLE read.a_view DISABLE ROW LEVEL SECURITY")


def test_the_reader_has_ten_seconds_for_a_statement(as_role):
    assert as_role(roles.READER).execute("SHOW statement_timeout").fetchone() == ("10s",)


@pytest.mark.parametrize("role", roles.LOGIN_ROLES)
def test_no_login_role_can_become_another(as_role, role):
    connection = as_role(role)
    for other in {roles.OWNER, *roles.LOGIN_ROLES} - {role}:
        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute(f"SET ROLE {other}")


@pytest.mark.parametrize("role", roles.LOGIN_ROLES)
def test_no_login_role_has_an_attribute_or_may_create_anything(as_role, role):
    connection = as_role(role)
    query = (
        "SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication "
        "FROM pg_roles WHERE rolname = session_user"
    )
    assert connection.execute(query).fetchone() == (False,) * 5
    connection.execute("SET default_transaction_read_only = off")
    for schema in ("log", "read", "ops", "public"):
        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute(f"CREATE TABLE {schema}.own (n int)")


def test_the_owner_cannot_sign_in(migrated):
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(roles.role_conninfo(migrated, roles.OWNER, ROLE_SECRET))


@pytest.mark.parametrize(
    ("role", "statement", "allowed"),
    [
        (roles.WRITER, "SELECT * FROM log.a_fact", True),
        (roles.WRITER, "INSERT INTO log.a_fact VALUES (2)", False),  # granted table by table
        (roles.WRITER, "UPDATE log.a_fact SET n = 2", False),
        (roles.WRITER, "INSERT INTO ops.a_key VALUES (2)", True),
        (roles.WRITER, "DELETE FROM ops.a_key", True),
        (roles.WRITER, "SELECT * FROM read.a_view", False),
        (roles.WRITER, "SELECT * FROM ops.schema_migrations", True),
        (roles.WRITER, "DELETE FROM ops.schema_migrations", False),
        (roles.PROJECTOR, "SELECT * FROM log.a_fact", True),
        (roles.PROJECTOR, "INSERT INTO log.a_fact VALUES (2)", False),
        (roles.PROJECTOR, "INSERT INTO read.a_view VALUES (3, 'univprep')", True),
        (roles.PROJECTOR, "DELETE FROM read.a_view", True),
        (roles.PROJECTOR, "SELECT * FROM ops.schema_migrations", True),
        (roles.READER, "SELECT * FROM read.a_view", True),
        (roles.READER, "SELECT * FROM log.a_fact", False),
        (roles.READER, "SELECT * FROM ops.a_key", False),
        (roles.ANALYST, "SELECT * FROM read.a_view", False),
        (roles.ANALYST, "SELECT * FROM log.a_fact", False),
        (roles.ANALYST, "SELECT * FROM ops.a_key", False),
    ],
)
def test_later_tables_start_with_the_rights_of_their_schema(as_role, role, statement, allowed):
    connection = as_role(role)
    if allowed:
        connection.execute(statement)
    else:
        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute(statement)


def test_a_role_of_somebody_else_cannot_connect(migrated):
    with psycopg.connect(migrated, autocommit=True) as admin:
        admin.execute("DROP ROLE IF EXISTS stranger")
        admin.execute("CREATE ROLE stranger LOGIN PASSWORD 'stranger'")
        try:
            with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
                psycopg.connect(
                    psycopg.conninfo.make_conninfo(migrated, user="stranger", password="stranger")
                )
        finally:
            admin.execute("DROP ROLE stranger")
