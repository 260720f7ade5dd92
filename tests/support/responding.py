"""Examinees who answer as an item response model says."""

import numpy as np

from domain.cat.items import Items
from domain.cat.types import Floats, Ints


def answers(items: Items, theta: Floats, rng: np.random.Generator) -> Ints:
    """(n, m): one response of each person to each item, drawn from the model."""
    cumulative = items.category_probabilities(theta).cumsum(axis=2)
    drawn = (rng.random(cumulative.shape[:2])[:, :, None] > cumulative).sum(axis=2)
    given: Ints = np.minimum(drawn, items.categories - 1)  # a cumulative sum may end at 1 - 1e-16
    return given
