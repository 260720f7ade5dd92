"""New rows take the place of the old ones; readers, writers and what is bound to the tables do not notice."""

import threading

import psycopg
import pytest

from infra.projections import blue_green
from infra.projections.blue_green import Blue, TakeOver, WouldLoseEvents, begin_or_resume
from infra.projections.checkpoints import read_checkpoint
from infra.projections.rebuild import fingerprint, rebuild
from infra.projections.scratch import scratch_schemas
from projections.attempts.projection import AttemptsProjection
from projections.catalogue.projection import CatalogueProjection
from projections.item_analysis.projection import ItemAnalysisProjection
from projections.people.projection import PeopleProjection
from tests.support.rebuilding import (
    Reader,
    answers_keep_coming,
    as_staff,
    following,
    rows_not_of_the_log,
    run_to_the_end,
    until,
)
from tests.support.story import Story, StoryFeed, a_whole_story

PROJECTIONS = [
    PeopleProjection(),
    CatalogueProjection(),
    AttemptsProjection(),
    ItemAnalysisProjection(),
]
BY_NAME = pytest.mark.parametrize("projection", PROJECTIONS, ids=lambda each: each.name)
ALL_PEOPLE = "SELECT count(*) FROM read.people"


@pytest.fixture
def take_over(connect, projector):
    """A rebuild that has caught up with the live rows and is about to take over."""
    story, projection = a_whole_story(), PeopleProjection()
    run_to_the_end(projection, story, connect)
    begun = begin_or_resume(projector, projection, len(story.events), 1)
    blue = Blue(projection, StoryFeed(story), projector, begun)
    blue.advance(len(story.events))
    with connect() as holder:
        yield TakeOver(projection, blue, projector, holder)


@pytest.fixture
def reader(reader_conninfo):
    with psycopg.connect(reader_conninfo) as connection:
        as_staff(connection)
        yield connection


def people(connection) -> int:
    return connection.execute(ALL_PEOPLE).fetchone()[0]


def test_readers_under_row_level_security_see_all_rows_all_the_time(connect, projector, reader_conninfo):
    story, projection = a_whole_story(), AttemptsProjection()
    run_to_the_end(projection, story, connect)
    statement = "SELECT count(*), sum(ordinal), sum(responses_given) FROM read.attempts"
    with Reader(reader_conninfo, statement) as one, Reader(reader_conninfo, statement) as another:
        for _ in range(5):
            assert rebuild(projection, StoryFeed(story), projector).agrees
    assert one.errors == another.errors == []
    assert len({str(answer) for answer in one.answers + another.answers}) == 1
    assert one.answers[0][0][0] > 0


@pytest.mark.parametrize("waited_for", [True, False])
def test_a_reader_whose_snapshot_is_older_than_the_new_rows_sees_no_less(
    connect, projector, reader, monkeypatch, waited_for
):
    story, projection = a_whole_story(), PeopleProjection()
    run_to_the_end(projection, story, connect)
    begun = begin_or_resume(projector, projection, len(story.events), 1)
    if not waited_for:  # the planted bug
        monkeypatch.setattr(blue_green, "wait_for_older_snapshots", lambda *_: True)
    reader.execute("SELECT count(*) FROM read.item_banks")  # takes the snapshot, and not the table's lock
    with connect() as holder:
        blue = Blue(projection, StoryFeed(story), projector, begun)
        taken = TakeOver(projection, blue, projector, holder).attempt()
        assert (taken is None) == waited_for
        assert people(reader) == (12 if waited_for else 0)
        reader.commit()
        if waited_for:
            assert TakeOver(projection, blue, projector, holder).attempt() is not None
    assert people(reader) == 12


def test_a_reader_who_holds_the_table_makes_nobody_else_wait(take_over, reader, reader_conninfo):
    people(reader)
    with Reader(reader_conninfo, ALL_PEOPLE) as other:
        assert take_over.attempt() is None
        assert other.errors == []
    reader.commit()
    assert take_over.attempt() is not None
    assert {answer[0][0] for answer in other.answers} == {12}


def test_what_was_given_up_leaves_the_live_rows_free(take_over, reader, connect):
    people(reader)
    assert take_over.attempt() is None
    with connect() as live:
        assert read_checkpoint(live, "people", lock=True) is not None
        live.execute("UPDATE read.people SET display_name = display_name")


@BY_NAME
def test_the_new_tables_are_as_the_old_ones_in_everything(connect, projector, projection):
    def shapes():
        return {
            table: projector.execute(
                "SELECT ops.table_shape('read', %s) AS shape,"
                " obj_description(('read.' || %s)::regclass, 'pg_class') AS comment",
                [table, table],
            ).fetchone()
            for table in projection.tables
        }

    story = a_whole_story()
    run_to_the_end(projection, story, connect)
    before = shapes()
    ids = [projector.execute(f"SELECT 'read.{table}'::regclass::oid AS id").fetchone() for table in before]
    rebuild(projection, StoryFeed(story), projector)
    assert shapes() == before
    assert all("policy zone_wall" in shape["shape"] for shape in before.values())
    after = [projector.execute(f"SELECT 'read.{table}'::regclass::oid AS id").fetchone() for table in before]
    assert not {each["id"] for each in ids} & {each["id"] for each in after}


def test_nothing_is_left_of_a_rebuild_but_its_certificate(connect, projector):
    story = a_whole_story()
    run_to_the_end(PeopleProjection(), story, connect)
    certificate = rebuild(PeopleProjection(), StoryFeed(story), projector)
    assert scratch_schemas(projector, "re") == ["read"]
    assert projector.execute("SELECT * FROM ops.rebuilds").fetchall() == []
    kept = projector.execute("SELECT projection, position, agrees FROM ops.rebuild_certificates").fetchall()
    assert kept == [{"projection": "people", "position": certificate.position, "agrees": True}]
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        projector.execute("DELETE FROM ops.rebuild_certificates")


def test_views_and_functions_that_hold_the_table_by_its_id_show_the_new_rows(connect, projector, database):
    story, projection = a_whole_story(), PeopleProjection()
    run_to_the_end(projection, story, connect)
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute("""
            SET ROLE megacity_owner;
            CREATE VIEW read.names WITH (security_barrier = true) AS SELECT display_name FROM read.people;
            GRANT SELECT ON read.names TO megacity_projector;
            CREATE FUNCTION read.how_many() RETURNS bigint LANGUAGE sql STABLE
                BEGIN ATOMIC SELECT count(*) FROM read.people; END;
        """)
    rebuild(projection, StoryFeed(story), projector)
    story.person(name="나중에 온 사람")
    run_to_the_end(projection, story, connect)
    names = projector.execute("SELECT display_name FROM read.names").fetchall()
    assert {"display_name": "나중에 온 사람"} in names
    assert projector.execute("SELECT read.how_many() AS n").fetchone() == {"n": 13}
    options = "SELECT reloptions FROM pg_class WHERE oid = 'read.names'::regclass"
    assert projector.execute(options).fetchone() == {"reloptions": ["security_barrier=true"]}


def test_what_cannot_be_bound_anew_is_named_and_the_live_rows_stay(connect, projector, database):
    story, projection = a_whole_story(), PeopleProjection()
    run_to_the_end(projection, story, connect)
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute(
            "SET ROLE megacity_owner; CREATE MATERIALIZED VIEW read.copied AS SELECT * FROM read.people"
        )
    before = fingerprint(projector, projection)
    with pytest.raises(psycopg.errors.DependentObjectsStillExist, match="materialized view"):
        rebuild(projection, StoryFeed(story), projector)
    assert fingerprint(projector, projection) == before
    assert read_checkpoint(projector, "people").position == len(story.events)


def test_a_table_that_is_changed_meanwhile_is_not_replaced_by_its_old_form(take_over, database):
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute("ALTER TABLE read.people ADD COLUMN nickname text")
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="was changed"):
        take_over.attempt()


@pytest.mark.parametrize("schema", ["read", "log", "ops", "rebuild", "rebuild_a; DROP TABLE x", "Rebuild_a"])
def test_scratch_functions_touch_no_other_schema(projector, schema):
    with pytest.raises(psycopg.errors.InvalidSchemaName):
        projector.execute("SELECT ops.drop_scratch(%s)", [schema])
    with pytest.raises(psycopg.errors.InvalidSchemaName):
        projector.execute("SELECT ops.create_scratch(%s, '{people}', true)", [schema])


@pytest.mark.usefixtures("take_over")
def test_readers_have_no_way_into_the_rows_that_are_being_made(reader):
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        reader.execute("SELECT count(*) FROM rebuild_people.people")


@BY_NAME
def test_green_equals_blue_when_a_rebuild_ends_under_load(connect, projector, projection):
    story = Story()
    feed = StoryFeed(story)
    with following(projection, feed, connect, batch_size=50) as runner:
        with answers_keep_coming(story, 2_500):
            until(lambda: runner.position > 200, "the live rows get going")
            certificates = [rebuild(projection, feed, projector) for _ in range(3)]
        until(lambda: runner.position >= feed.head(), "the live rows catch up")
    assert [each.agrees for each in certificates] == [True] * 3, certificates
    assert certificates[0].position < certificates[-1].position
    assert rows_not_of_the_log(projection, feed, projector) == []


def test_rows_that_were_tampered_with_are_told_by_the_certificate(connect, projector):
    story, projection = a_whole_story(), ItemAnalysisProjection()
    run_to_the_end(projection, story, connect)
    projector.execute("UPDATE read.item_statistics SET answered = answered + 1 WHERE ordinal = 1")
    certificate = rebuild(projection, StoryFeed(story), projector)
    assert certificate.agrees is False
    assert certificate.differing_tables() == ["item_statistics"]
    assert rows_not_of_the_log(projection, StoryFeed(story), projector) == []


class _TakesOverUnheld(Blue):
    """The planted bug: what arrives between catching up and taking over is not applied."""

    ends_at = None

    def advance(self, up_to, progress=None):
        if self.ends_at is None or up_to <= self.ends_at:
            super().advance(up_to, progress)
        self.ends_at = self.position


@pytest.mark.parametrize("blue_class", [Blue, _TakesOverUnheld])
def test_events_that_arrive_while_a_rebuild_ends_are_not_lost(connect, projector, blue_class):
    story, projection = a_whole_story(), AttemptsProjection()
    feed = StoryFeed(story)
    run_to_the_end(projection, story, connect)
    begun = begin_or_resume(projector, projection, feed.head(), 1)
    blue = blue_class(projection, feed, projector, begun)
    blue.advance(feed.head())
    # The end of the race, move by move: blue has caught up, and the live rows get one more.
    exam = story.events[-1].recorded.event.exam_id
    story.start(exam, story.person(), ordinal=3)
    run_to_the_end(projection, story, connect)
    with connect() as holder:
        taken = TakeOver(projection, blue, projector, holder).attempt()
    assert taken is not None
    projector.execute("COMMIT")
    run_to_the_end(projection, story, connect)
    broken = rows_not_of_the_log(projection, feed, projector)
    assert bool(broken) == (blue_class is _TakesOverUnheld), broken


def test_a_rebuild_never_goes_back_behind_what_readers_have_seen(connect, projector):
    story, projection = a_whole_story(), PeopleProjection()
    run_to_the_end(projection, story, connect)

    class LateFeed(StoryFeed):
        """Knows of less than the live rows hold, until it is asked for more."""

        def head(self):
            return len(self.story.events) - 20

        def read(self, after, limit, event_types=None, **filters):
            return StoryFeed(self.story).read(after, limit, event_types, **filters)

    assert rebuild(projection, LateFeed(story), projector).position == len(story.events)
    assert read_checkpoint(projector, "people").position == len(story.events)


def test_a_paused_projection_is_rebuilt_where_it_stands(connect, projector):
    story, projection = a_whole_story(), PeopleProjection()
    run_to_the_end(projection, story, connect)
    projector.execute("UPDATE ops.projections SET status = 'paused' WHERE name = 'people'")
    paused_at = len(story.events)
    story.person()
    certificate = rebuild(projection, StoryFeed(story), projector)
    assert (certificate.position, certificate.agrees) == (paused_at, True)
    assert read_checkpoint(projector, "people").status == "paused"


def test_two_rebuilds_of_one_projection_do_not_run_at_once(connect, projector):
    story, projection = a_whole_story(), PeopleProjection()
    run_to_the_end(projection, story, connect)
    refused = []

    def begin_another(_reached, _target):
        with connect() as other, pytest.raises(Exception, match="by another process") as error:
            rebuild(projection, StoryFeed(story), other)
        refused.append(error.value)

    assert rebuild(projection, StoryFeed(story), projector, begin_another).agrees
    assert refused


class TestWhatDies:
    """A rebuild whose process is gone."""

    @pytest.fixture
    def dies_half_way(self, connect, monkeypatch):
        monkeypatch.setattr(Blue.__init__, "__kwdefaults__", {"batch_size": 20})
        story, projection = a_whole_story(), AttemptsProjection()
        run_to_the_end(projection, story, connect)
        half = len(story.events) // 2

        def die(reached, _target):
            if reached > half:
                raise KeyboardInterrupt

        with connect() as doomed, pytest.raises(KeyboardInterrupt):
            rebuild(projection, StoryFeed(story), doomed, die)
        return story, projection

    def test_leaves_the_live_rows_as_they_were(self, dies_half_way, projector):
        story, projection = dies_half_way
        assert rows_not_of_the_log(projection, StoryFeed(story), projector) == []

    def test_is_gone_on_with_where_it_was(self, dies_half_way, projector):
        story, projection = dies_half_way
        reached = []
        certificate = rebuild(
            projection, StoryFeed(story), projector, lambda done, _target: reached.append(done)
        )
        assert certificate.resumed
        assert certificate.agrees
        assert reached[0] > len(story.events) // 2
        wanted = sum(isinstance(each.recorded.event, projection.event_types) for each in story.events)
        assert certificate.events == wanted

    def test_is_begun_anew_where_the_code_has_changed(self, dies_half_way, projector):
        story, _ = dies_half_way

        class Changed(AttemptsProjection):
            pass

        certificate = rebuild(Changed(), StoryFeed(story), projector)
        assert not certificate.resumed
        assert certificate.agrees

    def test_is_begun_anew_where_the_tables_have_changed(self, dies_half_way, projector, database):
        story, projection = dies_half_way
        with psycopg.connect(database, autocommit=True) as admin:
            admin.execute("CREATE INDEX another ON read.attempts (zone_id)")
        certificate = rebuild(projection, StoryFeed(story), projector)
        assert not certificate.resumed
        assert certificate.agrees


class TestPoison:
    """What the live rows go on without, the rebuilt rows go on without; and no more than that."""

    class Sour(PeopleProjection):
        """Cannot stand one name."""

        def apply(self, cursor, events):
            if any(getattr(each.recorded.event, "display_name", None) == "poison" for each in events):
                raise ValueError("poison")
            super().apply(cursor, events)

    @pytest.fixture
    def poisoned(self):
        from domain.users.events import ProfileChanged

        story = Story()
        users = [story.person() for _ in range(5)]
        story.add(users[2], ProfileChanged(display_name="poison", language="ko"))
        story.add(users[2], ProfileChanged(display_name="after it", language="ko"))
        story.person()
        return story

    def test_what_waits_is_left_out_by_a_rebuild_too(self, connect, projector, poisoned):
        run_to_the_end(self.Sour(), poisoned, connect)
        certificate = rebuild(self.Sour(), StoryFeed(poisoned), projector)
        assert (certificate.agrees, certificate.set_aside) == (True, 2)
        names = {row["display_name"] for row in projector.execute("SELECT display_name FROM read.people")}
        assert names == {"민지"}
        assert read_checkpoint(projector, "people").set_aside == 2

    def test_what_was_skipped_stays_skipped_and_its_stream_goes_on(self, connect, projector, poisoned):
        run_to_the_end(self.Sour(), poisoned, connect)
        projector.execute("UPDATE ops.set_aside_events SET status = 'skipped' WHERE position = 6")
        projector.execute("UPDATE ops.set_aside_events SET status = 'applied' WHERE position = 7")
        rebuild(self.Sour(), StoryFeed(poisoned), projector)
        names = {row["display_name"] for row in projector.execute("SELECT display_name FROM read.people")}
        assert names == {"민지", "after it"}

    def test_a_new_version_sets_aside_what_it_cannot_apply(self, connect, projector, poisoned):
        run_to_the_end(PeopleProjection(), poisoned, connect)

        class SourNow(self.Sour):
            version = PeopleProjection.version + 1

        certificate = rebuild(SourNow(), StoryFeed(poisoned), projector)
        assert (certificate.agrees, certificate.set_aside) == (None, 2)
        rows = projector.execute("SELECT position, status FROM ops.set_aside_events ORDER BY 1").fetchall()
        assert rows == [{"position": 6, "status": "waiting"}, {"position": 7, "status": "waiting"}]
        assert read_checkpoint(projector, "people").set_aside == 2
        with following(SourNow(), StoryFeed(poisoned), connect) as runner:
            until(lambda: runner.position == len(poisoned.events), "the runner goes on")

    def test_rows_of_the_same_version_lose_nothing_to_poison(self, connect, projector, poisoned):
        run_to_the_end(PeopleProjection(), poisoned, connect)
        before = fingerprint(projector, PeopleProjection())
        with pytest.raises(WouldLoseEvents, match="at 6 "):
            rebuild(self.Sour(), StoryFeed(poisoned), projector)
        assert fingerprint(projector, PeopleProjection()) == before

    def test_what_is_skipped_while_it_runs_makes_it_begin_again(self, connect, projector, poisoned):
        run_to_the_end(self.Sour(), poisoned, connect)
        once = threading.Event()

        def skip_meanwhile(_reached, _target):
            if not once.is_set():
                once.set()
                with connect() as other:
                    other.execute("UPDATE ops.set_aside_events SET status = 'skipped' WHERE position = 6")
                    other.execute("UPDATE ops.set_aside_events SET status = 'applied' WHERE position = 7")

        certificate = rebuild(self.Sour(), StoryFeed(poisoned), projector, skip_meanwhile)
        assert certificate.set_aside == 1
        names = {row["display_name"] for row in projector.execute("SELECT display_name FROM read.people")}
        assert names == {"민지", "after it"}
