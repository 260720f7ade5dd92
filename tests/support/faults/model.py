"""The log against a model that fits in memory: dictionaries of what was appended, a list of what was ordered.

Hypothesis appends, races, repeats, loses answers, holds transactions open, rolls back, sequences in small
steps, changes leaders, ends sessions, reads by pages and projects, in any order. The model says what the
log must hold, and in which order it may be read.
"""

import asyncio
from contextlib import ExitStack
from typing import Any, ClassVar, LiteralString

import psycopg
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from commands.ports import NewEvent, StreamAppend, VersionConflict
from domain.events import Actor, EventMetadata, RecordedEvent
from domain.identifiers import stream_id
from domain.users.events import ProfileChanged, UserRegistered
from infra.composition import event_codec, new_id, now
from infra.event_store.feed import Partition
from infra.event_store.log_feed import LogFeed
from infra.postgres.processes import wait_until
from infra.postgres.roles import PROJECTOR, WRITER, role_conninfo
from infra.sequencer.sequencer import rebase_if_moved
from infra.sequencer.statements import SEQUENCE
from tests.support.faults.checks import check_tally
from tests.support.faults.load import OpenLog, product_log
from tests.support.faults.proxy import Proxy
from tests.support.faults.tally import make_tally, tallying
from tests.support.postgres import ROLE_SECRET
from tests.support.sequencing import broken_promises, one_sequencer, stepped

Ids = list[str]

_ORDER: LiteralString = """
SELECT p.position, e.stream_id, e.version, convert_from(e.meta, 'UTF8')::json ->> 'event_id'
FROM log.positions p JOIN log.events e USING (append_id) WHERE p.position > %s ORDER BY p.position
"""
_INSERT: LiteralString = (
    "INSERT INTO log.events (stream_id, version, type, meta, payload, leaf) VALUES (%s, %s, %s, %s, %s, %s)"
)

few = st.integers(1, 3)
which = st.integers(0, 4)


class LogMachine(RuleBasedStateMachine):
    """Subclasses name the database; those with a planted bug put something wrong in the place of a part."""

    database: ClassVar[str]
    statement: ClassVar[LiteralString] = SEQUENCE
    open_log: ClassVar[OpenLog] = staticmethod(product_log)

    def __init__(self) -> None:
        super().__init__()
        self.streams: dict[str, Ids] = {}
        self.seen: list[tuple[int, str, int, str]] = []
        self.held: list[tuple[Any, str, Ids]] = []
        self.resources = ExitStack()
        self.line = self.resources.enter_context(Proxy.to(self.database))
        self.loop = self.resources.enter_context(asyncio.Runner())
        as_writer = role_conninfo(self.database, WRITER, ROLE_SECRET)
        self.opened = type(self).open_log(self.line.conninfo(as_writer))
        self.log = self.loop.run(self.opened.__aenter__())
        self.sequencer = ExitStack()
        self.leader = self.sequencer.enter_context(one_sequencer(self.database))
        self.look = self.resources.enter_context(psycopg.connect(self.database, autocommit=True))
        self.feed = self.resources.enter_context(
            LogFeed(role_conninfo(self.database, PROJECTOR, ROLE_SECRET), event_codec())
        )
        # What earlier runs have left gets its place first.
        while stepped(self.leader) is not None:
            pass
        [(self.base,)] = self.look.execute("SELECT coalesce(max(position), 0) FROM log.positions").fetchall()

    # ── appending ───────────────────────────────────────────────────────────────────────────────────

    @rule(n=which, count=few)
    def append(self, n: int, count: int) -> None:
        command = self._command(self._stream(n), count)
        self._save([command])

    @rule(n=which, count=few, off=st.sampled_from([-2, -1, 1, 2]))
    def append_at_a_wrong_version(self, n: int, count: int, off: int) -> None:
        stream = self._stream(n)
        if len(self.streams.get(stream, [])) + off >= 0:
            self._is_refused([self._command(stream, count, off=off)])

    @rule(count=few, wrong=st.booleans())
    def append_to_two_streams_together(self, count: int, wrong: bool) -> None:
        first, second = self._command(self._stream(0), count), self._command(self._stream(1), 1)
        if wrong:
            self._is_refused([first, self._command(self._stream(1), 1, off=1)])
        else:
            self._save([first, second])

    @rule(n=which, count=few, rivals=st.integers(2, 4))
    def race(self, n: int, count: int, rivals: int) -> None:
        """Of several commands for one version of a stream one is saved, and whole."""
        stream = self._stream(n)
        commands = [self._command(stream, count) for _ in range(rivals)]
        others = [self._command(stream_id("user", new_id()), 1) for _ in range(3)]

        async def all_at_once() -> list[Any]:
            return await asyncio.gather(
                *(self.log.append([each]) for each in [*commands, *others]), return_exceptions=True
            )

        answers = self.loop.run(all_at_once())
        winners = [each for each, answer in zip([*commands, *others], answers, strict=True) if answer is None]
        refusals = [answer for answer in answers if answer is not None]
        assert len(winners) == 1 + len(others), answers
        assert all(isinstance(each, VersionConflict) for each in refusals), refusals
        for each in winners:
            self._remember(each)

    @rule(n=which)
    def append_nothing(self, n: int) -> None:
        self.loop.run(self.log.append([]))
        self.loop.run(self.log.append([self._command(self._stream(n), 0)]))

    @rule(n=which, count=few, what=st.sampled_from(["answer", "request"]))
    def append_over_a_line_that_breaks(self, n: int, count: int, what: str) -> None:
        """The caller is told that it is saved, and it is there once."""
        command = self._command(self._stream(n), count)
        carrying = command.events[0].metadata.event_id.encode()
        lost = self.line.lose_answer(carrying) if what == "answer" else self.line.lose_request(carrying)
        self._save([command])
        assert lost.happened.is_set()

    @rule()
    def end_all_sessions_of_writers(self) -> None:
        self.line.cut()

    @rule(n=which)
    def load(self, n: int) -> None:
        stream = self._stream(n)
        loaded = self.loop.run(self.log.load(stream))
        assert [each.metadata.event_id for each in loaded] == self.streams.get(stream, [])
        assert [each.version for each in loaded] == list(range(1, len(loaded) + 1))

    # ── other transactions ──────────────────────────────────────────────────────────────────────────

    @precondition(lambda self: len(self.held) < 3)
    @rule(count=few, early=st.booleans())
    def hold_an_append_open(self, count: int, early: bool) -> None:
        command = self._command(stream_id("user", new_id()), count)
        connection = psycopg.connect(role_conninfo(self.database, WRITER, ROLE_SECRET))
        if early:
            connection.execute("SELECT pg_current_xact_id()")
        for number, new in enumerate(command.events, start=1):
            stored = event_codec().encode(RecordedEvent(command.stream_id, number, new.metadata, new.event))
            connection.execute(
                _INSERT,
                [stored.stream_id, stored.version, stored.type, stored.meta, stored.payload, stored.leaf],
            )
        self.held.append((connection, command.stream_id, [new.metadata.event_id for new in command.events]))

    @precondition(lambda self: bool(self.held))
    @rule(which_one=which, commits=st.booleans())
    def finish_a_held_append(self, which_one: int, commits: bool) -> None:
        connection, stream, ids = self.held.pop(which_one % len(self.held))
        if commits:
            connection.commit()
            self.streams[stream] = ids
        else:
            connection.rollback()
        connection.close()

    # ── ordering, reading, projecting ───────────────────────────────────────────────────────────────

    @rule(limit=st.sampled_from([1, 2, 3, 1_000]))
    def sequence(self, limit: int) -> None:
        missing = self._committed() - {event_id for *_, event_id in self._order()}
        batch = stepped(self.leader, limit, self.statement)
        assert (batch.events if batch else 0) >= min(limit, len(missing))

    @rule()
    def another_leads(self) -> None:
        self.sequencer.close()
        self.leader = self.sequencer.enter_context(one_sequencer(self.database))
        rebase_if_moved(self.leader)

    @rule(back=st.integers(0, 10), limit=st.integers(1, 7), parts=st.integers(1, 3))
    def read(self, back: int, limit: int, parts: int) -> None:
        """Page by page, each part of the log: together exactly the order, each page in it."""
        order = self._order()
        after = max(self.base, self.base + len(order) - back)
        found: list[tuple[int, str, int, str]] = []
        for index in range(parts):
            position, positions = after, []
            while True:
                page = self.feed.read(position, limit, partition=Partition(index, parts))
                assert not page.unreadable
                positions += [
                    (
                        each.position,
                        each.recorded.stream_id,
                        each.recorded.version,
                        each.recorded.metadata.event_id,
                    )
                    for each in page.events
                ]
                if page.up_to == position:
                    break
                position = page.up_to
            assert positions == sorted(positions)
            found += positions
        assert sorted(found) == [each for each in order if each[0] > after]

    @rule()
    def project(self) -> None:
        head = self.feed.head()
        with tallying(self.database) as tally:
            assert wait_until(lambda: tally.position >= head, time_limit_s=20), "the projection stands still"
        check_tally(self.database)

    @invariant()
    def the_order_is_dense_and_never_changes(self) -> None:
        order = self._order()
        assert order[: len(self.seen)] == self.seen, "what has a place has got another"
        assert [position for position, *_ in order] == list(
            range(self.base + 1, self.base + len(order) + 1)
        ), "positions are not dense"
        versions: dict[str, int] = {}
        for _, stream, version, event_id in order:
            assert version == versions.get(stream, 0) + 1, "the order of a stream is broken"
            assert self.streams[stream][version - 1] == event_id
            versions[stream] = version
        self.seen = order

    def teardown(self) -> None:
        try:
            while self.held:
                self.finish_a_held_append(0, commits=True)
            while stepped(self.leader, 1_000, self.statement) is not None:
                pass
            self.the_order_is_dense_and_never_changes()
            assert {event_id for *_, event_id in self.seen} == self._committed(), "the log is not complete"
            assert broken_promises(self.database) == []
            self.project()
        finally:
            for connection, *_ in self.held:
                connection.close()
            self.loop.run(self.opened.__aexit__(None, None, None))
            self.sequencer.close()
            self.resources.close()

    # ── the model ───────────────────────────────────────────────────────────────────────────────────

    def _stream(self, n: int) -> str:
        """The nth stream that is nobody else's, or a new one."""
        known = sorted(self.streams)
        return known[n] if n < len(known) else stream_id("user", new_id())

    def _command(self, stream: str, count: int, *, off: int = 0) -> StreamAppend:
        version = len(self.streams.get(stream, [])) + off
        return StreamAppend(stream, version, tuple(_event(version + n) for n in range(1, count + 1)))

    def _save(self, appends: list[StreamAppend]) -> None:
        self.loop.run(self.log.append(appends))
        for append in appends:
            self._remember(append)

    def _is_refused(self, appends: list[StreamAppend]) -> None:
        try:
            self.loop.run(self.log.append(appends))
        except VersionConflict:
            return
        raise AssertionError("what came too late, or too early, was saved")

    def _remember(self, append: StreamAppend) -> None:
        self.streams.setdefault(append.stream_id, []).extend(new.metadata.event_id for new in append.events)

    def _committed(self) -> set[str]:
        return {event_id for ids in self.streams.values() for event_id in ids}

    def _order(self) -> list[tuple[int, str, int, str]]:
        return self.look.execute(_ORDER, [self.base]).fetchall()  # type: ignore[return-value]


def _event(version: int) -> NewEvent:
    metadata = EventMetadata(
        event_id=new_id(),
        actor=Actor("service", "model"),
        zone_id="univprep",
        org_id=None,
        correlation_id="model",
        causation_id=new_id(),
        recorded_at=now(),
    )
    if version == 1:
        event: Any = UserRegistered(origin="self", zone_id="univprep", display_name="사람", language="ko")
    else:
        event = ProfileChanged(display_name=f"이름 {version}", language="ko")
    return NewEvent(metadata, event)


def machine(of_database: str, **parts: Any) -> type[LogMachine]:
    """The machine for a database, with other `parts` where a bug is to be planted."""
    make_tally(of_database)
    return type("LogMachineOfATest", (LogMachine,), {"database": of_database, **parts})


def runs(count: int, steps: int, **more: Any) -> settings:
    return settings(
        max_examples=count,
        stateful_step_count=steps,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
        **more,
    )
