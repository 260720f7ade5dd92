"""Events that cause commands: once each, whatever is repeated, refused, away or killed."""

import asyncio
import threading
from contextlib import contextmanager
from typing import ClassVar

import msgspec
import psycopg
import pytest
from prometheus_client import CollectorRegistry

from commands.context import CommandContext
from commands.write_side import WriteSide
from domain.errors import Unavailable
from domain.events import Event, RecordedEvent
from domain.exams.events import ExamClosed, ExamDrafted, ExamPublished
from domain.items.item import ItemNotFound
from infra.composition import new_id
from infra.event_store.log_feed import LogFeed
from infra.kafka import command_consumer
from infra.kafka.command_consumer import CommandHandler
from infra.kafka.consumer import TopicConsumer
from infra.kafka.dead_letters import TableDeadLetters
from infra.kafka.log_consumer import LogConsumer
from infra.kafka.port import NewTopic
from infra.kafka.topics import topic_of
from infra.observability.consumer_metrics import ConsumerMetrics
from tests.support.api import eventually
from tests.support.brokers import BROKERS, fresh_prefix, kafka_of
from tests.support.event_logs import CODEC
from tests.support.reacting import MakeUpExams, School, TooEager, a_school
from tests.support.relayed import PARTITIONS, a_relay, projector, running

DRAFTED = "exam.drafted.v1"


@pytest.fixture
def school(database):
    with a_school(database) as school:
        yield school


def a_handler(school: School, reaction=None, *, write=None, **options) -> CommandHandler:
    return CommandHandler(
        reaction or MakeUpExams(), write or school.write, school.loop, school.connect, **options
    )


class Running:
    def __init__(self, school: School, registry: CollectorRegistry, name: str) -> None:
        self._school = school
        self._registry = registry
        self._name = name

    def metric(self, name: str) -> float:
        return self._registry.get_sample_value(f"megacity_consumer_{name}", {"consumer": self._name}) or 0.0

    def reaches(self, position: int) -> None:
        eventually(lambda: self.kept() >= position, within_s=30)

    def kept(self) -> int:
        with psycopg.connect(self._school.database) as admin:
            rows = admin.execute(
                "SELECT position FROM ops.consumer_partitions WHERE consumer = %s", [self._name]
            ).fetchall()
        return rows[0][0] if rows else 0

    def dead_letters(self):
        with psycopg.connect(self._school.database) as admin:
            return admin.execute(
                "SELECT position, stream_id, type, error, attempts FROM ops.dead_letters"
                " WHERE consumer = %s ORDER BY position",
                [self._name],
            ).fetchall()


@contextmanager
def reacting(school: School, handler: CommandHandler | None = None, **options):
    """From the log itself, as without a broker."""
    handler = handler or a_handler(school)
    registry = CollectorRegistry()
    metrics = ConsumerMetrics.create(registry)
    with LogFeed(projector(school.database), CODEC) as feed:
        consumer = LogConsumer(handler, feed, TableDeadLetters(school.connect), metrics=metrics, **options)
        consumer.start()
        try:
            yield Running(school, registry, handler.name)
        finally:
            assert consumer.stop(), "the consumer does not end"
            handler.close()


def everything_comes_again(school: School) -> None:
    with psycopg.connect(school.database) as admin:
        admin.execute("UPDATE ops.consumer_partitions SET position = 0")


def test_a_command_is_carried_out_once_however_often_its_event_comes(school: School):
    last = school.closes_exams(3)
    for _ in range(3):
        with reacting(school) as running:
            running.reaches(last)
        everything_comes_again(school)
    assert school.events(DRAFTED) == 6


def test_what_a_reaction_does_is_done_for_the_school_as_part_of_what_led_to_it(school: School):
    last = school.closes_exams(1)
    with reacting(school) as running:
        running.reaches(last)
    with psycopg.connect(school.database) as admin:
        [[closed]] = admin.execute(
            "SELECT convert_from(meta, 'UTF8')::jsonb FROM log.events WHERE type = 'exam.closed.v1'"
        ).fetchall()
        [_, [drafted]] = admin.execute(
            "SELECT convert_from(meta, 'UTF8')::jsonb FROM log.events WHERE type = %s ORDER BY append_id",
            [DRAFTED],
        ).fetchall()
    for shared in ("correlation_id", "zone_id", "org_id"):
        assert drafted[shared] == closed[shared]
    assert drafted["causation_id"] == command_consumer.derived_command_id("make-up-exams", closed["event_id"])
    assert drafted["actor"] == {"kind": "engine", "id": "make-up-exams"}


def test_a_crash_between_the_commands_and_their_position_repeats_nothing(school: School, monkeypatch):
    last = school.closes_exams(3)
    attempts = []

    def is_killed(*args):
        attempts.append(args)
        raise psycopg.OperationalError("killed before the position was kept")

    with monkeypatch.context() as patched:
        patched.setattr(command_consumer, "keep", is_killed)
        for _ in range(2):
            attempts.clear()
            with reacting(school) as running:
                eventually(lambda: attempts)
            assert running.kept() == 0
    assert school.events(DRAFTED) == 6
    with reacting(school) as running:
        running.reaches(last)
    assert school.events(DRAFTED) == 6


def test_a_position_that_the_database_has_lost_is_gone_back_to(school: School):
    last = school.closes_exams(2)
    with reacting(school) as running:
        running.reaches(last)
        everything_comes_again(school)
        running.reaches(school.closes_exams(1))
    assert school.events(DRAFTED) == 6


def test_two_consumers_at_once_do_each_thing_once(school: School):
    last = school.closes_exams(4)
    with reacting(school, batch_size=2) as running, reacting(school, batch_size=3):
        running.reaches(last)
    assert school.events(DRAFTED) == 8


class MakesItsOwnIds(MakeUpExams):
    """A planted bug."""

    async def react(self, write: WriteSide, context: CommandContext, recorded: RecordedEvent) -> None:
        own = msgspec.structs.replace(context, command_id=new_id(), repeatable=False)
        await super().react(write, own, recorded)


def test_these_tests_would_notice_a_reaction_that_makes_its_own_ids(school: School):
    last = school.closes_exams(2)
    for _ in range(2):
        with reacting(school, a_handler(school, MakesItsOwnIds())) as running:
            running.reaches(last)
        everything_comes_again(school)
    assert school.events(DRAFTED) > 4


def test_a_command_that_is_refused_becomes_a_dead_letter_and_the_rest_goes_on(school: School):
    last = school.drafts_exams(2)
    with reacting(school, a_handler(school, TooEager())) as running:
        running.reaches(last)
        letters = running.dead_letters()
    assert [(type_, attempts) for _, _, type_, _, attempts in letters] == [(DRAFTED, 4)] * 2
    assert all("exam-not-published" in error for _, _, _, error, _ in letters)
    assert [position for position, *_ in letters] == [last - 1, last]


class AwayForAWhile:
    """A log whose first appends are turned away, or are not answered."""

    def __init__(self, log, *, turned_away: int = 0, unanswered: int = 0) -> None:
        self._log = log
        self._turned_away = turned_away
        self._unanswered = unanswered

    async def load(self, *args, **options):
        return await self._log.load(*args, **options)

    async def append(self, appends):
        if self._turned_away:
            self._turned_away -= 1
            raise Unavailable(retry_after_s=1)
        await self._log.append(appends)
        if self._unanswered:
            self._unanswered -= 1
            await asyncio.Event().wait()


def test_a_write_side_that_turns_commands_away_is_waited_for(school: School):
    last = school.closes_exams(2)
    away = school.write_side(AwayForAWhile(school._log, turned_away=6))
    with reacting(school, a_handler(school, write=away, at_once=1)) as running:
        running.reaches(last)
        assert running.dead_letters() == []
        assert running.metric("outages_total") == 6
    assert school.events(DRAFTED) == 4


def test_a_command_whose_answer_never_comes_is_asked_for_again_and_done_once(school: School):
    last = school.closes_exams(2)
    silent = school.write_side(AwayForAWhile(school._log, unanswered=2))
    with reacting(school, a_handler(school, write=silent, time_limit_s=0.5, at_once=1)) as running:
        running.reaches(last)
        assert running.dead_letters() == []
        assert running.metric("outages_total") == 2
    assert school.events(DRAFTED) == 4


def test_a_write_side_that_ends_first_leaves_no_dead_letter_behind(school: School):
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    last = school.closes_exams(1)

    class CancelledAtTheEnd(MakeUpExams):
        async def react(self, write, context, recorded):
            del write, context, recorded
            raise asyncio.CancelledError

    handler = CommandHandler(CancelledAtTheEnd(), school.write, loop, school.connect)
    with reacting(school, handler) as running:
        eventually(lambda: running.metric("outages_total") >= 1)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
        ended_at = running.metric("outages_total")
        eventually(lambda: running.metric("outages_total") > ended_at)
        assert running.dead_letters() == []
    with reacting(school) as running:
        running.reaches(last)
    assert school.events(DRAFTED) == 2


class Watched:
    """Notes what begins and ends, and lets nothing end before as many run as can."""

    name: ClassVar[str] = "watched"
    event_types: ClassVar[tuple[type[Event], ...]] = (ExamDrafted, ExamPublished, ExamClosed)

    def __init__(self, streams: int) -> None:
        self.noted: list[tuple[str, str, type[Event]]] = []
        self.refuses: tuple[str, type[Event]] | None = None
        self._barrier = asyncio.Barrier(streams)

    async def react(self, write: WriteSide, context: CommandContext, recorded: RecordedEvent) -> None:
        del write, context
        event = type(recorded.event)
        if (recorded.stream_id, event) == self.refuses:
            self.noted.append(("refused", recorded.stream_id, event))
            raise ItemNotFound
        self.noted.append(("begins", recorded.stream_id, event))
        if self.refuses is None:
            await self._barrier.wait()
        self.noted.append(("ends", recorded.stream_id, event))

    def of(self, stream_id: str) -> list[tuple[str, type[Event]]]:
        return [(what, event) for what, each, event in self.noted if each == stream_id]


def test_streams_go_side_by_side_and_the_events_of_each_in_order(school: School):
    last = school.closes_exams(5)
    reaction = Watched(streams=5)
    with reacting(school, a_handler(school, reaction)) as running:
        running.reaches(last)
    assert [what for what, _, _ in reaction.noted[:5]] == ["begins"] * 5
    for stream_id in {stream_id for _, stream_id, _ in reaction.noted}:
        assert reaction.of(stream_id) == [
            (what, event) for event in Watched.event_types for what in ("begins", "ends")
        ]


def test_no_more_streams_go_side_by_side_than_are_allowed(school: School):
    last = school.closes_exams(6)
    reaction = Watched(streams=2)
    with reacting(school, a_handler(school, reaction, at_once=2)) as running:
        running.reaches(last)
    begun = 0
    for what, _, _ in reaction.noted:
        begun += 1 if what == "begins" else -1
        assert begun <= 2


def test_what_fails_holds_up_its_own_stream_alone_and_keeps_its_place_there(school: School):
    last = school.closes_exams(3)
    with psycopg.connect(school.database) as admin:
        streams = admin.execute("SELECT stream_id FROM log.events WHERE type = %s", [DRAFTED]).fetchall()
    reaction = Watched(streams=1)
    [refused], [other], _ = streams
    reaction.refuses = (refused, ExamPublished)
    with reacting(school, a_handler(school, reaction)) as running:
        running.reaches(last)
        assert [type_ for _, _, type_, _, _ in running.dead_letters()] == ["exam.published.v1"]
    whole = [(what, event) for event in Watched.event_types for what in ("begins", "ends")]
    first_refusal = reaction.noted.index(("refused", refused, ExamPublished))
    given_up = max(place for place, (what, _, _) in enumerate(reaction.noted) if what == "refused")
    assert reaction.noted.index(("ends", other, ExamClosed)) < given_up
    assert first_refusal < given_up
    own = reaction.of(refused)
    assert own[:2] == whole[:2]
    assert own[-2:] == whole[4:]
    assert reaction.noted.index(("begins", refused, ExamClosed)) > given_up


@pytest.mark.parametrize("broker", BROKERS, indirect=True)
def test_commands_are_carried_out_once_when_kafka_brings_their_events(school: School, broker):
    kafka, prefix = kafka_of(broker), fresh_prefix()
    school.closes_exams(5)
    topics = {"exam": NewTopic(topic_of(prefix, "exam"), PARTITIONS)}
    with LogFeed(projector(school.database), CODEC) as feed, running(a_relay(school.database, kafka, prefix)):
        for group in ("one", "two"):
            registry, handler = CollectorRegistry(), a_handler(school)
            consumer = TopicConsumer(
                handler=handler,
                kafka=kafka,
                topics=topics,
                feed=feed,
                codec=CODEC,
                dead_letters=TableDeadLetters(school.connect),
                group=f"{prefix}.{group}",
                relay=prefix,
                metrics=ConsumerMetrics.create(registry),
            )
            member = Running(school, registry, handler.name)
            consumer.start()
            try:
                eventually(lambda: member.metric("events_handled_total") == 5, within_s=60)  # noqa: B023 - asked at once
            finally:
                assert consumer.stop()
            everything_comes_again(school)
    assert school.events(DRAFTED) == 10
