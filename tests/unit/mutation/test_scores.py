"""How far a sample's share may be from that of all mutants."""

import numpy as np
import pytest

from tests.mutation.scores import Sampled, in_total, judged_equivalent


def test_the_interval_of_a_small_share_of_a_module_is_wilsons() -> None:
    # 8 of 10 of very many: the textbook's 0.490 to 0.943.
    low, high = Sampled("m", 10**9, 10, 8).interval
    assert (low, high) == pytest.approx((0.4901625, 0.9433178), abs=1e-6)


def test_nothing_is_left_open_where_every_mutant_was_tried() -> None:
    assert Sampled("m", 10, 10, 8).interval == (0.8, 0.8)
    assert in_total([Sampled("m", 10, 10, 8)]) == (0.8, 0.8, 0.8)


def test_a_module_counts_by_all_of_its_mutants_and_not_by_its_sample() -> None:
    share, low, high = in_total([Sampled("large", 900, 10, 9), Sampled("small", 100, 10, 4)])
    assert share == pytest.approx(0.85)
    assert low < share < high


def test_the_interval_holds_the_true_share_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    populations, shares = np.array([200, 120, 60, 300]), np.array([0.95, 0.8, 0.7, 0.9])
    dead = np.round(populations * shares).astype(int)
    truth = dead.sum() / populations.sum()
    held = 0
    for _ in range(2000):
        killed = rng.hypergeometric(dead, populations - dead, 25)
        samples = [
            Sampled(str(module), int(n), 25, int(k))
            for module, (n, k) in enumerate(zip(populations, killed, strict=True))
        ]
        _, low, high = in_total(samples)
        held += low <= truth <= high
    assert held / 2000 > 0.94


def test_what_was_judged_equivalent_is_read_with_its_reason(tmp_path) -> None:
    path = tmp_path / "equivalent.toml"
    path.write_text('[[mutant]]\nkey = "0123"\nchange = "a => b"\nwhy = "the same"\n', encoding="utf-8")
    assert judged_equivalent(path) == {"0123": "the same"}
