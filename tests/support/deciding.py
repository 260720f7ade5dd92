"""Roles side by side in one test, adaptive attempts in them, and what must hold of every adaptive attempt.

with roles(database, folder, "sequencer", "cat-engine") as api:      # beside the role write-api
    sittings = sit(api, exam, school.students(3), answers=4)
assert_each_response_was_decided_once(api, sittings)
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg

from domain.attempts.events import (
    AbilityUpdated,
    AttemptScored,
    AttemptStarted,
    AttemptSubmitted,
    ItemPresented,
    ResponseGiven,
)
from domain.events import Event
from tests.support.adaptive_api import Sitting
from tests.support.api import Api, ExamMade, Person, eventually, running_api
from tests.support.sequencing import sequenced

ARRIVES_S = 60.0
ENDED = (AbilityUpdated, AttemptSubmitted, AttemptScored)


@contextmanager
def roles(database: str, folder: Path, *beside: Any, **settings: Any) -> Iterator[Api]:
    """An API that takes commands alone, and other roles beside it, as in processes of their own."""
    with ExitStack() as stack:
        for number, role in enumerate(beside):
            served = running_api(database, folder / f"{number}-{role}", role=role, **settings)
            process = stack.enter_context(served)
            if role == "cat-engine" and settings.get("cat", {}).get("feed") == "kafka":
                # Of two members that join at the same moment Tansu may give neither anything to do.
                eventually(lambda process=process: _has_partitions(process), within_s=ARRIVES_S)
        yield stack.enter_context(running_api(database, folder / "api", role="write-api", **settings))


@contextmanager
def patient(api: Api, seconds: float = ARRIVES_S) -> Iterator[None]:
    """Answers wait so long for the engine."""
    services = api.services
    usual = services.next_item_wait_s
    object.__setattr__(services, "next_item_wait_s", seconds)
    try:
        yield
    finally:
        object.__setattr__(services, "next_item_wait_s", usual)


def sit(exam: ExamMade, people: Sequence[Person], *, answers: int) -> list[Sitting]:
    """All of them at once; each gives so many answers, and each answer brings what is next."""

    def take(person: Person) -> Sitting:
        sitting = Sitting.start(person, exam)
        go_on(sitting, answers)
        return sitting

    with ThreadPoolExecutor(len(people)) as threads:
        return list(threads.map(take, people))


def go_on(sitting: Sitting, answers: int) -> None:
    for number in range(answers):
        assert sitting.next["status"] == "item", sitting.next
        sitting.answer("2" if number % 3 else "1")


def assert_each_response_was_decided_once(api: Api, sittings: Sequence[Sitting], answers: int) -> None:
    """As many decisions as responses, each right after its response; no item twice."""
    for sitting in sittings:
        events = api.events(sitting.attempt_id)
        assert_whole(events)
        assert sum(isinstance(event, ResponseGiven) for event in events) == answers


def assert_whole(events: Sequence[Event]) -> None:
    """An adaptive attempt is a chain: response, ability, next item, and so on; the last may be undecided."""
    kinds = [type(event) for event in events]
    assert kinds[:3] == [AttemptStarted, AbilityUpdated, ItemPresented]
    rest, pending = kinds[3:], _item(events[2])
    given: list[str] = []
    position = 3
    while rest:
        response, *rest = rest
        assert response is ResponseGiven, kinds
        assert _item(events[position]) == pending, "something else was answered than was presented"
        given.append(pending)
        step = 3 if tuple(rest) == ENDED else 2
        if rest:
            assert tuple(rest[:step]) in {(AbilityUpdated, ItemPresented), ENDED}, kinds
            update = events[position + 1]
            assert isinstance(update, AbilityUpdated)
            assert (update.step, update.item_id) == (len(given), pending)
            if step == 2:
                pending = _item(events[position + 2])
        rest = rest[step:]
        position += 1 + step
    assert len(set(given)) == len(given), "an item came twice"


def engine_reaches(database: str, position: int) -> None:
    """Until all positions that the engine has kept in the log are there."""
    eventually(lambda: engine_position(database) >= position, within_s=ARRIVES_S)


def last_of_attempts(database: str) -> int:
    """The position of the last event of any attempt. What comes behind it is nothing to the engine: what was
    permitted is counted in the log now and then, also while a server ends.
    """
    sequenced(database)
    with psycopg.connect(database) as admin:
        [[position]] = admin.execute(
            "SELECT max(p.position) FROM log.positions p JOIN log.events e USING (append_id)"
            " WHERE e.type LIKE 'attempt.%'"
        ).fetchall()
    return int(position)


def engine_position(database: str) -> int:
    with psycopg.connect(database) as admin:
        [[position]] = admin.execute(
            "SELECT position FROM ops.consumer_partitions WHERE consumer = 'cat-engine' AND topic = 'log'"
        ).fetchall()
    return int(position)


def engine_forgets(database: str) -> None:
    """Everything comes again, whatever brings it."""
    with psycopg.connect(database) as admin:
        admin.execute("UPDATE ops.consumer_partitions SET position = 0 WHERE consumer = 'cat-engine'")


def _has_partitions(engine: Api) -> bool:
    return "megacity_consumer_lag_events{" in httpx.get(f"{engine.base_url}/metrics").text


def _item(event: Any) -> str:
    return str(event.item_id)
