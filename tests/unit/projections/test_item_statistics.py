"""The statistics against a plain recomputation from the raw scores, and against published values."""

import math
import os
import statistics
from pathlib import Path
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.sample.datasets import MissingSamples, load_lsat7, load_responses
from projections.item_analysis import statistics as item_statistics
from projections.item_analysis.statistics import (
    ExamSums,
    ItemSums,
    OptionSums,
    analyse,
    cronbach_alpha,
    kuder_richardson_20,
)


def sums_of(scores, max_scores=None, answered=None):
    """The sums that the projection keeps, from one row of item scores for each examinee."""
    max_scores = max_scores or [1] * len(scores[0])
    totals = [sum(row) for row in scores]
    items = [
        ItemSums(
            ordinal=index + 1,
            item_id=f"item-{index}",
            item_version=1,
            max_score=max_score,
            n=len(scores),
            answered=len(scores) if answered is None else answered[index],
            sum_item=sum(row[index] for row in scores),
            sum_item_squared=sum(row[index] ** 2 for row in scores),
            sum_item_times_total=sum(row[index] * total for row, total in zip(scores, totals, strict=True)),
        )
        for index, max_score in enumerate(max_scores)
    ]
    return ExamSums(
        n=len(scores),
        max_score=sum(max_scores),
        sum_score=sum(totals),
        sum_score_squared=sum(total**2 for total in totals),
        items=items,
        distribution={total: totals.count(total) for total in totals},
    )


def correlation_by_hand(first, second):
    if len(set(first)) < 2 or len(set(second)) < 2:
        return None
    return statistics.correlation(first, second)


def alpha_by_hand(scores):
    totals = [sum(row) for row in scores]
    if len(scores[0]) < 2 or len(set(totals)) < 2:
        return None
    k = len(scores[0])
    items = [statistics.variance(column) for column in zip(*scores, strict=True)]
    return k / (k - 1) * (1 - sum(items) / statistics.variance(totals))


def close(value):
    return None if value is None else pytest.approx(value, rel=1e-9, abs=1e-9)


score_tables = st.integers(1, 5).flatmap(
    lambda items: st.lists(
        st.lists(st.integers(0, 3), min_size=items, max_size=items), min_size=1, max_size=12
    )
)


@given(score_tables)
def test_every_statistic_equals_the_one_worked_out_from_the_raw_scores(scores):
    found = analyse(sums_of(scores, [3] * len(scores[0])))
    totals = [sum(row) for row in scores]
    n = len(scores)
    assert found.mean == close(statistics.fmean(totals))
    assert found.sd == close(statistics.stdev(totals) if n > 1 else None)
    assert found.alpha == close(alpha_by_hand(scores))
    if found.alpha is not None:
        assert found.sem == close(statistics.stdev(totals) * max(0.0, 1 - alpha_by_hand(scores)) ** 0.5)
    assert sum(each.examinees for each in found.score_distribution) == n
    for index, item in enumerate(found.items):
        column = [row[index] for row in scores]
        others = [total - score for total, score in zip(totals, column, strict=True)]
        without = [row[:index] + row[index + 1 :] for row in scores]
        assert item.p_value == close(statistics.fmean(column) / 3)
        assert item.sd == close(statistics.stdev(column) if n > 1 else None)
        assert item.point_biserial == close(correlation_by_hand(column, totals))
        assert item.point_biserial_corrected == close(correlation_by_hand(column, others))
        assert item.alpha_if_item_deleted == close(alpha_by_hand(without) if without[0] else None)


@given(score_tables)
def test_alpha_never_exceeds_one_and_nothing_is_ever_nan(scores):
    found = analyse(sums_of(scores, [3] * len(scores[0])))
    values = [found.mean, found.sd, found.alpha, found.sem]
    for item in found.items:
        values += [item.p_value, item.sd, item.point_biserial, item.point_biserial_corrected]
        values += [item.alpha_if_item_deleted]
    assert all(value is None or not math.isnan(value) for value in values)
    assert found.alpha is None or found.alpha <= 1


def test_kr20_equals_alpha_for_items_scored_right_or_wrong():
    random = Random(1)
    scores = [[random.randint(0, 1) for _ in range(6)] for _ in range(40)]
    sums = sums_of(scores)
    assert kuder_richardson_20(sums) == pytest.approx(cronbach_alpha(sums), rel=1e-12)


def test_there_is_no_kr20_where_an_item_is_worth_more_than_one_point():
    sums = sums_of([[0, 2], [1, 0], [1, 2]], [1, 2])
    assert kuder_richardson_20(sums) is None
    assert cronbach_alpha(sums) is not None


def test_what_is_not_defined_is_none():
    nobody = ExamSums(n=0, max_score=1, sum_score=0, sum_score_squared=0, items=sums_of([[1]]).items[:0])
    assert (analyse(nobody).mean, analyse(nobody).sd, analyse(nobody).alpha) == (None, None, None)
    everybody_right = analyse(sums_of([[1, 1], [1, 1], [1, 1]]))
    assert everybody_right.mean == 2
    assert everybody_right.sd == 0
    assert (everybody_right.alpha, everybody_right.kr20, everybody_right.sem) == (None, None, None)
    assert everybody_right.items[0].p_value == 1
    assert everybody_right.items[0].point_biserial is None
    assert analyse(sums_of([[1, 0]])).sd is None


def test_a_tiny_variance_of_huge_scores_is_not_lost():
    scores = [[10**15, 10**15 + 1], [10**15 + 1, 10**15 + 2], [10**15, 10**15]]
    found = analyse(sums_of(scores, [10**16, 10**16]))
    small = analyse(sums_of([[0, 1], [1, 2], [0, 0]], [3, 3]))
    assert (found.sd, found.alpha) == (small.sd, small.alpha)
    assert found.items[1].point_biserial_corrected == small.items[1].point_biserial_corrected


def test_an_option_is_described_by_those_who_chose_it():
    totals = [3, 1, 2, 2]
    chose = [1, 0, 1, 0]
    option = OptionSums(
        option="b", is_key=True, chosen=2, sum_total=sum(t for t, c in zip(totals, chose, strict=True) if c)
    )
    exam = sums_of([[3], [1], [2], [2]], [3])
    [item] = exam.items
    exam = msgspec.structs.replace(exam, items=[msgspec.structs.replace(item, options=[option], answered=3)])
    [found] = analyse(exam).items
    assert found.omitted == 1
    assert found.options[0].count == 2
    assert found.options[0].proportion == 0.5
    assert found.options[0].mean_score == 2.5
    assert found.options[0].point_biserial == close(statistics.correlation(chose, totals))


def right_or_wrong(data):
    return [
        [int(answer == data.key[code]) for code, answer in zip(data.item_codes, row.answers, strict=True)]
        for row in data.rows
    ]


def test_lsat7_has_its_published_reliability_and_difficulties():
    try:
        data = load_lsat7()
    except MissingSamples as missing:
        pytest.skip(str(missing))
    found = analyse(sums_of(right_or_wrong(data)))
    assert round(found.alpha, 4) == 0.4534
    assert round(found.kr20, 4) == 0.4534
    assert [round(item.p_value, 3) for item in found.items] == [0.828, 0.658, 0.772, 0.606, 0.843]


def test_sat12_has_its_published_reliability():
    folder = os.environ.get("MEGACITY_TEST_DATA")
    if not folder:
        pytest.skip("MEGACITY_TEST_DATA names no folder with the SAT12 answers")
    # The variable may name the folder of all data sets or that of this one.
    data_dir = Path(folder) / "sat12" if (Path(folder) / "sat12").is_dir() else Path(folder)
    data = load_responses(data_dir / "responses.csv", data_dir / "key.csv", missing=frozenset({"8"}))
    found = analyse(sums_of(right_or_wrong(data)))
    assert round(found.alpha, 4) == 0.7979


def test_a_long_exam_costs_what_its_items_cost_and_no_more(monkeypatch):
    """Nothing is summed over all items once more for every item."""

    def added(items):
        counts = []

        def counting_sum(values, start):
            counts.append(len(listed := list(values)))
            return sum(listed, start)

        monkeypatch.setattr(item_statistics, "sum", counting_sum, raising=False)
        analyse(sums_of([[row % 2] * items for row in range(6)]))
        return sum(counts)

    assert added(400) == 10 * added(40)
