"""Parts of the running program are killed; what was acknowledged is there when they are back."""

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import psutil
import pytest

from tests.support.api import bearer, choice_item, eventually
from tests.support.system import installation


@pytest.fixture(scope="module")
def place():
    with installation() as made:
        yield made


@pytest.fixture
def up(place):
    """A running one: the one that an earlier test has left, or a new one."""
    running = place._ups[-1] if place._ups and place._ups[-1].process.poll() is None else place.start_up()
    running.wait_until_ready()
    return running


class Examinee:
    """Answers one item again and again, as long as it is told to, and notes what was acknowledged.

    Whatever goes wrong on the way is sent again, under the same number: as a device does.
    """

    def __init__(self, up, place):
        self.place = place
        demo = dict(
            line.split()[:3:2] for line in up.output.splitlines() if line.startswith(("student", "teacher"))
        )
        with httpx.Client(base_url=f"{up.base_url}/api/v1", trust_env=False, timeout=30) as http:
            teacher, student = (self._signed_in(http, role, demo[role]) for role in ("teacher", "student"))
            bank_id = http.post("/item-banks", json={"name": "Bank"}, headers=teacher).json()["bank_id"]
            item = {"code": "one", "content": choice_item()}
            made = http.post(f"/item-banks/{bank_id}/items", json=item, headers=teacher).json()
            exam = {"title": {"ko": "시험"}, "items": [{"item_id": made["item_id"]}], "audience": "zone"}
            exam_id = http.post("/exams", json=exam, headers=teacher).json()["exam_id"]
            http.post(f"/exams/{exam_id}/publish", headers=teacher)
            attempt = http.post(f"/exams/{exam_id}/attempts", headers=student).json()
        self.attempt_id = attempt["attempt_id"]
        self.headers = bearer(attempt["attempt_token"])
        self.url = f"/api/v1/attempts/{self.attempt_id}/responses/{made['item_id']}"
        self.acknowledged = []
        self.unexpected = []
        self._stopping = threading.Event()

    @staticmethod
    def _signed_in(http, role, password):
        address = f"{role}@demo.example"
        answer = http.post("/auth/login", json={"email": address, "password": password})
        assert answer.status_code == 200, answer.text
        return bearer(answer.json()["access_token"])

    @contextmanager
    def answering(self):
        with ThreadPoolExecutor(1) as threads:
            working = threads.submit(self._work)
            try:
                eventually(lambda: len(self.acknowledged) > 20)
                yield
                before = len(self.acknowledged)
                eventually(lambda: len(self.acknowledged) > before + 20, within_s=60)
            finally:
                self._stopping.set()
            working.result()

    def _work(self):
        sequence = 1
        with httpx.Client(trust_env=False, timeout=30) as http:
            while not self._stopping.is_set():
                body = {"response": {"options": [str(sequence % 4 + 1)]}, "sequence": sequence}
                try:
                    base_url = self.place.address["base_url"]
                    answer = http.put(f"{base_url}{self.url}", json=body, headers=self.headers)
                except (httpx.TransportError, KeyError):
                    self._stopping.wait(0.02)
                    continue
                if answer.status_code == 200:
                    self.acknowledged.append(sequence)
                    sequence += 1
                elif answer.status_code == 503:
                    self._stopping.wait(0.02)
                elif answer.status_code == 429:
                    self._stopping.wait(float(answer.headers["Retry-After"]))
                else:
                    self.unexpected.append(answer.text)
                    return

    def assert_nothing_is_lost_or_doubled(self):
        assert self.unexpected == []
        rows = self.place.query(
            "SELECT version FROM log.events WHERE stream_id = %s "
            "AND type <> 'attempt.started.v1' ORDER BY version",
            self.attempt_id,
        )
        assert len(rows) == len(self.acknowledged) == self.acknowledged[-1]


def kill(pid):
    os.kill(pid, signal.SIGKILL)


def test_a_killed_server_is_started_again_and_no_acknowledged_answer_is_lost(place, up):
    examinee, first = Examinee(up, place), up.server_pid
    with examinee.answering():
        kill(first)
        eventually(lambda: place.address["pid"] != first and place.is_ready(), within_s=60)
    assert "The server has died; starting it again" in up.output
    assert up.process.poll() is None
    examinee.assert_nothing_is_lost_or_doubled()


def test_a_killed_database_is_started_again_and_no_acknowledged_answer_is_lost(place, up):
    examinee, first, server = Examinee(up, place), up.postgres_pid, up.server_pid
    with examinee.answering():
        kill(first)
        eventually(lambda: up.postgres_pid not in {None, first} and place.is_ready(), within_s=60)
    assert "PostgreSQL has died; starting it again" in up.output
    assert up.server_pid == server, "the server had no reason to go"
    examinee.assert_nothing_is_lost_or_doubled()


def test_when_the_supervisor_is_killed_the_server_ends_and_the_next_start_goes_on(place, up):
    examinee, server, database = Examinee(up, place), up.server_pid, up.postgres_pid
    with examinee.answering():
        up.kill()
        eventually(lambda: not psutil.pid_exists(server), within_s=30)
        assert psutil.pid_exists(database), "the database is left for the next start"
        again = place.start_up()
        again.wait_until_ready()
        assert "Found PostgreSQL still running" in again.output
        assert again.postgres_pid == database
    examinee.assert_nothing_is_lost_or_doubled()


def test_when_everything_is_killed_the_next_start_recovers(place, up):
    examinee = Examinee(up, place)
    with examinee.answering():
        server, database = up.server_pid, up.postgres_pid
        up.kill()
        kill(database)
        kill(server)
        eventually(lambda: not psutil.pid_exists(database))
        # The number of the dead server may be somebody else's by now.
        pid_file = place.var_dir / "postgres" / "postmaster.pid"
        _, *others = pid_file.read_text().splitlines()
        pid_file.write_text("\n".join([str(os.getpid()), *others, ""]))
        again = place.start_up()
        again.wait_until_ready()
    examinee.assert_nothing_is_lost_or_doubled()
    assert again.stop() == 0
    assert place.processes() == []
