"""The report, from an answer that the API once gave (LSAT7; and one with five options, cut short)."""

import io
import json

import msgspec
import pytest
from rich.console import Console

from infra.sample.analysis import ExamAnalysis, ScoreCount
from infra.sample.report import MAX_HISTOGRAM_ROWS, print_analysis, score_classes

P_VALUES = (0.828, 0.658, 0.772, 0.606, 0.843)


def an_item(ordinal, p_value, options=("0", "1"), key="1", **changes):
    right = round(1000 * p_value)
    item = {
        "ordinal": ordinal,
        "item_id": f"item-{ordinal}",
        "item_version": 1,
        "code": f"Item{ordinal}",
        "max_score": 1,
        "n": 1000,
        "omitted": 0,
        "p_value": p_value,
        "sd": 0.377,
        "point_biserial": 0.5435,
        "point_biserial_corrected": 0.2461,
        "alpha_if_item_deleted": 0.3964,
        "options": [
            {
                "option": option,
                "is_key": option == key,
                "count": right if option == key else 1000 - right,
                "proportion": 0.5,
                "mean_score": 3.1,
                "point_biserial": 0.5435,
            }
            for option in options
        ],
    }
    return {**item, **changes}


def an_answer(**changes):
    answer = {
        "exam_id": "exam-1",
        "n": 1000,
        "max_score": 5,
        "mean": 3.707,
        "sd": 1.1989,
        "alpha": 0.45338,
        "kr20": 0.45338,
        "sem": 0.8864,
        "score_distribution": [
            {"score": score, "examinees": examinees}
            for score, examinees in enumerate((12, 40, 114, 205, 321, 308))
        ],
        "items": [an_item(ordinal, p_value) for ordinal, p_value in enumerate(P_VALUES, 1)],
    }
    return msgspec.json.decode(json.dumps({**answer, **changes}), type=ExamAnalysis)


def printed(analysis, width=100, encoding="utf-8"):
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    print_analysis(Console(file=file, width=width), "LSAT7: Law School Admission Test", analysis)
    file.flush()
    return file.buffer.getvalue().decode(encoding)


def test_alpha_is_shown_with_four_decimals_and_p_values_with_three():
    lines = printed(an_answer()).splitlines()

    assert [line.split()[-1] for line in lines if "alpha" in line and "coefficient" in line] == ["0.4534"]
    rows = [line.split() for line in lines if line.strip().startswith("Item") and len(line.split()) > 5]
    assert [row[1] for row in rows] == ["0.828", "0.658", "0.772", "0.606", "0.843"]


def test_the_key_is_marked_among_the_options():
    [row] = [line.split() for line in printed(an_answer()).splitlines() if line.strip().startswith("Item1")]

    assert row[5:] == ["172", "828*", "0"]


@pytest.mark.parametrize("width", [80, 100])
def test_nothing_is_wider_than_the_screen_and_nothing_is_cut(width):
    items = [an_item(1, 0.283, options=tuple("12345"), omitted=14, code="item01")]
    text = printed(an_answer(items=items), width)

    assert max(len(line.rstrip()) for line in text.splitlines()) <= width
    assert "…" not in text
    [row] = [line.split() for line in text.splitlines() if line.strip().startswith("item01")]
    assert row == ["item01", "0.283", "0.543", "0.246", "0.3964", "283*", "717", "717", "717", "717", "14"]


def test_without_a_terminal_there_are_no_escape_codes():
    assert "\x1b" not in printed(an_answer())


def test_a_screen_that_knows_ascii_alone_gets_ascii():
    assert "#" in printed(an_answer(), encoding="ascii")


def test_what_is_not_defined_is_shown_as_a_dash():
    undefined = {"alpha": None, "kr20": None, "sem": None, "sd": None, "mean": None}
    items = [an_item(1, 0.0, point_biserial=None, point_biserial_corrected=None, alpha_if_item_deleted=None)]
    lines = printed(an_answer(n=0, items=items, score_distribution=[], **undefined)).splitlines()

    assert [line.split()[-1] for line in lines if line.startswith("KR-20")] == ["-"]
    [row] = [line.split() for line in lines if line.strip().startswith("Item1")]
    assert row[2:5] == ["-", "-", "-"]


def test_many_options_share_a_column():
    items = [an_item(1, 0.5, options=tuple("abcdefghij"), key="j")]
    text = printed(an_answer(items=items))

    assert "a: 500" in text
    assert "j: 500*" in text


def test_an_item_that_is_no_choice_has_no_counts():
    items = [an_item(1, 0.5), an_item(2, 0.25, options=(), code="number")]
    [row] = [
        line.split()
        for line in printed(an_answer(items=items)).splitlines()
        if line.split()[:1] == ["number"]
    ]

    assert row == ["number", "0.250", "0.543", "0.246", "0.3964", "0"]


def test_every_score_that_there_can_be_has_its_line():
    distribution = [ScoreCount(0, 2), ScoreCount(3, 5)]

    assert score_classes(distribution, 3) == [(0, 0, 2), (1, 1, 0), (2, 2, 0), (3, 3, 5)]


@pytest.mark.parametrize("max_score", [19, 20, 32, 100, 999])
def test_many_scores_are_put_into_classes_and_nobody_is_lost(max_score):
    distribution = [ScoreCount(score, score + 1) for score in range(max_score + 1)]
    classes = score_classes(distribution, max_score)

    assert len(classes) <= MAX_HISTOGRAM_ROWS
    assert sum(count for _, _, count in classes) == sum(each.examinees for each in distribution)
    assert [low for low, _, _ in classes] == [0, *(high + 1 for _, high, _ in classes[:-1])]
    assert classes[-1][1] == max_score


def test_a_score_that_one_examinee_has_is_seen_beside_one_that_thousands_have():
    distribution = [{"score": 0, "examinees": 1}, {"score": 1, "examinees": 100_000}]
    lines = printed(an_answer(max_score=1, score_distribution=distribution)).splitlines()

    assert [line.split() for line in lines if line.startswith("0  ")] == [["0", "1", "█"]]
