"""Published data from AttemptScored events to the item analysis as staff read it."""

import asyncio
import os
from collections import Counter
from pathlib import Path

import pytest

from domain.attempts.events import AttemptStarted
from domain.items.responses import ChosenOptions
from infra.postgres.roles import READER, role_conninfo
from infra.projections.rebuild import rebuild
from infra.read_store import ReadStore
from infra.sample.datasets import MissingSamples, load_lsat7, load_responses
from projections.catalogue.projection import CatalogueProjection
from projections.item_analysis.projection import ItemAnalysisProjection
from projections.item_analysis.queries import exam_sums
from projections.item_analysis.statistics import analyse
from tests.support.postgres import ROLE_SECRET
from tests.support.school import principal
from tests.support.story import BEGIN, ORG, Story, StoryFeed, a_choice_item, scored_event


def a_story_of(data):
    """One exam whose examinees are those of the data; of each attempt only its result."""
    story = Story()
    bank = story.bank()
    contents = {
        code: a_choice_item(sorted(data.options, key=lambda option: option != data.key[code]))
        for code in data.item_codes
    }
    items = [story.item(bank, code, contents[code]) for code in data.item_codes]
    exam = story.exam(items)
    for row in data.rows:
        started = AttemptStarted(
            exam_id=exam,
            examinee_id=story.new_id("user"),
            ordinal=1,
            started_at=BEGIN,
            deadline=None,
            grace_s=0,
        )
        answers = [
            (item, contents[code], None if answer is None else ChosenOptions((answer,)))
            for item, code, answer in zip(items, data.item_codes, row.answers, strict=True)
        ]
        story.add(story.new_id("attempt"), scored_event(started, answers))
    return story, exam


def analysis_of(data, projector, database):
    story, exam = a_story_of(data)
    for projection in (CatalogueProjection(), ItemAnalysisProjection()):
        rebuild(projection, StoryFeed(story), projector)

    async def read():
        async with (
            ReadStore(role_conninfo(database, READER, ROLE_SECRET), max_size=1) as store,
            store.session(principal("client-tests", ("service", ORG))) as connection,
        ):
            return await exam_sums(connection, exam)

    return analyse(asyncio.run(read()))


def test_lsat7_comes_out_as_published(projector, database):
    try:
        data = load_lsat7()
    except MissingSamples as missing:
        pytest.skip(str(missing))
    found = analysis_of(data, projector, database)
    assert found.n == 1000
    assert round(found.alpha, 4) == 0.4534
    assert [round(item.p_value, 3) for item in found.items] == [0.828, 0.658, 0.772, 0.606, 0.843]


def test_the_distractor_counts_of_sat12_are_those_of_the_file(projector, database):
    folder = os.environ.get("MEGACITY_TEST_DATA")
    if not folder:
        pytest.skip("MEGACITY_TEST_DATA names no folder with the SAT12 answers")
    # The variable may name the folder of all data sets or that of this one.
    data_dir = Path(folder) / "sat12" if (Path(folder) / "sat12").is_dir() else Path(folder)
    data = load_responses(data_dir / "responses.csv", data_dir / "key.csv", missing=frozenset({"8"}))
    found = analysis_of(data, projector, database)
    assert round(found.alpha, 4) == 0.7979
    for index, item in enumerate(found.items):
        in_file = Counter(row.answers[index] for row in data.rows)
        assert item.omitted == in_file.pop(None, 0)
        assert {option.option: option.count for option in item.options if option.count} == in_file
        assert [option.option for option in item.options if option.is_key] == [
            data.key[data.item_codes[index]]
        ]
