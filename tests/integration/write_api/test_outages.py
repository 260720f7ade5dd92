"""The database goes away and comes back: refusals that say when to try again, and nothing lost."""

import asyncio
import os
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import psycopg
import pytest

from infra.postgres.embedded import EmbeddedPostgres
from infra.postgres.migrate import migrate
from infra.postgres.roles import ensure_database
from tests.support.api import PASSWORD, bearer, eventually, refusal, running_api
from tests.support.postgres import ROLE_SECRET, run_folder


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def mortal():
    """An API on a PostgreSQL of its own: `(api, server)`. The server keeps its port when it is restarted."""
    with run_folder("mortal") as folder:
        server = EmbeddedPostgres(
            folder / "data", folder / "secrets", log_file=folder / "postgres.log", port=free_port()
        )
        with server:
            ensure_database(server.superuser_conninfo(), "megacity")
            conninfo = server.superuser_conninfo("megacity")
            migrate(conninfo, role_secret=ROLE_SECRET)
            with running_api(conninfo, folder / "var") as api:
                yield api, server


@pytest.fixture
def taking(mortal):
    """A school, and students in the middle of an exam."""
    api, _ = mortal
    school = api.school()
    exam = school.exam()
    students = school.students(4)
    attempts = [
        student.http.post(f"/exams/{exam.exam_id}/attempts").json()["attempt_id"] for student in students
    ]
    return school, exam, students, attempts


def one_of_each(school, exam, student, attempt_id):
    """Requests to every part of the system that needs the database: method, path, token and body."""
    return [
        ("PUT", f"/attempts/{attempt_id}/responses/{exam.item_ids[0]}", student, {"response": None}),
        ("GET", f"/attempts/{attempt_id}", student, None),
        ("POST", f"/exams/{exam.exam_id}/attempts", student, {}),
        ("POST", "/item-banks", school.teacher, {"name": "Bank"}),
        ("GET", "/exams", school.teacher, None),
        ("GET", f"/analytics/exam/{exam.exam_id}", school.teacher, None),
        ("POST", "/auth/login", None, {"email": "nobody@example.org", "password": PASSWORD}),
        ("POST", "/auth/refresh", None, {"refresh_token": "A" * 43}),
    ]


def send_all(api, requests, **headers):
    """Sends them all at once; the answers in the same order."""

    async def send():
        limits = httpx.Limits(max_connections=len(requests))
        async with httpx.AsyncClient(
            base_url=f"{api.base_url}/api/v1", timeout=60, limits=limits, trust_env=False
        ) as client:
            return await asyncio.gather(
                *(
                    client.request(
                        method,
                        path,
                        json=body,
                        headers={**bearer(who and who.token), **headers},
                    )
                    for method, path, who, body in requests
                )
            )

    return asyncio.run(send())


@contextmanager
def answering(api, taking):
    """Students who answer without pause, as their devices would: what is refused for now is sent again."""
    _, exam, students, attempts = taking
    acknowledged = {}
    statuses = set()
    stopping = False

    def answer(student, attempt_id):
        sequence = 0
        with httpx.Client(timeout=60, trust_env=False) as http:
            while not stopping:
                sequence += 1
                given = http.put(
                    f"{api.base_url}/api/v1/attempts/{attempt_id}/responses/{exam.item_ids[0]}",
                    json={"response": {"options": [str(sequence % 4 + 1)]}, "sequence": sequence},
                    headers=bearer(student.token),
                )
                statuses.add(given.status_code)
                if given.status_code == 200:
                    acknowledged[attempt_id] = sequence

    with ThreadPoolExecutor(len(students)) as threads:
        working = [threads.submit(answer, *each) for each in zip(students, attempts, strict=True)]
        try:
            eventually(lambda: len(acknowledged) == len(attempts))
            yield acknowledged
            before = dict(acknowledged)
            eventually(
                lambda: all(acknowledged[each] > before.get(each, 0) for each in attempts), within_s=60
            )
        finally:
            stopping = True
        for each in working:
            each.result()
    assert statuses <= {200, 503}, statuses


def assert_nothing_is_lost(api, acknowledged):
    for attempt_id, sequence in acknowledged.items():
        saved = [event.sequence for event in api.events(attempt_id)[1:]]
        assert sequence in saved
        assert saved == sorted(set(saved)), "an answer was saved twice"


def test_lost_connections_cost_no_answer_and_no_fault(mortal, taking):
    api, server = mortal
    with answering(api, taking) as acknowledged, psycopg.connect(server.superuser_conninfo()) as admin:
        for _ in range(3):
            before = dict(acknowledged)
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'megacity'")
            eventually(lambda before=before: acknowledged != before)
    assert_nothing_is_lost(api, acknowledged)


def test_a_restarted_database_costs_no_acknowledged_answer(mortal, taking):
    api, server = mortal
    with answering(api, taking) as acknowledged:
        server.stop()
        server.start()
    assert_nothing_is_lost(api, acknowledged)


def test_a_killed_database_costs_no_acknowledged_answer(mortal, taking):
    api, server = mortal
    with answering(api, taking) as acknowledged:
        os.kill(server.status().pid, signal.SIGKILL)
        eventually(lambda: not server.status().running)
        assert server.start().recovered
    assert_nothing_is_lost(api, acknowledged)


def test_while_the_database_is_away_every_route_says_so_and_when_to_come_back(mortal, taking):
    api, server = mortal
    school, exam, students, attempts = taking
    requests = one_of_each(school, exam, students[0], attempts[0])
    anybody = api.client()
    server.stop()
    try:
        answers = send_all(api, requests)
        live, ready = (anybody.get(f"{api.base_url}/{path}") for path in ("healthz", "readyz"))
        metrics = anybody.get(f"{api.base_url}/metrics")
    finally:
        server.start()
    for answer in answers:
        assert refusal(answer)[0] == 503, f"{answer.request.method} {answer.request.url}: {answer.text}"
        assert int(answer.headers["Retry-After"]) >= 1
    assert {refusal(answer)[1] for answer in answers} == {
        "event-log-unreachable",
        "read-store-unreachable",
        "database-unreachable",
    }
    assert live.status_code == 200
    assert (ready.status_code, ready.json()["reasons"]) == (503, ["the database cannot be reached"])
    assert metrics.status_code == 200
    # Nobody waits for a pool that tries ever more seldom: the first requests find the database again.
    eventually(lambda: anybody.get(f"{api.base_url}/readyz").status_code == 200)
    again = send_all(api, requests)
    assert [answer.status_code for answer in again] == [200, 200, 200, 201, 200, 200, 401, 401]


def test_a_key_that_was_sent_while_the_database_was_away_works_afterwards(mortal, taking):
    api, server = mortal
    school, *_ = taking
    request = [("POST", "/item-banks", school.teacher, {"name": "Away"})]
    key = {"Idempotency-Key": "sent while the database was away".replace(" ", "-")}
    server.stop()
    try:
        [away] = send_all(api, request, **key)
    finally:
        server.start()
    assert refusal(away) == (503, "database-unreachable")
    [back] = send_all(api, request, **key)
    [replayed] = send_all(api, request, **key)
    assert back.status_code == 201
    assert replayed.json() == back.json()


def test_more_than_can_wait_for_the_log_is_told_to_come_back(database):
    store = {"queue_limit": 1}
    with run_folder("api") as folder, running_api(database, folder, event_store=store) as api:
        teacher = api.school().teacher

        def create():
            return teacher.http.post("/item-banks", json={"name": "Bank"})

        with ThreadPoolExecutor(1) as threads:
            with psycopg.connect(database) as connection:
                connection.execute("LOCK TABLE log.events IN EXCLUSIVE MODE")
                first = threads.submit(create)
                eventually(lambda: api.write.streams._log._in_flight == 1)
                busy = create()
            assert refusal(busy) == (503, "event-log-busy")
            assert busy.headers["Retry-After"] == "1"
            assert first.result().status_code == 201
        assert create().status_code == 201
