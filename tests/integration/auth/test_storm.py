"""Hundreds who sign in at once: few are hashed for, the others are sent away at once, and exams go on.

Ten thousand, with times: `tests/soak/test_sign_in_storm.py`.
"""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.accounts import new_email, registered, sign_in
from tests.support.api import PASSWORD, eventually, refusal, running_api
from tests.support.postgres import run_folder

PARALLEL, WAITING, COMING = 2, 10, 300


class Gate:
    """Holds up the hashes of a process until it is opened, and counts them."""

    def __init__(self, hasher):
        self.opened = threading.Event()
        self._lock = threading.Lock()
        self._hash = hasher._hash
        self.now = self.most = self.all = 0
        hasher._hash = self

    def hash(self, password):
        return self._counted(self._hash.hash, password)

    def verify(self, password, hash_):
        return self._counted(self._hash.verify, password, hash_)

    def _counted(self, work, *args):
        with self._lock:
            self.now += 1
            self.all += 1
            self.most = max(self.most, self.now)
        self.opened.wait(60)
        try:
            return work(*args)
        finally:
            with self._lock:
                self.now -= 1


@pytest.fixture
def api(database):
    auth = {"password_hashes_in_parallel": PARALLEL, "password_hashes_waiting": WAITING}
    with run_folder("storm") as folder, running_api(database, folder, auth=auth) as running:
        yield running


def test_of_hundreds_who_sign_in_at_once_most_are_sent_away_while_an_exam_goes_on(api):
    school = api.school()
    exam, student, account = school.exam(), school.student(), registered(api)
    attempt = student.http.post(f"/exams/{exam.exam_id}/attempts").json()["attempt_id"]
    gate = Gate(api.write.hasher)
    asked = [
        {"method": "POST", "url": "/auth/login", "json": {"email": new_email(), "password": PASSWORD}}
        for _ in range(COMING)
    ]
    with ThreadPoolExecutor(1) as another_thread:
        storm = another_thread.submit(api.at_once, asked)
        try:
            eventually(lambda: gate.now == PARALLEL)
            # Nobody who waits is through, and answers are taken all the same.
            for number, item_id in enumerate(exam.item_ids):
                given = student.http.put(
                    f"/attempts/{attempt}/responses/{item_id}",
                    json={"response": {"options": ["2"]}},
                    headers={"Idempotency-Key": f"answer-{number}"},
                )
                assert given.status_code == 200, given.text
            assert not storm.done()
            assert refusal(sign_in(api, account)) == (503, "sign-in-busy")
        finally:
            gate.opened.set()
        answers = storm.result()
    refused = [answer for answer in answers if answer.status_code == 503]
    hashed_for = [answer for answer in answers if answer.status_code == 401]
    assert len(refused) + len(hashed_for) == COMING
    assert {refusal(answer) for answer in refused} == {(503, "sign-in-busy")}
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in refused)
    assert gate.most == PARALLEL
    assert gate.all == len(hashed_for)
    # Who came when the gate was open already may have found room.
    assert PARALLEL + WAITING <= len(hashed_for) < COMING / 2
    assert sign_in(api, account).status_code == 200


def test_who_is_sent_away_has_cost_the_database_nothing(api):
    account = registered(api)
    gate = Gate(api.write.hasher)
    asked = {"method": "POST", "url": "/auth/login", "json": {"email": account.email, "password": PASSWORD}}
    looked_up = []
    holder = api.write.claims.holder

    async def counted(*words):
        looked_up.append(words)
        return await holder(*words)

    api.write.claims.holder = counted
    with ThreadPoolExecutor(1) as another_thread:
        first = another_thread.submit(api.at_once, [asked] * (PARALLEL + WAITING))
        try:
            eventually(lambda: len(looked_up) == PARALLEL + WAITING)
            answers = api.at_once([asked] * 20)
        finally:
            gate.opened.set()
        assert {answer.status_code for answer in first.result()} == {200}
    assert {refusal(answer) for answer in answers} == {(503, "sign-in-busy")}
    assert len(looked_up) == PARALLEL + WAITING
