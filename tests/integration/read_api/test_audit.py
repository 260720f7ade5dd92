"""Who did what, over HTTP: what administrators find, and what nobody else does."""

import json
from datetime import timedelta

import psycopg
import pytest
from psycopg.rows import dict_row

from infra.http.consistency import ConsistencyToken
from infra.postgres.roles import PROJECTOR, READER, role_conninfo
from projections.audit.projection import AuditProjection
from projections.audit.queries import Criteria, statement
from tests.support.postgres import ROLE_SECRET
from tests.support.school import a_school, an_app, client_of, principal, project
from tests.support.stored_story import with_metadata
from tests.support.story import BEGIN, ORG, OTHER_ORG, a_whole_story

PATH = "/audit-entries"
TEACHER = "user-019cabcd-0000-7000-8000-00000000feed"


def listed(client, who, limit=200, **query):
    """All pages of what somebody finds."""
    found, cursor = [], None
    while True:
        page = client.get(
            who, PATH, params={"limit": limit, **query, **({"cursor": cursor} if cursor else {})}
        )
        found += page.json()["items"]
        cursor = page.json()["next_cursor"]
        if cursor is None:
            return found


def positions(entries):
    return [entry["position"] for entry in entries]


def newest_first(story, test):
    return [each.position for each in reversed(story.events) if test(each.recorded)]


def test_an_entry_says_who_did_what_to_which_resource_when(client, school):
    event = next(each for each in school.story.events if each.recorded.stream_id == school.exams["draft"])
    [entry] = [each for each in listed(client, "zone_admin") if each["position"] == event.position]
    recorded, metadata = event.recorded, event.recorded.metadata
    assert entry == {
        "position": event.position,
        "recorded_at": metadata.recorded_at.isoformat().replace("+00:00", "Z"),
        "actor_kind": "user",
        "actor_id": school.people["teacher"],
        "zone_id": "univprep",
        "org_id": ORG,
        "action": "create",
        "resource_category": "exam",
        "resource_id": recorded.stream_id,
        "resource_version": 1,
        "type": "exam.drafted.v1",
        "event_id": metadata.event_id,
        "correlation_id": metadata.correlation_id,
        "causation_id": metadata.causation_id,
    }


@pytest.mark.parametrize("limit", [1, 7, 200])
def test_all_pages_together_are_every_event_newest_first(client, school, limit):
    expected = newest_first(school.story, lambda each: each.metadata.zone_id == "univprep")
    assert positions(listed(client, "zone_admin", limit)) == expected


def test_administrators_see_their_zone_or_their_organisation_and_no_more(client, school):
    everything = newest_first(school.story, lambda _: True)
    own_zone = newest_first(school.story, lambda each: each.metadata.zone_id == "univprep")
    own_org = newest_first(school.story, lambda each: each.metadata.org_id == ORG)
    assert positions(listed(client, "sys_admin")) == everything
    assert positions(listed(client, "zone_admin")) == own_zone
    assert positions(listed(client, "org_admin")) == own_org
    assert positions(listed(client, "other org_admin")) == newest_first(
        school.story, lambda each: each.metadata.org_id == OTHER_ORG and each.metadata.zone_id == "univprep"
    )
    assert len(own_zone) < len(everything)


@pytest.mark.parametrize("who", ["mina", "teacher", "zone teacher", "service", "stranger"])
def test_nobody_else_may_ask(client, who):
    client.problem(who, PATH, 403, "role-required")


def test_nobody_asks_without_signing_in(client):
    client.problem(None, PATH, 401, "unauthenticated")


@pytest.mark.parametrize(
    "query",
    [
        {"action": "invent"},
        {"since": "yesterday"},
        {"until": "1767225600"},
        {"actor": ""},
        {"actor": "a\x00b"},
        {"cursor": "abc"},
        {"limit": 0},
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(client, query):
    answer = client.get("zone_admin", PATH, 422, params=query)
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_cursor_of_another_list_is_refused(client):
    other = client.get("teacher", "/exams", params={"limit": 1}).json()["next_cursor"]
    client.problem("zone_admin", PATH, 422, "bad-cursor", params={"cursor": other})


def a_zone_admin_in(story):
    return {"zone_admin": principal(story.person(("zone_admin", None)), ("zone_admin", None))}


@pytest.fixture
def busy(database):
    """A story of several people, and a client over it."""
    story = a_whole_story(4)
    principals = a_zone_admin_in(story)
    for index in range(0, len(story.events), 3):
        story.events[index] = with_metadata(story.events[index], actor=TEACHER)
    project(database, story)
    with client_of(an_app(database, principals)) as client:
        yield story, client


def test_a_person_an_action_and_a_time_narrow_the_list(busy):
    story, client = busy
    middle = BEGIN + timedelta(milliseconds=len(story.events) // 2)
    by_teacher = newest_first(story, lambda each: each.metadata.actor.id == TEACHER)
    assert positions(listed(client, "zone_admin", 9, actor=TEACHER)) == by_teacher
    created = positions(listed(client, "zone_admin", 9, action="create"))
    assert created == newest_first(
        story,
        lambda each: each.version == 1 and each.category in {"attempt", "exam", "item", "item_bank", "user"},
    )
    since = positions(listed(client, "zone_admin", 9, since=middle.isoformat()))
    until = positions(listed(client, "zone_admin", 9, until=middle.isoformat()))
    assert since == newest_first(story, lambda each: each.metadata.recorded_at >= middle)
    assert until == newest_first(story, lambda each: each.metadata.recorded_at < middle)
    together = listed(
        client,
        "zone_admin",
        9,
        actor=TEACHER,
        action="create",
        since=BEGIN.isoformat(),
        until=middle.isoformat(),
    )
    assert positions(together) == [each for each in by_teacher if each in set(created) & set(until)]
    assert 0 < len(together) < len(by_teacher)
    assert listed(client, "zone_admin", actor="user-nobody") == []


def test_entries_recorded_at_one_moment_are_not_lost_between_pages(database):
    story = a_whole_story(2)
    principals = a_zone_admin_in(story)
    story.events[:] = [with_metadata(each, recorded_at=BEGIN) for each in story.events]
    project(database, story)
    with client_of(an_app(database, principals)) as client:
        assert positions(listed(client, "zone_admin", 3)) == newest_first(story, lambda _: True)


def test_a_read_with_a_consistency_token_waits_for_the_audit_projection(database, principals):
    school = a_school()
    project(database, school.story)
    last = school.story.events[-1]
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute("UPDATE ops.projections SET position = position - 1 WHERE name = 'audit'")
    token = ConsistencyToken(last.recorded.stream_id, last.recorded.version).encode()
    with client_of(an_app(database, principals, consistency_wait_s=0.05)) as client:
        answer = client.get("sys_admin", PATH, 503, headers={"Consistency-Token": token})
        assert answer.json()["type"] == "urn:megacity:problem:read-model-behind"
        assert answer.headers["Retry-After"] == "1"


def test_no_personal_value_of_any_event_is_among_the_entries(client, school):
    shown = json.dumps(listed(client, "sys_admin"), ensure_ascii=False)
    names = ["미나", "준오", "선생님", "Stranger", "example.org"]
    stored = json.dumps([str(each.recorded.event) for each in school.story.events], ensure_ascii=False)
    assert [name for name in names if name not in stored] == []
    assert [name for name in names if name in shown] == []


def test_the_order_of_events_and_events_that_come_twice_make_no_difference(database):
    story = a_whole_story(2)
    conninfo = role_conninfo(database, PROJECTOR, ROLE_SECRET)
    with psycopg.connect(conninfo, row_factory=dict_row, autocommit=True) as connection:
        outcomes = []
        for events in (story.events, [*reversed(story.events), *story.events[:9]]):
            with connection.transaction(), connection.cursor() as cursor:
                for begin in range(0, len(events), 5):
                    AuditProjection().apply(cursor, events[begin : begin + 5])
                outcomes.append(
                    cursor.execute("SELECT * FROM read.audit_entries ORDER BY position").fetchall()
                )
                cursor.execute("DELETE FROM read.audit_entries")
    assert outcomes[0] == outcomes[1]
    assert len(outcomes[0]) == len(story.events)


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (Criteria(actor="user-7"), "audit_entries_of_actor"),
        (Criteria(actor="user-7", since=BEGIN), "audit_entries_of_actor"),
        (Criteria(action="delete"), "audit_entries_by_action"),
        (Criteria(), "audit_entries_in_time"),
    ],
    ids=str,
)
def test_a_page_is_found_by_an_index_in_its_order_under_row_level_security(database, wanted, index):
    """The plan, not the time: whatever the machine, no sort and no reading of everything."""
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute(
            """INSERT INTO read.audit_entries
               SELECT n, now() - n * interval '1 second', 'user', 'user-' || n %% 20, 'univprep',
                   'organization-' || n %% 7, CASE WHEN n %% 1000 = 0 THEN 'delete' ELSE 'update' END,
                   'exam', 'exam-' || n, 1, 'exam.drafted.v1', 'e', 'c', 'k'
               FROM generate_series(1, 20000) n""",
            [],
        )
        admin.execute("ANALYZE read.audit_entries")
    query, parameters = statement(wanted, before=(BEGIN + timedelta(days=9999), 5), limit=51)
    with psycopg.connect(role_conninfo(database, READER, ROLE_SECRET)) as reader:
        reader.execute(
            "SELECT set_config('app.zone_id', 'univprep', true), set_config('app.roles', 'zone_admin', true)"
        )
        plan = reader.execute(b"EXPLAIN (FORMAT JSON) " + query.as_bytes(reader), parameters).fetchone()[0]
    text = json.dumps(plan)
    assert f'"Index Name": "{index}"' in text
    assert '"Node Type": "Sort"' not in text
    assert "Seq Scan" not in text
