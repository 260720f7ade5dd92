"""A rebuild in several processes, one of which dies."""

import threading
from functools import partial

import pytest

from infra.event_store.feed import Partition
from infra.postgres.roles import PROJECTOR, role_conninfo
from infra.projections import partitions
from infra.projections.blue_green import Blue, RebuildReplaced, begin_or_resume
from infra.projections.partitions import PartitionFailed, Workers, fill_in_parallel
from infra.projections.rebuild import rebuild
from infra.projections.runner import ProjectionRunner
from projections.attempts.projection import AttemptsProjection
from projections.catalogue.projection import CatalogueProjection
from projections.people.projection import PeopleProjection
from tests.support.dying_attempts import DEADLY, AlwaysDyingAttempts, DyingAttempts, open_the_log
from tests.support.postgres import ROLE_SECRET
from tests.support.rebuilding import rows_not_of_the_log, until
from tests.support.stored_story import store
from tests.support.story import StoryFeed, a_whole_story

PAGE = 5


@pytest.fixture
def story(database):
    story = a_whole_story(16)
    assert len(story.events) > DEADLY + 50
    store(database, story)
    return story


@pytest.fixture
def workers(database):
    conninfo = role_conninfo(database, PROJECTOR, ROLE_SECRET)
    return Workers(2, conninfo, partial(open_the_log, conninfo), batch_size=PAGE)


@pytest.fixture
def feed(workers):
    with workers.open_feed() as feed:
        yield feed


def made_live(projection, story, feed, connect):
    runner = ProjectionRunner(projection, feed, connect, poll_interval_s=0.02)
    runner.start()
    until(lambda: runner.position >= len(story.events), "the live rows are there")
    assert runner.stop()


@pytest.mark.parametrize("projection", [PeopleProjection(), AttemptsProjection()], ids=lambda each: each.name)
def test_parts_of_the_log_side_by_side_give_the_same_rows(  # noqa: PLR0917 - fixtures
    projection, story, workers, feed, connect, projector
):
    made_live(projection, story, feed, connect)
    certificate = rebuild(projection, feed, projector, workers=workers)
    assert (certificate.partitions, certificate.agrees) == (2, True)
    wanted = sum(isinstance(each.recorded.event, projection.event_types) for each in story.events)
    assert certificate.events == wanted


def test_a_projection_whose_rows_come_from_several_streams_is_not_divided(
    story, workers, feed, connect, projector
):
    made_live(CatalogueProjection(), story, feed, connect)
    certificate = rebuild(CatalogueProjection(), feed, projector, workers=workers)
    assert (certificate.partitions, certificate.agrees) == (1, True)


def test_a_process_that_is_killed_in_the_middle_of_a_batch_is_started_again_where_it_was(  # noqa: PLR0917 - fixtures
    story, workers, feed, connect, projector, monkeypatch, tmp_path
):
    made_live(DyingAttempts(), story, feed, connect)
    monkeypatch.setenv("TEST_DIES_ONCE", str(tmp_path / "died"))
    certificate = rebuild(DyingAttempts(), feed, projector, workers=workers)
    assert (tmp_path / "died").exists()
    assert (certificate.partitions, certificate.agrees) == (2, True)
    assert rows_not_of_the_log(AttemptsProjection(), StoryFeed(story), projector) == []


def test_a_process_that_dies_again_and_again_ends_the_rebuild_and_the_next_one_skips_nothing(  # noqa: PLR0917 - fixtures
    story, workers, feed, connect, projector, monkeypatch
):
    projection = AlwaysDyingAttempts()
    made_live(projection, story, feed, connect)
    monkeypatch.setenv("TEST_DIES_ALWAYS", "1")
    monkeypatch.setattr(partitions, "MOST_DEATHS", 2)  # each costs the start of a process
    with pytest.raises(PartitionFailed, match="was killed by signal 9"):
        rebuild(projection, feed, projector, workers=workers)
    assert rows_not_of_the_log(AttemptsProjection(), StoryFeed(story), projector) == []
    monkeypatch.delenv("TEST_DIES_ALWAYS")
    certificate = rebuild(projection, feed, projector, workers=workers)
    assert (certificate.resumed, certificate.agrees) == (True, True)


def test_a_rebuild_begun_in_parts_is_ended_by_one_process_that_has_no_workers(
    story, feed, connect, projector
):
    projection = AttemptsProjection()
    made_live(projection, story, feed, connect)
    begun = begin_or_resume(projector, projection, len(story.events), 3)
    Blue(projection, feed, projector, begun, Partition(1, 3)).advance(200)
    certificate = rebuild(projection, feed, projector)
    assert (certificate.partitions, certificate.resumed, certificate.agrees) == (3, True, True)


def test_two_processes_with_one_partition_do_not_both_write(story, feed, connect, projector):
    projection = AttemptsProjection()
    begun = begin_or_resume(projector, projection, len(story.events), 3)
    with connect() as other:
        one = Blue(projection, feed, projector, begun, Partition(0, 3))
        orphan = Blue(projection, feed, other, begun, Partition(0, 3))
        one.advance(300)
        with pytest.raises(RebuildReplaced):
            orphan.advance(300)


class _SkipsAfterADeath(Blue):
    """The planted bug: the part begins again behind the batch that died with it."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        if self.position > 0:
            self._move_checkpoint(self.position + 50, 0)
            self.position += 50


def test_a_part_that_begins_again_too_late_is_told_by_the_certificate(story, feed, connect, projector):
    projection = AttemptsProjection()
    made_live(projection, story, feed, connect)
    begun = begin_or_resume(projector, projection, len(story.events), 3)
    Blue(projection, feed, projector, begun, Partition(1, 3)).advance(200)
    _SkipsAfterADeath(projection, feed, projector, begun, Partition(1, 3)).advance(len(story.events))
    certificate = rebuild(projection, feed, projector)
    assert certificate.agrees is False


def test_parts_go_on_side_by_side_until_all_are_there(  # noqa: PLR0917 - fixtures
    story, workers, feed, connect, projector, monkeypatch
):
    made_live(AttemptsProjection(), story, feed, connect)
    begun = begin_or_resume(projector, AttemptsProjection(), len(story.events), 2)
    started = []
    start = partitions._start

    def counted(*given):
        started.append(given[-1])
        return start(*given)

    monkeypatch.setattr(partitions, "_start", counted)
    reached = []
    fill_in_parallel(
        AttemptsProjection(), begun, projector, workers, lambda done, _target: reached.append(done)
    )
    assert sorted(started) == [0, 1]
    assert reached[-1] == len(story.events)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("rebuild-")]
