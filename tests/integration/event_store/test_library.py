"""What stays the library's: its aggregates, its Application and its snapshots, over our recorder.

The library's own test cases of recorders run against ours as well, with these differences:

- Positions come from the sequencer, so an insert cannot answer them. Here each insert is sequenced at once
  and its positions are looked up, so that the cases can be run as they are.
- A stream of ours begins with version 1; some cases begin with 0, and are moved up by one.
- `test_performance` measures, and asserts nothing. Tracking and process recorders are not offered: what
  follows our log keeps its position with its rows.
"""

import dataclasses
import importlib
import sys
import types
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import psycopg
import pytest
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import IntegrityError, NotSupportedError, OperationalError, StoredEvent

from domain.events import UndecodableEvent
from infra.event_store.library import EventLogApplication, library_environment
from infra.event_store.persistence import LogFactory
from infra.event_store.recorder import LogRecorder, LogStore, SnapshotRecorder
from infra.postgres.roles import WRITER, role_conninfo
from tests.support.event_logs import CODEC
from tests.support.postgres import ROLE_SECRET
from tests.support.sequencing import broken_promises, sequenced

# The module with the library's cases also holds those of its ciphers, whose library nobody here needs.
_cipher = types.ModuleType("eventsourcing.cipher")
_cipher.AESCipher = object  # type: ignore[attr-defined]
with patch.dict(sys.modules, {_cipher.__name__: _cipher}):
    library_cases = importlib.import_module("eventsourcing.tests.persistence")


class Course(Aggregate):
    """A plain aggregate of the library; each event has a name of its own in storage."""

    TOPIC = "tests:Course"

    class Event(Aggregate.Event):
        TOPIC = "tests:Course.Event"

    class Opened(Event, Aggregate.Created):
        TOPIC = "tests:Course.Opened"
        name: str

    class LessonAdded(Event):
        TOPIC = "tests:Course.LessonAdded"
        title: str

    class Snapshot(Aggregate.Snapshot):
        TOPIC = "tests:Course.Snapshot"

    @event(Opened)
    def __init__(self, name: str) -> None:
        self.name = name
        self.lessons: list[str] = []

    @event(LessonAdded)
    def add_lesson(self, title: str) -> None:
        self.lessons.append(title)


class Courses(Application[Any]):
    is_snapshotting_enabled = True
    snapshotting_intervals = {Course: 5}  # noqa: RUF012 - the library's way


@pytest.fixture
def conninfo(database):
    return role_conninfo(database, WRITER, ROLE_SECRET)


@pytest.fixture
def courses(conninfo):
    with Courses(library_environment(conninfo, pool_size=4)) as application:
        yield application


def test_a_plain_aggregate_is_saved_and_loaded(courses, database):
    course = Course("Algebra")
    for title in ("Groups", "Rings", "Fields"):
        course.add_lesson(title)
    courses.save(course)
    found = courses.repository.get(course.id)
    assert (found.name, found.lessons, found.version) == ("Algebra", ["Groups", "Rings", "Fields"], 4)
    with psycopg.connect(database) as admin:
        types = admin.execute("SELECT type FROM log.events ORDER BY append_id").fetchall()
    assert types == [("tests:Course.Opened",), *[("tests:Course.LessonAdded",)] * 3]


def test_a_plain_aggregate_that_somebody_else_changed_conflicts(courses):
    course = Course("Algebra")
    courses.save(course)
    mine, theirs = courses.repository.get(course.id), courses.repository.get(course.id)
    mine.add_lesson("Groups")
    theirs.add_lesson("Rings")
    courses.save(theirs)
    with pytest.raises(IntegrityError):
        courses.save(mine)
    assert courses.repository.get(course.id).lessons == ["Rings"]


def test_a_long_aggregate_is_loaded_from_its_snapshot(courses, database):
    course = Course("Algebra")
    courses.save(course)
    for number in range(12):
        course = courses.repository.get(course.id)
        course.add_lesson(f"{number}")
        courses.save(course)
    with psycopg.connect(database) as admin:
        taken = admin.execute("SELECT version FROM log.snapshots ORDER BY version").fetchall()
        assert taken == [(5,), (10,)]
        # If it were folded from the beginning, the first lessons would be missing now.
        admin.execute("ALTER TABLE log.events DISABLE TRIGGER append_only")
        admin.execute("DELETE FROM log.events WHERE version < 9")
    assert courses.repository.get(course.id).lessons == [f"{number}" for number in range(12)]
    assert courses.repository.get(course.id, version=11).lessons == [f"{number}" for number in range(10)]


def test_the_notification_log_of_an_application_is_the_log_in_its_order(courses, database):
    for name in ("Algebra", "Botany"):
        courses.save(Course(name))
    assert courses.notification_log.select(1, 10) == []
    assert sequenced(database) == 2
    section = courses.notification_log.select(1, 10)
    assert [(each.id, each.originator_version, each.topic) for each in section] == [
        (1, 1, "tests:Course.Opened"),
        (2, 1, "tests:Course.Opened"),
    ]
    assert broken_promises(database) == []


def test_an_event_of_the_librarys_is_none_of_ours(courses, conninfo):
    course = Course("Algebra")
    courses.save(course)
    with EventLogApplication(conninfo, CODEC) as ours, pytest.raises(UndecodableEvent):
        list(ours.events.get(str(course.id)))


def test_tracking_is_refused_in_a_clear_sentence(conninfo):
    factory = LogFactory(library_environment(conninfo, pool_size=1))
    try:
        for construct in (factory.tracking_recorder, factory.process_recorder):
            with pytest.raises(NotSupportedError, match="keeps its position"):
                construct()
    finally:
        factory.close()


def test_a_database_that_is_away_is_the_librarys_operational_error():
    store = LogStore("host=127.0.0.1 port=1 dbname=x user=x connect_timeout=1", 1)
    try:
        with pytest.raises(OperationalError):
            LogRecorder(store).max_notification_id()
    finally:
        store.close()


# -- the library's own cases -------------------------------------------------------------------------------


class SequencedRecorder(LogRecorder):
    """Answers the positions of what it has inserted, for cases that ask for them."""

    def __init__(self, store: LogStore, admin_conninfo: str) -> None:
        super().__init__(store)
        self._admin_conninfo = admin_conninfo

    def insert_events(self, stored_events, **_):
        if stored_events and stored_events[0].originator_version == 0:
            stored_events = [
                dataclasses.replace(each, originator_version=each.originator_version + 1)
                for each in stored_events
            ]
        super().insert_events(stored_events)
        if not stored_events:
            return None
        sequenced(self._admin_conninfo)
        return [self._position(each) for each in stored_events]

    def _position(self, stored: StoredEvent) -> int:
        [(position,)] = self.store.execute(
            "SELECT position FROM log.positions JOIN log.events USING (append_id)"
            " WHERE stream_id = %s AND version = %s",
            [str(stored.originator_id), stored.originator_version],
        )
        return int(position)


class OverOurLog:
    @pytest.fixture(autouse=True)
    def _over_our_log(self, database, conninfo):
        self.database = database
        self.store = LogStore(conninfo, 8)
        yield
        self.store.close()

    def new_originator_id(self) -> str:
        return f"course-{uuid4()}"


class TestApplicationRecorder(OverOurLog, library_cases.ApplicationRecorderTestCase):
    test_performance = None

    def create_recorder(self) -> LogRecorder:
        return SequencedRecorder(self.store, self.database)

    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


class TestSnapshotRecorder(OverOurLog, library_cases.AggregateRecorderTestCase):
    test_performance = None

    def create_recorder(self) -> SnapshotRecorder:
        return SnapshotRecorder(self.store)
