"""What holds of every table of the read side, whoever adds one: walls, grants, and what a policy costs."""

import json
import re

import psycopg
import pytest

from infra.http.principal import Principal, RoleGrant
from tests.support.postgres import fresh_database
from tests.support.story import ORG
from tests.support.visibility import KEYS, be, reader

OTHER_ROLES = ("megacity_writer", "megacity_analyst", "public")


@pytest.fixture(scope="module")
def empty_database(postgres_server):
    with fresh_database(postgres_server) as conninfo:
        yield conninfo


@pytest.fixture
def admin(empty_database):
    """What a test does here is undone after it."""
    with psycopg.connect(empty_database) as connection, connection.transaction(force_rollback=True):
        yield connection


def beyond_all_walls(admin, oid) -> bool:
    """Whether nobody sees anything of it but those whom no zone wall stops."""
    rules = admin.execute(
        "SELECT pg_get_expr(polqual, polrelid) FROM pg_policy"
        " WHERE polrelid = %s AND polpermissive AND polname <> 'everything'",
        [oid],
    ).fetchall()
    alone = "( SELECT read.asker_passes_zone_wall() AS asker_passes_zone_wall)"
    return bool(rules) and all(rule == alone for (rule,) in rules)


def faults(admin) -> list[str]:
    """Every way in which a table of the read side is open that is not its policies'."""
    found = []
    tables = admin.execute(
        "SELECT c.oid, c.relname, c.relkind, c.relrowsecurity AND c.relforcerowsecurity"
        " FROM pg_class c WHERE c.relnamespace = 'read'::regnamespace"
        " AND c.relkind IN ('r', 'p', 'v', 'm', 'f')"
    ).fetchall()
    for oid, name, kind, forced in tables:
        if kind not in {"r", "p"}:
            found.append(f"{name} is no table: its owner's rights would read for everybody")
        if not forced:
            found.append(f"{name} has no forced row-level security")
        walls = admin.execute(
            "SELECT pg_get_expr(polqual, polrelid) FROM pg_policy WHERE polrelid = %s AND NOT polpermissive"
            " AND polroles = ARRAY['megacity_reader'::regrole::oid] AND polcmd = 'r'",
            [oid],
        ).fetchall()
        stands = any("asker_zone()" in wall and "asker_passes_zone_wall()" in wall for (wall,) in walls)
        if not stands and not beyond_all_walls(admin, oid):
            found.append(f"{name} has no restrictive zone wall")
        granted = admin.execute(
            "SELECT a.grantee::regrole::text, a.privilege_type FROM pg_class c,"
            " aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) a WHERE c.oid = %s",
            [oid],
        ).fetchall()
        for role, privilege in granted:
            allowed = {
                "megacity_owner": {privilege},
                "megacity_projector": {"SELECT", "INSERT", "UPDATE", "DELETE"},
                "megacity_reader": {"SELECT"},
            }
            if privilege not in allowed.get(role, set()):
                found.append(f"{role} has {privilege} on {name}")
        open_to = admin.execute(
            "SELECT polname, polcmd, polroles::regrole[]::text[] FROM pg_policy"
            " WHERE polrelid = %s AND polpermissive",
            [oid],
        ).fetchall()
        for policy, command, roles in open_to:
            inside = policy == "everything" and set(roles) == {"megacity_projector", "megacity_owner"}
            if not inside and (roles != ["megacity_reader"] or command != "r"):
                found.append(f"policy {policy} of {name} is for {roles}")
    return found


def test_every_table_of_the_read_side_has_its_walls(admin):
    assert faults(admin) == []


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("CREATE TABLE read.forgotten (id text)", "forgotten has no forced row-level security"),
        ("CREATE TABLE read.forgotten (id text)", "forgotten has no restrictive zone wall"),
        ("CREATE VIEW read.shortcut AS SELECT * FROM read.attempts", "shortcut is no table"),
        ("ALTER TABLE read.people NO FORCE ROW LEVEL SECURITY", "people has no forced row-level security"),
        ("DROP POLICY zone_wall ON read.exams", "exams has no restrictive zone wall"),
        ("GRANT SELECT ON read.people TO megacity_writer", "megacity_writer has SELECT on people"),
        ("GRANT UPDATE ON read.people TO megacity_reader", "megacity_reader has UPDATE on people"),
        ("CREATE POLICY wide ON read.people USING (true)", "policy wide of people is for"),
    ],
)
def test_a_table_that_is_open_is_noticed(admin, statement, fault):
    admin.execute(statement)
    assert any(each.startswith(fault) for each in faults(admin))


def test_functions_of_the_owner_cannot_be_called_by_just_anybody(admin):
    """They read past row-level security, with names that whoever calls them cannot bend."""
    found = admin.execute(
        "SELECT proname FROM pg_proc WHERE pronamespace = 'read'::regnamespace AND ("
        " proconfig IS NULL OR NOT 'search_path=pg_catalog' = ANY (proconfig)"
        " OR has_function_privilege('megacity_writer', oid, 'EXECUTE')"
        " OR has_function_privilege('megacity_analyst', oid, 'EXECUTE'))"
    ).fetchall()
    assert found == []


def plans(node: dict) -> list[dict]:
    return [node, *(each for child in node.get("Plans", []) for each in plans(child))]


@pytest.mark.parametrize("table", KEYS)
def test_what_a_policy_asks_is_asked_once_for_a_statement_and_not_for_each_row(empty_database, table):
    teacher = Principal(
        subject_id="user-019cabcd-0000-7000-8000-00000000beef",
        zone_id="univprep",
        roles=(RoleGrant("teacher", ORG),),
        session_id="tests",
    )
    with reader(empty_database) as connection:
        be(connection, teacher)
        # Whatever the table holds, a policy is planned for many rows.
        [row] = connection.execute(f"EXPLAIN (FORMAT JSON, VERBOSE) SELECT * FROM read.{table}").fetchall()
    [plan] = row["QUERY PLAN"]
    nodes = plans(plan["Plan"])
    asked = [
        each
        for each in nodes
        if "asker_" in json.dumps(each.get("Output", [])) + str(each.get("Function Name"))
    ]
    assert asked
    # An uncorrelated subplan that is not hashed, or one that is given something of the row, would run again
    # and again: EXPLAIN names it `SubPlan n` in the filter without `hashed`.
    text = json.dumps(plan)
    assert re.findall(r"(?<!hashed )SubPlan \d+\)", text) == []
    scans = [each for each in nodes if each.get("Relation Name") == table]
    assert not any("asker_" in str(each.get("Filter")) for each in scans)
