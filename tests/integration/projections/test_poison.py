"""An event that cannot be applied: set aside with its stream, while everything else goes on."""

import msgspec
import psycopg
import pytest
from psycopg import errors
from structlog.testing import capture_logs

from domain.events import FutureSchemaVersion, UndecodableEvent
from domain.users.events import ProfileChanged
from infra.event_store.feed import FeedPage, UnreadableEvent
from infra.observability.metrics import ProjectionMetrics, new_registry
from infra.projections import poison
from infra.projections.batches import Batches
from infra.projections.checkpoints import advance, ensure_checkpoint, read_checkpoint
from infra.projections.poison import is_poison
from infra.projections.runner import ProjectionRunner
from projections.attempts.projection import AttemptsProjection
from projections.item_analysis.projection import ItemAnalysisProjection
from projections.people.projection import PeopleProjection
from tests.support.projecting import broken_promises, eventually, set_aside
from tests.support.story import Story, StoryFeed, a_whole_story


class CannotRead(StoryFeed):
    """Some positions of the story cannot be decoded."""

    def __init__(self, story, errors_at):
        super().__init__(story)
        self.errors_at = errors_at

    def read(self, *given, **options):
        page = super().read(*given, **options)
        unreadable = [
            UnreadableEvent(
                each.position,
                each.recorded.stream_id,
                each.recorded.version,
                each.recorded.event.type_.stored_name,
                self.errors_at[each.position],
            )
            for each in page.events
            if each.position in self.errors_at
        ]
        events = [each for each in page.events if each.position not in self.errors_at]
        return FeedPage(events, page.up_to, unreadable)


@pytest.fixture
def follow(connect):
    """Follows a story to its end (or until a condition is true) and stops."""

    def run(projection, feed, until=None, **options):
        feed = StoryFeed(feed) if isinstance(feed, Story) else feed
        runner = ProjectionRunner(projection, feed, connect, poll_interval_s=0.05, **options)
        runner.start()
        try:
            eventually(until or (lambda: runner.position == feed.head()))
        finally:
            assert runner.stop()
        return runner

    return run


def has_halted(connection):
    checkpoint = read_checkpoint(connection, "people")
    return checkpoint is not None and checkpoint.status == "failed"


def the_bad_one_among(story, before=5, after=3):
    """A profile of somebody who never registered, amid people who did."""
    for number in range(before):
        story.person(name=f"before {number}")
    nobody = story.new_id("user")
    bad = story.add(nobody, ProfileChanged(display_name="nobody", language="en"))
    for number in range(after):
        story.person(name=f"after {number}")
    return bad


@pytest.mark.parametrize("batch_size", [1, 4, 500])
def test_the_event_is_set_aside_with_its_error_and_the_rest_goes_on(projector, follow, batch_size):
    story = Story()
    bad = the_bad_one_among(story)
    follow(PeopleProjection(), story, batch_size=batch_size)
    [found] = set_aside(projector, "people")
    assert (found["position"], found["stream_id"]) == (bad.position, bad.recorded.stream_id)
    assert (found["version"], found["type"]) == (1, "user.profile_changed.v1")
    assert (found["status"], found["attempts"], found["told"]) == ("waiting", 1, False)
    assert found["error"].startswith("RowMissing: read.people has no row")
    assert found["error_kind"] == "RowMissing"
    names = {row["display_name"] for row in projector.execute("SELECT display_name FROM read.people")}
    assert names == {*(f"before {n}" for n in range(5)), *(f"after {n}" for n in range(3))}
    checkpoint = read_checkpoint(projector, "people")
    assert (checkpoint.status, checkpoint.error, checkpoint.set_aside) == ("running", None, 1)


@pytest.mark.parametrize("batch_size", [1, 3, 500])
def test_what_follows_in_its_stream_waits_behind_it_in_order(projector, follow, batch_size):
    story = Story()
    bad = the_bad_one_among(story)
    behind = []
    for number in range(3):
        story.person(name=f"later {number}")
        behind.append(
            story.add(bad.recorded.stream_id, ProfileChanged(display_name=f"n{number}", language="en"))
        )
    follow(PeopleProjection(), story, batch_size=batch_size)
    found = set_aside(projector, "people")
    assert [each["position"] for each in found] == [bad.position, *(each.position for each in behind)]
    assert [each["error"] is None for each in found] == [False, True, True, True]
    assert [each["attempts"] for each in found] == [1, 0, 0, 0]
    assert broken_promises(projector, PeopleProjection(), story) == []


def test_the_stream_waits_for_that_projection_alone(projector, follow):
    story = a_whole_story()
    attempt = next(e.recorded.stream_id for e in story.events if e.recorded.category == "attempt")

    class CannotStart(AttemptsProjection):
        def apply(self, cursor, events):
            if any(each.recorded.stream_id == attempt for each in events):
                raise ZeroDivisionError
            super().apply(cursor, events)

    follow(CannotStart(), story)
    follow(ItemAnalysisProjection(), story)
    assert {each["stream_id"] for each in set_aside(projector, "attempts")} == {attempt}
    assert set_aside(projector, "item_analysis") == []
    assert broken_promises(projector, ItemAnalysisProjection(), story) == []
    assert broken_promises(projector, AttemptsProjection(), story) == []


@pytest.mark.parametrize("batch_size", [7, 500])
def test_many_poison_events_among_many_leave_exactly_themselves_out(projector, follow, batch_size):
    story = Story()
    bad = [the_bad_one_among(story, before=3, after=0) for _ in range(20)]
    follow(PeopleProjection(), story, batch_size=batch_size)
    assert [each["position"] for each in set_aside(projector, "people")] == [e.position for e in bad]
    assert broken_promises(projector, PeopleProjection(), story) == []


def test_an_event_that_cannot_be_read_is_set_aside_and_what_came_before_it_is_not(projector, follow):
    story = Story()
    student = story.person(("student", None), name="read")
    unreadable = story.add(student, ProfileChanged(display_name="unread", language="en"))
    behind = story.add(student, ProfileChanged(display_name="behind", language="en"))
    story.person(name="other")
    error = UndecodableEvent(stored_name="user.profile_changed.v1", reason="민지")
    follow(PeopleProjection(), CannotRead(story, {unreadable.position: error}))
    found = set_aside(projector, "people")
    assert [each["position"] for each in found] == [unreadable.position, behind.position]
    assert found[0]["error_kind"] == "UndecodableEvent (undecodable-event)"
    assert "민지" not in found[0]["error"]
    names = {row["display_name"] for row in projector.execute("SELECT display_name FROM read.people")}
    assert names == {"read", "other"}


def test_an_event_of_a_newer_release_is_waited_for_and_not_set_aside(projector, follow):
    """In a rolling deployment: the newer release is there already, or will be."""
    story = Story()
    first = story.person(name="first")
    newer = story.add(first, ProfileChanged(display_name="as only they can read", language="en"))
    feed = CannotRead(
        story, {newer.position: FutureSchemaVersion(stored_name="user.profile_changed.v2", newest_known=1)}
    )
    follow(PeopleProjection(), feed, lambda: has_halted(projector))
    checkpoint = read_checkpoint(projector, "people")
    assert (checkpoint.position, checkpoint.failed_position) == (newer.position - 1, newer.position)
    assert "future-schema-version" in checkpoint.error
    assert set_aside(projector, "people") == []
    feed.errors_at.clear()  # the newer release takes over
    follow(PeopleProjection(), feed)
    assert read_checkpoint(projector, "people").status == "running"
    assert broken_promises(projector, PeopleProjection(), story) == []


def test_what_the_database_refuses_for_its_values_is_poison_and_what_is_kept_of_it_names_nobody(
    database, projector, follow
):
    story = Story()
    story.person(name="allowed")
    blocked = story.person(name="blocked")
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute("ALTER TABLE read.people ADD CONSTRAINT no_entry CHECK (display_name <> 'blocked')")
    with capture_logs() as lines:
        follow(PeopleProjection(), story)
    [found] = set_aside(projector, "people")
    assert found["stream_id"] == blocked
    sentences = [line["error"] for line in lines if "error" in line]
    assert sentences
    for text in (found["error"], *sentences):
        assert text.startswith("CheckViolation (23514): ")
        assert "no_entry" in text
        assert f"{blocked[-4:]}@example.org" not in text
    assert found["error_kind"] == "CheckViolation (23514)"


def test_a_release_that_can_apply_nothing_halts_instead_of_setting_everything_aside(
    projector, follow, monkeypatch
):
    monkeypatch.setattr(poison, "MOST_PAUSED_STREAMS", 10)

    class Broken(PeopleProjection):
        def apply(self, *_given):
            raise ZeroDivisionError

    story = Story()
    for number in range(12):
        story.person(name=f"n{number}")
    follow(Broken(), story, lambda: has_halted(projector))
    assert "would set aside 12 streams" in read_checkpoint(projector, "people").error
    assert set_aside(projector, "people") == []
    assert read_checkpoint(projector, "people").position == 0
    follow(PeopleProjection(), story)
    assert broken_promises(projector, PeopleProjection(), story) == []


def test_poison_is_counted_and_what_is_applied_is_counted_without_it(follow):
    registry = new_registry()
    story = Story()
    bad = the_bad_one_among(story, before=2, after=1)
    story.add(bad.recorded.stream_id, ProfileChanged(display_name="behind", language="en"))
    follow(PeopleProjection(), story, metrics=ProjectionMetrics.create(registry))
    label = {"projection": "people"}
    assert registry.get_sample_value("megacity_projection_poison_events_total", label) == 1
    assert registry.get_sample_value("megacity_projection_events_applied_total", label) == 3


def test_an_event_set_aside_and_the_checkpoint_move_together_or_not_at_all(projector):
    class NeverArrives(Batches):
        def _move(self, connection, *given):
            super()._move(connection, *given)
            raise errors.AdminShutdown

    story = Story()
    the_bad_one_among(story)
    ensure_checkpoint(projector, PeopleProjection())
    with pytest.raises(errors.AdminShutdown):
        NeverArrives(PeopleProjection(), None).apply(projector, 0, FeedPage(story.events, len(story.events)))
    assert read_checkpoint(projector, "people").position == 0
    assert set_aside(projector, "people") == []


@pytest.mark.parametrize(
    ("error", "to_blame"),
    [
        (errors.UniqueViolation(), True),
        (errors.NumericValueOutOfRange(), True),
        (errors.RaiseException(), True),
        (errors.ProgramLimitExceeded(), True),
        (psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes"), True),
        (KeyError("items"), True),
        (UndecodableEvent(stored_name="x"), True),
        (msgspec.ValidationError(), True),
        (errors.InsufficientPrivilege(), False),
        (errors.UndefinedColumn(), False),
        (errors.SerializationFailure(), False),
        (errors.DeadlockDetected(), False),
        (errors.DiskFull(), False),
        (errors.OutOfMemory(), False),
        (errors.QueryCanceled(), False),
        (errors.AdminShutdown(), False),
        (errors.InternalError_(), False),
        (errors.ReadOnlySqlTransaction(), False),
        (psycopg.OperationalError("the connection is lost"), False),
        (psycopg.InterfaceError("the connection is closed"), False),
        (FutureSchemaVersion(stored_name="x"), False),
        (MemoryError(), False),
        (OSError(28, "No space left on device"), False),
    ],
    ids=lambda value: value if isinstance(value, bool) else type(value).__name__,
)
def test_an_event_is_to_blame_for_what_depends_on_it_and_for_nothing_else(error, to_blame):
    assert is_poison(error) is to_blame


class SkipsSilently(Batches):
    """A planted bug: what cannot be applied is passed over, and nobody is told."""

    def apply(self, connection, position, page):
        try:
            super()._apply(connection, position, page, bisect=False)
        except Exception:  # noqa: BLE001 - the planted bug
            with connection.transaction():
                advance(connection, self._projection, from_position=position, to_position=page.up_to)


def test_poison_that_is_skipped_silently_is_found_out(projector):
    """A test of the tests."""
    story = Story()
    the_bad_one_among(story)
    batches = SkipsSilently(PeopleProjection(), None)
    ensure_checkpoint(projector, PeopleProjection())
    for event in story.events:
        batches.apply(projector, event.position - 1, FeedPage([event], event.position))
    [broken] = broken_promises(projector, PeopleProjection(), story)
    assert "cannot be applied and is not set aside" in broken
