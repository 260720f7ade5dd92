"""Rows of policies and of recorded decisions: however the log is cut, and for administrators alone."""

import asyncio

import msgspec
import psycopg
import pytest
from psycopg.rows import dict_row

from domain.identifiers import stream_id
from domain.policies.decisions import AccessCounted, AccessDecided
from domain.policies.events import (
    PolicyActivated,
    PolicyApproved,
    PolicyProposed,
    PolicySimulated,
    PolicySuperseded,
    PolicyValidated,
    PolicyWithdrawn,
)
from infra.http.principal import Principal, RoleGrant
from infra.postgres.roles import PROJECTOR, READER, role_conninfo
from infra.projections.rebuild import rebuild, verify
from infra.read_store import ReadStore
from projections.policies.projection import PoliciesProjection
from tests.support.exam_parts import SCHOOL, STUDENT, uuid7
from tests.support.postgres import ROLE_SECRET
from tests.support.recorded_examples import EXAMPLES
from tests.support.story import Story, StoryFeed

PROJECTION = PoliciesProjection()
FIRST, SECOND, GONE = (stream_id("policy", uuid7(0xF00 + at)) for at in range(3))
RECORDS = stream_id("observation", uuid7(0xF10))


def example(cls, **changes):
    [found] = [each.event for each in EXAMPLES.values() if type(each.event) is cls]
    return msgspec.structs.replace(found, **changes)


@pytest.fixture
def story():
    """One that took the long way and was superseded, its successor, one taken back, and two decisions."""
    story = Story()
    for event in (
        example(PolicyProposed, proposed_by="user-ann"),
        example(PolicyValidated),
        example(PolicySimulated),
        example(PolicyProposed, proposed_by="user-eve", reason="other words"),
        example(PolicyValidated),
        example(PolicySimulated),
        example(PolicyApproved, approved_by="user-bob"),
        example(PolicyActivated),
    ):
        story.add(FIRST, event)
    story.add(SECOND, example(PolicyActivated, active_from=None))
    story.add(FIRST, example(PolicySuperseded, superseded_by=SECOND))
    for event in (example(PolicyProposed, proposed_by="user-ann"), example(PolicyWithdrawn)):
        story.add(GONE, event)
    for at in range(2):
        story.add(RECORDS, example(AccessDecided, decision_id=uuid7(0xF20 + at)))
        story.add(RECORDS, example(AccessCounted))
    return story


@pytest.fixture
def projector(database):
    conninfo = role_conninfo(database, PROJECTOR, ROLE_SECRET)
    with psycopg.connect(conninfo, autocommit=True, row_factory=dict_row) as connection:
        yield connection


def applied(connection, events, size=500):
    for start in range(0, len(events), size):
        with connection.transaction(), connection.cursor() as cursor:
            PROJECTION.apply(cursor, events[start : start + size])


def rows(connection):
    return [
        connection.execute(f"SELECT * FROM read.{table} ORDER BY 1").fetchall() for table in PROJECTION.tables
    ]


def test_a_policy_is_shown_as_it_stands_with_all_who_had_a_hand_in_it(projector, story):
    applied(projector, story.events)
    (first, second, gone), decisions = rows(projector)
    assert (first["status"], first["superseded_by"], first["version"]) == ("superseded", SECOND, 9)
    assert first["proposers"] == ["user-ann", "user-eve"]
    assert (first["reason"], first["approved_by"]) == ("other words", "user-bob")
    assert (second["status"], second["active_from"], second["proposers"]) == ("active", None, [])
    assert gone["status"] == "withdrawn"
    assert [each["decision_id"] for each in decisions] == [uuid7(0xF20), uuid7(0xF21)]
    assert [each["position"] for each in decisions] == [13, 15]


def test_what_was_found_out_about_an_earlier_form_is_void(projector, story):
    applied(projector, story.events[:3])
    assert rows(projector)[0][0]["simulation"] is not None
    applied(projector, story.events[3:4])
    [row] = rows(projector)[0]
    assert (row["simulation"], row["validated"]) == (None, False)


def test_the_rows_are_the_same_for_every_batch_size(projector, story):
    seen = []
    for size in (1, 3, 500):
        for table in PROJECTION.tables:
            projector.execute(f"DELETE FROM read.{table}")
        applied(projector, story.events, size)
        seen.append(rows(projector))
    assert seen[0] == seen[1] == seen[2]


def test_a_rebuild_gives_the_same_rows_and_finds_one_that_was_changed(projector, story):
    feed = StoryFeed(story)
    rebuild(PROJECTION, feed, projector)
    assert verify(PROJECTION, feed, projector).agrees
    projector.execute("UPDATE read.policies SET status = 'active' WHERE policy_id = %s", [GONE])
    assert not verify(PROJECTION, feed, projector).agrees


@pytest.mark.parametrize(
    ("grants", "sees"),
    [
        ([RoleGrant("sys_admin")], True),
        ([RoleGrant("sys_admin", SCHOOL)], False),
        ([RoleGrant("zone_admin")], False),
        ([RoleGrant("teacher"), RoleGrant("org_admin", SCHOOL)], False),
        ([RoleGrant("student")], False),
        ([], False),
    ],
)
def test_only_administrators_of_the_whole_system_see_any_of_it(database, projector, story, grants, sees):
    applied(projector, story.events)
    asker = Principal(subject_id=STUDENT, zone_id="univprep", roles=tuple(grants), session_id="s")

    async def counted():
        async with (
            ReadStore(role_conninfo(database, READER, ROLE_SECRET)) as store,
            store.session(asker) as it,
        ):
            return [
                (await (await it.execute(f"SELECT count(*) AS n FROM read.{table}")).fetchone())["n"]
                for table in PROJECTION.tables
            ]

    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute("INSERT INTO read.accounts VALUES (%s, 'univprep', NULL, true)", [STUDENT])
        for grant in grants:
            admin.execute(
                "INSERT INTO read.memberships VALUES (%s, %s, coalesce(%s, 'zone'), %s, 'univprep', now())",
                [STUDENT, grant.role, grant.org_id, grant.org_id],
            )
        assert asyncio.run(counted()) == ([3, 2] if sees else [0, 0])
        # The token still names the role.
        admin.execute("DELETE FROM read.memberships")
    assert asyncio.run(counted()) == [0, 0]
