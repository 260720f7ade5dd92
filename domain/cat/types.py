"""The arrays that everything in `domain.cat` is made of."""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from domain.cat.errors import InvalidResponse

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MISSING: Final = -1
"""A response that was not given. It says nothing about ability: the person is left as they were."""


def as_theta(theta: ArrayLike) -> Floats:
    """Abilities as an array (n,); a scalar becomes (1,).

    >>> as_theta(0.5)
    array([0.5])
    """
    return np.atleast_1d(np.asarray(theta, dtype=np.float64))


def as_responses(responses: ArrayLike, categories: Ints) -> Ints:
    """Responses as an int64 array (n, m); one pattern (m,) becomes (1, m).

    `categories` (m,) is the number of categories of each item. Booleans count as 0 and 1; numbers that
    are written as floats are taken where they are whole.

    Raises: InvalidResponse with the first row and column at fault, where a response is neither `MISSING`
    nor one of 0 to K - 1, or where the number of columns is not the number of items (row and column -1).

    >>> as_responses([1, 0, MISSING], np.array([2, 2, 2]))
    array([[ 1,  0, -1]])
    """
    given = np.atleast_2d(np.asarray(responses))
    if given.ndim != 2 or given.shape[1] != len(categories):
        raise InvalidResponse(-1, -1, f"a table of shape {given.shape} for {len(categories)} items")
    if given.dtype.kind == "f":
        _refuse_where(given, given != np.floor(given), "not a whole number")  # NaN is unequal to itself
    elif given.dtype.kind not in "biu":
        raise InvalidResponse(-1, -1, f"values of type {given.dtype}, not whole numbers")
    _refuse_where(given, (given < MISSING) | (given >= categories), "no category of this item")
    return given.astype(np.int64, copy=False)


def _refuse_where(given: NDArray[np.generic], wrong: NDArray[np.bool_], reason: str) -> None:
    if wrong.any():
        row, column = (int(at) for at in np.argwhere(wrong)[0])
        raise InvalidResponse(row, column, f"{given[row, column]} is {reason}")
