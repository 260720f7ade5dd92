"""Real answers and published parameters that the numerics are held against."""

import csv
import os
from pathlib import Path

import mirt
import numpy as np
import pytest

from domain.cat.items import GradedItems, LogisticItems
from domain.cat.types import MISSING, Ints

# Published estimates of R mirt for `mirt(LSAT7, 1)` and `mirt(Science, 1)`: the page of PLCI.mirt in its
# reference manual prints them with seven digits. The model there is a·θ + d, so b = -d / a.
LSAT7_A = (0.9879254, 1.0808847, 1.7058006, 0.7651853, 0.7357980)
LSAT7_D = (1.8560605, 0.8079786, 1.8042187, 0.4859966, 1.8545127)
SCIENCE_A = (1.0417547, 1.2259618, 2.2933717, 1.0949151)
SCIENCE_D = (
    (4.8641542, 2.6399417, -1.4660135),
    (2.9240027, 0.9011651, -2.2665647),
    (5.2339928, 2.2137728, -1.9637062),
    (3.3479196, 0.9916289, -1.6882599),
)


@pytest.fixture(scope="session")
def lsat7() -> Ints:
    """(1000, 5): the five items of section 7 of the Law School Admission Test [Bock & Lieberman 1970]."""
    return np.asarray(mirt.load_dataset("LSAT7")["data"], dtype=np.int64)


@pytest.fixture(scope="session")
def lsat6() -> Ints:
    """(1000, 5): section 6 of the same test, from the frequencies of the 32 patterns, 00000 to 11111.

    The data of Bock & Aitkin (1981) and Thissen (1982), as R's ltm prints them. (PyPI mirt's "LSAT6" is
    another table, of 569 people.)
    """
    frequencies = (3, 6, 2, 11, 1, 1, 3, 4, 1, 8, 0, 16, 0, 3, 2, 15)
    frequencies += (10, 29, 14, 81, 3, 28, 15, 80, 16, 56, 21, 173, 11, 61, 28, 298)
    patterns = (np.arange(32)[:, np.newaxis] >> np.arange(4, -1, -1)) & 1
    return np.repeat(patterns, frequencies, axis=0)


@pytest.fixture(scope="session")
def lsat7_items() -> LogisticItems:
    a, d = np.array(LSAT7_A), np.array(LSAT7_D)
    return LogisticItems.of(a, -d / a)


@pytest.fixture(scope="session")
def science_items() -> GradedItems:
    """Four items of four categories: Comfort, Work, Future, Benefit."""
    a, d = np.array(SCIENCE_A), np.array(SCIENCE_D)
    return GradedItems(a, -d / a[:, np.newaxis])


@pytest.fixture(scope="session")
def sat12() -> Ints:
    """(600, 32): a science test of grade 12, 1 right, 0 wrong, `MISSING` where no answer was given."""
    if "MEGACITY_TEST_DATA" not in os.environ:
        pytest.skip("MEGACITY_TEST_DATA names no folder with sat12/")
    folder = Path(os.environ["MEGACITY_TEST_DATA"]) / "sat12"
    key = {row["item"]: int(row["key"]) for row in _rows(folder / "key.csv")}
    answers = np.array([[int(row[item]) for item in key] for row in _rows(folder / "responses.csv")])
    no_answer = 8
    return np.where(answers == no_answer, MISSING, answers == np.array(list(key.values()))).astype(np.int64)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
