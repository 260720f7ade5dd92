"""An adaptive exam over HTTP, and the engine in the hand of a test: it runs while the block does.

    with engine_running(api):
        sitting = Sitting.start(student, exam)
        answer = sitting.answer("2")

Without the block nothing is decided: for an API whose role has no engine of its own.
"""

import asyncio
import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from commands.advance_attempt import advance_attempt
from commands.context import CommandContext
from commands.forms import Forms
from commands.streams import Streams
from domain.events import Actor
from infra.composition import new_id
from tests.support.api import Api, ExamMade, Person, School, choice_item

TEXTS = {"ko": "어느 것입니까?", "en": "Which one?", "ja": "どれですか。"}


def pool_item(number: int, *, irt: bool = True, area: str = "reading") -> dict[str, Any]:
    """A choice item whose key is option 2, with parameters of its own and an explanation."""
    options = [
        {"id": each, "text": {language: f"{text} {each}" for language, text in TEXTS.items()}}
        for each in "1234"
    ]
    content = choice_item(
        stem={language: f"{text} ({number})" for language, text in TEXTS.items()},
        options=options,
        content_area=area,
        explanation={"en": "Because of the secret reason."},
    )
    if irt:
        content["irt"] = {"a": 1.0 + number % 100 / 100, "b": -2.0 + number % 12 * 0.35, "c": 0.15, "d": 1.0}
    return content


def pool_of_items(school: School, operational: int = 12, pretest: int = 0) -> tuple[str, list[str]]:
    """A bank with so many items, imported at once."""
    bank_id = school.bank()
    items = [
        {"code": f"item-{number}", **pool_item(number, irt=number < operational)}
        for number in range(operational + pretest)
    ]
    answer = school.teacher.http.post(f"/item-banks/{bank_id}/import", json={"items": items})
    assert answer.status_code == 200, answer.text[:500]
    return bank_id, [row["item_id"] for row in answer.json()["rows"]]


def adaptive_exam(
    school: School,
    *,
    operational: int = 12,
    pretest: int = 0,
    rules: dict[str, Any] | None = None,
    **blueprint: Any,
) -> ExamMade:
    """A published adaptive exam of five items for each examinee, unless the rules say otherwise."""
    bank_id, item_ids = pool_of_items(school, operational, pretest)
    wanted = {"max_items": 5, "stop_se": None} if rules is None else rules
    exam_id = school.draft(item_ids, adaptive=wanted, **blueprint)
    answer = school.teacher.http.post(f"/exams/{exam_id}/publish")
    assert answer.status_code == 200, answer.text
    return ExamMade(exam_id=exam_id, bank_id=bank_id, item_ids=item_ids)


@dataclass
class Sitting:
    """One examinee at one adaptive exam."""

    person: Person
    attempt_id: str
    token: str
    next: dict[str, Any]

    @classmethod
    def start(cls, person: Person, exam: ExamMade, **params: str) -> "Sitting":
        answer = person.http.post(f"/exams/{exam.exam_id}/attempts", params=params)
        assert answer.status_code in {200, 201}, answer.text
        made = answer.json()
        return cls(person, made["attempt_id"], made["attempt_token"], made["next"])

    @property
    def url(self) -> str:
        return f"/attempts/{self.attempt_id}"

    def put(self, item_id: str, option: str | None = "2", **more: Any) -> httpx.Response:
        response = None if option is None else {"options": [option]}
        return self.person.http.put(f"{self.url}/responses/{item_id}", json={"response": response}, **more)

    def answer(self, option: str | None = "2", **more: Any) -> httpx.Response:
        """Answers the pending item, and goes on with what is next."""
        given = self.put(self.next["item"]["item_id"], option, **more)
        assert given.status_code in {200, 202}, given.text
        self.next = given.json()["next"]
        return given

    def ask(self, **params: Any) -> httpx.Response:
        return self.person.http.get(f"{self.url}/next", params=params)


class Engine:
    """Decides for every attempt that is written to in this process."""

    def __init__(self, api: Api) -> None:
        self._write = api.write
        self._written: asyncio.Queue[str] = asyncio.Queue()
        self._tell = self._write.streams.news.tell

    async def start(self, waiting: tuple[str, ...]) -> None:
        self._write.streams.news.tell = self._hear
        for attempt_id in waiting:
            self._written.put_nowait(attempt_id)
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        self._write.streams.news.tell = self._tell
        self._task.cancel()
        await asyncio.wait([self._task])

    def _hear(self, stream_id: str) -> None:
        self._tell(stream_id)
        if stream_id.startswith("attempt-"):
            self._written.put_nowait(stream_id)

    async def _run(self) -> None:
        while True:
            attempt_id = await self._written.get()
            await advance_attempt(self._write, _by_the_engine(), attempt_id)


@contextmanager
def engine_running(api: Api, *waiting: str) -> Iterator[None]:
    """Begins with the attempts that wait for it."""

    async def made() -> Engine:
        return Engine(api)

    engine = api.run(made())
    api.run(engine.start(waiting))
    try:
        yield
    finally:
        api.run(engine.stop())


def decide(api: Api, attempt_id: str) -> None:
    """One decision, now."""
    api.run(advance_attempt(api.write, _by_the_engine(), attempt_id))


def decide_elsewhere(api: Api, attempt_id: str) -> None:
    """One decision, as another process takes it: this one hears nothing of it."""
    streams = Streams(api.write.streams._log, api.clock, new_id)
    elsewhere = dataclasses.replace(api.write, streams=streams, forms=Forms(streams))
    api.run(advance_attempt(elsewhere, _by_the_engine(), attempt_id))


def _by_the_engine() -> CommandContext:
    command_id = new_id()
    return CommandContext(
        actor=Actor("engine", "tests"),
        zone_id=None,
        org_id=None,
        correlation_id=command_id,
        command_id=command_id,
    )
