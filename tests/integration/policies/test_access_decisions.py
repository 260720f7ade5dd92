"""`POST /access/decisions`: who may ask about whom, and what is known of them without being told."""

import psycopg
import pytest

from domain.policies.decisions import AccessDecided, decision_of, read_request
from domain.users.account import GrantedRole
from infra.http.principal import RoleGrant
from infra.policies.founding import founding_rules, founding_set
from tests.support.api import eventually, refusal, running_api
from tests.support.exam_parts import uuid7
from tests.support.postgres import fresh_database, run_folder

NAMES = {each.policy_id: each.rule.id for each in founding_rules()}
TUTOR = {"action": "use_ai_tutor", "resource": {"kind": "feature", "id": "ai-tutor"}}
PREMIUM = {"action": "use_premium_feature", "resource": {"kind": "feature", "id": "reports"}}
NOBODY = f"user-{uuid7(0xFE)}"


def entering(zone):
    return {"action": "enter_zone", "resource": {"kind": "zone", "id": zone}}


@pytest.fixture(scope="module")
def api(postgres_server):
    with (
        run_folder("access") as folder,
        fresh_database(postgres_server) as conninfo,
        running_api(conninfo, folder, role="all") as running,
    ):
        yield running


@pytest.fixture(scope="module")
def school(api):
    return api.school()


def asked(http, *requests, **said):
    answer = http.post("/access/decisions", json={"requests": list(requests), **said})
    assert answer.status_code == 200, answer.text
    return answer.json()


def answers(http, *requests, **said):
    """What is said to each question: whether, and by which rules."""
    return [
        (each["allowed"], [by["rule"] for by in each["decided_by"]])
        for each in asked(http, *requests, **said)["decisions"]
    ]


def recorded(api, decision_id):
    """The event of a decision, once it is in the log."""

    def looked_up():
        with psycopg.connect(api.database.admin_conninfo) as connection:
            return connection.execute(
                "SELECT stream_id, version FROM log.events WHERE stream_id LIKE 'observation-%%'"
                " AND convert_from(payload, 'UTF8') LIKE %s",
                [f"%{decision_id}%"],
            ).fetchone()

    stream_id, version = eventually(looked_up)
    return api.recorded(stream_id)[version - 1]


def test_questions_are_answered_in_their_order_with_the_rules_that_decided(school):
    student = school.student()
    found = asked(student.http, entering("univprep"), entering("kzone"), TUTOR, PREMIUM)
    assert found["position"] == 0
    assert [
        (each["allowed"], each["reason"], [by["rule"] for by in each["decided_by"]])
        for each in found["decisions"]
    ] == [
        (True, "permitted", ["service-in-ones-own-zone"]),
        (False, "forbidden", ["no-zone-but-ones-own"]),
        (True, "permitted", ["service-in-ones-own-zone"]),
        (False, "forbidden", ["no-premium-without-subscription"]),
    ]
    assert found["decisions"][1]["decided_by"][0]["title"].keys() == {"ko", "en"}


def test_the_tutor_is_closed_from_the_very_answer_that_starts_an_exam_until_it_is_handed_in(school):
    student, exam = school.student(), school.exam()
    assert answers(student.http, TUTOR) == [(True, ["service-in-ones-own-zone"])]
    started = student.http.post(f"/exams/{exam.exam_id}/attempts")
    assert started.status_code == 201
    assert answers(student.http, TUTOR) == [(False, ["no-tutor-during-an-exam"])]
    student.http.post(f"/attempts/{started.json()['attempt_id']}/submit")
    assert answers(student.http, TUTOR) == [(True, ["service-in-ones-own-zone"])]


def test_a_service_asks_about_the_people_of_its_organisation(api, school):
    student, other = school.student(), api.school().student()
    _, tutor = school.service()
    assert answers(tutor.http, TUTOR, principal=student.user_id) == [(True, ["service-in-ones-own-zone"])]
    for nobodys in (other.user_id, NOBODY):
        answer = tutor.http.post("/access/decisions", json={"principal": nobodys, "requests": [TUTOR]})
        assert refusal(answer) == (404, "user-not-found")


def test_people_ask_about_themselves_and_administrators_of_the_system_about_anybody(api, school):
    student = school.student()
    admin = api.person(GrantedRole("sys_admin", None))
    bounded = api.person(GrantedRole("sys_admin", school.org_id), org_id=school.org_id)
    assert answers(student.http, TUTOR, principal=student.user_id) == answers(student.http, TUTOR)
    assert answers(admin.http, TUTOR, principal=student.user_id) == answers(student.http, TUTOR)
    for other in (school.teacher, school.admin(), school.student(), bounded):
        answer = other.http.post(
            "/access/decisions", json={"principal": student.user_id, "requests": [TUTOR]}
        )
        assert refusal(answer) == (404, "user-not-found")
    answer = admin.http.post("/access/decisions", json={"principal": NOBODY, "requests": [TUTOR]})
    assert refusal(answer) == (404, "user-not-found")
    assert refusal(api.client().post("/access/decisions", json={"requests": [TUTOR]}))[0] == 401


def test_a_role_or_zone_that_only_the_token_names_is_not_believed(api, school):
    student = school.student()
    pretender = api.client(api.token(student.user_id, RoleGrant("sys_admin"), zone_id="kzone"))
    assert answers(pretender, entering("kzone"), entering("univprep")) == [
        (False, ["no-zone-but-ones-own"]),
        (True, ["service-in-ones-own-zone"]),
    ]


def test_attributes_in_the_request_are_refused(school):
    http = school.student().http
    for smuggled in (
        {**TUTOR, "principal": {"roles": ["teacher"]}},
        {**TUTOR, "context": {"hour": 12}},
        {**TUTOR, "resource": {**TUTOR["resource"], "owner": NOBODY}},
        {**TUTOR, "action": "become_administrator"},
    ):
        answer = http.post("/access/decisions", json={"requests": [smuggled]})
        assert refusal(answer) == (422, "invalid-request")
    answer = http.post("/access/decisions", json={"requests": [TUTOR] * 101})
    assert refusal(answer) == (422, "invalid-request")
    about_nothing = {"action": "take_exam", "resource": {"kind": "zone", "id": "univprep"}}
    answer = http.post("/access/decisions", json={"requests": [TUTOR, about_nothing]})
    assert refusal(answer) == (422, "not-about-that")
    assert answer.json()["errors"][0]["pointer"] == "#/requests/1/resource/kind"


def test_what_is_elsewhere_is_answered_as_what_does_not_exist(api, school):
    elsewhere = api.school(zone_id="kzone")
    exam = elsewhere.exam()
    student = school.student()
    ids = [exam.exam_id, f"exam-{uuid7(0xFD)}", "no id at all", NOBODY]
    questions = [{"action": "take_exam", "resource": {"kind": "exam", "id": each}} for each in ids]
    found = asked(student.http, *questions)["decisions"]
    assert len({(each["allowed"], each["reason"], str(each["decided_by"])) for each in found}) == 1
    assert not found[0]["allowed"]


def test_a_refusal_is_recorded_with_all_that_it_was_decided_on(api, school):
    student = school.student()
    [decision] = asked(student.http, PREMIUM)["decisions"]
    found = recorded(api, decision["decision_id"])
    event = found.event
    assert isinstance(event, AccessDecided)
    assert (event.principal_id, event.action, event.allowed) == (
        student.user_id,
        "use_premium_feature",
        False,
    )
    assert [NAMES[each] for each in event.decided_by] == ["no-premium-without-subscription"]
    assert (found.metadata.actor.id, found.metadata.zone_id) == (student.user_id, "univprep")
    request = read_request(event.request)
    assert request.principal.subscription_status == "none"
    assert request.principal.has_active_exam is False
    assert request.versions[student.user_id] >= 1
    assert {each.policy_id for each in founding_set().rules} >= set(decision_of(event).decided_by)


def test_the_same_refusal_a_moment_later_is_the_same_record(api, school):
    student = school.student()
    first, second = (asked(student.http, PREMIUM)["decisions"][0]["decision_id"] for _ in range(2))
    assert first is not None
    assert first == second or api.clock().second < 2  # a minute may have begun in between


def test_an_ordinary_permit_is_counted_and_not_recorded(school):
    [decision] = asked(school.student().http, entering("univprep"))["decisions"]
    assert decision["decision_id"] is None


def test_an_administrator_in_another_zone_is_recorded(api):
    admin = api.person(GrantedRole("sys_admin", None))
    [decision] = asked(admin.http, entering("kzone"))["decisions"]
    assert decision["allowed"]
    event = recorded(api, decision["decision_id"]).event
    assert event.audited
    assert [NAMES[each] for each in event.decided_by] == ["system-administrators-in-other-zones"]
