"""What is refused says where, for every kind of refusal; content areas at the edges."""

import numpy as np
import pytest

from domain.cat.blueprint import InvalidConstraint
from domain.cat.choice import Standing
from domain.cat.content import ContentBalanced
from domain.cat.errors import (
    CatError,
    Infeasible,
    InvalidGrid,
    InvalidItem,
    InvalidLimits,
    InvalidResponse,
    TooFewItems,
)
from domain.cat.items import GradedItems, LogisticItems, MixedItems, MultidimensionalItems
from domain.cat.selection import MaximumInformation
from domain.cat.types import as_responses

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("error", "detail", "data"),
    [
        (InvalidItem(0, "bad"), "Item in row 0: bad.", {"row": 0, "reason": "bad"}),
        (InvalidItem(-1, "bad"), "Items: bad.", {"row": -1, "reason": "bad"}),
        (
            InvalidResponse(0, 2, "bad"),
            "Response in row 0, column 2: bad.",
            {"row": 0, "column": 2, "reason": "bad"},
        ),
        (InvalidResponse(-1, -1, "bad"), "Responses: bad.", {"row": -1, "column": -1, "reason": "bad"}),
        (InvalidGrid("bad"), "Grid: bad.", {"reason": "bad"}),
        (InvalidLimits("bad"), "Limits of the test: bad.", {"reason": "bad"}),
        (Infeasible(("a", "b")), "No test meets the constraints: a, b.", {"constraints": ("a", "b")}),
        (InvalidConstraint("a", "bad"), "Constraint a: bad.", {"constraint": "a", "reason": "bad"}),
    ],
)
def test_a_refusal_carries_its_place_and_says_it(error, detail, data) -> None:
    assert isinstance(error, CatError)
    assert error.detail() == detail
    assert error.data() == data


def test_too_few_items_says_how_many_there_are_and_how_many_are_wanted() -> None:
    error = TooFewItems(3, 5)
    assert error.data() == {"have": 3, "wanted": 5}
    assert "3" in error.detail()
    assert "5" in error.detail()


@pytest.mark.parametrize(
    ("make", "row"),
    [
        (lambda: LogisticItems.of([1.0, 0.0], [0.0, 0.0]), 1),
        (lambda: LogisticItems.of([1.0, np.inf], [0.0, 0.0]), 1),
        (lambda: LogisticItems.of(1.0, [0.0, np.nan, 0.0]), 1),
        (lambda: LogisticItems.of(1.0, [0.0, 0.0], [0.0, -0.1]), 1),
        (lambda: LogisticItems.of(1.0, [0.0, 0.0], 0.0, [1.0, 1.1]), 1),
        (lambda: LogisticItems.of(1.0, [0.0, 0.0], [0.0, 0.5], [1.0, 0.5]), 1),
        (lambda: LogisticItems.of([1.0, 2.0], [0.0, 0.0, 0.0]), -1),
        (lambda: LogisticItems(np.ones((1, 1)), np.ones((1, 1)), np.zeros((1, 1)), np.ones((1, 1))), -1),
        (lambda: LogisticItems(np.ones(2), np.ones(2), np.zeros(1), np.ones(2)), -1),
        (lambda: MultidimensionalItems([[1.0, 0.0], [0.0, 0.0]], [0.0, 0.0], [0.0, 0.0]), 1),
        (lambda: MultidimensionalItems([[1.0], [1.0]], [0.0, np.nan], [0.0, 0.0]), 1),
        (lambda: MultidimensionalItems([[1.0], [1.0]], [0.0, 0.0], [0.0, -0.1]), 1),
        (lambda: MultidimensionalItems([[1.0], [1.0]], [0.0, 0.0], [0.0, 1.0]), 1),
        (lambda: MultidimensionalItems([[1.0], [1.0]], [0.0], [0.0, 0.0]), -1),
        (lambda: MultidimensionalItems(np.zeros((2, 0)), [0.0, 0.0], [0.0, 0.0]), -1),
        (lambda: MultidimensionalItems([[1.0], [1.0]], [0.0, 0.0], [0.0]), -1),
        (lambda: MixedItems((LogisticItems.of(1.0, [0.0, 1.0]),), rows=(np.array([0, 0]),)), 0),
        (lambda: MixedItems((LogisticItems.of(1.0, [0.0, 1.0]),), rows=(np.array([0, 2]),)), 1),
        (lambda: MixedItems((LogisticItems.of(1.0, [0.0]),), rows=(np.array([0, 1]),)), -1),
        (lambda: MixedItems((), rows=()), -1),
    ],
)
def test_items_that_are_none_are_named_by_the_first_row_at_fault(make, row) -> None:
    with pytest.raises(InvalidItem) as refused:
        make()
    assert refused.value.row == row


def test_parameters_at_their_limits_are_items() -> None:
    LogisticItems.of(1e-9, [0.0], 0.0, 1.0)
    LogisticItems.of(1.0, [0.0], 0.5, 0.5 + 1e-12)
    MultidimensionalItems([[-1.0, 0.0]], [0.0], [0.999])
    graded = GradedItems([1.0], [[0.0]])
    bank = MixedItems((LogisticItems.of(1.0, [0.0]), graded), rows=(np.array([1]), np.array([0])))
    assert bank.categories.tolist() == [2, 2]


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ([[0, 2, 1], [1, 0, 2]], (0, 1)),
        ([[0, 1, 1], [1, 0, 3]], (1, 2)),
        ([[0, -2, 0]], (0, 1)),
        ([[0.0, 0.5, 0.0]], (0, 1)),
        ([[0.0, np.nan, 0.0]], (0, 1)),
        ([[0.0, np.inf, 0.0]], (0, 1)),
        ([[0, 1]], (-1, -1)),
        ([[["0"] * 3]], (-1, -1)),
        ([["0", "1", "0"]], (-1, -1)),
    ],
)
def test_the_first_response_that_is_none_is_named(given, place) -> None:
    with pytest.raises(InvalidResponse) as refused:
        as_responses(given, np.array([2, 2, 3]))
    assert (refused.value.row, refused.value.column) == place


# Content


def balanced(content, shares) -> ContentBalanced:
    return ContentBalanced.of(MaximumInformation(), content, shares)


def test_areas_come_by_their_lag_the_first_of_equals_first() -> None:
    bank = LogisticItems.of(1.0, np.linspace(-0.3, 0.3, 6))
    rule = balanced("abcabc", {"a": 1, "b": 2, "c": 1})
    given: list[int] = []
    areas = []
    for _ in range(6):
        choice = rule(bank, Standing.at(0.0, 6, given), RNG)
        areas.append("abcabc"[choice.item])
        given.append(choice.item)
    # Shares 1/4, 1/2, 1/4: b, then a and c alike, b is used up after two, then what is left in order.
    assert areas == ["b", "a", "c", "b", "a", "c"]


def test_an_area_without_a_share_comes_when_no_other_has_items_left() -> None:
    bank = LogisticItems.of(1.0, [0.0, 3.0, 3.0])
    rule = balanced("zaa", {"z": 0.0, "a": 1.0})
    assert [rule(bank, Standing.at(0.0, 3, given), RNG).item for given in ([], [1], [1, 2])] == [1, 2, 0]
    with pytest.raises(TooFewItems) as few:
        rule(bank, Standing.at(0.0, 3, [0, 1, 2]), RNG)
    assert few.value.data() == {"have": 0, "wanted": 1}


@pytest.mark.parametrize(
    ("shares", "named", "said"),
    [
        ({"a": -0.1, "b": 1.0}, "a", "a share of -0.1"),
        ({"a": 1.0, "b": np.inf}, "b", "a share of inf"),
        ({"a": 1.0, "b": np.nan}, "b", "a share of nan"),
        ({"a": 1.0}, "b", "the area has no share"),
        ({"a": 0.0, "b": 0.0}, "content", "every share is 0"),
    ],
)
def test_shares_that_are_none_say_so(shares, named, said) -> None:
    with pytest.raises(InvalidConstraint) as refused:
        balanced("ab", shares)
    assert (refused.value.constraint, refused.value.reason) == (named, said)


def test_shares_are_scaled_to_sum_to_one() -> None:
    assert balanced("ab", {"a": 3, "b": 1}).shares.tolist() == [0.75, 0.25]
