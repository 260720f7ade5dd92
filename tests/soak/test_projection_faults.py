"""Projectors that die, poison, and rebuilds, for long and under load. See docs/faults.md."""

import random
from contextlib import ExitStack, contextmanager
from functools import partial

import psycopg
import pytest

from infra.composition import event_codec, new_id
from infra.event_store.log_feed import LogFeed
from infra.postgres.processes import wait_until
from infra.postgres.roles import PROJECTOR, WRITER, role_conninfo
from infra.projections.partitions import Workers
from infra.projections.rebuild import rebuild, verify
from infra.sequencer.sequencer import Sequencer
from projections.people.projection import PeopleProjection
from tests.support.dying_attempts import ManyDeathsAttempts, open_the_log
from tests.support.faults.checks import Ledger, check_log, check_tally
from tests.support.faults.doomed import KILLED, is_deadly, is_poison, projector
from tests.support.faults.load import writing
from tests.support.faults.tally import make_tally
from tests.support.postgres import ROLE_SECRET
from tests.support.rebuilding import following, until
from tests.support.sequencing import sequenced
from tests.support.stored_story import store
from tests.support.story import a_whole_story


@contextmanager
def a_log_at_work(database, folder):
    """Writers and a sequencer; all that was written is sequenced and checked when the block ends."""
    make_tally(database)
    as_writer = role_conninfo(database, WRITER, ROLE_SECRET)
    sequencer = Sequencer(as_writer)
    sequencer.start()
    try:
        # Not faster than projectors that begin anew all the time can follow.
        seed = random.randrange(10**9)
        ledger = folder / f"ledger-{new_id()}"
        with writing(as_writer, ledger, callers=8, seed=seed, pause_s=0.05) as writer:
            yield writer
    finally:
        assert sequencer.stop()
    sequenced(database)
    check_log(database, Ledger.read(*folder.glob("ledger-*")))


def standing(database):
    """How far the tally has come, and the end of the log."""
    with psycopg.connect(database) as admin:
        return admin.execute(
            "SELECT coalesce((SELECT position FROM ops.projections WHERE name = 'tally'), 0),"
            " (SELECT coalesce(max(position), 0) FROM log.positions)"
        ).fetchone()


def set_aside(database):
    with psycopg.connect(database) as admin:
        return admin.execute(
            "SELECT stream_id, version FROM ops.set_aside_events WHERE projection = 'tally' ORDER BY 1, 2"
        ).fetchall()


def ends_or_comes_to(process, database, position):
    return process.poll() is not None or standing(database)[0] >= position


def test_projectors_killed_between_rows_and_checkpoint_again_and_again_count_each_event_once(
    database, tmp_path, scaled
):
    """Fault 5."""
    deaths, wanted = 0, scaled(60)
    (tmp_path / "marks").mkdir()
    with a_log_at_work(database, tmp_path) as writer:
        while deaths < wanted:
            with projector(database, "between", tmp_path / "marks") as process:
                while process.poll() is None:
                    writer.goes_on(5)
            assert process.returncode == KILLED
            deaths += 1
    with projector(database, "never", tmp_path) as process:
        head = standing(database)[1]
        assert wait_until(partial(ends_or_comes_to, process, database, head), time_limit_s=120)
        assert process.poll() is None
    check_tally(database)
    assert set_aside(database) == []


def _goes_on_as_far_as_it_can(database, folder):
    with projector(database, "poison", folder) as process:
        head = standing(database)[1]
        assert wait_until(partial(ends_or_comes_to, process, database, head), time_limit_s=120)


def test_poison_among_everything_and_events_that_kill_leave_out_their_streams_and_nothing_else(
    database, tmp_path, scaled
):
    """Fault 11. A deadly event costs several processes, until it is known which one it is."""
    for _ in range(scaled(20)):
        with a_log_at_work(database, tmp_path) as writer:
            _goes_on_as_far_as_it_can(database, tmp_path)
            writer.goes_on(100)
            _goes_on_as_far_as_it_can(database, tmp_path)
        while standing(database)[0] < standing(database)[1]:
            _goes_on_as_far_as_it_can(database, tmp_path)
    with psycopg.connect(database) as admin:
        there = admin.execute("SELECT stream_id, version FROM log.events ORDER BY 1, 2").fetchall()
        rows = dict(admin.execute("SELECT stream_id, events FROM read.tally").fetchall())
        disordered = admin.execute("SELECT count(*) FROM read.tally WHERE disordered <> 0").fetchone()
    first_left_out = {
        stream: version
        for stream, version in there
        if is_poison(stream, version) or is_deadly(stream, version)
    }
    left_out = [each for each in there if each[1] >= first_left_out.get(each[0], each[1] + 1)]
    assert set_aside(database) == left_out
    lengths = dict(there)  # the last version of each stream
    assert rows == {stream: first_left_out.get(stream, length + 1) - 1 for stream, length in lengths.items()}
    assert disordered == (0,)
    assert first_left_out, "there was no poison"


@pytest.mark.parametrize("workers", [None, 2])
def test_rebuilds_that_end_while_everybody_writes_make_the_rows_that_were_there(
    database, tmp_path, connect, scaled, workers
):
    """Faults 9 and 10."""
    as_projector = role_conninfo(database, PROJECTOR, ROLE_SECRET)
    helpers = workers and Workers(workers, as_projector, partial(open_the_log, as_projector))
    people, certificates = PeopleProjection(), []
    with a_log_at_work(database, tmp_path) as writer, ExitStack() as stack:
        feed = stack.enter_context(LogFeed(as_projector, event_codec()))
        own = stack.enter_context(connect())
        runner = stack.enter_context(following(people, feed, connect, batch_size=50))
        for _ in range(scaled(60 if workers is None else 20)):
            writer.goes_on(random.randrange(1, 40))
            certificates.append(rebuild(people, feed, own, workers=helpers))
            until(lambda: runner.position >= certificates[-1].position, "the live rows go on")
    assert [each for each in certificates if each.agrees is False] == []
    assert any(each.agrees for each in certificates), "no two were ever comparable"
    with connect() as own, LogFeed(as_projector, event_codec()) as feed:
        with following(people, feed, connect) as runner:
            until(lambda: runner.position >= feed.head(), "the live rows catch up")
        found = verify(people, feed, own)
    assert found.agrees
    assert found.position == standing(database)[1]
    assert sum(each.rows for each in found.rows.tables) > 0


def test_partitions_that_die_in_many_places_come_together_to_the_same_rows(
    database, connect, tmp_path, monkeypatch, scaled
):
    """Fault 12."""
    story = a_whole_story(60)
    store(database, story)
    as_projector = role_conninfo(database, PROJECTOR, ROLE_SECRET)
    helpers = Workers(4, as_projector, partial(open_the_log, as_projector), batch_size=3)
    projection = ManyDeathsAttempts()
    places = [
        each.position for each in story.events if isinstance(each.recorded.event, projection.event_types)
    ][::25]
    monkeypatch.setenv("TEST_DEATHS", str(tmp_path))
    deaths = 0
    with LogFeed(as_projector, event_codec()) as feed, connect() as own:
        with following(projection, feed, connect) as runner:
            until(lambda: runner.position >= len(story.events), "the live rows are there")
        while deaths < scaled(100):
            chosen = random.sample(places, min(10, len(places)))
            monkeypatch.setenv("TEST_DIES_AT", " ".join(map(str, chosen)))
            certificate = rebuild(projection, feed, own, workers=helpers)
            assert (certificate.partitions, certificate.agrees) == (4, True)
            died = [int(mark.name) for mark in tmp_path.iterdir()]
            assert sorted(died) == sorted(chosen)
            deaths += len(died)
            for mark in tmp_path.iterdir():
                mark.unlink()
