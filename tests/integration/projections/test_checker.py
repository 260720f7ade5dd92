"""The checker finds what is not as the log has it, names it, and raises no false alarm."""

import threading
from random import Random

import psycopg
import pytest
from prometheus_client import CollectorRegistry

from infra.composition import event_codec
from infra.event_store.leaves import leaf_hash
from infra.observability.checker_metrics import CheckerMetrics
from infra.projections.checker import Checker
from projections.access.projection import AccessProjection
from projections.attempts.projection import AttemptsProjection
from projections.audit.projection import AuditProjection
from projections.calibrations.projection import CalibrationsProjection
from projections.catalogue.projection import CatalogueProjection
from projections.item_analysis.projection import ItemAnalysisProjection
from projections.people.projection import PeopleProjection
from projections.role_reviews.projection import RoleReviewsProjection
from tests.support.rebuilding import following, run_to_the_end, until
from tests.support.stored_story import store
from tests.support.story import Story, StoryFeed, a_choice_item, a_whole_story

PROJECTIONS = [
    AccessProjection(),
    PeopleProjection(),
    CatalogueProjection(),
    AttemptsProjection(),
    ItemAnalysisProjection(),
    AuditProjection(),
    CalibrationsProjection(),
    RoleReviewsProjection(),
]
BY_NAME = pytest.mark.parametrize("projection", PROJECTIONS, ids=lambda each: each.name)
ALL = 1_000


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
def checker(connect, registry):
    return Checker(
        connect, event_codec(), PROJECTIONS, random=Random(5), metrics=CheckerMetrics.create(registry)
    )


@pytest.fixture
def story(database, connect):
    """In the log, and in all read models."""
    story = a_whole_story(relations=True)
    store(database, story)
    for projection in PROJECTIONS:
        run_to_the_end(projection, story, connect)
    return story


def as_admin(database, statement, *parameters):
    """What only somebody with rights beyond the application's can do."""
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute("SET session_replication_role = replica")  # the append-only triggers look away
        assert admin.execute(statement, parameters).rowcount == 1


@BY_NAME
def test_rows_that_are_as_the_log_has_them_raise_no_alarm(checker, story, projection):
    report = checker.check(projection, ALL)
    assert report.differences == []
    assert report.not_comparable == []
    assert report.position == len(story.events)
    assert report.streams > 0
    assert report.events > 0


def test_a_value_that_was_changed_is_found_with_projection_position_stream_and_column(
    checker, story, projector, registry
):
    attempt = projector.execute("SELECT attempt_id FROM read.attempts ORDER BY 1 LIMIT 1").fetchone()
    attempt = attempt["attempt_id"]
    projector.execute(
        "UPDATE read.attempts SET responses_given = responses_given + 1 WHERE attempt_id = %s", [attempt]
    )
    [found] = checker.check(AttemptsProjection(), ALL).differences
    last = max(each.position for each in story.events if each.recorded.stream_id == attempt)
    assert (found.projection, found.table, found.column) == ("attempts", "attempts", "responses_given")
    assert (found.stream_id, found.position, found.checkpoint) == (attempt, last, len(story.events))
    counted = registry.get_sample_value("megacity_checker_differences_total", {"projection": "attempts"})
    assert counted == 1


@pytest.mark.usefixtures("story")
def test_what_is_found_again_and_again_is_stored_once_and_holds_no_value(checker, projector):
    projector.execute(
        "UPDATE read.people SET display_name = '아무개' WHERE user_id = (SELECT min(user_id)"
        " FROM read.people)"
    )
    for _ in range(3):
        assert len(checker.check(PeopleProjection(), ALL).differences) == 1
    [stored] = projector.execute("SELECT * FROM ops.checker_differences").fetchall()
    assert (stored["projection"], stored["column_name"]) == ("people", "display_name")
    assert "아무개" not in str(stored)


@pytest.mark.parametrize(
    ("projection", "table"),
    [(projection, table) for projection in PROJECTIONS for table in projection.tables],
    ids=lambda each: getattr(each, "name", each),
)
@pytest.mark.usefixtures("story")
def test_a_row_that_is_gone_is_found_in_every_table(checker, projector, projection, table):
    projector.execute(f"DELETE FROM read.{table} WHERE ctid = (SELECT min(ctid) FROM read.{table})")
    faults = {(each.table, each.fault) for each in checker.check(projection, ALL).differences}
    assert faults == {(table, "the row is missing")}


@pytest.mark.usefixtures("story")
def test_a_row_of_which_the_log_knows_nothing_is_found(checker, projector):
    projector.execute(
        "INSERT INTO read.people SELECT 'user-019cabcd-0000-7000-8000-00000000dead', zone_id, org_id,"
        " display_name, language, email, roles, registered_at, version FROM read.people LIMIT 1"
    )
    [found] = checker.check(PeopleProjection(), ALL).differences
    assert (found.stream_id[-4:], found.fault) == ("dead", "the log gives no such row")


def test_stored_bytes_that_were_changed_are_found_by_their_leaf(checker, story, database):
    position = max(
        each.position
        for each in story.events
        if "학생" in getattr(each.recorded.event, "display_name", "")
        and each.recorded.event.type_.name == "user.registered"
    )
    as_admin(
        database,
        "UPDATE log.events SET"
        " payload = convert_to(replace(convert_from(payload, 'UTF8'), '학생', '선생'), 'UTF8')"
        " WHERE append_id = (SELECT append_id FROM log.positions WHERE position = %s)",
        position,
    )
    found = checker.check(PeopleProjection(), ALL).differences
    damaged = [each for each in found if each.table == "log.events"]
    assert [(each.position, each.column) for each in damaged] == [(position, "leaf")]
    assert {each.column for each in found if each.table == "people"} == {"display_name"}


def test_a_position_that_holds_another_leaf_is_found(checker, story, database):
    position = next(
        each.position for each in story.events if each.recorded.event.type_.name == "user.registered"
    )
    as_admin(database, "UPDATE log.positions SET leaf = sha256('x') WHERE position = %s", position)
    [found] = checker.check(PeopleProjection(), ALL).differences
    assert (found.position, found.fault) == (position, "the position holds the leaf of something else")


@pytest.mark.usefixtures("story")
def test_an_event_that_is_gone_from_the_middle_of_a_stream_is_found(checker, database):
    as_admin(
        database,
        "DELETE FROM log.events WHERE version = 2 AND stream_id = (SELECT min(stream_id) FROM log.events"
        " WHERE type = 'attempt.submitted.v1')",
    )
    found = checker.check(AttemptsProjection(), ALL).differences
    assert "version" in {each.column for each in found if each.table == "log.events"}


@pytest.mark.usefixtures("story")
def test_chosen_streams_are_checked_and_no_others(checker, projector):
    first, second = projector.execute("SELECT user_id FROM read.people ORDER BY 1 LIMIT 2").fetchall()
    projector.execute("UPDATE read.people SET version = 99 WHERE user_id = %s", [first["user_id"]])
    assert checker.check_streams(PeopleProjection(), [second["user_id"]]).differences == []
    [found] = checker.check_streams(PeopleProjection(), [first["user_id"]]).differences
    assert found.column == "version"


@pytest.mark.usefixtures("story")
def test_all_projections_have_their_turn(checker):
    assert {checker.check_next(3).projection for _ in PROJECTIONS} == {each.name for each in PROJECTIONS}


@pytest.mark.usefixtures("story")
def test_rows_of_another_version_are_not_judged(checker):
    class Newer(PeopleProjection):
        version = PeopleProjection.version + 1

    report = checker.check(Newer(), ALL)
    assert (report.differences, report.streams) == ([], 0)
    assert report.not_comparable == ["the rows are of another version of the projection"]


def test_what_a_projection_goes_on_without_is_no_difference(checker, story, projector):
    last = max(
        each.position
        for each in story.events
        if isinstance(each.recorded.event, PeopleProjection.event_types)
    )
    event = story.events[last - 1].recorded
    projector.execute(
        "INSERT INTO ops.set_aside_events (projection, position, stream_id, version, type, status,"
        " attempts, told)"
        " VALUES ('people', %s, %s, %s, %s, 'skipped', 1, true)",
        [last, event.stream_id, event.version, event.event.type_.stored_name],
    )
    changed = checker.check_streams(PeopleProjection(), [event.stream_id]).differences
    assert changed, "the rows hold the event that they are said to go on without"
    projector.execute("DELETE FROM ops.set_aside_events")
    assert checker.check_streams(PeopleProjection(), [event.stream_id]).differences == []


def test_there_is_no_false_alarm_while_events_keep_coming(checker, connect, database):
    story = Story()
    items = [story.item(story.bank(), f"q{n}", a_choice_item()) for n in range(3)]
    exam = story.exam(items)
    store(database, story)
    feed, stop = StoryFeed(story), threading.Event()

    class AsStored(StoryFeed):
        """Shows what the tables of the log hold."""

        stored = len(story.events)

        def head(self):
            return self.stored

    feed = AsStored(story)

    def keep_answering():
        while not stop.is_set() and len(story.events) < 1_500:
            before = len(story.events)
            story.take(exam, story.person(), [None] * 3)
            store(database, story, after=before)
            AsStored.stored = len(story.events)

    writer = threading.Thread(target=keep_answering)
    projection, analysis = AttemptsProjection(), ItemAnalysisProjection()
    reports = []
    with following(projection, feed, connect) as attempts, following(analysis, feed, connect) as sums:
        writer.start()
        try:
            until(lambda: min(attempts.position, sums.position) > 50, "the projections get going")
            while len(reports) < 12:
                reports += [checker.check(projection, 20), checker.check(analysis, 5)]
        finally:
            stop.set()
            writer.join()
    assert [each.differences for each in reports] == [[]] * len(reports)
    assert len({each.position for each in reports}) > 1
    assert sum(each.streams for each in reports) > 50


@pytest.mark.usefixtures("story")
def test_the_check_leaves_no_row_behind(checker, projector):
    checker.check(AttemptsProjection(), ALL)
    for table in AttemptsProjection.tables:
        assert projector.execute(f"SELECT count(*) AS n FROM check_attempts.{table}").fetchone() == {"n": 0}


def append_as_stored(database, stream_id, type_, position):
    """An event of a release that this one knows nothing of, at the end of a stream, with a right leaf."""
    meta, payload = (
        (
            b'{"event_id":"e","actor":{"kind":"user","id":"user-x"},"zone_id":null,"org_id":null,'
            b'"correlation_id":"c","causation_id":"c","recorded_at":"2026-03-02T09:00:00Z"}'
        ),
        b"{}",
    )
    with psycopg.connect(database, autocommit=True) as admin:
        row = admin.execute(
            "SELECT max(version) FROM log.events WHERE stream_id = %s", [stream_id]
        ).fetchone()
        version = row[0] + 1
        leaf = leaf_hash(stream_id, version, type_, meta, "e", payload)
        admin.execute(
            """WITH written AS (
                   INSERT INTO log.events (stream_id, version, type, meta, payload, leaf)
                   VALUES (%s, %s, %s, %s, %s, %s) RETURNING append_id, leaf)
               INSERT INTO log.positions SELECT %s, append_id, leaf FROM written""",
            [stream_id, version, type_, meta, payload, leaf, position],
        )


@pytest.mark.parametrize("type_", ["user.knighted.v1", "exam.closed.v99"])
def test_events_of_a_newer_release_that_the_projection_is_not_given_raise_no_alarm(
    checker, story, projector, database, type_
):
    user = projector.execute("SELECT user_id FROM read.people ORDER BY 1 LIMIT 1").fetchone()["user_id"]
    append_as_stored(database, user, type_, len(story.events) + 1)
    projector.execute("UPDATE ops.projections SET position = position + 1 WHERE name = 'people'")
    report = checker.check_streams(PeopleProjection(), [user])
    assert (report.differences, report.not_comparable, report.streams) == ([], [], 1)


def test_rows_that_an_event_of_a_newer_schema_counts_in_are_not_judged(checker, story, projector, database):
    user = projector.execute("SELECT user_id FROM read.people ORDER BY 1 LIMIT 1").fetchone()["user_id"]
    append_as_stored(database, user, "user.profile_changed.v99", len(story.events) + 1)
    projector.execute("UPDATE ops.projections SET position = position + 1 WHERE name = 'people'")
    report = checker.check_streams(PeopleProjection(), [user])
    assert report.differences == []
    assert report.not_comparable == [f"{user} has an event of a newer release"]


@pytest.fixture
def somebody_checks(connect, monkeypatch):
    """Another process holds the projection for itself."""
    monkeypatch.setattr("infra.projections.checker.LOCK_LIMIT_S", 0.2)
    with connect() as other:
        other.execute(
            "SELECT pg_catalog.pg_advisory_lock(pg_catalog.hashtextextended('megacity check people', 0))"
        )
        yield other


@pytest.mark.usefixtures("story", "somebody_checks")
def test_two_do_not_check_one_projection_at_once(checker):
    report = checker.check(PeopleProjection(), ALL)
    assert (report.streams, report.not_comparable) == (0, ["another process checks this projection"])


@pytest.mark.usefixtures("story")
def test_a_check_waits_a_moment_for_the_one_that_is_under_way(checker, somebody_checks, monkeypatch):
    monkeypatch.setattr("infra.projections.checker.LOCK_LIMIT_S", 30.0)
    ends = threading.Timer(0.2, somebody_checks.close)
    ends.start()
    try:
        assert checker.check(PeopleProjection(), ALL).streams > 0
    finally:
        ends.join()


@pytest.mark.usefixtures("story")
def test_no_table_that_is_looked_into_changes_places_meanwhile(checker, connect):
    class Asked(list):
        """Streams; asked for when the snapshot has been taken."""

        def __iter__(self):
            with connect() as other:
                for table in ("attempts", "exam_statistics"):
                    # What a take-over has to wait for.
                    held = other.execute(
                        "SELECT count(*) AS n FROM pg_locks WHERE relation = %s::regclass AND granted"
                        " AND mode = 'AccessShareLock'",
                        [f"read.{table}"],
                    ).fetchone()
                    locks[table] = held["n"]
            return super().__iter__()

    locks = {}
    checker.check_streams(ItemAnalysisProjection(), Asked())
    assert locks == {"attempts": 1, "exam_statistics": 1}
