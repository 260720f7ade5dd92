"""The wall of policies: what it keeps out with nobody's help, and that it bites within a second."""

import asyncio
import dataclasses
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from fastapi import Request

from commands.api import next_items
from commands.policies import found_policies, withdraw_policy
from domain.policies.decisions import AccessDecided
from domain.users.account import GrantedRole, UserNotFound
from infra.http.guards import RequireRole, RequireZone, authenticated
from infra.http.principal import RoleGrant
from infra.policies.founding import founding_rules
from tests.support.adaptive_api import Sitting, adaptive_exam
from tests.support.api import bootstrap_context, eventually, refusal, running_api
from tests.support.event_streams import LIMIT_S, following
from tests.support.exam_parts import uuid7
from tests.support.policies import a_rule
from tests.support.postgres import fresh_database, run_folder

CLOSED_TO_STUDENTS = a_rule(effect="forbid", id="closed", roles=["student"])
FOUNDING = {each.rule.id: each.policy_id for each in founding_rules()}


@pytest.fixture
def api(postgres_server):
    with (
        run_folder("policy-wall") as folder,
        fresh_database(postgres_server) as conninfo,
        running_api(conninfo, folder, role="all") as running,
    ):
        for each in running.run(found_policies(running.write, bootstrap_context(), founding_rules())):
            included(running, each)
        yield running


def included(api, outcome):
    api.run(api.services.access_rules.policies.include(outcome.stream_id, outcome.version))


def withdrawn(api, rule_id):
    included(api, api.run(withdraw_policy(api.write, bootstrap_context(), FOUNDING[rule_id], "closed")))


def active(api, rule):
    ann, bob = (api.person(GrantedRole("sys_admin", None)).http for _ in range(2))
    state = ann.post("/policies", json={"rule": rule, "reason": "because"}).json()
    body = {"proposal_sha256": state["proposal_sha256"], "reason": "good"}
    assert bob.post(f"/policies/{state['policy_id']}/approve", json=body).status_code == 200
    answer = bob.post(f"/policies/{state['policy_id']}/activate", json={})
    assert answer.status_code == 200, answer.text
    return state["policy_id"]


def test_a_forbid_bites_with_the_next_request_and_says_which_rule_it_was(api):
    school = api.school()
    student, exam = school.student(), school.exam()
    assert student.http.get("/users/me").status_code == 200
    policy_id = active(api, a_rule(effect="forbid", id="closed", roles=["student"], actions=["take_exam"]))

    answer = student.http.post(f"/exams/{exam.exam_id}/attempts")

    assert refusal(answer) == (403, "policy-forbids")
    told = answer.json()
    assert (told["action"], told["reason"]) == ("take_exam", "forbidden")
    assert [each["policy_id"] for each in told["decided_by"]] == [policy_id]
    assert student.http.get("/users/me").status_code == 200


def test_nobody_gets_past_the_door_of_a_closed_zone_not_even_by_the_short_way_of_an_answer(api):
    school = api.school()
    student, exam = school.student(), school.exam()
    attempt = student.http.post(f"/exams/{exam.exam_id}/attempts").json()
    url = f"/attempts/{attempt['attempt_id']}/responses/{exam.item_ids[0]}"
    with_its_token = api.client(attempt["attempt_token"])
    for http in (student.http, with_its_token):
        assert http.put(url, json={"response": {"options": ["1"]}}).status_code == 200

    active(api, a_rule(effect="forbid", id="closed", roles=["student"]))

    for http in (student.http, with_its_token):
        answer = http.put(url, json={"response": {"options": ["2"]}})
        assert refusal(answer) == (403, "policy-forbids")
        assert refusal(http.get(f"/attempts/{attempt['attempt_id']}")) == (403, "policy-forbids")
    assert school.teacher.http.get("/users/me").status_code == 200


@pytest.fixture
def sitting(api):
    """An adaptive attempt whose next item nobody decides."""
    school = api.school()
    return Sitting.start(school.student(), adaptive_exam(school))


def test_a_stream_of_events_that_is_open_ends_when_a_rule_has_taken_access_away(api, sitting, monkeypatch):
    monkeypatch.setattr(next_items, "LOOK_AGAIN_S", 0.05)
    with following(sitting) as stream:
        assert stream.event()[0] == "item"
        active(api, CLOSED_TO_STUDENTS)
        assert stream.event() is None


def test_a_long_poll_is_refused_when_a_rule_has_taken_access_away_while_it_waited(api, sitting, monkeypatch):
    waits, goes_on = threading.Event(), threading.Event()

    async def once_decided(_write, _attempt_id, known, *_):
        waits.set()
        await asyncio.to_thread(goes_on.wait, LIMIT_S)
        return known

    monkeypatch.setattr(next_items, "is_deciding", lambda _: True)
    monkeypatch.setattr(next_items, "once_decided", once_decided)
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(sitting.ask, wait_s=20)
        assert waits.wait(LIMIT_S)
        active(api, CLOSED_TO_STUDENTS)
        goes_on.set()
        assert refusal(asking.result(LIMIT_S)) == (403, "policy-forbids")


def test_a_service_starts_an_exam_for_nobody_who_may_not_take_it(api):
    school = api.school()
    student, exam = school.student(), school.exam()
    stranger = api.school().student()
    _, service = school.service()
    url = f"/exams/{exam.exam_id}/attempts"
    closed = a_rule(effect="forbid", id="closed", roles=["student"], actions=["take_exam"])
    policy_id = active(api, closed)

    answer = service.http.post(url, json={"examinee_id": student.user_id})

    assert refusal(answer) == (403, "policy-forbids")
    assert [each["policy_id"] for each in answer.json()["decided_by"]] == [policy_id]
    # What the rules say of people elsewhere is none of its business.
    for nobodys in (stranger.user_id, f"user-{uuid7(0xFC)}"):
        answer = service.http.post(url, json={"examinee_id": nobodys})
        assert refusal(answer) == (404, "user-not-found")


def test_who_has_locked_out_everybody_can_let_them_in_again(api):
    ann, bob = (api.person(GrantedRole("sys_admin", None)).http for _ in range(2))
    student = api.school().student()
    answer = ann.post(f"/policies/{FOUNDING['service-in-ones-own-zone']}/withdraw", json={"reason": "oops"})
    assert answer.status_code == 200
    for http in (ann, student.http):
        assert refusal(http.get("/users/me")) == (403, "policy-forbids")
    assert refusal(student.http.get("/policies")) == (403, "policy-forbids")

    again = {"rule": a_rule(id="open-again"), "reason": "it was a mistake"}
    state = ann.post("/policies", json=again).json()
    policy = f"/policies/{state['policy_id']}"
    assert ann.post(f"{policy}/simulations", json={}).status_code == 200
    body = {"proposal_sha256": state["proposal_sha256"], "reason": "indeed"}
    assert bob.post(f"{policy}/approve", json=body).status_code == 200
    assert bob.post(f"{policy}/activate", json={}).status_code == 200
    assert student.http.get("/users/me").status_code == 200


def test_a_permit_that_is_withdrawn_closes_exams_and_results_at_once(api):
    school = api.school()
    student, exam = school.student(), school.exam()
    results = f"/exams/{exam.exam_id}/results"
    done = student.http.post(f"/exams/{exam.exam_id}/attempts").json()
    submitted = student.http.post(f"/attempts/{done['attempt_id']}/submit")
    running = student.http.post(f"/exams/{school.exam().exam_id}/attempts").json()
    shown = school.teacher.http.get(
        f"/attempts/{done['attempt_id']}",
        headers={"Consistency-Token": submitted.headers["Consistency-Token"]},
    )
    assert shown.json()["status"] == "scored"
    eventually(lambda: school.teacher.http.get(results).status_code == 200)
    asked_at = time.monotonic()
    withdrawn(api, "exams-in-ones-own-zone")
    for path in (
        results,
        f"/exams/{exam.exam_id}/adaptive-report",
        f"/analytics/exam/{exam.exam_id}",
        f"/attempts/{done['attempt_id']}",
    ):
        assert refusal(school.teacher.http.get(path)) == (403, "policy-forbids"), path
    # An exam that is under way goes on.
    assert student.http.get(f"/attempts/{running['attempt_id']}").status_code == 200
    assert refusal(student.http.post(f"/exams/{exam.exam_id}/attempts")) == (403, "policy-forbids")
    assert time.monotonic() - asked_at < 5.0


def test_an_exam_of_another_zone_is_not_there_as_one_that_never_was(api):
    exam = api.school(zone_id="kzone").exam()
    student = api.school().student()
    for exam_id in (exam.exam_id, f"exam-{uuid7(0xFD)}", "exam-1"):
        assert refusal(student.http.post(f"/exams/{exam_id}/attempts")) == (404, "exam-not-found")
        assert refusal(student.http.get(f"/exams/{exam_id}/results")) == (404, "exam-not-found")


def test_the_wall_alone_keeps_out_who_comes_from_another_zone(api, monkeypatch):
    """Roles, zones of paths, ownership in handlers and rows: all switched off, and the wall still stands."""

    async def anybody(_guard, request: Request):
        return await authenticated(request)

    for guard in (RequireRole, RequireZone):
        monkeypatch.setattr(guard, "__call__", anybody)
    exam = api.school(zone_id="kzone").exam()
    thief = api.client(api.token(api.person().user_id, RoleGrant("student")))
    reached = []

    async def handler(*_asked, **_named):
        reached.append(True)
        raise UserNotFound

    monkeypatch.setattr("commands.api.attempts.start_attempt_and_wait", handler)
    monkeypatch.setattr("read_api.results.visible_exam", handler)
    assert thief.post(f"/exams/{exam.exam_id}/attempts").status_code == 404
    assert thief.get(f"/exams/{exam.exam_id}/results").status_code == 404
    assert not reached


def test_with_the_wall_open_the_same_requests_reach_the_handlers(api, monkeypatch):
    """What the test before is worth: without the wall they get there."""

    class Open:
        def has_entered(self, _principal):
            return True

        async def require(self, *_asked):
            return True

    services = api.services
    api.app.state.services = dataclasses.replace(
        services, access_rules=dataclasses.replace(services.access_rules, wall=Open())
    )
    exam = api.school(zone_id="kzone").exam()
    student = api.school().student()
    reached = []

    async def handler(*_asked, **_named):
        reached.append(True)
        raise UserNotFound

    monkeypatch.setattr("commands.api.attempts.start_attempt_and_wait", handler)
    assert refusal(student.http.post(f"/exams/{exam.exam_id}/attempts")) == (404, "user-not-found")
    assert reached


def test_a_system_administrator_sees_results_of_another_zone_and_that_is_recorded(api):
    exam = api.school(zone_id="kzone").exam()
    admin = api.person(GrantedRole("sys_admin", None))
    # The rows of an organisation are not theirs: the wall lets them through, and what is behind it does not.
    assert refusal(admin.http.get(f"/exams/{exam.exam_id}/results")) == (404, "exam-not-found")

    def recorded():
        return [
            event
            for stream in observations(api)
            for event in api.events(stream)
            if isinstance(event, AccessDecided) and event.principal_id == admin.user_id
        ]

    event = eventually(recorded)[0]
    assert event.audited
    assert event.decided_by == (FOUNDING["system-administrators-see-results"],)


def observations(api):
    with psycopg.connect(api.database.admin_conninfo) as connection:
        rows = connection.execute(
            "SELECT DISTINCT stream_id FROM log.events WHERE stream_id LIKE 'observation-%'"
        ).fetchall()
    return [stream_id for (stream_id,) in rows]


def test_a_rule_about_the_hour_holds_for_that_hour(api):
    student = api.school().student()
    hour = (api.clock().hour + 9) % 24
    then = (hour + 1) % 24
    active(
        api,
        a_rule(
            effect="forbid",
            id="closed-for-an-hour",
            roles=["student"],
            when={"op": "==", "attribute": "context.hour", "value": then},
        ),
    )
    assert student.http.get("/users/me").status_code == 200
    api.clock.advance(3_600)
    assert refusal(student.http.get("/users/me")) == (403, "policy-forbids")
    api.clock.advance(3_600)
    assert student.http.get("/users/me").status_code == 200


def test_what_the_token_does_not_say_is_looked_up_where_a_rule_speaks_of_it(api):
    school = api.school()
    student, exam = school.student(), school.exam()
    active(
        api,
        a_rule(
            effect="forbid",
            id="one-thing-at-a-time",
            roles=["student"],
            actions=["take_exam"],
            when={"op": "==", "attribute": "principal.has_active_exam", "value": True},
        ),
    )
    other = school.exam()
    assert student.http.post(f"/exams/{exam.exam_id}/attempts").status_code == 201
    assert refusal(student.http.post(f"/exams/{other.exam_id}/attempts")) == (403, "policy-forbids")
