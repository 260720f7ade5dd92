"""The migration runner against real databases."""

import shutil
import subprocess
import sys
import threading

import psycopg
import pytest
from psycopg import errors, sql
from psycopg.conninfo import make_conninfo

from infra.postgres import migrate as runner
from infra.postgres import roles
from infra.postgres.binaries import Binaries
from infra.postgres.errors import (
    MigrationChanged,
    MigrationFailed,
    MigrationFilesWrong,
    MigrationLockTimeout,
    MigrationOutOfOrder,
    MigrationUnknown,
    PostgresError,
)
from infra.postgres.migrate import MIGRATIONS_DIR, migrate, pending
from infra.postgres.roles import LOGIN_ROLES, ensure_database, role_conninfo, role_password
from tests.support.postgres import CHECKOUT, ROLE_SECRET, fresh_database

FIRST = "0001_roles_and_schemas"
POSTGRESQL_15 = Binaries(runner.Path("/usr/lib/postgresql/15/bin"))


@pytest.fixture
def files(scratch):
    """A migrations folder of the test's own, beginning with the real first file."""
    shutil.copy(MIGRATIONS_DIR / f"{FIRST}.sql", scratch)

    def write(**texts):
        for name, text in texts.items():
            (scratch / f"{name[1:]}.sql").write_text(text)
        return scratch

    return write


def up(conninfo, folder, **options):
    return migrate(conninfo, role_secret=ROLE_SECRET, migrations_dir=folder, **options)


def one(conninfo, query):
    with psycopg.connect(conninfo) as connection:
        return connection.execute(query).fetchone()[0]


def test_each_file_is_applied_once_and_in_order(empty, files):
    folder = files(
        _0002_colours="CREATE TABLE read.colours (name text)",
        _0003_red="INSERT INTO read.colours VALUES ('red 100%')",
    )
    names = [FIRST, "0002_colours", "0003_red"]
    told = []
    assert pending(empty, migrations_dir=folder) == names
    assert up(empty, folder, progress=told.append) == names
    assert told == [f"Migration {name}" for name in names]
    assert pending(empty, migrations_dir=folder) == []
    assert up(empty, folder) == []
    assert one(empty, "SELECT count(*) FROM read.colours") == 1
    assert one(empty, "SELECT string_agg(name, ' ' ORDER BY version) FROM ops.schema_migrations") == " ".join(
        names
    )
    assert one(empty, "SELECT tableowner FROM pg_tables WHERE tablename = 'colours'") == roles.OWNER


def test_a_file_that_fails_leaves_nothing_and_those_before_it_stay(empty, files):
    folder = files(
        _0002_good="CREATE TABLE read.good (n int)",
        _0003_bad="CREATE TABLE read.half (n int); SELECT 1/0;",
    )
    with pytest.raises(
        MigrationFailed, match="0003_bad failed and was rolled back: division by zero"
    ) as caught:
        up(empty, folder)
    assert caught.value.sqlstate == errors.DivisionByZero.sqlstate
    assert one(empty, "SELECT to_regclass('read.half') IS NULL AND to_regclass('read.good') IS NOT NULL")
    assert pending(empty, migrations_dir=folder) == ["0003_bad"]
    files(_0003_bad="CREATE TABLE read.half (n int)")
    assert up(empty, folder) == ["0003_bad"]


def test_a_file_that_ends_its_transaction_is_refused(empty, files):
    folder = files(_0002_commit="CREATE TABLE read.a (n int); COMMIT; CREATE TABLE read.b (n int);")
    with pytest.raises(MigrationFilesWrong, match="0002_commit ends its transaction itself"):
        up(empty, folder)


def test_a_file_changed_after_it_was_applied_is_refused(empty, files):
    folder = files(_0002_colours="CREATE TABLE read.colours (name text)")
    up(empty, folder)
    files(_0002_colours="CREATE TABLE read.colours (name text NOT NULL)")
    for look in (up, lambda base, path: pending(base, migrations_dir=path)):
        with pytest.raises(MigrationChanged, match=r"0002_colours.*write a new migration"):
            look(empty, folder)


def test_line_endings_of_a_checkout_are_no_change(empty, files):
    folder = files(_0002_colours="CREATE TABLE read.colours (\nname text)\n")
    up(empty, folder)
    (folder / "0002_colours.sql").write_bytes(b"CREATE TABLE read.colours (\r\nname text)\r\n")
    assert up(empty, folder) == []


def test_a_database_ahead_of_the_program_is_refused(empty, files):
    folder = files(_0002_later="SELECT 1")
    up(empty, folder)
    (folder / "0002_later.sql").unlink()
    with pytest.raises(MigrationUnknown, match=r"does not know: 0002_later.*newer release"):
        up(empty, folder)


def test_a_file_numbered_below_an_applied_one_is_refused(empty, files):
    folder = files(_0003_third="SELECT 1")
    up(empty, folder)
    files(_0002_second="SELECT 1")
    with pytest.raises(MigrationOutOfOrder, match="below the applied 0003_third: 0002_second"):
        up(empty, folder)


def test_a_statement_and_a_wait_for_a_lock_have_their_time(empty, files):
    folder = files(
        _0002_table="CREATE TABLE read.held (n int)",
        _0003_slow="-- statement-timeout: 1s\nSELECT pg_sleep(30)",
    )
    with pytest.raises(MigrationFailed, match="statement timeout"):
        up(empty, folder)
    files(_0003_slow="-- Waits.\n-- lock-timeout: 1s\nALTER TABLE read.held ADD m int")
    with psycopg.connect(empty) as holder:
        holder.execute("SELECT * FROM read.held")
        with pytest.raises(MigrationFailed, match="lock timeout"):
            up(empty, folder)
    assert up(empty, folder) == ["0003_slow"]


def test_names_without_a_schema_do_not_land_anywhere(empty, files):
    with pytest.raises(MigrationFailed, match="pg_catalog"):
        up(empty, files(_0002_unqualified="CREATE TABLE stray (n int)"))


def test_a_waiting_migrator_says_so_and_gives_up_in_time(empty, files):
    told = []
    with psycopg.connect(empty, autocommit=True) as holder:
        holder.execute("SELECT pg_advisory_lock(%s)", [runner._LOCK_KEY])
        with pytest.raises(MigrationLockTimeout):
            up(empty, files(), lock_time_limit_s=0.2, progress=told.append)
    assert told == ["Waiting for another process that migrates this database"]
    assert up(empty, files()) == [FIRST]


def test_four_migrators_at_once_apply_each_file_once(empty, files):
    folder = files(_0002_once="CREATE TABLE read.once AS SELECT 1 AS n; SELECT pg_sleep(0.3)")
    program = (
        "import sys; from pathlib import Path; from infra.postgres.migrate import migrate\n"
        "print(*migrate(sys.argv[1], role_secret=sys.argv[2].encode(), migrations_dir=Path(sys.argv[3])))"
    )
    words = [sys.executable, "-c", program, empty, ROLE_SECRET.decode(), folder]
    together = [
        subprocess.Popen(words, cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    answers = [process.communicate() for process in together]
    assert [process.returncode for process in together] == [0] * 4, answers
    assert sorted(out.split() for out, _ in answers) == [[], [], [], [FIRST, "0002_once"]]


def test_databases_of_one_server_are_migrated_at_once_although_they_share_the_roles(
    scratch, server_in, files
):
    server = server_in(scratch / "server")
    server.start()
    bases = []
    for number in range(4):
        ensure_database(server.superuser_conninfo(), f"town_{number}")
        bases.append(server.superuser_conninfo(f"town_{number}"))
    failures = []

    def run(base):
        try:
            up(base, files())
        except Exception as error:  # noqa: BLE001 - handed over to the test
            failures.append(error)

    threads = [threading.Thread(target=run, args=[base]) for base in bases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    for base in bases:
        assert one(role_conninfo(base, roles.READER, ROLE_SECRET), "SELECT current_user") == roles.READER


def test_another_secret_sets_new_passwords_and_the_same_one_sets_none(migrated):
    def hashes():
        with psycopg.connect(migrated) as connection:
            rows = connection.execute(
                "SELECT rolname, rolpassword FROM pg_authid WHERE rolname = ANY(%s)", [list(LOGIN_ROLES)]
            )
            return dict(rows.fetchall())

    before = hashes()
    assert all(value.startswith("SCRAM-SHA-256$") for value in before.values())
    assert migrate(migrated, role_secret=ROLE_SECRET) == []
    assert hashes() == before
    other = b"another secret of sixteen bytes or more"
    try:
        migrate(migrated, role_secret=other)
        for role in LOGIN_ROLES:
            assert one(role_conninfo(migrated, role, other), "SELECT session_user") == role
            with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
                psycopg.connect(role_conninfo(migrated, role, ROLE_SECRET))
    finally:
        migrate(migrated, role_secret=ROLE_SECRET)  # the roles are those of the whole server


def test_roles_that_may_too_much_are_not_taken_over(scratch, server_in, files):
    server = server_in(scratch / "server")
    server.start()
    with psycopg.connect(server.superuser_conninfo(), autocommit=True) as admin:
        admin.execute("CREATE ROLE megacity_reader LOGIN BYPASSRLS")
    with pytest.raises(MigrationFailed, match="may do more than they should: megacity_reader"):
        up(server.superuser_conninfo(), files())


def test_ensure_database_makes_it_once(standing_server):
    admin = standing_server.admin_conninfo()
    name = 'odd "name" of a test'
    try:
        assert ensure_database(admin, name)
        assert not ensure_database(admin, name)
        assert one(make_conninfo(admin, dbname=name), "SHOW server_encoding") == "UTF8"
    finally:
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))


@pytest.mark.parametrize("version", [15, 18])
def test_a_user_who_may_only_make_roles_and_databases_can_migrate(scratch, server_in, files, version):
    binaries = POSTGRESQL_15 if version == 15 else None
    if binaries is not None and not binaries.postgres.exists():
        pytest.skip("no PostgreSQL 15 on this machine")
    server = server_in(scratch / "server", binaries=binaries)
    server.start()
    with psycopg.connect(server.superuser_conninfo(), autocommit=True) as admin:
        admin.execute("CREATE ROLE mayor LOGIN CREATEROLE CREATEDB PASSWORD 'mayor'")
    mayor = make_conninfo(server.superuser_conninfo(), user="mayor", password="mayor")
    assert ensure_database(mayor, "town")
    town = make_conninfo(mayor, dbname="town")
    folder = files(_0002_colours="CREATE TABLE read.colours (name text)")
    assert up(town, folder) == [FIRST, "0002_colours"]
    assert one(town, "SELECT tableowner FROM pg_tables WHERE tablename = 'colours'") == roles.OWNER
    assert one(role_conninfo(town, roles.READER, ROLE_SECRET), "SELECT count(*) FROM read.colours") == 0
    files(_0003_more="CREATE TABLE read.more (name text)")
    assert up(town, folder) == ["0003_more"]
    # A second database of the same server, where the roles are there already.
    assert ensure_database(mayor, "village")
    assert len(up(make_conninfo(mayor, dbname="village"), folder)) == 3


def test_superuser_migrates_postgresql_15(scratch, server_in):
    if not POSTGRESQL_15.postgres.exists():
        pytest.skip("no PostgreSQL 15 on this machine")
    server = server_in(scratch / "server", binaries=POSTGRESQL_15)
    server.start()
    base = server.superuser_conninfo()
    assert migrate(base, role_secret=ROLE_SECRET)[0] == FIRST
    assert pending(role_conninfo(base, roles.WRITER, ROLE_SECRET)) == []


def test_a_role_that_cannot_sign_in_is_an_error(migrated):
    with psycopg.connect(migrated, autocommit=True) as admin:
        admin.execute(f"ALTER ROLE {roles.ANALYST} NOLOGIN")
        try:
            with pytest.raises(
                PostgresError, match=r"megacity_analyst cannot sign in.*not permitted to log in"
            ):
                migrate(migrated, role_secret=ROLE_SECRET)
        finally:
            admin.execute(f"ALTER ROLE {roles.ANALYST} LOGIN")
            migrate(migrated, role_secret=ROLE_SECRET)


def test_a_password_that_is_no_secret_is_refused():
    with pytest.raises(ValueError, match="16 bytes"):
        role_password(b"short", roles.READER)


def test_a_copied_database_admits_no_more_than_the_one_it_was_copied_from(standing_server):
    with fresh_database(standing_server) as base:
        assert one(
            base,
            "SELECT NOT has_database_privilege('megacity_reader', current_database(), 'TEMP, CREATE')",
        )
