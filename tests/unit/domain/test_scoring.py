"""Right or wrong, to the last digit and in any script."""

import unicodedata
from fractions import Fraction
from random import Random

import pytest

from domain.items.content import ChoiceKey
from domain.items.responses import ChosenOptions, GivenNumber, GivenText
from domain.items.scoring import score
from tests.support.exam_parts import choice, choices, full_width, numeric, short_text


@pytest.mark.parametrize("content", [choice(), choices(), numeric(), short_text()])
def test_no_answer_earns_nothing(content):
    assert score(content, None) == 0


@pytest.mark.parametrize("content", [choice(), choices(), numeric(), short_text()])
def test_the_answer_to_another_kind_of_item_earns_nothing(content):
    answers = [ChosenOptions(("9",)), GivenNumber("99999"), GivenText("no")]

    assert [score(content, answer) for answer in answers] == [0, 0, 0]


@pytest.mark.parametrize(("chosen", "points"), [("1", 0), ("2", 5), ("3", 0), ("4", 0)])
def test_a_choice_is_right_where_it_is_the_key(chosen, points):
    assert score(choice(points=5), ChosenOptions((chosen,))) == points


@pytest.mark.parametrize(
    ("chosen", "points"),
    [
        (("1", "3"), 2),
        (("3", "1"), 2),
        (("1",), 0),
        (("3",), 0),
        (("1", "2", "3"), 0),
        (("2", "4"), 0),
        (("1", "2", "3", "4"), 0),
    ],
)
def test_several_options_are_right_only_all_together(chosen, points):
    assert score(choices(), ChosenOptions(chosen)) == points


def test_a_multiple_response_item_may_have_a_single_right_option():
    assert score(choices(key=ChoiceKey(("4",))), ChosenOptions(("4",))) == 2


@pytest.mark.parametrize(
    ("key", "tolerance", "given", "right"),
    [
        ("12.5", "0", "12.5", True),
        ("12.5", "0", "+0012.500", True),
        ("12.5", "0", "12.50000000000000000000000000001", False),
        ("0", "0", "-0.0", True),
        ("12.5", "0.1", "12.4", True),
        ("12.5", "0.1", "12.6", True),
        ("12.5", "0.1", "12.39999999999999999999", False),
        ("12.5", "0.1", "12.60000000000000000001", False),
        ("-12.5", "0.1", "-12.6", True),
        ("-12.5", "0.1", "12.5", False),
        # 0.1 + 0.2 is 0.30000000000000004 in binary floating point.
        ("0.3", "0.2", "0.1", True),
        ("0.3", "0.2", "0.5", True),
    ],
)
def test_a_number_is_right_within_the_tolerance_and_not_a_digit_further(key, tolerance, given, right):
    assert score(numeric(key, tolerance), GivenNumber(given)) == (3 if right else 0)


LARGE = "9" * 30
SMALL = "0." + "0" * 29 + "1"


@pytest.mark.parametrize(
    ("key", "tolerance", "given", "right"),
    [
        (f"{LARGE}.{LARGE}", "0", f"{LARGE}.{LARGE}", True),
        (f"{LARGE}.{LARGE}", "0", f"{LARGE}.{'9' * 29}8", False),
        (f"{LARGE}.{LARGE}", SMALL, f"{LARGE}.{'9' * 29}8", True),
        (f"{LARGE}.{LARGE}", SMALL, f"{LARGE}.{'9' * 29}7", False),
        # The difference needs 31 digits before the point and 30 after it.
        (f"-{LARGE}.{LARGE}", f"{LARGE}.{LARGE}", f"{LARGE}.{LARGE}", False),
        (f"-{LARGE}", LARGE, SMALL, False),
        (f"-{LARGE}", LARGE, "0", True),
    ],
)
def test_thirty_digits_on_both_sides_of_the_point_are_compared_exactly(key, tolerance, given, right):
    assert score(numeric(key, tolerance), GivenNumber(given)) == (3 if right else 0)


def test_long_numbers_are_judged_as_exact_fractions_would_judge_them():
    random = Random(20260302)

    def digits(length):
        return "".join(random.choice("0123456789") for _ in range(length))

    verdicts = set()
    for _ in range(400):
        key = f"{random.choice('+-')}{digits(30)}.{digits(30)}"
        off = Fraction(int(digits(30)), 10 ** random.randint(1, 30))
        # The number that lies exactly at the edge of the tolerance, and its nearest neighbours.
        edge = abs(Fraction(key)) + off
        for step in (-1, 0, 1):
            at_30_places = round(edge * 10**30) + step
            whole, places = divmod(at_30_places, 10**30)
            if len(str(whole)) > 30:
                continue
            given = f"{'-' if key[0] == '-' else '+'}{whole}.{places:030d}"
            tolerance_at_30_places = round(off * 10**30)
            t_whole, t_places = divmod(tolerance_at_30_places, 10**30)
            tolerance = f"{t_whole}.{t_places:030d}"
            expected = abs(Fraction(given) - Fraction(key)) <= Fraction(tolerance)
            assert (score(numeric(key, tolerance), GivenNumber(given)) == 3) is expected
            verdicts.add((step, expected))
    assert verdicts == {(-1, True), (0, True), (1, False)}


def nfd(text):
    return unicodedata.normalize("NFD", text)


@pytest.mark.parametrize(
    ("accepted", "given"),
    [
        ("서울", "서울"),
        # Korean as some systems type it: in separate letters.
        ("서울특별시", nfd("서울특별시")),
        (nfd("서울특별시"), "서울특별시"),
        ("서울 특별시", "  서울\u3000특별시 "),
        ("서울 특별시", "서울\n\t특별시"),
        # Japanese: half-width katakana with its separate voicing mark, full-width letters and digits.
        ("ガギグ", "ｶﾞｷﾞｸﾞ"),
        ("パリ", nfd("パリ")),
        ("東京 2020", "東京\u3000" + full_width("2020")),
        ("ABC株式会社", full_width("abc") + "株式会社"),
        ("㈱", "(株)"),
        ("③", "3"),
        ("Seoul", "SEOUL"),
        ("strasse", "STRASSE"),
        ("straße", "STRASSE"),
        ("café", nfd("CAFÉ")),
        ("ﬁne", "FINE"),
        ("Ωμέγα", "ΩΜΈΓΑ"),
        ("ὀδυσσεύς", "ὈΔΥΣΣΕΎΣ"),
        ("10 km", "10\xa0km"),
    ],
)
def test_spellings_of_the_same_text_are_right(accepted, given):
    assert score(short_text(accepted), GivenText(given)) == 4


@pytest.mark.parametrize(
    ("accepted", "given"),
    [
        ("서울", "부산"),
        ("서울", "서 울"),
        ("서울", "서울시"),
        ("ガ", "カ"),
        ("ハハ", "パパ"),
        ("ひらがな", "ヒラガナ"),
        ("東京", "东京"),
        ("cafe", "café"),
        ("3", "三"),
        ("a b", "ab"),
        ("a", ""),
        ("a", "   "),
    ],
)
def test_another_text_is_wrong(accepted, given):
    assert score(short_text(accepted), GivenText(given)) == 0


def test_each_accepted_answer_is_right():
    item = short_text("서울", "Seoul", "首尔")

    assert [score(item, GivenText(text)) for text in ("seoul", "首尔", "서울", "평양")] == [4, 4, 4, 0]


@pytest.mark.parametrize(
    ("given", "points"),
    [
        ("NaCl", 4),
        ("  NaCl ", 4),
        (full_width("NaCl"), 4),  # the width of a letter is not its case
        ("nacl", 0),
        ("NACL", 0),
    ],
)
def test_case_counts_where_the_key_says_so(given, points):
    assert score(short_text("NaCl", case_sensitive=True), GivenText(given)) == points


def test_points_are_earned_whole_or_not_at_all():
    assert score(short_text(points=0), GivenText("서울")) == 0
    assert score(short_text(points=1000), GivenText("서울")) == 1000
