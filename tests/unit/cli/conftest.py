"""A folder of its own for each test of `megacity cat`, with a bank, responses and groups as files."""

from pathlib import Path

import numpy as np
import pytest

from domain.cat.items import LogisticItems
from domain.cat.simulation import draw_responses
from tests.support.cat_files import write_bank, write_responses


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def bank(folder):
    """A bank of 60 three-parameter items as `bank.csv`."""
    rng = np.random.default_rng(1)
    items = LogisticItems.of(rng.lognormal(0.2, 0.3, 60), rng.normal(size=60), rng.beta(5, 17, 60))
    write_bank(folder / "bank.csv", items)
    return items


@pytest.fixture
def answers(bank):
    """What 40 examinees would answer to the bank, as `responses.csv`; one of them had no item `i3`."""
    rng = np.random.default_rng(2)
    drawn = draw_responses(bank, rng.normal(size=40), rng)
    drawn[0, 3] = -1
    write_responses("responses.csv", drawn)
    return drawn


@pytest.fixture
def groups(answers):
    lines = ["examinee,group", *(f"e{at},{at % 2}" for at in reversed(range(len(answers))))]
    Path("groups.csv").write_text("\n".join(lines))
    return np.arange(40) % 2
