"""Several kinds of items in one bank: each row is what it is alone."""

import numpy as np
import pytest

from domain.cat.errors import InvalidItem
from domain.cat.items import GradedItems, LogisticItems, MixedItems, NominalItems, PartialCreditItems

LOGISTIC = LogisticItems.of([1.0, 2.0], [0.0, 1.0], [0.2, 0.0])
GRADED = GradedItems([1.5], [[-1.0, 0.0, 1.0]])
CREDIT = PartialCreditItems([0.8], [[0.5, -0.5]])
NOMINAL = NominalItems([[0.0, 1.0, -0.5]], [[0.0, 0.2, 0.4]])
PARTS = (LOGISTIC, GRADED, CREDIT, NOMINAL)
ROWS = (np.array([3, 0]), np.array([1]), np.array([4]), np.array([2]))
BANK = MixedItems(PARTS, ROWS)
ALONE = (LOGISTIC[[1]], GRADED, NOMINAL, LOGISTIC[[0]], CREDIT)

THETA = np.array([-2.0, 0.3, 5.0])
RESPONSES = np.array([[1, 3, 2, 0, 2], [0, 1, 0, 1, -1], [-1, 0, 1, 1, 0]])


@pytest.mark.parametrize("row", range(5))
def test_each_row_is_what_the_item_is_alone(row) -> None:
    alone = ALONE[row]
    count = int(alone.categories[0])

    assert BANK.categories[row] == count
    probabilities = BANK.category_probabilities(THETA)[:, row]
    np.testing.assert_allclose(
        probabilities[:, :count], alone.category_probabilities(THETA)[:, 0], rtol=1e-14
    )
    np.testing.assert_array_equal(probabilities[:, count:], 0.0)
    np.testing.assert_allclose(BANK.information(THETA)[:, row], alone.information(THETA)[:, 0], rtol=1e-12)
    np.testing.assert_allclose(
        BANK.observed_information(RESPONSES, THETA)[:, row],
        alone.observed_information(RESPONSES[:, [row]], THETA)[:, 0],
        rtol=1e-12,
    )


def test_the_likelihood_is_the_sum_over_the_rows() -> None:
    apart = sum(alone.log_likelihood(RESPONSES[:, [row]], THETA) for row, alone in enumerate(ALONE))
    np.testing.assert_allclose(BANK.log_likelihood(RESPONSES, THETA), apart, rtol=1e-13)


@pytest.mark.parametrize("chosen", [[4, 0, 3], [2], [1, 1]])
def test_a_sub_bank_has_the_chosen_items_in_the_order_asked_for(chosen) -> None:
    part = BANK[chosen]
    width = int(part.categories.max())
    np.testing.assert_allclose(
        part.category_probabilities(THETA), BANK.category_probabilities(THETA)[:, chosen, :width], rtol=1e-15
    )


@pytest.mark.parametrize(
    "rows",
    [
        (np.array([0, 1]), np.array([1]), np.array([2]), np.array([3])),
        (np.array([0, 1]), np.array([2]), np.array([3]), np.array([9])),
        (np.array([0, -1]), np.array([2]), np.array([3]), np.array([1])),
        (np.array([0]), np.array([1]), np.array([2]), np.array([3])),
    ],
    ids=["twice", "beyond the end", "negative", "too few"],
)
def test_rows_that_are_no_order_of_the_bank_are_refused(rows) -> None:
    with pytest.raises(InvalidItem):
        MixedItems(PARTS, rows)


def test_a_bank_is_as_wide_as_its_widest_item_though_a_part_was_wider() -> None:
    padded = GradedItems([1.0, 1.0], [[-1.0, 0.0, 1.0], [0.5, np.nan, np.nan]])
    bank = MixedItems((padded, LOGISTIC), (np.array([0, 1]), np.array([2, 3])))
    narrow = bank[[1, 2]]
    np.testing.assert_allclose(
        narrow.category_probabilities(THETA), bank.category_probabilities(THETA)[:, [1, 2], :2], rtol=1e-15
    )
