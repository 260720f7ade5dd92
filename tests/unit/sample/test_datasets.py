"""Response data: two real data sets against their known figures, and each way a file can be wrong."""

import os
import statistics
import sys
from pathlib import Path

import pytest

from infra.sample.datasets import (
    DatasetError,
    MissingSamples,
    ResponseData,
    ResponseRow,
    load_lsat7,
    load_responses,
)

GOOD_RESPONSES = "examinee,q1,q2\nann,1,2\nben,3,NA\n"
GOOD_KEY = "item,key\nq1,1\nq2,2\n"


def scores(data: ResponseData) -> list[list[int]]:
    """1 for the keyed option, 0 for any other and for no answer."""
    keys = [data.key[code] for code in data.item_codes]
    return [[int(answer == key) for answer, key in zip(row.answers, keys, strict=True)] for row in data.rows]


def p_values(data: ResponseData) -> list[float]:
    return [statistics.fmean(item) for item in zip(*scores(data), strict=True)]


def cronbach_alpha(data: ResponseData) -> float:
    """Cronbach (1951): k/(k-1) * (1 - sum of item variances / variance of the totals)."""
    matrix = scores(data)
    items = list(zip(*matrix, strict=True))
    totals = [sum(row) for row in matrix]
    item_variance = sum(statistics.pvariance(item) for item in items)
    return len(items) / (len(items) - 1) * (1 - item_variance / statistics.pvariance(totals))


@pytest.fixture
def load(tmp_path):
    def load_texts(
        responses: str | bytes = GOOD_RESPONSES, key: str | bytes = GOOD_KEY, **arguments
    ) -> ResponseData:
        files = []
        for name, content in (("answers.csv", responses), ("key.csv", key)):
            file = tmp_path / name
            file.write_bytes(content.encode() if isinstance(content, str) else content)
            files.append(file)
        return load_responses(*files, **arguments)

    return load_texts


@pytest.fixture
def sat12() -> ResponseData:
    folder = os.environ.get("MEGACITY_TEST_DATA")
    if not folder:
        pytest.skip("MEGACITY_TEST_DATA names no folder with the SAT12 answers")
    # The variable may name the folder of all data sets or that of this one.
    data = Path(folder) / "sat12" if (Path(folder) / "sat12").is_dir() else Path(folder)
    return load_responses(data / "responses.csv", data / "key.csv", missing=frozenset({"8"}), name="SAT12")


@pytest.fixture(scope="module")
def lsat7() -> ResponseData:
    pytest.importorskip("mirt", reason="the LSAT7 answers come with the `samples` extra")
    return load_lsat7()


def test_lsat7_has_a_thousand_named_examinees_and_five_items(lsat7):
    assert len({row.examinee for row in lsat7.rows}) == 1000
    assert len(lsat7.item_codes) == 5
    assert set(lsat7.key) == set(lsat7.item_codes)
    assert lsat7.options == ("0", "1")
    assert {answer for row in lsat7.rows for answer in row.answers} == {"0", "1"}


def test_lsat7_gives_the_known_p_values(lsat7):
    assert [round(p, 3) for p in p_values(lsat7)] == [0.828, 0.658, 0.772, 0.606, 0.843]


def test_lsat7_gives_its_known_alpha(lsat7):
    assert round(cronbach_alpha(lsat7), 4) == 0.4534


def test_without_mirt_lsat7_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "mirt", None)
    with pytest.raises(MissingSamples, match=r"uv sync --extra samples.*pip install mirt"):
        load_lsat7()


def test_a_mirt_that_is_installed_but_broken_is_not_reported_as_missing(monkeypatch, tmp_path):
    (tmp_path / "mirt.py").write_text("import no_such_package_at_all\n")
    monkeypatch.delitem(sys.modules, "mirt", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_package_at_all"):
        load_lsat7()


def test_sat12_gives_its_known_alpha(sat12):
    assert (len(sat12.rows), len(sat12.item_codes)) == (600, 32)
    assert round(cronbach_alpha(sat12), 4) == 0.7979


def test_sat12_has_five_options_and_its_missing_mark_is_none_of_them(sat12):
    assert sat12.options == ("1", "2", "3", "4", "5")
    assert any(answer is None for row in sat12.rows for answer in row.answers)


def test_a_pair_of_files_is_read_as_it_stands(load):
    assert load() == ResponseData(
        name="answers",
        title="answers.csv",
        item_codes=("q1", "q2"),
        options=("1", "2", "3"),
        key={"q1": "1", "q2": "2"},
        rows=(
            ResponseRow(examinee="ann", answers=("1", "2")),
            ResponseRow(examinee="ben", answers=("3", None)),
        ),
    )


def test_the_caller_may_name_the_data(load):
    data = load(name="quiz", title="Friday's quiz")
    assert (data.name, data.title) == ("quiz", "Friday's quiz")


def test_an_option_that_nobody_chose_is_known_from_the_key(load):
    assert load("examinee,q1,q2\nann,2,2\n").options == ("1", "2")


def test_option_10_stands_after_option_9(load):
    assert load("examinee,q1,q2\nann,10,9\n").options == ("1", "2", "9", "10")


def test_the_mark_for_no_answer_is_the_callers_choice(load):
    responses = "examinee,q1,q2\nann,8,2\n"
    assert load(responses).options == ("1", "2", "8")
    marked = load(responses, missing=frozenset({"8"}))
    assert marked.options == ("1", "2")
    assert marked.rows[0].answers == (None, "2")


def test_a_byte_order_mark_windows_line_ends_blank_lines_and_spaces_do_no_harm(load):
    windows = ("\ufeff" + GOOD_RESPONSES.replace(",", " , ") + "\n").replace("\n", "\r\n")
    assert load(windows, "\ufeff" + GOOD_KEY) == load()


def test_the_key_may_be_in_another_order_than_the_items(load):
    assert list(load(key="item,key\nq2,2\nq1,1\n").key) == ["q1", "q2"]


# arguments, (file, row, column) of the error, what it says
BAD_FILES = {
    "empty responses": ({"responses": ""}, ("answers.csv", None, None), "empty"),
    "responses of blank lines only": ({"responses": "\n\n"}, ("answers.csv", None, None), "empty"),
    "responses without examinees": (
        {"responses": "examinee,q1,q2\n"},
        ("answers.csv", None, None),
        "no examinees",
    ),
    "another first column": ({"responses": "id,q1\nann,1\n"}, ("answers.csv", 1, "id"), "`examinee`"),
    "no item column": ({"responses": "examinee\nann\n"}, ("answers.csv", 1, None), "no item column"),
    "an item without a name": ({"responses": "examinee,q1,\na,1,2\n"}, ("answers.csv", 1, "3"), "no name"),
    "an item twice": ({"responses": "examinee,q1,q1\nann,1,2\n"}, ("answers.csv", 1, "q1"), "two columns"),
    "a short row": ({"responses": "examinee,q1,q2\nann,1\n"}, ("answers.csv", 2, None), "2 cells .* has 3"),
    "a long row": (
        {"responses": GOOD_RESPONSES + "cat,1,2,3\n"},
        ("answers.csv", 4, None),
        "4 cells .* has 3",
    ),
    "an examinee twice": (
        {"responses": GOOD_RESPONSES + "ann,1,1\n"},
        ("answers.csv", 4, "examinee"),
        "'ann' .* second time",
    ),
    "a nameless examinee": (
        {"responses": "examinee,q1,q2\n,1,2\n"},
        ("answers.csv", 2, "examinee"),
        "not named",
    ),
    "an empty cell that is no mark": (
        {"responses": "examinee,q1,q2\nann,1,\n", "missing": frozenset({"8"})},
        ("answers.csv", 2, "q2"),
        r"'' is neither .* \('8'\)",
    ),
    "a value that is no option": (
        {"responses": GOOD_RESPONSES + "cat,1,7\n", "options": frozenset("123")},
        ("answers.csv", 4, "q2"),
        r"'7' is neither an option \(1, 2, 3\) nor a mark for no answer \('', 'NA'\)",
    ),
    "responses not in UTF-8": (
        {"responses": "examinee,q1\n김,1\n".encode("cp949")},
        ("answers.csv", None, None),
        "not UTF-8",
    ),
    "an unclosed quote": ({"responses": 'examinee,q1,q2\nann,"1,2\n'}, ("answers.csv", 2, None), "not CSV"),
    "empty key": ({"key": ""}, ("key.csv", None, None), "empty"),
    "other key columns": ({"key": "code,key\nq1,1\nq2,2\n"}, ("key.csv", 1, None), "`item,key`"),
    "an unknown item in the key": (
        {"key": GOOD_KEY + "q9,1\n"},
        ("key.csv", 4, "item"),
        "'q9' is not a column",
    ),
    "a missing key": ({"key": "item,key\nq2,2\n"}, ("key.csv", None, "item"), "no key for q1"),
    "an item keyed twice": ({"key": GOOD_KEY + "q1,2\n"}, ("key.csv", 4, "item"), "has a key already"),
    "a key that means no answer": (
        {"key": "item,key\nq1,NA\nq2,2\n"},
        ("key.csv", 2, "key"),
        "means no answer",
    ),
    "a key that is no option": (
        {"key": "item,key\nq1,1\nq2,5\n", "options": frozenset("123")},
        ("key.csv", 3, "key"),
        "'5' is neither an option",
    ),
    "a ragged key row": ({"key": "item,key\nq1\nq2,2\n"}, ("key.csv", 2, None), "1 cells .* has 2"),
    "a key not in UTF-8": ({"key": b"item,key\n\xff,1\n"}, ("key.csv", None, None), "not UTF-8"),
}


@pytest.mark.parametrize(("arguments", "place", "problem"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_bad_file_is_refused_with_its_place(load, arguments, place, problem):
    with pytest.raises(DatasetError, match=problem) as refusal:
        load(**arguments)
    error = refusal.value
    assert (error.file.name, error.row, error.column) == place
    assert str(error.file) in str(error)
    assert error.row is None or f"row {error.row}" in str(error)
    assert error.column is None or f"column {error.column}" in str(error)


def test_a_file_that_is_not_there_is_refused_by_name(tmp_path):
    with pytest.raises(DatasetError, match=r"nowhere\.csv: cannot be read: No such file"):
        load_responses(tmp_path / "nowhere.csv", tmp_path / "key.csv")
