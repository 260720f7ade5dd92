"""A school whose exams cause commands: the write side on a real log, in an event loop of its own."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import psycopg
from psycopg.rows import dict_row

from commands.author_exam import DraftExam, Pick, close_exam, draft_exam, publish_exam, release_results
from commands.context import CommandContext
from commands.forms import Forms
from commands.kinds import EXAM
from commands.ports import EventLog, StreamAppend
from commands.streams import Streams
from commands.write_side import WriteSide
from domain.events import Event, RecordedEvent
from domain.exams.events import Blueprint, ExamClosed, ExamDrafted
from domain.items.events import ItemCreated
from infra.composition import new_id, now
from tests.support.event_logs import event_log, new
from tests.support.exam_parts import BANK_ID, CONTENTS, SCHOOL, blueprint
from tests.support.memory import World
from tests.support.relayed import projector
from tests.support.sequencing import sequenced


class MakeUpExams:
    """When an exam is closed, another one is drafted. Each time that this is done anew it shows."""

    name: ClassVar[str] = "make-up-exams"
    event_types: ClassVar[tuple[type[Event], ...]] = (ExamClosed,)

    async def react(self, write: WriteSide, context: CommandContext, recorded: RecordedEvent) -> None:
        assert context.org_id is not None
        closed: Any = (await write.streams.read(EXAM, recorded.stream_id)).state
        plan: Blueprint = closed.blueprint
        picks = tuple(Pick(item.item_id, item.item_version) for item in plan.items)
        await draft_exam(write, context, DraftExam(org_id=context.org_id, blueprint=plan, picks=picks))


class TooEager:
    """Releases the results of exams that are only drafted, which is refused."""

    name: ClassVar[str] = "too-eager"
    event_types: ClassVar[tuple[type[Event], ...]] = (ExamDrafted,)

    async def react(self, write: WriteSide, context: CommandContext, recorded: RecordedEvent) -> None:
        await release_results(write, context, recorded.stream_id)


class School:
    """The write side, and teachers who draft exams and close them."""

    def __init__(self, database: str, log: EventLog, loop: asyncio.AbstractEventLoop) -> None:
        self.database = database
        self.loop = loop
        self.write = self.write_side(log)
        self._asked = World()
        self._log = log

    def write_side(self, log: EventLog) -> WriteSide:
        plain = World()
        streams = Streams(log, now, new_id)
        return WriteSide(
            streams=streams,
            forms=Forms(streams),
            claims=plain.claims,
            credentials=plain.credentials,
            hasher=plain.hasher,
            keyed_hash=str,
            clock=now,
            new_id=new_id,
            grace_s=5.0,
        )

    def connect(self) -> Any:
        return psycopg.connect(projector(self.database), autocommit=True, row_factory=dict_row)

    def opens(self) -> None:
        """Its items are there."""
        appends = []
        for number, (item_id, content) in enumerate(CONTENTS.items()):
            created = ItemCreated(bank_id=BANK_ID, code=f"code-{number}", content=content)
            appends.append(StreamAppend(item_id, 0, (new(created, org_id=SCHOOL),)))
        self._run(self._log.append(appends))

    def closes_exams(self, count: int) -> int:
        """Drafts, publishes and closes so many; the position after the last."""
        for _ in range(count):
            self._run(self._draft_publish_close())
        return sequenced(self.database)

    def drafts_exams(self, count: int) -> int:
        for _ in range(count):
            self._run(self._draft())
        return sequenced(self.database)

    def events(self, type_: str) -> int:
        with psycopg.connect(self.database) as admin:
            [[count]] = admin.execute("SELECT count(*) FROM log.events WHERE type = %s", [type_]).fetchall()
        return int(count)

    async def _draft(self) -> str:
        picks = tuple(Pick(item_id, 1) for item_id in CONTENTS)
        order = DraftExam(org_id=SCHOOL, blueprint=blueprint(), picks=picks)
        return (await draft_exam(self.write, self._teacher(), order)).stream_id

    async def _draft_publish_close(self) -> None:
        exam_id = await self._draft()
        await publish_exam(self.write, self._teacher(), exam_id)
        await close_exam(self.write, self._teacher(), exam_id)

    def _teacher(self) -> CommandContext:
        return self._asked.asked_by("user-teacher", staff_of=[SCHOOL], command_id=new_id())

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)


@contextmanager
def a_school(database: str) -> Iterator[School]:
    """Open for the block."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="write side")
    thread.start()

    def run(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(30)

    opened = event_log(database)
    try:
        log = run(opened.__aenter__())
        try:
            school = School(database, log, loop)
            school.opens()
            yield school
        finally:
            run(opened.__aexit__(None, None, None))
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
