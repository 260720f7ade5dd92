"""The item banks that the numerics know, and what they have in common."""

from typing import Protocol, Self

from numpy.typing import ArrayLike

from domain.cat.category_model import LogDerivatives
from domain.cat.logistic import LogisticItems
from domain.cat.mixed import MixedItems
from domain.cat.multidimensional import MultidimensionalItems
from domain.cat.polytomous import GradedItems, NominalItems, PartialCreditItems, rating_scale
from domain.cat.types import Floats, Ints

__all__ = [
    "GradedItems",
    "Items",
    "LogisticItems",
    "MixedItems",
    "MultidimensionalItems",
    "NominalItems",
    "PartialCreditItems",
    "rating_scale",
]


class Items(Protocol):
    """A bank of m items of one ability, in file order; abilities (n,), responses (n, m), K categories.

    `LogisticItems`, `GradedItems`, `PartialCreditItems`, `NominalItems` and `MixedItems` are such banks; what
    each method returns stands at `domain.cat.category_model.CategoryModel`. `MultidimensionalItems` has the
    same names but abilities (n, D), and gradients in place of derivatives.
    """

    @property
    def categories(self) -> Ints: ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: ArrayLike | slice) -> Self: ...

    def category_probabilities(self, theta: ArrayLike) -> Floats: ...

    def log_category_probabilities(self, theta: ArrayLike) -> Floats: ...

    def log_derivatives(self, theta: ArrayLike) -> LogDerivatives: ...

    def expected_scores(self, theta: ArrayLike) -> Floats: ...

    def information(self, theta: ArrayLike) -> Floats: ...

    def information_and_skew(self, theta: ArrayLike) -> tuple[Floats, Floats]: ...

    def observed_information(self, responses: ArrayLike, theta: ArrayLike) -> Floats: ...

    def response_derivatives(self, responses: ArrayLike, theta: ArrayLike) -> LogDerivatives: ...

    def log_likelihood(self, responses: ArrayLike, points: ArrayLike) -> Floats: ...
