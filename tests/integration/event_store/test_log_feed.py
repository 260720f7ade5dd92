"""Reading the log in order: pages, streams, filters, waiting, and lost connections."""

import threading
import tracemalloc
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import chain

import psycopg
import pytest

from domain.attempts.events import AttemptScored, AttemptStarted
from domain.events import FutureSchemaVersion, UndecodableEvent, UnknownEventType
from infra.composition import event_codec
from infra.event_store import log_feed
from infra.event_store.feed import Partition
from infra.event_store.log_feed import FeedUnreachable, LogFeed
from infra.postgres.roles import PROJECTOR, role_conninfo
from tests.support.api import eventually
from tests.support.postgres import ROLE_SECRET
from tests.support.sequencing import one_sequencer, put, sequenced, stepped, writer
from tests.support.stored_story import store
from tests.support.story import a_whole_story


@contextmanager
def a_feed(database, **options):
    with LogFeed(role_conninfo(database, PROJECTOR, ROLE_SECRET), event_codec(), **options) as feed:
        yield feed


@pytest.fixture
def feed(database):
    with a_feed(database) as feed:
        yield feed


@pytest.fixture
def story(database):
    story = a_whole_story()
    store(database, story)
    return story


def pages(feed, limit, *filters, after=0, **more):
    """Everything, page by page."""
    found = []
    while True:
        page = feed.read(after, limit, *filters, **more)
        found += page.events
        if page.up_to <= after:
            return found
        after = page.up_to


def end_sessions(database, application_name="megacity feed"):
    with psycopg.connect(database, autocommit=True) as admin:
        return admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = %s AND datname = current_database()",
            [application_name],
        ).rowcount


def test_the_whole_log_is_read_in_order_with_typed_events(feed, story):
    assert feed.head() == len(story.events)
    assert pages(feed, 7) == story.events
    assert list(feed.stream(0, feed.head())) == story.events


def test_an_empty_log_has_nothing_and_no_end(feed):
    assert feed.head() == 0
    assert feed.read(0, 10).events == []
    assert feed.read(0, 10).up_to == 0
    assert list(feed.stream(0, 10)) == []


def test_nothing_past_the_given_end_is_read(feed, story):
    page = feed.read(3, 100, up_to=9)
    assert (page.events, page.up_to) == (story.events[3:9], 9)
    assert list(feed.stream(3, 9)) == story.events[3:9]
    assert feed.read(9, 100, up_to=9).up_to == 9


def test_a_page_holds_no_more_bytes_than_it_may_and_one_event_at_least(database, story):
    with psycopg.connect(database) as admin:
        sizes = dict(
            admin.execute(
                "SELECT position, octet_length(payload) FROM log.events JOIN log.positions USING (append_id)"
            ).fetchall()
        )
    allowed = 2 * max(sizes.values())
    with a_feed(database, page_bytes=allowed) as feed:
        assert pages(feed, 1_000) == story.events
        page = feed.read(0, 1_000)
        assert page.up_to == page.events[-1].position < len(story.events)
        held = [sizes[event.position] for event in page.events]
        assert sum(held[:-1]) < allowed <= sum(held)
    with a_feed(database, page_bytes=1) as feed:
        assert pages(feed, 1_000) == story.events
        assert len(feed.read(0, 1_000).events) == 1


def test_types_categories_and_partitions_filter_together(feed, story):
    types = (AttemptStarted, AttemptScored)
    chosen = [each for each in story.events if isinstance(each.recorded.event, types)]
    assert pages(feed, 3, types) == chosen
    exams = [each for each in story.events if each.recorded.category == "exam"]
    assert pages(feed, 3, categories=["exam"]) == exams
    assert list(feed.stream(0, feed.head(), types, categories=["exam"])) == []
    parts = [pages(feed, 5, types, partition=Partition(number, 3)) for number in range(3)]
    assert sorted(chain(*parts), key=lambda each: each.position) == chosen
    assert all(parts)
    streams = [{each.recorded.stream_id for each in part} for part in parts]
    assert sum(map(len, streams)) == len(set().union(*streams))
    streamed = list(feed.stream(0, feed.head(), types, partition=Partition(1, 3)))
    assert streamed == parts[1]


def test_a_partition_that_cannot_be_is_refused():
    for index, count in ((3, 3), (-1, 2), (0, 0)):
        with pytest.raises(ValueError, match="there is no partition"):
            Partition(index, count)


def test_a_page_whose_filter_lets_nothing_through_moves_on_all_the_same(feed, story, monkeypatch):
    monkeypatch.setattr(log_feed, "SEGMENT", 10)
    page = feed.read(0, 5, categories=["policy"])
    assert (page.events, page.up_to) == ([], 10)
    assert pages(feed, 5, [AttemptScored]) == [
        each for each in story.events if isinstance(each.recorded.event, AttemptScored)
    ]
    assert list(feed.stream(0, feed.head())) == story.events


def spoil(database, story, position, **columns):
    """Makes what is stored at a position something that cannot be read."""
    recorded = story.events[position - 1].recorded
    with psycopg.connect(database) as admin:
        admin.execute("ALTER TABLE log.events DISABLE TRIGGER append_only")
        for column, value in columns.items():
            admin.execute(
                f"UPDATE log.events SET {column} = %s WHERE stream_id = %s AND version = %s",
                [value, recorded.stream_id, recorded.version],
            )


@pytest.mark.parametrize(
    ("columns", "error"),
    [
        ({"type": "attempt.forgotten.v1"}, UnknownEventType),
        ({"type": "attempt.scored.v99"}, FutureSchemaVersion),
        ({"payload": b"[1]"}, UndecodableEvent),
        ({"meta": b"{}"}, UndecodableEvent),
        ({"payload": b"\xff\xfe"}, UndecodableEvent),
    ],
)
def test_an_event_that_cannot_be_decoded_is_handed_over_as_such_and_hides_no_other(
    database, feed, story, columns, error
):
    spoilt = next(each for each in story.events if isinstance(each.recorded.event, AttemptScored))
    spoil(database, story, spoilt.position, **columns)
    page = feed.read(0, 1_000)
    assert page.up_to == len(story.events)
    assert page.events == [each for each in story.events if each != spoilt]
    [unreadable] = page.unreadable
    assert (unreadable.position, unreadable.stream_id, unreadable.version, unreadable.type) == (
        spoilt.position,
        spoilt.recorded.stream_id,
        spoilt.recorded.version,
        columns.get("type", "attempt.scored.v1"),
    )
    assert isinstance(unreadable.error, error)
    told = []
    assert list(feed.stream(0, feed.head(), on_unreadable=told.append)) == page.events
    assert [each.position for each in told] == [spoilt.position]
    with pytest.raises(error):
        list(feed.stream(0, feed.head()))
    assert feed.head() == len(story.events)  # the feed lives on


def test_a_schema_version_of_a_newer_release_is_not_passed_over_by_a_filter(database, feed, story):
    scored = next(each for each in story.events if isinstance(each.recorded.event, AttemptScored))
    spoil(database, story, scored.position, type="attempt.scored.v12")
    page = feed.read(0, 1_000, [AttemptScored])
    assert [each.position for each in page.unreadable] == [scored.position]


def test_a_page_that_ends_with_an_unreadable_event_goes_on_behind_it(database, feed, story):
    spoil(database, story, 5, payload=b"")
    page = feed.read(0, 5)
    assert (page.events, page.up_to) == (story.events[:4], 5)
    assert [each.position for each in page.unreadable] == [5]


def test_reading_goes_on_after_its_sessions_were_ended(database, feed, story):
    assert feed.read(0, 5).events == story.events[:5]
    assert end_sessions(database) == 1
    assert feed.read(5, 5).events == story.events[5:10]
    assert end_sessions(database) == 1
    assert feed.head() == len(story.events)


def test_a_stream_goes_on_where_it_was_when_its_session_is_ended(database, feed, story, monkeypatch):
    monkeypatch.setattr(log_feed, "_FETCHED_AT_ONCE", 1)
    monkeypatch.setattr(log_feed, "SEGMENT", 25)
    found = []
    for event in feed.stream(0, len(story.events)):
        found.append(event)
        if event.position in {10, 11, 30}:
            end_sessions(database)
    assert found == story.events


def test_a_stream_that_is_left_halfway_leaves_a_feed_that_works(feed, story, monkeypatch):
    monkeypatch.setattr(log_feed, "_FETCHED_AT_ONCE", 1)
    for _ in range(3):
        stream = feed.stream(0, len(story.events))
        assert next(stream) == story.events[0]
        stream.close()
    assert feed.read(0, 3).events == story.events[:3]


def test_a_log_that_stays_out_of_reach_is_said_to_be(database):
    nobody = role_conninfo(database, PROJECTOR, ROLE_SECRET) + " port=1"
    with LogFeed(nobody, event_codec(), retry_s=0.05) as feed:
        with pytest.raises(FeedUnreachable):
            feed.read(0, 10)
        with pytest.raises(FeedUnreachable):
            list(feed.stream(0, 10))
        feed.wait(0, 0.01)  # says nothing: who waits will ask again


def waiting(feed, after):
    """A thread that waits, and ends when it was woken."""
    thread = threading.Thread(target=feed.wait, args=(after, 60.0), daemon=True)
    thread.start()
    return thread


def test_all_who_wait_are_woken_by_a_batch(database, feed):
    threads = [waiting(feed, 0) for _ in range(4)]
    with writer(database) as connection, one_sequencer(database) as sequencing:
        put(connection, "test-one")
        stepped(sequencing)
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()


def test_waiting_ends_at_once_where_there_is_more_and_in_time_where_there_is_not(database, feed):
    with writer(database) as connection:
        put(connection, "test-one")
    sequenced(database)
    feed.wait(0, 60.0)
    feed.wait(1, 0.01)


def test_who_waits_is_woken_though_the_listening_session_was_ended(database, feed):
    thread = waiting(feed, 0)
    eventually(lambda: end_sessions(database))
    with writer(database) as connection:
        put(connection, "test-one")
    sequenced(database)
    thread.join(30)
    assert not thread.is_alive()


def test_who_waits_is_woken_though_no_notice_came(database, feed):
    thread = waiting(feed, 0)
    eventually(lambda: feed._listener._thread is not None)
    with psycopg.connect(database) as admin:  # as the sequencer does, and tells nobody
        put(admin, "test-one")
        admin.execute("INSERT INTO log.positions SELECT 1, append_id, leaf FROM log.events")
    thread.join(30)
    assert not thread.is_alive()


def test_closing_wakes_who_waits(database):
    with a_feed(database) as feed:
        thread = waiting(feed, 0)
    thread.join(30)
    assert not thread.is_alive()
    with psycopg.connect(database) as admin:
        [(sessions,)] = admin.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'megacity feed'"
            " AND datname = current_database() AND backend_type = 'client backend'"
        ).fetchall()
    assert sessions == 0


def test_the_position_at_a_time_is_the_last_that_had_been_given_by_then(database, feed):
    before = datetime.now(UTC) - timedelta(hours=1)
    with writer(database) as connection, one_sequencer(database) as sequencing:
        times = []
        for count in (2, 3):
            for _ in range(count):
                put(connection, f"test-{len(times)}-{_}")
            stepped(sequencing)
            [(time,)] = connection.execute("SELECT clock_timestamp()").fetchall()
            times.append(time)
    assert [feed.position_at(each) for each in (before, *times)] == [0, 2, 5]


def test_threads_may_share_a_feed(feed, story):
    found = []
    threads = [threading.Thread(target=lambda: found.append(pages(feed, 11))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [story.events] * 6


def test_a_stream_holds_no_more_of_a_long_log_than_of_a_short_one(feed, story):
    for _ in feed.stream(0, len(story.events)):  # what is made once is made
        pass
    peaks = []
    for end in (len(story.events) // 4, len(story.events)):
        tracemalloc.start()
        for _ in feed.stream(0, end):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 2 * peaks[0] + 100_000
