"""The rows of roles under review are those of a model that fits on a page, wherever the log is cut."""

from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.rows import dict_row

from domain.users.events import RoleConfirmed, RoleGranted, RoleLapsed, UserDeactivated
from infra.postgres.roles import PROJECTOR, role_conninfo
from projections.role_reviews.projection import RoleReviewsProjection
from tests.support.postgres import ROLE_SECRET
from tests.support.story import ORG, Story

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
ROLES = [("sys_admin", None), ("teacher", ORG), ("student", None), ("parent", ORG)]

steps = st.tuples(
    st.sampled_from(["grant", "confirm", "lapse", "deactivate", "rename"]),
    st.integers(0, 2),
    st.sampled_from(ROLES),
)


@pytest.fixture
def projector(database):
    conninfo = role_conninfo(database, PROJECTOR, ROLE_SECRET)
    with psycopg.connect(conninfo, row_factory=dict_row, autocommit=True) as connection:
        yield connection


def happened(story, chosen):
    """The events of these steps, and the rows that they should leave."""
    people = [story.person() for _ in range(3)]
    rows, gone = {}, set()
    for minute, (step, number, (role, org_id)) in enumerate(chosen):
        user, at = people[number], NOW + timedelta(minutes=minute)
        key = (user, role, org_id or "zone")
        if user in gone:
            continue
        if step == "grant":
            added = story.add(user, RoleGranted(role=role, org_id=org_id, granted_at=at))
            if role not in {"student", "parent"}:
                recorded = added.recorded.metadata.recorded_at
                rows[key] = {"granted_at": recorded, "confirmed_at": None, "reviewed_at": at}
        elif step == "confirm":
            added = story.add(user, RoleConfirmed(role=role, org_id=org_id, confirmed_at=at))
            if key in rows:
                recorded = added.recorded.metadata.recorded_at
                rows[key] |= {"confirmed_at": recorded, "reviewed_at": at}
        elif step == "lapse":
            story.add(user, RoleLapsed(role=role, org_id=org_id, reason="removed"))
            rows.pop(key, None)
        elif step == "deactivate":
            story.add(user, UserDeactivated(reason="left"))
            gone.add(user)
            rows = {key: row for key, row in rows.items() if key[0] != user}
    return rows


def shown(connection):
    found = connection.execute("SELECT * FROM read.role_reviews").fetchall()
    return {
        (row["user_id"], row["role"], row["place"]): {
            name: row[name] for name in ("granted_at", "confirmed_at", "reviewed_at")
        }
        for row in found
    }


def test_the_rows_are_those_of_the_model_wherever_the_log_is_cut(projector):
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(chosen=st.lists(steps, max_size=25), size=st.integers(1, 30))
    def check(chosen, size):
        story = Story()
        expected = happened(story, chosen)
        projector.execute("DELETE FROM read.role_reviews")
        for start in range(0, len(story.events), size):
            with projector.transaction(), projector.cursor() as cursor:
                RoleReviewsProjection().apply(cursor, story.events[start : start + size])
        assert shown(projector) == expected

    check()


def test_a_row_says_who_granted_and_who_confirmed(projector):
    story = Story()
    ann, bob, eve = (story.person() for _ in range(3))
    with story.by(ann):
        story.add(eve, RoleGranted(role="zone_admin", granted_at=NOW))
    with story.by(bob):
        story.add(eve, RoleConfirmed(role="zone_admin", confirmed_at=NOW))
    with projector.transaction(), projector.cursor() as cursor:
        RoleReviewsProjection().apply(cursor, story.events)
    [row] = projector.execute("SELECT * FROM read.role_reviews").fetchall()
    assert (row["granted_by"], row["confirmed_by"], row["zone_id"]) == (ann, bob, story.zone_id)
    assert (row["org_id"], row["place"]) == (None, "zone")
