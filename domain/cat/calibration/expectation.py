"""The E-step: how many people of each ability are expected to have given each answer.

All of it is two matrix products, responses by log probabilities and posteriors by responses, on blocks of
people that stay in the processor's cache.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from scipy.sparse import csr_matrix

from domain.cat.errors import InvalidItem
from domain.cat.types import MISSING, Floats, Ints

_PEOPLE_AT_A_TIME: Final = 512
_SPARSE_BELOW: Final = 0.1
_WORTH_COLLAPSING: Final = 24
"""Items up to which equal rows are looked for: with more, nearly everybody answers in a way of their own."""


@dataclass(frozen=True, eq=False)
class Expected:
    """log_likelihood, marginal; counts (m, K, q) of answers; people (q,)."""

    log_likelihood: float
    counts: Floats
    people: Floats


class ResponseTable:
    """Responses (n, m) as columns of 0 and 1, one for each category of each item.

    Where nobody missed an item, the column of category 0 is left out: its part is common to all, save where
    another category stands in its place.
    """

    def __init__(
        self, given: Ints, categories: Ints, fixed_logs: Floats | None = None, *, columns: Ints | None = None
    ) -> None:
        """`fixed_logs` (n, q): what is known of each person beyond these items, on the points.

        `columns` (m,): the items' numbers, for what is said of them.

        Raises: InvalidItem where a category was given by nobody.
        """
        self.items = given.shape[1]
        self.examinees = len(given)
        self.width = int(categories.max())
        frequencies = np.ones(len(given))
        if fixed_logs is None and self.items <= _WORTH_COLLAPSING:
            given, counts = np.unique(given, axis=0, return_counts=True)
            frequencies = counts.astype(np.float64)
        self.frequencies, self._fixed = frequencies, fixed_logs
        self.complete = not bool((given == MISSING).any())
        pairs = [(item, k) for item, count in enumerate(categories) for k in range(int(self.complete), count)]
        self._item: Ints
        self._category: Ints
        self._item, self._category = np.array(pairs, dtype=np.int64).T
        if self.complete and self.width == 2:
            self.answers: Any = given.astype(np.float64)
        else:
            self.answers = (given[:, self._item] == self._category).astype(np.float64)
            if self.answers.mean() < _SPARSE_BELOW:
                self.answers = csr_matrix(self.answers)
        # Counts are whole numbers: what is left for a category that nobody gave is 0, not some ulps.
        given_by = self._spread(
            np.asarray(frequencies @ self.answers)[:, np.newaxis], frequencies.sum(keepdims=True)
        )
        # Of the responses that there are: where few were given an item it is not harder for that.
        self.shares = given_by[..., 0] / np.maximum(given_by[..., 0].sum(axis=1, keepdims=True), 1)
        _refuse_unused(self.shares, categories, np.arange(self.items) if columns is None else columns)

    def expect(self, logs: Floats, log_weights: Floats) -> Expected:
        """The expectation under log probabilities `logs` (m, K, q) and log weights (q,) of the points.

        Posterior of a person: weight_q Π_i P_i(x_i | q), scaled to sum 1  [Bock1981].
        """
        table, offset = self._lines(logs, log_weights)
        counts = np.zeros(table.shape)
        people = np.zeros(log_weights.size)
        log_likelihood = 0.0
        for low in range(0, len(self.frequencies), _PEOPLE_AT_A_TIME):
            block = slice(low, low + _PEOPLE_AT_A_TIME)
            answers, frequencies = self.answers[block], self.frequencies[block]
            posterior, marginal = self._posterior(answers, table, offset, block)
            log_likelihood += float(frequencies @ marginal)
            if (frequencies != 1.0).any():
                posterior *= frequencies[:, np.newaxis]
            people += posterior.sum(axis=0)
            counts += answers.T @ posterior
        return Expected(log_likelihood, self._spread(counts, people), people)

    def blocks(self, logs: Floats, log_weights: Floats) -> Any:
        """For each block of people: answers (b, columns), posterior (b, q) and frequencies (b,)."""
        table, offset = self._lines(logs, log_weights)
        for low in range(0, len(self.frequencies), _PEOPLE_AT_A_TIME):
            block = slice(low, low + _PEOPLE_AT_A_TIME)
            answers = self.answers[block]
            posterior, _ = self._posterior(answers, table, offset, block)
            dense = answers if isinstance(answers, np.ndarray) else answers.toarray()
            yield dense, posterior, self.frequencies[block]

    def columns_of(self, values: Floats) -> tuple[Floats, Floats]:
        """From values (m, K, …) those of the columns, and what all have whatever they answered (m, …)."""
        if not self.complete:
            return values[self._item, self._category], np.zeros((self.items, *values.shape[2:]))
        return values[self._item, self._category] - values[self._item, 0], values[:, 0]

    @property
    def column_items(self) -> Ints:
        """(columns,): the item of each column."""
        return self._item

    def _lines(self, logs: Floats, log_weights: Floats) -> tuple[Floats, Floats]:
        table, common = self.columns_of(logs)
        return np.ascontiguousarray(table), log_weights + common.sum(axis=0)

    def _posterior(self, answers: Any, table: Floats, offset: Floats, block: slice) -> tuple[Floats, Floats]:
        posterior: Floats = answers @ table
        posterior += offset
        if self._fixed is not None:
            posterior += self._fixed[block]
        highest = posterior.max(axis=1)
        posterior -= highest[:, np.newaxis]
        np.exp(posterior, out=posterior)
        total = posterior.sum(axis=1)
        posterior /= total[:, np.newaxis]
        return posterior, highest + np.log(total)

    def _spread(self, counts: Floats, people: Floats) -> Floats:
        """Counts of the columns as (m, K, q)."""
        spread = np.zeros((self.items, self.width, counts.shape[1]))
        spread[self._item, self._category] = counts
        if self.complete:
            spread[:, 0] = people - spread[:, 1:].sum(axis=1)
        return spread


def _refuse_unused(shares: Floats, categories: Ints, columns: Ints) -> None:
    real = np.arange(shares.shape[1]) < categories[:, np.newaxis]
    unused = real & (shares <= 0)
    if unused.any():
        row, category = (int(at) for at in np.argwhere(unused)[0])
        raise InvalidItem(
            int(columns[row]), f"nobody gave response {category}, so its parameters cannot be estimated"
        )
