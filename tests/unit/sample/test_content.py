"""The sample exam: what a reader may rely on, and every computed key computed a second time."""

import itertools
import json
import math
from collections import Counter
from decimal import Decimal
from fractions import Fraction

import msgspec
import pytest

from infra.sample.content import (
    LocalizedText,
    MultipleChoiceItem,
    MultipleResponseItem,
    NumericItem,
    SampleItem,
    ShortTextItem,
    load_sample_exam,
    sample_exam_json,
)

EXAM = load_sample_exam()
BY_CODE = {item.code: item for item in EXAM.items}
CHOICE_ITEMS = [item for item in EXAM.items if isinstance(item, MultipleChoiceItem | MultipleResponseItem)]
SINGLE_KEY_ITEMS = [item for item in EXAM.items if isinstance(item, MultipleChoiceItem)]


def first_year_worth_more_than_double() -> int:
    return next(year for year in itertools.count(1) if Fraction(105, 100) ** year > 2)


NUMERIC_ANSWERS = {
    "math-03": 84 * 5 - (78 + 91 + 85 + 80),
    "math-06": math.sqrt(6.5**2 - 2.5**2),
    "math-10": sum(digits[-1] % 2 == 0 for digits in itertools.permutations([1, 2, 3, 4, 5], 3)),
    "math-14": first_year_worth_more_than_double(),
    "science-07": (90 + 90) / (90 / 60 + 90 / 45),
}

BALLS = ["red"] * 4 + ["blue"] * 6
DRAWS = list(itertools.permutations(BALLS, 2))
OFFSPRING = ["".join(sorted(pair)) for pair in itertools.product("Pp", repeat=2)]
PURPLE = [genotype for genotype in OFFSPRING if "P" in genotype]

COMPUTED_OPTIONS = {
    "math-01": f"{80_000 * 75 // 100 * 90 // 100:,} won",
    "math-02": f"x = {next(x for x in range(-50, 50) if 3 * (x - 2) - 5 * (x - 4) == 2)}",
    "math-04": f"{2 + (9_600 - 4_000) // 700} km",
    "math-05": str(Fraction(DRAWS.count(("red", "red")), len(DRAWS))),
    "math-07": "2" + "⁰¹²³⁴⁵⁶⁷⁸⁹"[int(math.log2(Fraction(4**5, 8**2) * 2**3))],
    "math-08": str(min(x * x - 6 * x + 11 for x in range(-20, 20))),
    "math-09": f"{(1.5**3 - 1) * 100}%",
    "math-13": str(11 + (20 - 3) * (27 - 11) // (7 - 3)),
    "science-06": str(Fraction(PURPLE.count("Pp"), len(PURPLE))),
    "science-10": f"{round(10**-3 / 10**-5)} times",
}


def every_text(item: SampleItem) -> list[LocalizedText]:
    options = item.options if isinstance(item, MultipleChoiceItem | MultipleResponseItem) else ()
    return [item.stem, item.explanation, *(option.text for option in options)]


def keyed_text(item: MultipleChoiceItem) -> str:
    return next(option.text.en for option in item.options if option.id == item.key.options[0])


def has_hangul(text: str) -> bool:
    return any("가" <= letter <= "힣" for letter in text)


def test_there_are_42_items_14_in_each_content_area():
    areas = Counter(item.content_area for item in EXAM.items)
    assert areas == {"reading": 14, "mathematics": 14, "science": 14}


def test_all_four_kinds_of_item_occur():
    kinds = Counter(item.kind for item in EXAM.items)
    assert kinds == {"multiple_choice": 30, "multiple_response": 4, "numeric": 5, "short_text": 3}


def test_item_codes_and_stems_are_unique():
    assert len(BY_CODE) == len(EXAM.items)
    for language in ("ko", "en"):
        assert len({getattr(item.stem, language) for item in EXAM.items}) == len(EXAM.items)


def test_every_text_is_there_in_both_languages_and_not_padded():
    texts = [EXAM.title, EXAM.description, *itertools.chain(*map(every_text, EXAM.items))]
    for text in texts:
        for version in (text.ko, text.en):
            assert version
            assert version == version.strip()


def test_stems_and_explanations_are_korean_in_korean_and_english_in_english():
    for text in (EXAM.title, EXAM.description, *(t for i in EXAM.items for t in (i.stem, i.explanation))):
        assert has_hangul(text.ko), text.ko
    for text in itertools.chain([EXAM.title, EXAM.description], *map(every_text, EXAM.items)):
        assert not has_hangul(text.en), text.en


def test_options_that_differ_between_the_languages_are_translated():
    for item in CHOICE_ITEMS:
        for option in item.options:
            if option.text.ko != option.text.en:
                assert has_hangul(option.text.ko), (item.code, option.id)


def test_choice_items_have_four_or_five_distinct_options_numbered_from_one():
    for item in CHOICE_ITEMS:
        assert len(item.options) in {4, 5}
        assert [option.id for option in item.options] == [str(n + 1) for n in range(len(item.options))]
        for language in ("ko", "en"):
            texts = {getattr(option.text, language) for option in item.options}
            assert len(texts) == len(item.options), item.code


def test_every_key_names_options_that_exist():
    for item in CHOICE_ITEMS:
        ids = {option.id for option in item.options}
        assert set(item.key.options) <= ids, item.code
        assert len(set(item.key.options)) == len(item.key.options)


def test_a_multiple_choice_item_has_one_key_and_a_multiple_response_item_neither_one_nor_all():
    for item in CHOICE_ITEMS:
        if isinstance(item, MultipleChoiceItem):
            assert len(item.key.options) == 1, item.code
        else:
            assert 2 <= len(item.key.options) < len(item.options), item.code


def test_key_positions_are_balanced():
    expected = Counter()
    for item in SINGLE_KEY_ITEMS:
        for option in item.options:
            expected[option.id] += Fraction(1, len(item.options))
    found = Counter(item.key.options[0] for item in SINGLE_KEY_ITEMS)
    for position, share in expected.items():
        assert abs(found[position] - share) < 2, position


def test_no_key_position_comes_more_than_twice_in_a_row():
    positions = [item.key.options[0] for item in SINGLE_KEY_ITEMS]
    assert max(len(list(run)) for _, run in itertools.groupby(positions)) <= 2


@pytest.mark.parametrize("language", ["ko", "en"])
def test_the_longest_option_is_not_a_hint_at_the_key(language):
    def key_is_longest(item: MultipleChoiceItem) -> bool:
        lengths = {option.id: len(getattr(option.text, language)) for option in item.options}
        return all(lengths[item.key.options[0]] > n for i, n in lengths.items() if i != item.key.options[0])

    # By chance alone it would be a good fifth of the items.
    assert sum(map(key_is_longest, SINGLE_KEY_ITEMS)) <= len(SINGLE_KEY_ITEMS) / 3


def test_every_numeric_key_is_computed_a_second_time_here():
    assert {item.code for item in EXAM.items if isinstance(item, NumericItem)} == set(NUMERIC_ANSWERS)


@pytest.mark.parametrize(("code", "answer"), NUMERIC_ANSWERS.items())
def test_a_numeric_key_agrees_with_the_computation(code, answer):
    item = BY_CODE[code]
    assert isinstance(item, NumericItem)
    assert item.key.tolerance >= 0
    assert abs(Decimal(answer) - item.key.value) <= item.key.tolerance


def test_the_average_speed_item_does_not_accept_the_plain_mean_of_the_speeds():
    item = BY_CODE["science-07"]
    assert isinstance(item, NumericItem)
    assert abs(Decimal("52.5") - item.key.value) > item.key.tolerance


def test_the_logarithms_given_in_the_interest_item_lead_to_its_key():
    item = BY_CODE["math-14"]
    assert isinstance(item, NumericItem)
    assert math.ceil(0.3010 / 0.0212) == item.key.value


@pytest.mark.parametrize(("code", "text"), COMPUTED_OPTIONS.items())
def test_the_keyed_option_of_a_computed_item_agrees_with_the_computation(code, text):
    item = BY_CODE[code]
    assert isinstance(item, MultipleChoiceItem)
    assert keyed_text(item) == text


def test_the_inequality_item_is_keyed_as_a_search_over_pairs_says():
    pairs = [(Fraction(a, 4), Fraction(b, 4)) for a, b in itertools.combinations(range(1, 30), 2)]
    always = {
        "1": all(a / b > 1 for a, b in pairs),
        "2": all(a**2 < b**2 for a, b in pairs),
        "3": all(math.isclose(math.sqrt(a + b), math.sqrt(a) + math.sqrt(b)) for a, b in pairs),
        "4": all(1 / a > 1 / b for a, b in pairs),
        "5": all(-a < -b for a, b in pairs),
    }
    item = BY_CODE["math-11"]
    assert isinstance(item, MultipleResponseItem)
    assert set(item.key.options) == {option for option, holds in always.items() if holds}


def test_short_text_items_accept_an_answer_in_either_language_and_none_is_given_away_in_the_stem():
    for item in EXAM.items:
        if isinstance(item, ShortTextItem):
            assert any(map(has_hangul, item.key.accepted)), item.code
            assert not all(map(has_hangul, item.key.accepted)), item.code
            for answer in item.key.accepted:
                assert answer.lower() not in item.stem.ko.lower(), item.code
                assert answer.lower() not in item.stem.en.lower(), item.code


def test_reading_items_carry_their_passage_before_the_question():
    for item in EXAM.items:
        if item.content_area == "reading":
            for text in (item.stem.ko, item.stem.en):
                passage, _, question = text.rpartition("\n\n")
                assert len(passage) > len(question) > 0, item.code


def test_the_typed_exam_says_all_that_the_data_file_says():
    assert json.loads(msgspec.json.encode(EXAM)) == json.loads(sample_exam_json())


def test_the_time_limit_is_one_hour():
    assert EXAM.time_limit_s == 3600
