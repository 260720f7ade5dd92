"""`megacity cat simulate`: paths, figures and pictures."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from domain.cat.exposure import Progressive, Proportional, Randomesque
from domain.cat.items import LogisticItems
from domain.cat.lockstep import Limits, administer, by_rule
from domain.cat.selection import (
    AStratified,
    KullbackLeibler,
    MaximumExpectedInformation,
    MaximumInformation,
    PosteriorWeightedInformation,
)
from domain.cat.session import AdaptiveBank
from domain.cat.simulation import draw_responses, simulate
from tests.support.cat_files import column, files_in, rows_of, run, write_bank, write_responses


def test_a_simulation_of_recorded_answers_writes_each_path_with_all_its_digits(bank, answers):
    run("simulate", "--bank", "bank.csv", "--responses", "responses.csv", "--out", "paths.csv")

    rows = rows_of("paths.csv")
    assert list(rows[0]) == ["examinee", "n", "theta", "se", "stop_reason", "items"]
    expected = administer(AdaptiveBank(bank), answers)
    assert [row["examinee"] for row in rows] == [f"e{at}" for at in range(40)]
    assert column(rows, "theta").tolist() == expected.theta.tolist()
    assert column(rows, "se").tolist() == expected.se.tolist()
    for row, count, reason, path in zip(
        rows, expected.counts, expected.stop_reasons, expected.items.tolist(), strict=True
    ):
        assert int(row["n"]) == count
        assert row["stop_reason"] == reason
        assert [int(item) for item in row["items"].split(" ")] == path[:count]
    assert "3" not in rows[0]["items"].split(" ")


@pytest.mark.usefixtures("bank")
def test_the_order_of_the_response_columns_does_not_matter(answers):
    run("simulate", "--bank", "bank.csv", "--responses", "responses.csv", "--out", "one.csv")
    backwards = [f"i{at}" for at in reversed(range(60))]
    write_responses("backwards.csv", answers[:, ::-1], backwards)

    run("simulate", "--bank", "bank.csv", "--responses", "backwards.csv", "--out", "two.csv")

    assert Path("one.csv").read_bytes() == Path("two.csv").read_bytes()


@pytest.mark.usefixtures("bank")
def test_the_same_seed_writes_the_same_file_and_another_does_not():
    for name, seed in (("one.csv", "5"), ("two.csv", "5"), ("three.csv", "6")):
        run("simulate", "--bank", "bank.csv", "--examinees", "30", "--seed", seed, "--out", name)

    assert Path("one.csv").read_bytes() == Path("two.csv").read_bytes()
    assert Path("one.csv").read_bytes() != Path("three.csv").read_bytes()


@pytest.mark.usefixtures("bank", "answers")
def test_limits_are_kept():
    given = ("simulate", "--bank", "bank.csv", "--responses", "responses.csv", "--out", "paths.csv")

    run(*given, "--max-items", "7", "--stop-se", "0")
    rows = rows_of("paths.csv")
    assert {row["n"] for row in rows} == {"7"}
    assert {row["stop_reason"] for row in rows} == {"max_items"}

    run(*given, "--stop-se", "0.6", "--min-items", "9")
    rows = rows_of("paths.csv")
    assert column(rows, "n").min() == 9
    assert (column(rows, "se") < 0.6).all()


@pytest.mark.parametrize(
    ("select", "rule"),
    [
        ("mei", MaximumExpectedInformation()),
        ("pwi", PosteriorWeightedInformation()),
        ("kl", KullbackLeibler()),
        ("randomesque", Randomesque(MaximumInformation(), among=5)),
        ("progressive", Progressive(MaximumInformation(), length=6)),
        ("proportional", Proportional(MaximumInformation(), length=6)),
        ("a-stratified", None),
    ],
)
def test_every_rule_of_choice_takes_the_path_that_its_name_promises(select, rule, bank):
    given = ("simulate", "--bank", "bank.csv", "--examinees", "4", "--seed", "3", "--select", select)
    run(*given, "--max-items", "6", "--stop-se", "0", "--out", "paths.csv")

    rule = rule or AStratified.of(bank, strata=4, length=6)
    expected = simulate(
        AdaptiveBank(bank),
        4,
        np.random.default_rng(3),
        Limits(se=None, max_items=6),
        choosing=by_rule(rule, bank, np.random.default_rng([3, 1]).spawn(4)),
    )
    paths = [[int(item) for item in row["items"].split(" ")] for row in rows_of("paths.csv")]
    assert paths == expected.paths.items.tolist()


@pytest.mark.usefixtures("bank")
def test_quality_is_printed_for_all_and_by_ability():
    printed = run("simulate", "--bank", "bank.csv", "--examinees", "200", "--truth", "truth.csv")

    for word in ("mean length", "RMSE", "bias", "coverage", "exposure", "-1 to 0"):
        assert word in printed
    assert len(rows_of("truth.csv")) == 200


@pytest.mark.usefixtures("bank")
def test_quality_as_json_agrees_with_the_files():
    printed = run(
        "simulate", "--bank", "bank.csv", "--examinees", "150", "--json", "--out", "p.csv", "--truth", "t.csv"
    )

    told, rows = json.loads(printed), rows_of("p.csv")
    error = column(rows, "theta") - column(rows_of("t.csv"), "theta")
    assert told["mean_length"] == pytest.approx(column(rows, "n").mean())
    assert told["bias"] == pytest.approx(error.mean())
    assert told["rmse"] == pytest.approx(np.sqrt((error**2).mean()))
    assert told["coverage"] == pytest.approx(np.mean(np.abs(error) < 1.959964 * column(rows, "se")))
    assert sum(group["examinees"] for group in told["by_ability"]) == 150
    assert len(told["exposure"]) == 60


@pytest.mark.parametrize(("name", "begins"), [("p.svg", b"<?xml"), ("p.png", b"\x89PNG"), ("p.pdf", b"%PDF")])
@pytest.mark.usefixtures("bank")
def test_a_picture_is_drawn_in_the_format_of_its_name(name, begins, folder):
    run("simulate", "--bank", "bank.csv", "--examinees", "20", "--plot", name)

    assert Path(name).read_bytes().startswith(begins)
    assert files_in(folder) == ["bank.csv", name]


@pytest.mark.usefixtures("bank", "answers")
def test_scores_and_forms_have_pictures_too():
    run("score", "--bank", "bank.csv", "--responses", "responses.csv", "--out", "s.csv", "--plot", "s.png")
    run("assemble", "--bank", "bank.csv", "--length", "5", "--out", "f.csv", "--plot", "f.png")

    assert Path("s.png").stat().st_size > 1000
    assert Path("f.png").stat().st_size > 1000


@pytest.mark.parametrize("method", ["mh", "logistic", "lord"])
@pytest.mark.usefixtures("folder")
def test_a_picture_of_dif_names_the_items_that_are_flagged(method):
    rng = np.random.default_rng(3)
    b = np.linspace(-1, 1, 12)
    theta, focal = rng.normal(size=1200), np.arange(1200) % 2
    drawn = draw_responses(LogisticItems.of(1.2, b), theta, rng)
    harder = LogisticItems.of(1.2, [b[3] + 1.5])
    drawn[focal == 1, 3] = draw_responses(harder, theta[focal == 1], rng)[:, 0]
    write_responses("r.csv", drawn)
    Path("g.csv").write_text(
        "\n".join(["examinee,group", *(f"e{at},{each}" for at, each in enumerate(focal))])
    )

    given = ("dif", "--responses", "r.csv", "--group", "g.csv", "--method", method)
    run(*given, "--out", "d.csv", "--plot", "d.svg")

    flagged = {row["item"] for row in rows_of("d.csv") if row["flag"] not in {"A", "-", ""}}
    assert "i3" in flagged
    assert set(re.findall(r"<!-- (i\d+) \(", Path("d.svg").read_text())) == flagged


def test_a_picture_of_a_linking_shows_both_calibrations_on_one_scale(bank):
    write_bank("moved.csv", LogisticItems.of(bank.a / 1.25, bank.b * 1.25 + 0.4, bank.c))
    found = run("link", "--from", "bank.csv", "--to", "moved.csv", "--plot", "l.svg")
    assert json.loads(found)["A"] == pytest.approx(1.25, abs=1e-8)
    drawn = Path("l.svg").read_text()
    assert "<!-- as calibrated there -->" in drawn
    assert "<!-- put there by the linking -->" in drawn
