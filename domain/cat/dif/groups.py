"""Who belongs to which group, and how many of each chose what at each level of the matching score."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from domain.cat.errors import CatError, InvalidResponse
from domain.cat.types import MISSING, Floats, Ints

Flags = NDArray[np.bool_]


class InvalidGroup(CatError):
    """Carries `row` (the examinee, from 0; -1 for the whole) and `reason`."""

    code = "invalid-group"
    title = "The groups cannot be compared"

    def __init__(self, row: int, reason: str) -> None:
        super().__init__(row=row, reason=reason)

    def detail(self) -> str:
        return f"Group of examinee {self.row}: {self.reason}." if self.row >= 0 else f"Groups: {self.reason}."


@dataclass(frozen=True, eq=False)
class Sample:
    """Responses (n, m), 0 to K - 1 or MISSING, of two groups: `focal` (n,) is True for the focal group.

    categories: (m,): one more than the highest response given to each item, at least 2.
    """

    responses: Ints
    focal: Flags
    categories: Ints

    @property
    def given(self) -> Flags:
        """(n, m): where there is a response."""
        return np.asarray(self.responses != MISSING)

    def counts(self, strata: Ints, shifted: Flags) -> Floats:
        """(2, K, s, m): how many of each group gave each response in each stratum.

        strata: (n,): the stratum of each examinee. shifted: (m,): items whose own response is to be added
        to the stratum: those that are not in the matching score already.
        """
        size, most = int(strata.max(initial=0)) + 1, int(self.categories.max())
        width = size + (most - 1 if shifted.any() else 0)
        table = np.zeros((2, most, width, self.responses.shape[1]))
        for of_focal in (False, True):
            rows = self.focal == of_focal
            for category in range(most):
                chosen = _sums(self.responses[rows] == category, strata[rows], size)
                up = np.where(shifted, category, 0)
                for step in np.unique(up):
                    table[int(of_focal), category, step : step + size, up == step] = chosen[:, up == step].T
        return table


def _sums(values: Flags, strata: Ints, size: int) -> Floats:
    """(size, m): column sums by stratum, by sorting: as many strata as examinees cost no more than few."""
    sums = np.zeros((size, values.shape[1]))
    order = np.argsort(strata, kind="stable")
    starts = np.flatnonzero(np.diff(strata[order], prepend=-1))
    sums[strata[order][starts]] = np.add.reduceat(values[order].astype(np.float64), starts, axis=0)
    return sums


def sample_of(responses: ArrayLike, group: ArrayLike) -> Sample:
    """The two groups' responses, checked.

    Raises: InvalidResponse where a response is no whole number from 0 on and not MISSING; InvalidGroup
    where a group is neither 0 nor 1, there are not as many as rows, or one of the two has nobody.

    >>> sample_of([[1, 0], [0, MISSING]], [0, 1]).focal
    array([False,  True])
    """
    given = np.atleast_2d(np.asarray(responses))
    if given.ndim != 2 or given.size == 0:
        raise InvalidResponse(-1, -1, f"a table of shape {given.shape}")
    if given.dtype.kind not in "biuf":
        raise InvalidResponse(-1, -1, f"values of type {given.dtype}, not whole numbers")
    wrong = given < MISSING
    if given.dtype.kind == "f":
        wrong |= ~np.isfinite(given) | (given != np.floor(given))
    if wrong.any():
        row, column = (int(at) for at in np.argwhere(wrong)[0])
        raise InvalidResponse(row, column, f"{given[row, column]} is no category")
    whole = given.astype(np.int64, copy=False)
    return Sample(whole, _focal(group, len(whole)), np.maximum(whole.max(axis=0) + 1, 2))


def refuse_more_than_two(sample: Sample) -> None:
    """Raises: InvalidResponse with the first response above 1."""
    if (sample.responses > 1).any():
        row, column = (int(at) for at in np.argwhere(sample.responses > 1)[0])
        raise InvalidResponse(
            row, column, f"{sample.responses[row, column]} is neither right (1) nor wrong (0)"
        )


def matching_score(sample: Sample, anchor: Flags) -> Ints:
    """(n,): the sum of the responses to the anchor items; a missing one adds nothing."""
    score: Ints = np.where(sample.given & anchor, sample.responses, 0).sum(axis=1)
    return score


def matching_numbers(matching: ArrayLike, examinees: int) -> Floats:
    """(n,): a number for each examinee.

    Raises: InvalidGroup where there are not as many as examinees, or one is not finite.
    """
    values = np.asarray(matching, dtype=np.float64)
    if values.shape != (examinees,):
        raise InvalidGroup(-1, f"matching values of shape {values.shape} for {examinees} examinees")
    if not np.isfinite(values).all():
        raise InvalidGroup(int(np.argmin(np.isfinite(values))), "the matching value is not finite")
    return values


def strata_of(labels: ArrayLike, examinees: int) -> Ints:
    """(n,): the stratum of each examinee, counted from 0 in the order of the labels (numbers or texts).

    Raises: InvalidGroup where there are not as many labels as examinees, or a number is not finite.

    >>> strata_of(["low", "high", "low"], 3)
    array([1, 0, 1])
    """
    values = np.asarray(labels)
    if values.dtype.kind == "f":
        values = matching_numbers(values, examinees)
    elif values.shape != (examinees,):
        raise InvalidGroup(-1, f"matching values of shape {values.shape} for {examinees} examinees")
    return np.unique(values, return_inverse=True)[1].astype(np.int64)


def _focal(group: ArrayLike, examinees: int) -> Flags:
    values = np.asarray(group)
    if values.shape != (examinees,):
        raise InvalidGroup(-1, f"{values.shape} groups for {examinees} examinees")
    known = (values == 0) | (values == 1)
    if not known.all():
        row = int(np.argmin(known))
        raise InvalidGroup(row, f"{values[row]} is neither 0 (reference) nor 1 (focal)")
    for number, name in ((0, "reference"), (1, "focal")):
        if not (values == number).any():
            raise InvalidGroup(-1, f"nobody is in the {name} group ({number})")
    return np.asarray(values == 1)
