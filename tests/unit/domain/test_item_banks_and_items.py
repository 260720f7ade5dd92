"""Item banks, and items whose versions never change."""

import pytest

from commands.kinds import ITEM, ITEM_BANK
from domain.items.bank import ItemBankExists, NoBank, create_bank
from domain.items.events import ItemBankCreated, ItemCreated, ItemRevised
from domain.items.item import (
    ItemExists,
    ItemNotFound,
    ItemVersionNotFound,
    UnusableItem,
    Unwritten,
    create_item,
    revise_item,
)
from tests.support.exam_parts import BANK_ID, choice, numeric, short_text
from tests.support.given import fold, given

CREATED = ItemCreated(bank_id=BANK_ID, code="math-01", content=numeric("12.5"))


def revised(item_version, content):
    return ItemRevised(bank_id=BANK_ID, code="math-01", item_version=item_version, content=content)


def test_a_bank_is_created_once():
    created = ItemBankCreated(name="수학", description="2026")

    after = given(ITEM_BANK).when(create_bank, "수학", "2026").then(created)
    after.when(create_bank, "수학", "2026").then_refused(ItemBankExists)


def test_facts_of_something_else_make_no_bank():
    assert fold(ITEM_BANK, (CREATED,)) == NoBank()


def test_an_item_is_written_in_version_one():
    after = given(ITEM).when(create_item, BANK_ID, "math-01", numeric("12.5")).then(CREATED)

    assert after.state.item_version == 1
    assert (after.state.bank_id, after.state.code) == (BANK_ID, "math-01")


def test_an_item_is_created_once():
    given(ITEM, CREATED).when(create_item, BANK_ID, "math-01", choice()).then_refused(
        ItemExists, code_taken="math-01"
    )


def test_an_edit_makes_a_new_version_and_leaves_the_old_one_alone():
    after = (
        given(ITEM, CREATED)
        .when(revise_item, numeric("13"))
        .then(revised(2, numeric("13")))
        .when(revise_item, short_text())
        .then(revised(3, short_text()))
    )

    assert [after.state.content(number) for number in (1, 2, 3)] == [
        numeric("12.5"),
        numeric("13"),
        short_text(),
    ]


def test_an_edit_back_to_an_older_content_is_a_version_of_its_own():
    given(ITEM, CREATED, revised(2, numeric("13"))).when(revise_item, numeric("12.5")).then(
        revised(3, numeric("12.5"))
    )


def test_an_edit_that_changes_nothing_makes_no_version():
    given(ITEM, CREATED, revised(2, numeric("13"))).when(revise_item, numeric("13")).then_nothing()


def test_what_was_never_written_cannot_be_edited():
    given(ITEM).when(revise_item, choice()).then_refused(ItemNotFound)


@pytest.mark.parametrize("item_version", [-1, 0, 3])
def test_there_are_no_versions_but_those_that_were_written(item_version):
    state = fold(ITEM, (CREATED, revised(2, numeric("13"))))

    with pytest.raises(ItemVersionNotFound) as refusal:
        state.content(item_version)

    assert refusal.value.data() == {"item_version": item_version, "newest": 2}


@pytest.mark.parametrize(
    "decision",
    [
        lambda content: given(ITEM).when(create_item, BANK_ID, "math-01", content),
        lambda content: given(ITEM, CREATED).when(revise_item, content),
    ],
)
def test_an_unusable_item_is_refused_with_everything_that_is_wrong(decision):
    decision(numeric("x", "y")).then_refused(
        UnusableItem,
        errors=[
            {"pointer": "/key/value", "code": "not-a-decimal", "detail": "The key is not a decimal number."},
            {
                "pointer": "/key/tolerance",
                "code": "not-a-tolerance",
                "detail": "Use a decimal number of 0 or more.",
            },
        ],
    )


def test_a_revision_of_nothing_is_passed_over():
    assert fold(ITEM, (revised(2, choice()),)) == Unwritten()
