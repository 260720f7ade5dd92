"""What each kind of asker sees, row by row, against the rules written down a second time.

The queries here ask for everything: what comes back is what row-level security lets through, whatever
a route forgets.
"""

import psycopg
import pytest

from infra.postgres.roles import READER, role_conninfo
from tests.support.postgres import ROLE_SECRET
from tests.support.school import principal
from tests.support.story import ORG
from tests.support.visibility import KEYS, OF_PEOPLE, OF_THE_STAFF, all_rows, differences, seen

EXAMINED_ELSEWHERE = {
    *("access_decisions", "invitations", "policies", "role_reviews", "subscriptions", "verified_addresses")
}
"""Beside the features that they are part of."""


def test_every_table_of_the_read_schema_is_examined(school_database):
    with psycopg.connect(school_database) as admin:
        found = admin.execute(
            "SELECT relname FROM pg_class"
            " WHERE relnamespace = 'read'::regnamespace AND relkind IN ('r', 'p', 'v', 'm')"
        ).fetchall()
    assert {name for (name,) in found} - EXAMINED_ELSEWHERE == set(KEYS)


def test_everybody_sees_exactly_what_the_rules_say(school_database, principals):
    assert differences(school_database, principals) == []


def test_the_rules_leave_something_and_not_everything(school_database, principals):
    assert seen(school_database, principals["mina"], "item_keys")
    assert seen(school_database, principals["mina"], "scored_items") < seen(
        school_database, principals["teacher"], "scored_items"
    )
    assert seen(school_database, principals["idle"], "item_versions") == set()
    assert seen(school_database, principals["other teacher"], "attempts") == set()
    assert len(seen(school_database, principals["sys_admin"], "exams")) == 2


@pytest.mark.parametrize("table", KEYS)
def test_nobody_sees_nothing(school_database, table):
    assert seen(school_database, None, table) == set()


@pytest.mark.parametrize("table", KEYS)
def test_the_zone_wall_stands_by_itself_when_every_other_policy_lets_everything_through(
    school_database, principals, table
):
    with psycopg.connect(school_database, autocommit=True) as admin:
        rules = admin.execute(
            "SELECT polname, pg_get_expr(polqual, polrelid) FROM pg_policy"
            " WHERE polrelid = format('read.%%I', %s::text)::regclass AND polpermissive"
            " AND polname <> 'everything'",
            [table],
        ).fetchall()
        rows = all_rows(school_database)[table]
        try:
            for policy, _ in rules:
                admin.execute(f"ALTER POLICY {policy} ON read.{table} USING (true)")
            for who in ("mina", "other zone", "zone teacher", "org_admin", "service", "forger"):
                asker = principals[who]
                assert seen(school_database, asker, table) == {
                    tuple(row[column] for column in KEYS[table])
                    for row in rows
                    if row["zone_id"] == asker.zone_id
                }
            assert len(seen(school_database, principals["sys_admin"], table)) == len(rows)
        finally:
            for policy, rule in rules:
                admin.execute(f"ALTER POLICY {policy} ON read.{table} USING ({rule})")


def test_whoever_says_that_they_are_of_another_zone_sees_nothing_of_their_own(school_database, school):
    moved = principal(school.people["mina"], ("student", ORG), zone_id="kzone")
    own = ["attempts", "attempt_responses", "attempt_scores", "people", "memberships", "class_members"]
    assert {table: seen(school_database, moved, table) for table in own} == {table: set() for table in own}


POLICIES = [
    *((table, "staff") for table in sorted(OF_THE_STAFF)),
    *((table, policy) for table in sorted(OF_PEOPLE) for policy in ("administration", "teacher")),
    *(("attempts", "own"), ("attempt_responses", "own")),
    *((table, "released") for table in ("attempt_scores", "scored_items", "attempt_abilities", "item_keys")),
    *((table, "examinee") for table in ("exam_items", "item_versions")),
    *((table, "administration") for table in ("memberships", "classes", "class_members")),
    *((table, "oneself") for table in ("people", "accounts", "memberships", "class_members")),
    *(("people", "known"), ("parent_links", "ends"), ("class_members", "taught"), ("classes", "member")),
    *(("exams", "audience"), ("exams", "zone_admin")),
    *(("organizations", "member"), ("organizations", "sys_admin")),
    *(("audit_entries", "staff"), ("audit_entries", "sys_admin")),
]


def test_every_policy_is_broken_below(school_database):
    with psycopg.connect(school_database) as admin:
        found = admin.execute(
            "SELECT c.relname, p.polname FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid"
            " WHERE c.relnamespace = 'read'::regnamespace AND p.polname NOT IN ('everything', 'zone_wall')"
        ).fetchall()
    assert {each for each in found if each[0] not in EXAMINED_ELSEWHERE} == set(POLICIES)


@pytest.mark.parametrize("broken_to", ["true", "false"])
@pytest.mark.parametrize(("table", "policy"), POLICIES)
def test_a_policy_that_is_too_wide_or_too_narrow_is_noticed(
    school_database, principals, table, policy, broken_to
):
    with psycopg.connect(school_database, autocommit=True) as admin:
        rule = admin.execute(
            "SELECT pg_get_expr(polqual, polrelid) FROM pg_policy"
            " WHERE polrelid = format('read.%%I', %s::text)::regclass AND polname = %s",
            [table, policy],
        ).fetchone()[0]
        admin.execute(f"ALTER POLICY {policy} ON read.{table} USING ({broken_to})")
        try:
            assert differences(school_database, principals, [table]) != []
        finally:
            admin.execute(f"ALTER POLICY {policy} ON read.{table} USING ({rule})")
    assert differences(school_database, principals, [table]) == []


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM read.attempts",
        "UPDATE read.attempt_scores SET score = 100",
        "INSERT INTO read.item_banks VALUES ('b', 'univprep', 'o', 'n', 'd', now(), 1)",
        "SELECT * FROM log.events",
        "SELECT * FROM ops.projections",
        "SET ROLE megacity_owner",
        "SET row_security = off; SELECT * FROM read.attempts",
    ],
)
def test_the_reader_can_neither_write_nor_look_elsewhere(school_database, statement):
    reader = role_conninfo(school_database, READER, ROLE_SECRET)
    with psycopg.connect(reader, autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement)


def test_the_asker_does_not_outlive_the_transaction(school_database, principals):
    reader = role_conninfo(school_database, READER, ROLE_SECRET)
    with psycopg.connect(reader) as connection:
        connection.execute(
            "SELECT set_config('app.user_id', %s, true), set_config('app.zone_id', %s, true)",
            [principals["mina"].subject_id, "univprep"],
        )
        assert connection.execute("SELECT count(*) FROM read.attempts").fetchone()[0] > 0
        connection.commit()
        assert connection.execute("SELECT count(*) FROM read.attempts").fetchone()[0] == 0
