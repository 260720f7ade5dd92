"""`megacity up`: what somebody sees who has just cloned the project, and what the other commands say."""

import json
import re

import httpx
import psutil
import pytest

from tests.support.api import PASSWORD, bearer, choice_item, eventually
from tests.support.system import installation


@pytest.fixture(scope="module")
def place():
    # The doctor looks at the port of the settings, which is none of this test's business.
    with installation(MEGACITY_HTTP__PORT="0") as made:
        yield made


@pytest.fixture(scope="module")
def up(place):
    with place.up() as running:
        yield running


@pytest.fixture(scope="module")
def http(up):
    with httpx.Client(base_url=f"{up.base_url}/api/v1", timeout=30, trust_env=False) as client:
        yield client


def demo_sign_ins(up):
    """By role, as they are printed: e-mail and password."""
    return {
        role: {"email": email, "password": password}
        for role, email, password in re.findall(r"^(\w+) +(\S+@\S+) +(\S+) *$", up.output, re.MULTILINE)
    }


@pytest.fixture(scope="module")
def people(up, http):
    """Headers of the demo people, each signed in with what is printed."""
    signed_in = {}
    for role, credentials in demo_sign_ins(up).items():
        answer = http.post("/auth/login", json=credentials)
        assert answer.status_code == 200, answer.text
        signed_in[role] = bearer(answer.json()["access_token"])
    return signed_in


@pytest.fixture(scope="module")
def taken(http, people):
    """An exam that was written, taken and handed in over HTTP: the ids of exam and attempt."""
    teacher, student = people["teacher"], people["student"]

    def done(answer):
        assert answer.is_success, answer.text
        return answer.json()

    bank = done(http.post("/item-banks", json={"name": "Bank"}, headers=teacher))
    item = done(
        http.post(
            f"/item-banks/{bank['bank_id']}/items",
            json={"code": "one", "content": choice_item()},
            headers=teacher,
        )
    )
    body = {"title": {"ko": "시험"}, "items": [{"item_id": item["item_id"]}], "audience": "zone"}
    exam = done(http.post("/exams", json=body, headers=teacher))["exam_id"]
    done(http.post(f"/exams/{exam}/publish", headers=teacher))
    attempt = done(http.post(f"/exams/{exam}/attempts", headers=student))["attempt_id"]
    done(
        http.put(
            f"/attempts/{attempt}/responses/{item['item_id']}",
            json={"response": {"options": ["2"]}},
            headers=student,
        )
    )
    handed_in = http.post(f"/attempts/{attempt}/submit", headers=student)
    token = {"Consistency-Token": handed_in.headers["Consistency-Token"]}
    results = done(http.get(f"/exams/{exam}/results", headers={**student, **token}))
    assert results["items"][0]["score"] == 1
    return exam, attempt


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/healthz", "/readyz", "/metrics"])
def test_what_is_printed_answers(up, path):
    answer = httpx.get(f"{up.base_url}{path}", trust_env=False)
    assert answer.status_code == 200
    assert path == "/healthz" or f"{up.base_url}{path}" in up.output


def test_it_is_ready_with_every_projection_at_the_end_of_the_log(up):
    readiness = httpx.get(f"{up.base_url}/readyz", trust_env=False).json()
    assert readiness["status"] == "ready"
    assert {each["name"] for each in readiness["projections"]} == {
        "people",
        "catalogue",
        "attempts",
        "item_analysis",
        "audit",
        "calibrations",
        "subscriptions",
        "policies",
        "access",
        "invitations",
        "role_reviews",
    }


def test_the_demo_sign_ins_open_accounts_of_their_roles(http, people):
    assert people.keys() == {"student", "teacher", "org_admin"}
    for role, headers in people.items():
        me = http.get("/users/me", headers=headers).json()
        assert [held["role"] for held in me["roles"]] == [role]


def test_somebody_new_registers_takes_an_exam_and_sees_the_result(http, taken):
    exam, _ = taken
    new = {"email": "new@example.org", "password": PASSWORD, "display_name": "서연"}
    assert http.post("/auth/register", json=new).status_code == 201
    credentials = {"email": new["email"], "password": PASSWORD}
    headers = bearer(http.post("/auth/login", json=credentials).json()["access_token"])
    attempt = http.post(f"/exams/{exam}/attempts", headers=headers).json()["attempt_id"]
    shown = eventually(
        lambda: (answer := http.get(f"/attempts/{attempt}", headers=headers)).is_success and answer.json()
    )
    for item in shown["items"]:
        url = f"/attempts/{attempt}/responses/{item['item_id']}"
        assert http.put(url, json={"response": {"options": ["1"]}}, headers=headers).is_success
    handed_in = http.post(f"/exams/{exam}/submit", headers=headers)
    token = {"Consistency-Token": handed_in.headers["Consistency-Token"]}
    results = http.get(f"/exams/{exam}/results", headers={**headers, **token}).json()
    assert [(each["score"], each["max_score"]) for each in results["items"]] == [(0, 1)]


def test_the_metrics_count_requests_by_route_and_know_the_projections(up, taken):
    assert taken
    text = httpx.get(f"{up.base_url}/metrics", trust_env=False).text
    assert 'route="/api/v1/exams/{exam_id}/attempts"' in text
    assert "megacity_projection" in text
    assert taken[0] not in text


def test_a_second_start_in_the_same_folder_is_refused_with_a_clear_sentence(up, place):
    code, said = place.refused("up", "--no-sample", "--port", "0")
    assert code == 2
    assert said.startswith(f"error: MegaCity is already running in this checkout (process {up.process.pid}")
    assert up.place.is_ready()


def test_a_taken_port_is_told_before_anything_is_started(up):
    taken_port = httpx.URL(up.base_url).port
    with installation() as other:
        code, said = other.refused("up", "--no-sample", "--port", str(taken_port))
        assert (code, said.splitlines()[0]) == (
            2,
            f"error: Port {taken_port} on 127.0.0.1 is taken by another program.",
        )
        assert not (other.var_dir / "postgres").exists()


def test_two_folders_run_side_by_side_and_one_is_stopped_and_started_again(up, http):
    with installation() as other:
        second = other.start_up()
        second.wait_until_ready()
        assert second.base_url != up.base_url
        sign_ins = demo_sign_ins(second)
        login = f"{second.base_url}/api/v1/auth/login"
        assert httpx.post(login, json=sign_ins["teacher"], trust_env=False).status_code == 200
        # The same address in another installation has another password.
        assert http.post("/auth/login", json=sign_ins["teacher"]).status_code == 401
        pids = [second.process.pid, second.server_pid, second.postgres_pid]
        assert second.stop() == 0
        assert other.processes() == []
        assert not any(psutil.pid_exists(pid) for pid in pids)
        assert not (other.var_dir / "postgres" / "postmaster.pid").exists()
        with pytest.raises(httpx.ConnectError):
            httpx.post(login, json={}, trust_env=False)
        with other.up() as again:
            assert demo_sign_ins(again) == sign_ins
            login = f"{again.base_url}/api/v1/auth/login"
            assert httpx.post(login, json=sign_ins["student"], trust_env=False).status_code == 200
    assert up.place.is_ready()


def test_log_tail_shows_the_newest_events(place, taken):
    _, attempt = taken
    lines = [json.loads(line) for line in place.run("log", "tail", "--json", "-n", "500").splitlines()]
    assert [line["position"] for line in lines] == sorted(line["position"] for line in lines)
    of_attempt = [line["type"] for line in lines if line["stream_id"] == attempt]
    assert of_attempt == [
        "attempt.started.v1",
        "attempt.response_given.v1",
        "attempt.submitted.v1",
        "attempt.scored.v1",
    ]


def test_log_show_and_replay_tell_one_streams_history(place, taken):
    _, attempt = taken
    shown = [json.loads(line) for line in place.run("log", "show", attempt, "--json").splitlines()]
    assert [line["version"] for line in shown] == [1, 2, 3, 4]
    replayed = [json.loads(line) for line in place.run("replay", attempt, "--json").splitlines()]
    assert [line["then"]["state"] for line in replayed] == ["InProgress", "InProgress", "Submitted", "Scored"]
    shown = place.run("replay", attempt, "--until", "2")
    assert "v2" in shown
    assert "v3" not in shown


def test_a_stream_that_does_not_exist_is_told_in_a_sentence(place, up):
    assert up.process.poll() is None
    nothing = "attempt-01901646-a2b4-7c3d-8e5f-0a1b2c3d4e5f"
    assert place.refused("replay", nothing) == (2, f"error: There is no stream {nothing}.\n")
    code, said = place.refused("log", "show", "nonsense")
    assert (code, said.splitlines()[0]) == (2, "error: 'nonsense' is not a stream id.")


def test_log_stats_count_every_type(place, taken):
    assert taken
    told = place.run("log", "stats")
    assert "attempt.scored.v1" in told
    rows = {line.split()[0]: line.split()[1] for line in told.splitlines() if "attempt." in line}
    assert rows["attempt.scored.v1"] == rows["attempt.submitted.v1"]


def test_projections_are_listed_verified_and_rebuilt_while_it_runs(place, up, taken):
    assert taken
    listed = place.run("projection", "list")
    for name in ("people", "catalogue", "attempts", "item_analysis"):
        assert name in listed
    place.run("projection", "verify", "attempts")
    place.run("projection", "rebuild", "--all")
    assert up.place.is_ready()


def test_the_doctor_finds_nothing_wrong(place, up):
    assert up.process.poll() is None
    assert "PostgreSQL" in place.run("doctor")


def test_every_line_of_the_servers_log_is_json_and_requests_carry_their_id(place, up, http, taken):
    assert taken
    sent = {"X-Request-Id": "e2e-request-1"}
    http.post("/auth/login", json={"email": "who@example.org", "password": "wrong-password"}, headers=sent)
    http.get("/exams", headers={"Authorization": "Bearer not-a-real-token"})
    http.get("/users/me?access_token=query-secret-value")
    lines = eventually(
        lambda: (read := place.server_log()) and any("/users/me" in str(line) for line in read) and read
    )
    requests = [line for line in lines if line["event"] == "request"]
    assert requests
    assert all(line["request_id"] and line["correlation_id"] for line in requests)
    assert "e2e-request-1" in {line["request_id"] for line in requests}
    text = (place.var_dir / "log" / "server.log").read_text(encoding="utf-8")
    for credentials in demo_sign_ins(up).values():
        assert credentials["email"] not in text
        assert credentials["password"] not in text
    for secret in ("who@example.org", "new@example.org", "wrong-password", PASSWORD, "eyJ", "query-secret"):
        assert secret not in text
    assert "\x1b[" not in json.dumps(lines)


def test_the_secrets_are_for_their_owner_alone(place, up):
    assert up.process.poll() is None
    for file in (place.var_dir / "secrets").iterdir():
        assert file.stat().st_mode & 0o077 == 0, file
