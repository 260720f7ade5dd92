"""Adaptive attempts while parts of the running program are killed: each goes on at its very pending item."""

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import psutil
import pytest

from domain.attempts.attempt import NotStarted as Beginning
from domain.attempts.attempt import Scored, evolve
from domain.attempts.events import ResponseGiven
from tests.support.adaptive_api import pool_item
from tests.support.api import bearer, eventually
from tests.support.deciding import assert_whole
from tests.support.event_logs import CODEC
from tests.support.system import Installation, Up, installation

ITEMS, POOL, SITTINGS = 30, 40, 3
RECOVERS_S = 120.0


class Examinee:
    """Takes adaptive tests side by side. What goes wrong on the way is asked for again, as a device does."""

    def __init__(self, up: Up, place: Installation) -> None:
        self.place = place
        self.answered = 0
        self.surprises: list[str] = []
        lines = [line.split() for line in up.output.splitlines() if "@demo.example" in line]
        passwords = {words[0]: words[2] for words in lines}
        with httpx.Client(base_url=f"{up.base_url}/api/v1", trust_env=False, timeout=60) as http:
            teacher, student = (
                self._signed_in(http, role, passwords[role]) for role in ("teacher", "student")
            )
            bank_id = http.post("/item-banks", json={"name": "Bank"}, headers=teacher).json()["bank_id"]
            items = [{"code": f"item-{number}", **pool_item(number)} for number in range(POOL)]
            made = http.post(f"/item-banks/{bank_id}/import", json={"items": items}, headers=teacher).json()
            exam = {
                "title": {"ko": "시험"},
                "items": [{"item_id": row["item_id"]} for row in made["rows"]],
                "adaptive": {"max_items": ITEMS, "stop_se": None},
                "audience": "zone",
            }
            self.attempts = [self._started(http, exam, teacher, student) for _ in range(SITTINGS)]

    @staticmethod
    def _signed_in(http: httpx.Client, role: str, password: str) -> dict[str, str]:
        answer = http.post("/auth/login", json={"email": f"{role}@demo.example", "password": password})
        assert answer.status_code == 200, answer.text
        return bearer(answer.json()["access_token"])

    @staticmethod
    def _started(http, exam, teacher, student) -> dict:
        exam_id = http.post("/exams", json=exam, headers=teacher).json()["exam_id"]
        published = http.post(f"/exams/{exam_id}/publish", headers=teacher)
        assert published.status_code == 200, published.text
        started = http.post(f"/exams/{exam_id}/attempts", headers=student)
        assert started.status_code == 201, started.text
        return started.json()

    @contextmanager
    def taking_tests(self) -> Iterator[None]:
        """They are over, all of them, when the block has ended and some seconds have passed."""
        stopping = threading.Event()
        with ThreadPoolExecutor(SITTINGS) as threads:
            working = [threads.submit(self._take, attempt, stopping) for attempt in self.attempts]
            try:
                yield
                for each in working:
                    each.result(RECOVERS_S)
            finally:
                stopping.set()

    def has_answered(self, more: int) -> None:
        """Waits until so many more answers were acknowledged."""
        wanted = self.answered + more
        eventually(lambda: self.answered >= wanted, within_s=RECOVERS_S)

    def _take(self, attempt, stopping: threading.Event) -> None:
        coming, number = attempt["next"], 0
        url, headers = f"/api/v1/attempts/{attempt['attempt_id']}", bearer(attempt["attempt_token"])
        with httpx.Client(trust_env=False, timeout=30, headers=headers) as http:
            while not stopping.is_set() and coming["status"] != "finished":
                try:
                    base_url = self.place.address["base_url"]
                    if coming["status"] == "item":
                        body = {"response": {"options": [str(number % 2 + 1)]}}
                        item_id = coming["item"]["item_id"]
                        answer = http.put(f"{base_url}{url}/responses/{item_id}", json=body)
                    else:
                        answer = http.get(f"{base_url}{url}/next", params={"wait_s": 5})
                except (httpx.TransportError, KeyError):
                    stopping.wait(0.05)
                    continue
                if answer.status_code in {200, 202}:
                    was_item = coming["status"] == "item"
                    found = answer.json()
                    coming = found["next"] if was_item else found
                    number += was_item
                    self.answered += was_item
                elif answer.status_code == 503:
                    stopping.wait(0.05)
                elif answer.status_code == 429:
                    # Three tests at a machine's speed are more than one person may ask for.
                    stopping.wait(answer.json()["retry_after_s"])
                else:
                    self.surprises.append(answer.text)
                    return

    def assert_nothing_is_lost_or_doubled(self) -> None:
        assert self.surprises == []
        for attempt in self.attempts:
            rows = self.place.query(
                "SELECT stream_id, version, type, meta, payload FROM log.events WHERE stream_id = %s"
                " ORDER BY version",
                attempt["attempt_id"],
            )
            events = [CODEC.decode(*row).event for row in rows]
            assert_whole(events)
            state = Beginning()
            for event in events:
                state = evolve(state, event)
            assert isinstance(state, Scored)
            assert sum(isinstance(event, ResponseGiven) for event in events) == ITEMS


def kill(place: Installation, words: str) -> None:
    """The process of these words, as `kill -9` does."""
    found = [each for each in place.processes() if words in " ".join(each.cmdline())]
    assert found, f"nothing runs `{words}`"
    for process in found:
        os.kill(process.pid, signal.SIGKILL)
        eventually(lambda process=process: not psutil.pid_exists(process.pid), within_s=30)


def test_the_one_process_is_killed_again_and_again_and_each_test_goes_on_where_it_was():
    with installation() as place, place.up() as up:
        examinee = Examinee(up, place)
        with examinee.taking_tests():
            for answers in (4, 8):
                examinee.has_answered(answers)
                kill(place, "serve all")
        examinee.assert_nothing_is_lost_or_doubled()


@pytest.mark.timeout(600)
def test_engine_and_api_are_killed_and_each_test_goes_on_where_it_was():
    with installation() as place, place.up("--with-kafka") as up:
        examinee = Examinee(up, place)
        with examinee.taking_tests():
            for words in ("serve cat-engine", "serve api", "serve cat-engine"):
                examinee.has_answered(5)
                kill(place, words)
        examinee.assert_nothing_is_lost_or_doubled()
