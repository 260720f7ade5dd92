"""The limits as clients meet them, over real HTTP."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from domain.users.account import GrantedRole
from tests.support.api import PASSWORD, bearer, refusal, running_api
from tests.support.postgres import fresh_database, run_folder
from tests.support.stores import running_store

SCHOOL = "203.0.113.0/24"
NAT = {"X-Forwarded-For": "203.0.113.7"}
ELSEWHERE = {"X-Forwarded-For": "198.51.100.7"}
CLASS_SIZE = 40
LIMITS = {
    "known_networks": (SCHOOL,),
    "trusted_proxies": ("127.0.0.0/8",),
    # Few enough that a class would not get in from an address that nobody knows.
    "address_per_min": 10,
    "address_burst": 10,
    "user_per_s": 0.01,
    "user_burst": 20,
}


@pytest.fixture(scope="module")
def api(postgres_server):
    with (
        run_folder("limits") as folder,
        fresh_database(postgres_server) as conninfo,
        running_api(conninfo, folder, limits=LIMITS) as running,
    ):
        yield running


def sign_in(email, headers=NAT):
    body = {"email": email, "password": PASSWORD}
    return {"method": "POST", "url": "/auth/login", "json": body, "headers": headers}


def test_a_class_of_forty_behind_one_address_signs_in_and_starts_an_exam_at_once(api):
    school = api.school()
    exam = school.exam()
    role = GrantedRole("student", school.org_id)
    students = [api.person(role, org_id=school.org_id) for _ in range(CLASS_SIZE)]
    signed_in = api.at_once([sign_in(each.email) for each in students])
    assert [each.status_code for each in signed_in] == [200] * CLASS_SIZE
    assert {each.headers["RateLimit-Policy"] for each in signed_in} == {'"network";q=1000;w=10'}
    starts = [
        {
            "method": "POST",
            "url": f"/exams/{exam.exam_id}/attempts",
            "headers": {**NAT, **bearer(each.json()["access_token"])},
        }
        for each in signed_in
    ]
    started = api.at_once(starts)
    assert [each.status_code for each in started] == [201] * CLASS_SIZE, started[0].text
    assert {each.headers["RateLimit-Policy"] for each in started} == {'"user";q=20;w=2000'}


def test_a_class_of_forty_behind_one_address_registers_at_once(api):
    registrations = [
        {
            "method": "POST",
            "url": "/auth/register",
            "headers": NAT,
            "json": {
                "email": f"newcomer-{number}@example.org",
                "password": PASSWORD,
                "display_name": "민지",
                "language": "ko",
            },
        }
        for number in range(CLASS_SIZE)
    ]
    registered = api.at_once(registrations)
    assert [each.status_code for each in registered] == [201] * CLASS_SIZE, registered[-1].text
    assert {each.headers["RateLimit-Policy"] for each in registered} == {'"network";q=1000;w=10'}


def test_from_an_address_that_nobody_knows_such_a_class_does_not_get_in(api):
    answers = api.at_once([sign_in("nobody@example.org", ELSEWHERE) for _ in range(CLASS_SIZE)])
    statuses = sorted(each.status_code for each in answers)
    assert statuses == [401] * 10 + [429] * 30
    refused = next(each for each in answers if each.status_code == 429)
    assert refusal(refused) == (429, "rate-limited")
    assert 1 <= int(refused.headers["Retry-After"]) <= 6


def test_the_token_of_an_attempt_counts_for_its_examinee(api):
    school = api.school()
    exam = school.exam()
    student = school.student()
    started = student.http.post(f"/exams/{exam.exam_id}/attempts").json()
    attempt = f"/attempts/{started['attempt_id']}"
    with_attempt_token = api.client(started["attempt_token"])
    assert 429 not in [with_attempt_token.get(attempt).status_code for _ in range(19)]
    assert with_attempt_token.get(attempt).status_code == student.http.get(attempt).status_code == 429
    assert school.student().http.get("/exams").status_code != 429


def test_a_service_is_not_held_up(api):
    _, service = api.school().service()
    with ThreadPoolExecutor(8) as threads:
        statuses = list(threads.map(lambda _: service.http.get("/exams").status_code, range(200)))
    assert 429 not in statuses


def test_what_machines_ask_is_free_and_the_refusals_are_counted(api):
    base = api.base_url
    stranger = {"X-Forwarded-For": "198.51.100.8"}
    assert [api.client().get("/nowhere", headers=stranger).status_code for _ in range(11)][-1] == 429
    for _ in range(20):
        assert httpx.get(f"{base}/healthz", headers=stranger, trust_env=False).status_code == 200
    shown = httpx.get(f"{base}/metrics", trust_env=False).text
    assert 'megacity_rate_limit_refused_total{limit="address"}' in shown
    assert "megacity_rate_limit_store_away 0.0" in shown


def shown_metric(api, name):
    text = httpx.get(f"{api.base_url}/metrics", trust_env=False).text
    [line] = [each for each in text.splitlines() if each.startswith(f"{name} ")]
    return float(line.split()[1])


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "hanging"])
def test_a_store_that_goes_in_the_middle_fails_no_request(postgres_server, how):
    with (
        running_store() as store,
        run_folder("limits") as folder,
        fresh_database(postgres_server) as conninfo,
    ):
        settings = {"redis": {"url": store.connection_url}, "limits": LIMITS}
        with running_api(conninfo, folder, **settings) as api:
            student = api.school().student()
            assert {student.http.get("/exams").status_code for _ in range(5)} == {200}
            os.kill(store._process.pid, how)
            try:
                answers = [student.http.get("/exams") for _ in range(22)]
                # Nobody has failed; this process began to count anew, and still holds the limit.
                assert [each.status_code for each in answers] == [200] * 20 + [429] * 2
                assert shown_metric(api, "megacity_rate_limit_store_failures_total") >= 3
                assert shown_metric(api, "megacity_rate_limit_store_away") == 1
                assert max(each.elapsed.total_seconds() for each in answers) < 1
            finally:
                if how == signal.SIGSTOP:
                    os.kill(store._process.pid, signal.SIGCONT)
