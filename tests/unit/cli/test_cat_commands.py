"""`megacity cat` score, calibrate, dif, link, assemble: what the numerics find is what the files say."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from domain.cat.ability import eap, map_, ml, wle
from domain.cat.calibration import calibrate, marginal_log_likelihood
from domain.cat.dif.logistic import logistic_dif
from domain.cat.dif.mantel_haenszel import mantel_haenszel
from domain.cat.items import GradedItems, LogisticItems, MixedItems, PartialCreditItems
from domain.cat.simulation import draw_responses
from infra.cli.cat.banks import read_bank
from infra.cli.main import app
from tests.support.cat_files import column, files_in, refused, rows_of, run, write_bank, write_responses


@pytest.mark.parametrize(
    ("method", "estimate"),
    [("eap", eap), ("map", map_), ("ml", ml), ("wle", wle)],
    ids=lambda each: str(each)[:4],
)
def test_scores_are_the_numerics_own(method, estimate, bank, answers):
    run("score", "--bank", "bank.csv", "--responses", "responses.csv", "--method", method, "--out", "s.csv")

    expected, rows = estimate(bank, answers), rows_of("s.csv")
    assert list(rows[0]) == ["examinee", "theta", "se"]
    np.testing.assert_array_equal(column(rows, "theta"), expected.theta)
    np.testing.assert_array_equal(column(rows, "se"), expected.se)


@pytest.mark.usefixtures("bank", "answers")
def test_another_prior_is_obeyed():
    given = ("score", "--bank", "bank.csv", "--responses", "responses.csv", "--out", "s.csv")
    run(*given)
    before = column(rows_of("s.csv"), "theta")

    run(*given, "--prior-mean", "2", "--prior-sd", "0.1")

    assert np.median(column(rows_of("s.csv"), "theta")) > 1.5 > np.median(before)


@pytest.mark.usefixtures("folder")
def test_a_bank_may_hold_several_kinds_of_items():
    Path("bank.csv").write_text(
        "item,model,a,b1,b2,b3,content\n"
        "g1,grm,1.5,-1,0,1,x\n"
        "r1,2pl,1.2,0.5,,,x\n"
        "p1,gpcm,0.8,0.2,-0.1,,y\n"
        "p2,pcm,,0,1,,y\n"
    )

    bank = read_bank(Path("bank.csv"))

    assert isinstance(bank.items, MixedItems)
    assert bank.content == ("x", "x", "y", "y")
    theta = np.array([-0.7, 0.4])
    for row, alone in (
        (0, GradedItems([1.5], [[-1.0, 0.0, 1.0]])),
        (1, LogisticItems.of(1.2, [0.5])),
        (2, PartialCreditItems([0.8], [[0.2, -0.1]])),
        (3, PartialCreditItems([1.0], [[0.0, 1.0]])),
    ):
        np.testing.assert_allclose(bank.items[[row]].information(theta), alone.information(theta), rtol=1e-14)
    write_responses("r.csv", np.array([[3, 1, 2, 0], [0, 0, 1, 2]]), ["g1", "r1", "p1", "p2"])
    run("simulate", "--bank", "bank.csv", "--responses", "r.csv", "--out", "p.csv", "--max-items", "3")
    assert [row["n"] for row in rows_of("p.csv")] == ["3", "3"]


def test_linking_prints_one_object_that_brings_back_the_constants(bank):
    moved = LogisticItems.of(bank.a / 1.25, bank.b * 1.25 + 0.4, bank.c)
    write_bank("moved.csv", moved)

    for method in ("mm", "ms", "haebara", "sl"):
        found = json.loads(run("link", "--from", "bank.csv", "--to", "moved.csv", "--method", method))
        assert list(found) == ["A", "B"]
        # The curve methods search until nine digits stand.
        assert found["A"] == pytest.approx(1.25, abs=1e-8)
        assert found["B"] == pytest.approx(0.4, abs=1e-8)


def test_linking_prints_the_spread_of_its_constants_over_the_items_where_it_is_asked_for(bank):
    rng = np.random.default_rng(5)
    moved = LogisticItems.of(bank.a, bank.b + 0.4 + rng.normal(0, 0.3, 60), bank.c)
    write_bank("moved.csv", moved)
    found = json.loads(run("link", "--from", "bank.csv", "--to", "moved.csv", "--method", "mm", "--errors"))
    assert list(found) == ["A", "B", "se_A", "se_B"]
    assert found["se_A"] == pytest.approx(0, abs=1e-12)
    # The mean of 60 differences, each with a standard deviation of 0.3.
    assert found["se_B"] == pytest.approx(np.std(moved.b - bank.b, ddof=1) / np.sqrt(60), rel=1e-9)


@pytest.mark.parametrize("correction", [True, False])
def test_mantel_haenszel_is_written_item_by_item(correction, answers, groups):
    option = () if correction else ("--no-correction",)
    run("dif", "--responses", "responses.csv", "--group", "groups.csv", "--out", "dif.csv", *option)

    expected, rows = mantel_haenszel(answers, groups, correction=correction), rows_of("dif.csv")
    assert list(rows[0]) == ["item", "statistic", "p_value", "effect", "flag"]
    np.testing.assert_array_equal(column(rows, "statistic"), expected.chi_square)
    np.testing.assert_array_equal(column(rows, "effect"), expected.delta)
    assert tuple(row["flag"] for row in rows) == expected.ets_class


def test_logistic_regression_is_written_item_by_item(answers, groups):
    run(
        "dif",
        "--responses",
        "responses.csv",
        "--group",
        "groups.csv",
        "--method",
        "logistic",
        "--out",
        "d.csv",
    )

    expected, rows = logistic_dif(answers, groups).both, rows_of("d.csv")
    np.testing.assert_array_equal(column(rows, "p_value"), expected.p_value)
    np.testing.assert_array_equal(column(rows, "effect"), expected.r_squared_change)


def test_lord_compares_the_calibrations_of_the_groups(folder):
    rng = np.random.default_rng(8)
    truth = LogisticItems.of(rng.lognormal(0.4, 0.2, 20), rng.normal(size=20))
    theta, focal = rng.normal(size=3000), np.arange(3000) % 2
    harder = LogisticItems.of(truth.a, truth.b + np.eye(20)[2])
    drawn = np.where(
        focal[:, None] == 1, draw_responses(harder, theta, rng), draw_responses(truth, theta, rng)
    )
    write_responses(folder / "r.csv", drawn)
    Path("g.csv").write_text("examinee,group\n" + "".join(f"e{at},{at % 2}\n" for at in range(3000)))

    run("dif", "--responses", "r.csv", "--group", "g.csv", "--method", "lord", "--purify", "--out", "d.csv")

    rows = rows_of("d.csv")
    assert rows[2]["flag"] == "*"
    # A logit harder; the estimates and the linking leave it a standard error of about 0.1.
    assert float(rows[2]["effect"]) == pytest.approx(1.0, abs=0.4)
    assert float(rows[2]["p_value"]) < 1e-6


@pytest.mark.parametrize("model", ["1pl", "2pl", "3pl"])
def test_a_calibration_writes_a_bank_and_how_it_was_found(model, folder):
    rng = np.random.default_rng(4)
    truth = LogisticItems.of(rng.lognormal(0.1, 0.2, 6), rng.normal(size=6))
    drawn = draw_responses(truth, rng.normal(size=1500), rng)  # with 500 the 3PL finds no slope for one
    drawn[3, 1] = -1
    write_responses(folder / "r.csv", drawn)

    run("calibrate", "--responses", "r.csv", "--model", model, "--out", "bank.csv")

    expected, bank = calibrate(drawn, model), read_bank(Path("bank.csv"))
    for field in ("a", "b", "c", "d"):
        np.testing.assert_array_equal(getattr(bank.items, field), getattr(expected.items, field))
    told = json.loads(Path("bank.csv.json").read_text())
    assert told["loglik"] == expected.log_likelihood
    assert told["loglik"] == pytest.approx(marginal_log_likelihood(bank.items, drawn), abs=1e-8)
    assert (told["iterations"], told["converged"]) == (expected.iterations, True)
    assert ("c" in told["priors"]) == (model == "3pl")


@pytest.mark.parametrize("model", ["grm", "gpcm"])
def test_a_polytomous_calibration_can_be_read_again(model, folder):
    rng = np.random.default_rng(4)
    kind = GradedItems if model == "grm" else PartialCreditItems
    truth = kind([1.2, 0.9, 1.5, 1.0], [[-1, 1], [0, np.nan], [-0.5, 0.5], [-1, 0.2]])
    drawn = draw_responses(truth, rng.normal(size=800), rng)
    write_responses(folder / "r.csv", drawn)

    run("calibrate", "--responses", "r.csv", "--model", model, "--out", "bank.csv")

    assert Path("bank.csv").read_text().splitlines()[0] == "item,model,a,b1,b2,content"
    bank = read_bank(Path("bank.csv"))
    assert isinstance(bank.items, kind)
    np.testing.assert_array_equal(bank.items.b, calibrate(drawn, model).items.b)


def test_anchors_stay_as_they_are_and_the_others_come_onto_their_scale(folder):
    rng = np.random.default_rng(6)
    truth = LogisticItems.of(rng.lognormal(0.1, 0.2, 10), rng.normal(size=10))
    write_responses(folder / "r.csv", draw_responses(truth, rng.normal(0.8, 1.0, 4000), rng))
    write_bank(folder / "anchors.csv", truth[:5])

    run("calibrate", "--responses", "r.csv", "--anchors", "anchors.csv", "--out", "bank.csv")

    found = read_bank(Path("bank.csv")).items
    np.testing.assert_array_equal(found[:5].information(0.3), truth[:5].information(0.3))
    # Errors of b are about 0.05 at 4,000 examinees.
    theta = np.linspace(-1, 2, 7)
    curves = found.category_probabilities(theta)[:, :, 1]
    np.testing.assert_allclose(curves, truth.correct(theta), atol=0.06)
    told = json.loads(Path("bank.csv.json").read_text())
    assert told["population"]["mean"] == pytest.approx(0.8, abs=0.1)
    assert list(told["standard_errors"]) == ["i5", "i6", "i7", "i8", "i9"]


def test_a_calibration_that_stops_early_says_so(folder):
    rng = np.random.default_rng(4)
    truth = LogisticItems.of(1.0, rng.normal(size=6))
    write_responses(folder / "r.csv", draw_responses(truth, rng.normal(size=300), rng))

    result = CliRunner().invoke(
        app, ["cat", "calibrate", "--responses", "r.csv", "--out", "b.csv", "--max-iterations", "2"]
    )

    assert "Not converged" in result.stderr
    assert json.loads(Path("b.csv.json").read_text())["converged"] is False


def test_a_form_is_assembled_within_its_constraints(bank):
    Path("c.csv").write_text(
        "constraint,kind,column,value,low,high\nfirst,count,content,a,7,\nsecond,count,content,b,,2\n"
    )

    run("assemble", "--bank", "bank.csv", "--length", "9", "--constraints", "c.csv", "--out", "form.csv")

    rows = rows_of("form.csv")
    chosen = [int(row["index"]) for row in rows]
    assert [row["item"] for row in rows] == [f"i{at}" for at in chosen]
    information = bank.information(0.0)[0]
    best_of = [sorted(range(kind, 60, 2), key=lambda at: -information[at]) for kind in (0, 1)]
    candidates = [sorted(best_of[0][: 9 - count] + best_of[1][:count]) for count in range(3)]
    # A gap of 1e-4 is allowed; these differ by more.
    assert chosen == max(candidates, key=lambda form: information[form].sum())
    np.testing.assert_array_equal(column(rows, "information"), information[chosen])


@pytest.mark.usefixtures("bank")
def test_constraints_that_cannot_be_met_together_are_named(folder):
    Path("c.csv").write_text(
        "constraint,kind,column,value,low,high\nmany,count,content,a,5,\nfew,count,content,a,,4\n"
    )

    said = refused(
        "assemble", "--bank", "bank.csv", "--length", "9", "--constraints", "c.csv", "--out", "f.csv"
    )

    assert "many" in said
    assert "few" in said
    assert "f.csv" not in files_in(folder)
