"""A rebuild gives the very rows that were there, without anybody noticing while it runs."""

import threading
from random import Random

import psycopg
import pytest

from domain.users.events import UserRegistered
from infra.projections.blue_green import WouldLoseEvents
from infra.projections.checkpoints import read_checkpoint
from infra.projections.rebuild import LogTooShort, fingerprint, rebuild, verify
from infra.projections.runner import ProjectionRunner
from projections.access.projection import AccessProjection
from projections.attempts.projection import AttemptsProjection
from projections.calibrations.projection import CalibrationsProjection
from projections.catalogue.projection import CatalogueProjection
from projections.item_analysis.projection import ItemAnalysisProjection
from projections.people.projection import PeopleProjection
from projections.role_reviews.projection import RoleReviewsProjection
from tests.support.story import ChosenOptions, Story, StoryFeed, a_choice_item, a_whole_story

PROJECTIONS = [
    AccessProjection(),
    PeopleProjection(),
    CatalogueProjection(),
    AttemptsProjection(),
    ItemAnalysisProjection(),
    CalibrationsProjection(),
    RoleReviewsProjection(),
]
BY_NAME = pytest.mark.parametrize("projection", PROJECTIONS, ids=lambda each: each.name)


def bytes_of(connection, projection):
    """What `COPY (SELECT * FROM t ORDER BY key) TO STDOUT` gives for each table."""
    tables = {}
    for table in projection.tables:
        columns = connection.execute(
            "SELECT column_name FROM information_schema.key_column_usage"
            " WHERE table_schema = 'read' AND table_name = %s ORDER BY ordinal_position",
            [table],
        ).fetchall()
        key = ", ".join(row["column_name"] for row in columns)
        statement = f"COPY (SELECT * FROM read.{table} ORDER BY {key}) TO STDOUT"
        with connection.cursor() as cursor, cursor.copy(statement) as rows:
            tables[table] = b"".join(bytes(piece) for piece in rows)
    return tables


def run_to_the_end(projection, story, connect, **options):
    runner = ProjectionRunner(projection, StoryFeed(story), connect, poll_interval_s=0.05, **options)
    runner.start()
    while runner.position < len(story.events):
        threading.Event().wait(0.01)
    assert runner.stop()


@BY_NAME
def test_a_rebuild_gives_the_same_rows_byte_for_byte(connect, projector, projection):
    story = a_whole_story(relations=True)
    run_to_the_end(projection, story, connect, batch_size=9)
    before = bytes_of(projector, projection)
    assert any(before.values())
    reached = []
    certificate = rebuild(
        projection, StoryFeed(story), projector, lambda done, all_: reached.append((done, all_))
    )
    position = certificate.position
    assert bytes_of(projector, projection) == before
    assert position == read_checkpoint(projector, projection.name).position == len(story.events)
    assert reached[-1] == (position, position)


@BY_NAME
def test_a_rebuild_while_answers_keep_coming_loses_and_doubles_nothing(connect, projector, projection):
    story = Story()
    bank = story.bank()
    items = [story.item(bank, f"q{n}", a_choice_item()) for n in range(4)]
    exam = story.exam(items)
    feed = StoryFeed(story)
    runner = ProjectionRunner(projection, feed, connect, batch_size=7, poll_interval_s=0.05)
    stop, random = threading.Event(), Random(3)

    def keep_answering():
        while not stop.is_set() and len(story.events) < 3_000:
            examinee = story.person()
            answers = [ChosenOptions((random.choice("1234"),)) for _ in items]
            story.take(exam, examinee, answers)
            stop.wait(0.001)

    writer = threading.Thread(target=keep_answering)
    writer.start()
    runner.start()
    positions = []
    try:
        while runner.position < 50:
            threading.Event().wait(0.01)
        positions = [rebuild(projection, feed, projector).position for _ in range(3)]
    finally:
        stop.set()
        writer.join()
    while runner.position < feed.head():
        threading.Event().wait(0.01)
    assert runner.stop()
    assert positions == sorted(positions)
    assert positions[-1] < len(story.events) or len(set(positions)) > 1
    live = bytes_of(projector, projection)
    rebuild(projection, feed, projector)
    assert bytes_of(projector, projection) == live


def test_readers_see_the_old_rows_until_the_rebuild_commits(connect, database, projector):
    projection, story = PeopleProjection(), a_whole_story(relations=True)
    run_to_the_end(projection, story, connect)
    seen = []
    with psycopg.connect(database, autocommit=True) as other:

        def look(_done, _all):
            seen.append(other.execute("SELECT count(*) FROM read.people").fetchone()[0])

        rebuild(projection, StoryFeed(story), projector, look)
    assert seen
    people = sum(isinstance(each.recorded.event, UserRegistered) for each in story.events)
    assert set(seen) == {people}


def test_a_rebuild_that_fails_leaves_everything_as_it_was(connect, projector):
    class Broken(PeopleProjection):
        def apply(self, *_given):
            raise ZeroDivisionError

    story = a_whole_story(relations=True)
    run_to_the_end(PeopleProjection(), story, connect)
    before = bytes_of(projector, PeopleProjection())
    with pytest.raises(WouldLoseEvents, match="ZeroDivisionError"):
        rebuild(Broken(), StoryFeed(story), projector)
    assert bytes_of(projector, PeopleProjection()) == before
    assert read_checkpoint(projector, "people").position == len(story.events)


@BY_NAME
def test_rows_that_were_tampered_with_are_found_and_a_rebuild_repairs_them(connect, projector, projection):
    story = a_whole_story(relations=True)
    run_to_the_end(projection, story, connect)
    assert verify(projection, StoryFeed(story), projector).agrees
    table = next(each for each in projection.tables if each not in {"exam_items", "score_distribution"})
    projector.execute(f"DELETE FROM read.{table} WHERE ctid = (SELECT min(ctid) FROM read.{table})")
    found = verify(projection, StoryFeed(story), projector)
    assert not found.agrees
    assert found.live == fingerprint(projector, projection), "verifying changes nothing"
    rebuild(projection, StoryFeed(story), projector)
    assert verify(projection, StoryFeed(story), projector).agrees


def test_verifying_looks_no_further_than_the_rows_have_come(connect, projector):
    projection, story = PeopleProjection(), Story()
    story.person()
    run_to_the_end(projection, story, connect)
    story.person()
    assert verify(projection, StoryFeed(story), projector).agrees


def test_rows_that_are_ahead_of_the_log_are_an_error(connect, projector):
    projection, story = PeopleProjection(), Story()
    story.person()
    story.person()
    run_to_the_end(projection, story, connect)
    with pytest.raises(LogTooShort):
        rebuild(projection, StoryFeed(Story()), projector)
    assert projector.execute("SELECT count(*) AS n FROM read.people").fetchone()["n"] == 2
