"""Which responses fit which items, and the normal form they are kept in."""

import pytest

from domain.items.responses import (
    MAX_TEXT_LENGTH,
    ChosenOptions,
    GivenNumber,
    GivenText,
    ResponseDoesNotFit,
    fitting,
)
from tests.support.exam_parts import choice, choices, full_width, numeric, short_text

RESPONSES = {
    "options": ChosenOptions(("1",)),
    "number": GivenNumber("1"),
    "text": GivenText("1"),
}


@pytest.mark.parametrize(
    ("content", "response"),
    [
        (choice(), ChosenOptions(("4",))),
        (choices(), ChosenOptions(("2",))),
        (choices(), ChosenOptions(("1", "2", "3", "4"))),
        (numeric(), GivenNumber("-0012.50")),
        (short_text(), GivenText("x")),
        (short_text(), GivenText(" 부 산 \n")),
        (short_text(), GivenText("가" * MAX_TEXT_LENGTH)),
    ],
)
def test_what_fits_is_kept_as_it_was_written(content, response):
    assert fitting(content, response) == response


def test_chosen_options_are_kept_in_the_order_of_the_item():
    assert fitting(choices(), ChosenOptions(("4", "1", "3"))) == ChosenOptions(("1", "3", "4"))


@pytest.mark.parametrize(
    ("content", "response", "reason"),
    [
        (choice(), ChosenOptions(()), "choose exactly one option"),
        (choice(), ChosenOptions(("1", "2")), "choose exactly one option"),
        (choice(), ChosenOptions(("1", "1")), "choose exactly one option"),
        (choice(), ChosenOptions(("5",)), "an option of this item is expected"),
        (choice(), ChosenOptions(("",)), "an option of this item is expected"),
        (choices(), ChosenOptions(("1", "5")), "an option of this item is expected"),
        (choices(), ChosenOptions(("1", "3", "1")), "an option is named twice"),
        (choices(), ChosenOptions(()), "choose at least one option, or send null to clear the answer"),
        (numeric(), GivenNumber("twelve"), "give a decimal number such as -12.5"),
        (numeric(), GivenNumber(""), "give a decimal number such as -12.5"),
        (numeric(), GivenNumber(full_width("12")), "give a decimal number such as -12.5"),
        (numeric(), GivenNumber("1" * 31), "give a decimal number such as -12.5"),
        (short_text(), GivenText(""), "give 1 to 2000 characters"),
        (short_text(), GivenText("가" * (MAX_TEXT_LENGTH + 1)), "give 1 to 2000 characters"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_reason(content, response, reason):
    with pytest.raises(ResponseDoesNotFit) as refusal:
        fitting(content, response)

    assert refusal.value.reason == reason
    assert [error["pointer"] for error in refusal.value.errors] == ["/response"]
    assert refusal.value.detail() == f"The response does not fit the item: {reason}."


@pytest.mark.parametrize(
    ("content", "fits", "kind"),
    [
        (choice(), "options", "multiple choice"),
        (choices(), "options", "multiple response"),
        (numeric(), "number", "numeric"),
        (short_text(), "text", "short text"),
    ],
)
def test_the_answer_to_another_kind_of_item_is_refused(content, fits, kind):
    for name, response in RESPONSES.items():
        if name == fits:
            assert fitting(content, response) == response
        else:
            with pytest.raises(ResponseDoesNotFit, match=f"it is not the answer to a {kind} item"):
                fitting(content, response)
