"""What makes an item unusable: every fault, where it is, and all of them at once."""

import ast
import math
from pathlib import Path

import pytest

from domain.items import content as content_module
from domain.items.content import (
    ChoiceKey,
    ItemParameters,
    Option,
    TextKey,
    faults_in,
    is_decimal,
)
from tests.support.exam_parts import choice, choices, full_width, numeric, options, short_text


def faults(content):
    return [(fault.pointer, fault.code) for fault in faults_in(content)]


FAULTY = [
    (short_text(content_area=" "), [("/content_area", "no-content-area")]),
    (short_text(points=0), [("/points", "points")]),
    (short_text(points=1001), [("/points", "points")]),
    (short_text(stem={}), [("/stem", "no-language")]),
    (short_text(stem={"ko": " \u3000\n"}), [("/stem/ko", "empty-text")]),
    (short_text(stem={"ko": "수도는?", "fr": "?"}), [("/stem/fr", "unknown-language")]),
    (short_text(explanation={"en": ""}), [("/explanation/en", "empty-text")]),
    (short_text(explanation={"xx": "?"}), [("/explanation/xx", "unknown-language")]),
    (
        choice(options=(*options("1", "2"), Option("3", {"ko": "셋"}))),
        [("/options/2/text", "language-missing")],
    ),
    (
        choices(options=(*options("1", "3"), Option("4", {}))),
        [("/options/2/text", "language-missing"), ("/options/2/text", "language-missing")],
    ),
    (
        choice(options=(*options("1", "2"), Option("3", {"ko": " ", "en": "x"}))),
        [("/options/2/text/ko", "empty-text")],
    ),
    (
        choice(options=(*options("1", "2"), Option("3", {"ko": "셋", "en": "three", "de": "drei"}))),
        [("/options/2/text/de", "unknown-language")],
    ),
    (choice(options=options("2")), [("/options", "number-of-options")]),
    (choice(options=options(*map(str, range(21)))), [("/options", "number-of-options")]),
    (
        choice(options=options("1", "2", "1", "1")),
        [("/options/2/id", "duplicate-option"), ("/options/3/id", "duplicate-option")],
    ),
    (choice(key=ChoiceKey(("5",))), [("/key/options/0", "unknown-option")]),
    (choice(key=ChoiceKey(())), [("/key/options", "one-key")]),
    (choice(key=ChoiceKey(("1", "2"))), [("/key/options", "one-key")]),
    (choices(key=ChoiceKey(())), [("/key/options", "no-key")]),
    (choices(key=ChoiceKey(("1", "3", "1"))), [("/key/options/2", "duplicate-option")]),
    (choices(key=ChoiceKey(("1", "x"))), [("/key/options/1", "unknown-option")]),
    (numeric("twelve"), [("/key/value", "not-a-decimal")]),
    (numeric("12", "-0.1"), [("/key/tolerance", "not-a-tolerance")]),
    (numeric("12", "some"), [("/key/tolerance", "not-a-tolerance")]),
    (short_text(key=TextKey(())), [("/key/accepted", "no-key")]),
    (short_text("서울", "\t"), [("/key/accepted/1", "empty-text")]),
    (choice(irt=ItemParameters(math.inf, 0)), [("/irt", "not-finite")]),
    (choice(irt=ItemParameters(1, math.nan)), [("/irt", "not-finite")]),
    (choice(irt=ItemParameters(1, 0, c=-math.inf)), [("/irt", "not-finite")]),
    (choice(irt=ItemParameters(1, 0, d=math.nan)), [("/irt", "not-finite")]),
    (choice(irt=ItemParameters(0, 0)), [("/irt/a", "discrimination")]),
    (choice(irt=ItemParameters(1, 0, c=-0.1)), [("/irt/c", "asymptotes")]),
    (choice(irt=ItemParameters(1, 0, c=0.5, d=0.5)), [("/irt/c", "asymptotes")]),
    (choice(irt=ItemParameters(1, 0, d=1.1)), [("/irt/c", "asymptotes")]),
]


@pytest.mark.parametrize(("content", "expected"), FAULTY)
def test_a_fault_is_named_with_its_place(content, expected):
    assert faults(content) == expected


def test_every_kind_of_fault_has_an_example_here():
    source = Path(content_module.__file__).read_text(encoding="utf-8")
    codes = {
        call.args[1].value
        for call in ast.walk(ast.parse(source))
        if isinstance(call, ast.Call) and getattr(call.func, "id", None) == "ContentFault"
    }

    assert codes == {code for _, expected in FAULTY for _, code in expected}


def test_every_fault_says_in_a_sentence_what_to_do():
    for content, _ in FAULTY:
        assert all(fault.detail.endswith(".") and " " in fault.detail for fault in faults_in(content))


def test_all_faults_of_an_item_are_told_together():
    spoilt = choice(
        stem={"ko": " "},
        options=(Option("1", {"ko": "하나"}), Option("1", {"ko": ""})),
        key=ChoiceKey(("7", "7")),
        explanation={"fr": "?"},
        irt=ItemParameters(-1, 0, c=1),
    )

    assert sorted(faults(spoilt)) == sorted(
        [
            ("/stem/ko", "empty-text"),
            ("/options/1/text/ko", "empty-text"),
            ("/options/1/id", "duplicate-option"),
            ("/key/options/0", "unknown-option"),
            ("/key/options/1", "unknown-option"),
            ("/key/options/1", "duplicate-option"),
            ("/key/options", "one-key"),
            ("/explanation/fr", "unknown-language"),
            ("/irt/a", "discrimination"),
            ("/irt/c", "asymptotes"),
        ]
    )


@pytest.mark.parametrize(
    "usable",
    [
        choice(),
        choice(options=options("1", "2")),
        choice(options=options(*map(str, range(20)))),
        choice(stem={"ko": "?"}),  # an option may have more languages than the stem
        choices(),
        choices(key=ChoiceKey(("1",))),
        choices(key=ChoiceKey(("1", "2", "3", "4"))),
        numeric("-0.5", "0"),
        numeric("9" * 30 + "." + "9" * 30, "9" * 30 + "." + "9" * 30),
        short_text("서울", "Seoul", explanation={"ja": "首都", "zh": "首都"}),
        choice(irt=ItemParameters(0.01, -4.0, c=0.0, d=1.0)),
        choice(irt=ItemParameters(1.2, 0.3, c=0.25, d=0.98)),
    ],
)
def test_a_usable_item_has_no_fault(usable):
    assert faults_in(usable) == []


@pytest.mark.parametrize("text", ["0", "-12.5", "+3", "007", "0.10", "9" * 30 + "." + "9" * 30])
def test_decimals_are_digits_with_a_sign_and_a_point(text):
    assert is_decimal(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", ".", "5.", ".5", "1e3", "1,5", "1 5", " 1", "1\n", "NaN", "Infinity", "--1", "0x1", "1_0"),
        *(full_width("1"), "٣", "9" * 31, "0." + "9" * 31),
    ],
)
def test_nothing_else_is_a_decimal(text):
    assert not is_decimal(text)
