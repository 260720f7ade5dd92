"""Subscriptions over HTTP: who orders what, what people see of their own, and the end of it by the clock."""

from datetime import timedelta

import psycopg
import pytest

from domain.users.account import GrantedRole
from infra.http.principal import RoleGrant
from infra.postgres.roles import READER
from tests.support.api import eventually, refusal

NOTHING = "subscription-01901646-a2b4-7c3d-8e5f-0a1b2c3d4e5f"
DAY_S = 86_400


@pytest.fixture
def admin(api):
    return api.client(api.token("user-admin", RoleGrant("sys_admin")))


@pytest.fixture
def zone_admin(api):
    return api.client(api.token("user-zone-admin", RoleGrant("zone_admin")))


@pytest.fixture
def student(api):
    return api.person()


def in_days(api, number):
    return (api.clock() + timedelta(days=number)).isoformat()


def start(api, admin, person, days=30, **body):
    return admin.post(
        "/subscriptions",
        json={"user_id": person.user_id, "plan": "premium", "paid_until": in_days(api, days), **body},
    )


def started(api, admin, person, days=30):
    answer = start(api, admin, person, days)
    assert answer.status_code == 201, answer.text
    return answer


def own(person, after=None):
    headers = {} if after is None else {"Consistency-Token": after.headers["Consistency-Token"]}
    return person.http.get("/users/me/subscription", headers=headers)


def kinds(api, subscription_id):
    return [type(event).__name__ for event in api.events(subscription_id)]


def test_whoever_never_had_one_finds_none(student):
    assert refusal(own(student)) == (404, "subscription-not-found")


def test_what_an_administrator_starts_renews_and_cancels_the_person_sees(api, admin, student):
    begun = started(api, admin, student)
    subscription_id = begun.json()["subscription_id"]
    assert (begun.json()["status"], begun.json()["version"], begun.headers["ETag"]) == ("active", 1, '"1"')
    seen = own(student, begun)
    assert (seen.json()["status"], seen.json()["plan"], seen.headers["ETag"]) == ("active", "premium", '"1"')
    until = in_days(api, 60)
    renewed = admin.post(
        f"/subscriptions/{subscription_id}/renewals", json={"paid_until": until, "plan": "f"}
    )
    assert renewed.status_code == 201
    cancelled = admin.post(f"/subscriptions/{subscription_id}/cancellation", json={"reason": "asked for"})
    assert cancelled.status_code == 200
    seen = own(student, cancelled).json()
    assert (seen["status"], seen["plan"], seen["version"]) == ("cancelled", "f", 3)
    assert seen["paid_until"] == cancelled.json()["paid_until"]


def test_what_is_over_is_over_at_once_and_the_clock_says_so(api, admin, student):
    subscription_id = started(api, admin, student, days=1).json()["subscription_id"]
    other = api.person()
    goes_on = started(api, admin, other, days=300).json()["subscription_id"]
    api.clock.advance(DAY_S + 1)
    eventually(lambda: own(student).json().get("status") == "expired")
    eventually(lambda: kinds(api, subscription_id) == ["SubscriptionStarted", "SubscriptionExpired"])
    [last] = api.recorded(subscription_id)[-1:]
    assert (last.metadata.actor.kind, last.metadata.zone_id) == ("clock", "univprep")
    assert kinds(api, goes_on) == ["SubscriptionStarted"]
    again = started(api, admin, student)
    assert again.json()["subscription_id"] == subscription_id
    assert own(student, again).json()["status"] == "active"


def test_it_is_over_for_its_owner_before_anybody_has_said_so(api, admin, student):
    begun = started(api, admin, student, days=1)
    assert own(student, begun).json()["status"] == "active"
    api.clock.advance(DAY_S + 1)
    # No waiting: the first answer after the end says it.
    assert own(student).json()["status"] == "expired"


def test_one_that_is_open_is_not_started_again(api, admin, student):
    subscription_id = started(api, admin, student).json()["subscription_id"]
    again = start(api, admin, student)
    assert refusal(again) == (409, "subscription-is-open")
    assert again.json()["subscription_id"] == subscription_id


def test_the_same_request_again_has_one_effect(api, admin, student):
    headers = {"Idempotency-Key": f"start-{student.user_id}"}
    body = {"user_id": student.user_id, "plan": "premium", "paid_until": in_days(api, 30)}
    answers = [admin.post("/subscriptions", json=body, headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    assert kinds(api, answers[0].json()["subscription_id"]) == ["SubscriptionStarted"]


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({"plan": "Premium!"}, "invalid-request"),
        ({"paid_until": "2020-01-01T00:00:00Z"}, "not-paid-ahead"),
        ({"paid_until": "tomorrow"}, "invalid-request"),
        ({"user_id": "user-1"}, "invalid-request"),
        ({"zone_id": "mediprep"}, "invalid-request"),
        ({"source": "webhook"}, "invalid-request"),
        ({"payment_ref": "x" * 101}, "invalid-request"),
    ],
)
def test_what_cannot_be_right_is_refused(api, admin, student, body, problem):
    assert refusal(start(api, admin, student, **body)) == (422, problem)
    assert refusal(own(student)) == (404, "subscription-not-found")


@pytest.mark.parametrize("role", ["student", "parent", "teacher", "tutor", "org_admin", "service"])
def test_nobody_but_administrators_orders_anything(api, student, role):
    somebody = api.client(api.token(student.user_id, RoleGrant(role)))
    answers = [
        start(api, somebody, student),
        somebody.post(f"/subscriptions/{NOTHING}/renewals", json={"paid_until": in_days(api, 1)}),
        somebody.post(f"/subscriptions/{NOTHING}/cancellation", json={"reason": "no"}),
    ]
    assert {refusal(answer) for answer in answers} == {(403, "role-required")}


def test_a_zone_admin_administers_their_own_zone_and_finds_nothing_of_another(api, admin, zone_admin):
    ours, theirs = api.person(), api.person(zone_id="mediprep")
    started(api, zone_admin, ours)
    assert refusal(start(api, zone_admin, theirs)) == (404, "user-not-found")
    subscription_id = started(api, admin, theirs).json()["subscription_id"]
    url = f"/subscriptions/{subscription_id}"
    answers = [
        zone_admin.post(f"{url}/renewals", json={"paid_until": in_days(api, 90)}),
        zone_admin.post(f"{url}/cancellation", json={"reason": "no"}),
    ]
    assert {refusal(answer) for answer in answers} == {(404, "subscription-not-found")}
    assert kinds(api, subscription_id) == ["SubscriptionStarted"]


def test_a_role_in_an_organisation_administers_no_zone(api, student):
    school = api.school()
    for role in ("zone_admin", "sys_admin"):
        somebody = api.client(api.token("user-odd", RoleGrant(role, school.org_id), zone_id="mediprep"))
        assert refusal(start(api, somebody, student))[0] in {403, 404}


def test_nothing_else_passes_for_the_id_of_a_subscription(admin, api, student):
    for wrong in (NOTHING, student.user_id, "subscription-1"):
        answer = admin.post(f"/subscriptions/{wrong}/renewals", json={"paid_until": in_days(api, 1)})
        assert refusal(answer) == (404, "subscription-not-found")


def test_the_reader_sees_ones_own_and_a_sys_admin_everybodys(api, admin):
    ours, other, elsewhere = api.person(), api.person(), api.person(zone_id="mediprep")
    everybody = {ours.user_id, other.user_id, elsewhere.user_id}
    administrator = api.person(GrantedRole("sys_admin"))
    for person in (ours, other, elsewhere):
        own(person, started(api, admin, person))

    def visible(user_id, zone_id="univprep", roles="student"):
        with psycopg.connect(api.database.conninfo(READER)) as connection:
            for name, value in (("user_id", user_id), ("zone_id", zone_id), ("roles", roles)):
                connection.execute("SELECT set_config(%s, %s, false)", [f"app.{name}", value])
            found = connection.execute("SELECT user_id FROM read.subscriptions").fetchall()
        return {each[0] for each in found} & everybody

    assert visible(ours.user_id) == {ours.user_id}
    assert visible(ours.user_id, zone_id="mediprep") == set()
    for role in ("teacher", "org_admin", "zone_admin", "service"):
        assert visible("user-staff", roles=role) == set()
    # Roles are those that the read side knows of: it has heard of this one by now, or does in a moment.
    eventually(lambda: visible(administrator.user_id, roles="sys_admin") == everybody)
    assert visible(administrator.user_id) == set()
    assert visible("", zone_id="") == set()
