"""The ports of the write side in memory: small enough to be read as what the ports promise.

Every call gives way to other tasks before and after it does its work, so that whatever can happen
between two steps of a handler does happen when handlers run side by side.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from commands.context import CommandContext
from commands.forms import Forms
from commands.ports import StreamAppend, VersionConflict
from commands.streams import Streams
from commands.write_side import WriteSide
from domain.events import Actor, Event, EventMetadata, RecordedEvent
from domain.exams.events import ExamDrafted, ExamPublished
from domain.identifiers import category_of, stream_id
from domain.items.events import ItemCreated
from domain.users.events import RoleGranted, UserRegistered
from tests.support.exam_parts import (
    BANK_ID,
    CONTENTS,
    EXAM_ID,
    NOON,
    SCHOOL,
    STUDENT,
    TEACHER,
    blueprint,
    uuid7,
)

ZONE = "univprep"


async def others_go_first() -> None:
    await asyncio.sleep(0)


class MemoryLog:
    """`commands.ports.EventLog` with optimistic versions; `all` holds the events as they went in."""

    def __init__(self) -> None:
        self.all: list[RecordedEvent] = []
        self.loads = 0
        self.conflicts = 0
        self._streams: dict[str, list[RecordedEvent]] = {}
        self._fail_before: list[Exception] = []
        self._fail_after: list[Exception] = []

    def stream(self, stream_id: str) -> list[RecordedEvent]:
        return list(self._streams.get(stream_id, []))

    def events(self, stream_id: str) -> list[Event]:
        return [recorded.event for recorded in self.stream(stream_id)]

    def streams(self, category: str) -> list[str]:
        return [each for each in self._streams if category_of(each) == category]

    def fail_before_the_next_append(self, error: Exception) -> None:
        """The process dies before anything is saved."""
        self._fail_before.append(error)

    def fail_after_the_next_append(self, error: Exception) -> None:
        """It is saved, and the answer is lost."""
        self._fail_after.append(error)

    async def load(
        self, stream_id: str, after_version: int = 0, limit: int | None = None
    ) -> Sequence[RecordedEvent]:
        self.loads += 1
        await others_go_first()
        found = self.stream(stream_id)[after_version:][:limit]
        await others_go_first()
        return found

    async def append(self, appends: Sequence[StreamAppend]) -> None:
        await others_go_first()
        if self._fail_before:
            raise self._fail_before.pop()
        self._append(appends)
        await others_go_first()
        if self._fail_after:
            raise self._fail_after.pop()

    def _append(self, appends: Sequence[StreamAppend]) -> None:
        versions: dict[str, int] = {}
        appends = [append for append in appends if append.events]
        for append in appends:
            version = versions.setdefault(append.stream_id, len(self.stream(append.stream_id)))
            if append.expected_version != version:
                self.conflicts += 1
                raise VersionConflict(stream_id=append.stream_id)
            versions[append.stream_id] += len(append.events)
        for append in appends:
            for new in append.events:
                stream = self._streams.setdefault(append.stream_id, [])
                stream.append(RecordedEvent(append.stream_id, len(stream) + 1, new.metadata, new.event))
                self.all.append(stream[-1])


class MemoryClaims:
    def __init__(self) -> None:
        self.held: dict[tuple[str, str], str] = {}

    async def claim(self, scope: str, keys: Sequence[str], stream_ids: Sequence[str]) -> list[str]:
        await others_go_first()
        holders = [
            self.held.setdefault((scope, key), wanted) for key, wanted in zip(keys, stream_ids, strict=True)
        ]
        await others_go_first()
        return holders

    async def holders(self, scope: str, keys: Sequence[str]) -> list[str | None]:
        await others_go_first()
        return [self.held.get((scope, key)) for key in keys]

    async def holder(self, scope: str, key: str) -> str | None:
        await others_go_first()
        return self.held.get((scope, key))


class MemoryCredentials:
    def __init__(self) -> None:
        self.records: dict[str, tuple[str, str, str]] = {}

    async def put(self, credential_id: str, subject_id: str, kind: str, hash_: str) -> None:
        await others_go_first()
        assert credential_id not in self.records
        self.records[credential_id] = (subject_id, kind, hash_)

    async def get(self, credential_id: str) -> str | None:
        await others_go_first()
        return self.records[credential_id][2] if credential_id in self.records else None

    async def forget(self, credential_id: str) -> None:
        await others_go_first()
        self.records.pop(credential_id, None)


class QuickHasher:
    """Hashes without the cost of a real one; counts the checks that were made for nobody."""

    def __init__(self) -> None:
        self.dummies = 0

    def place(self) -> AbstractContextManager[None]:
        return nullcontext()

    async def hash(self, password: str) -> str:
        await others_go_first()
        return hashlib.sha256(f"quick {password}".encode()).hexdigest()

    async def verify(self, password: str, hash_: str) -> bool:
        return await self.hash(password) == hash_

    async def verify_dummy(self, password: str) -> None:
        await self.hash(password)
        self.dummies += 1


class HandClock:
    """Stands still until it is moved."""

    def __init__(self, now: datetime = NOON) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **by: float) -> None:
        self.now += timedelta(**by)


@dataclass
class World:
    """What handlers work with; `write` is one process, `another_process()` one more on the same log."""

    log: MemoryLog = field(default_factory=MemoryLog)
    claims: MemoryClaims = field(default_factory=MemoryClaims)
    credentials: MemoryCredentials = field(default_factory=MemoryCredentials)
    hasher: QuickHasher = field(default_factory=QuickHasher)
    clock: Any = field(default_factory=HandClock)

    def __post_init__(self) -> None:
        self._ids = count(0x1000)
        self.write = self.another_process()

    def new_id(self) -> str:
        return uuid7(next(self._ids))

    def another_process(self) -> WriteSide:
        streams = Streams(self.log, self.clock, self.new_id)
        return WriteSide(
            streams=streams,
            forms=Forms(streams),
            claims=self.claims,
            credentials=self.credentials,
            hasher=self.hasher,
            keyed_hash=lambda text: hashlib.sha256(f"key {text}".encode()).hexdigest(),
            clock=self.clock,
            new_id=self.new_id,
            grace_s=5.0,
        )

    def asked_by(
        self,
        actor_id: str,
        *,
        staff_of: Sequence[str] = (),
        kind: str = "user",
        command_id: str | None = None,
        repeatable: bool = False,
    ) -> CommandContext:
        command_id = command_id or self.new_id()
        return CommandContext(
            actor=Actor(kind, actor_id),
            zone_id=ZONE,
            org_id=None,
            correlation_id=f"request of {command_id}",
            command_id=command_id,
            staff_of=frozenset(staff_of),
            repeatable=repeatable,
        )

    def student(self, student_id: str = STUDENT) -> CommandContext:
        return self.asked_by(student_id)

    def teacher(self, org_id: str = SCHOOL) -> CommandContext:
        return self.asked_by(TEACHER, staff_of=[org_id])

    def program(self, org_id: str = SCHOOL) -> CommandContext:
        return self.asked_by("client-player", staff_of=[org_id], kind="service")

    def record(self, stream: str, *events: Event, zone_id: str = ZONE, org_id: str | None = SCHOOL) -> None:
        """Facts that were there before the test begins (or that another process added)."""
        for event in events:
            metadata = EventMetadata(
                event_id=self.new_id(),
                actor=Actor("operator", "given"),
                zone_id=zone_id,
                org_id=org_id,
                correlation_id="given",
                causation_id="given",
                recorded_at=self.clock(),
            )
            found = self.log._streams.setdefault(stream, [])
            found.append(RecordedEvent(stream, len(found) + 1, metadata, event))
            self.log.all.append(found[-1])

    def given_user(self, user_id: str = STUDENT, *, zone_id: str = ZONE, org_id: str | None = SCHOOL) -> str:
        registered = UserRegistered(
            origin="organization", zone_id=zone_id, display_name="민지", language="ko", org_id=org_id
        )
        self.record(user_id, registered, zone_id=zone_id, org_id=org_id)
        return user_id

    def given_student(
        self, user_id: str = STUDENT, *, zone_id: str = ZONE, org_id: str | None = SCHOOL
    ) -> str:
        """Enrolled, and with the role that comes of it."""
        self.given_user(user_id, zone_id=zone_id, org_id=org_id)
        self.record(user_id, RoleGranted(role="student", org_id=org_id), zone_id=zone_id, org_id=org_id)
        return user_id

    def given_items(self) -> None:
        for number, (item_id, content) in enumerate(CONTENTS.items()):
            self.record(item_id, ItemCreated(bank_id=BANK_ID, code=f"code-{number}", content=content))

    def given_exam(self, exam_id: str = EXAM_ID, *, draft_only: bool = False, **changes: Any) -> str:
        """An exam on one item of each kind, published unless it is said otherwise."""
        if not self.log.streams("item"):
            self.given_items()
        plan = blueprint(**changes)
        self.record(exam_id, ExamDrafted(blueprint=plan))
        if not draft_only:
            self.record(exam_id, ExamPublished(blueprint=plan))
        return exam_id

    def fresh_id(self, category: Any) -> str:
        return stream_id(category, self.new_id())
