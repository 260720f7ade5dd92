"""What a calibration refuses, and the least and the oddest that it takes."""

import numpy as np
import pytest

from domain.cat.calibration import Anchors, LogNormal, Priors, calibrate, marginal_log_likelihood
from domain.cat.errors import InvalidItem, InvalidResponse, TooFewItems
from domain.cat.grid import normal_grid
from domain.cat.items import GradedItems, LogisticItems, MultidimensionalItems
from domain.cat.types import MISSING


def answers_of(people: int, items: int) -> np.ndarray:
    return (np.random.default_rng(1).random((people, items)) < 0.5).astype(int)


@pytest.mark.parametrize(
    ("make", "error", "data"),
    [
        (lambda: calibrate(answers_of(40, 2)), TooFewItems, {"have": 2, "wanted": 3}),
        (lambda: calibrate(answers_of(40, 1), "1pl"), TooFewItems, {"have": 1, "wanted": 2}),
        (
            lambda: calibrate(answers_of(40, 1), anchors=Anchors([0], LogisticItems.of(1.0, [0.0]))),
            TooFewItems,
            {"have": 0, "wanted": 1},
        ),
        (lambda: calibrate(answers_of(40, 4), "none"), InvalidItem, {"row": -1}),
        (lambda: calibrate(answers_of(40, 4), "2pl", slope=1.0), InvalidItem, {"row": -1}),
        (lambda: calibrate(answers_of(40, 4), "1pl", slope=0.0), InvalidItem, {"row": -1}),
        (lambda: calibrate(answers_of(40, 4), "1pl", slope=np.inf), InvalidItem, {"row": -1}),
        (lambda: Anchors([0, 0], LogisticItems.of(1.0, [0.0, 1.0])), InvalidItem, {"row": -1}),
        (lambda: Anchors([0, 1], LogisticItems.of(1.0, [0.0])), InvalidItem, {"row": -1}),
        (
            lambda: calibrate(answers_of(40, 4), anchors=Anchors([4], LogisticItems.of(1.0, [0.0]))),
            InvalidItem,
            {"row": -1},
        ),
        (
            lambda: calibrate(answers_of(40, 4), anchors=Anchors([0, 4], LogisticItems.of(1.0, [0.0, 1.0]))),
            InvalidItem,
            {"row": -1},
        ),
        (
            lambda: calibrate(answers_of(40, 4), anchors=Anchors([-1, 0], LogisticItems.of(1.0, [0.0, 1.0]))),
            InvalidItem,
            {"row": -1},
        ),
        (
            lambda: Anchors([0], MultidimensionalItems([[1.0, 0.5]], [0.0], [0.0])),
            InvalidItem,
            {"row": -1},
        ),
        (lambda: calibrate([["a", "b", "c"]]), InvalidResponse, {"row": -1, "column": -1}),
        (lambda: calibrate(np.zeros((0, 4))), InvalidResponse, {"row": -1, "column": -1}),
        (lambda: calibrate(np.zeros((2, 2, 2))), InvalidResponse, {"row": -1, "column": -1}),
        (lambda: calibrate(np.full((5, 4), MISSING)), InvalidResponse, {"row": -1, "column": -1}),
        (
            lambda: calibrate(np.column_stack((answers_of(40, 3), np.arange(40) % 3)), "rsm"),
            InvalidItem,
            {"row": 3},
        ),
        (
            lambda: calibrate(np.column_stack((answers_of(40, 3), np.arange(40) % 2 * 2)), "gpcm"),
            InvalidItem,
            {"row": 3},
        ),
    ],
)
def test_what_is_refused_says_where_and_how_much(make, error, data) -> None:
    with pytest.raises(error) as refused:
        make()
    assert {name: refused.value.data()[name] for name in data} == data


def test_anchors_may_have_more_categories_than_were_seen_or_than_the_model_has() -> None:
    rng = np.random.default_rng(4)
    graded = GradedItems([1.5], [[-1.0, 0.0, 1.0]])
    responses = np.column_stack((answers_of(200, 2), rng.integers(0, 3, 200)))
    anchors = Anchors([2], graded)
    for model in ("2pl", "grm"):
        found = calibrate(responses, model, anchors=anchors, errors=None, max_iterations=20)
        assert found.items.categories.tolist() == [2, 2, 4]
        assert found.log_likelihood == pytest.approx(
            marginal_log_likelihood(found.items, responses, found.grid), abs=1e-7
        )
    responses[5, 2] = 4
    with pytest.raises(InvalidResponse) as refused:
        calibrate(responses, "grm", anchors=anchors)
    assert (refused.value.row, refused.value.column) == (5, 2)


def test_the_marginal_likelihood_of_somebody_hardly_possible_is_a_number_beside_that_of_anybody_else() -> (
    None
):
    items = LogisticItems.of(30.0, np.tile([-4.0, 4.0], 20))
    likely, hardly = np.tile([1, 0], 20), np.tile([0, 1], 20)
    alone = [marginal_log_likelihood(items, [row]) for row in (likely, hardly)]
    assert alone[1] < -2000
    assert marginal_log_likelihood(items, [likely, hardly]) == pytest.approx(sum(alone), rel=1e-12)


def test_as_few_items_as_a_model_needs_are_enough() -> None:
    for items, model, anchors in (
        (3, "2pl", None),
        (2, "1pl", None),
        (3, "2pl", Anchors([0, 1], LogisticItems.of(1.0, [0.0, 0.5]))),
    ):
        found = calibrate(answers_of(60, items), model, anchors=anchors, errors=None)
        assert len(found.items) == items
        assert found.standard_errors is None
        assert found.covariances is None


def test_the_criteria_of_information_count_parameters_and_examinees() -> None:
    responses = answers_of(300, 4)
    responses[7] = MISSING
    found = calibrate(responses, errors=None)
    assert (found.parameters, found.examinees) == (8, 299)
    assert found.aic == pytest.approx(-2 * found.log_likelihood + 16)
    assert found.bic == pytest.approx(-2 * found.log_likelihood + 8 * np.log(299))


@pytest.mark.parametrize("errors", ["observed", "cross-product"])
def test_a_tight_prior_is_the_standard_error_whichever_way_that_is_found(errors) -> None:
    found = calibrate(answers_of(300, 5), "2pl", priors=Priors(a=LogNormal(0.0, 0.01)), errors=errors)
    np.testing.assert_allclose(found.standard_errors["a"], 0.01, rtol=0.02)


@pytest.mark.parametrize("kind", ["anchors", "fixed slope"])
def test_standard_errors_allow_for_what_is_not_known_of_the_group(kind) -> None:
    # Against the Hessian of the marginal likelihood by differences, of items and the group's mean and sd
    # together; it is good to 1e-4.
    rng = np.random.default_rng(21)
    truth = LogisticItems.of([1.2, 0.9, 1.0, 1.5], [-0.5, 0.5, 0.0, 0.8])
    if kind == "fixed slope":
        truth = LogisticItems.of(1.0, truth.b)
    responses = (rng.random((800, 4)) < truth.correct(rng.normal(0.3, 1.2, 800))).astype(int)
    anchors = Anchors([0, 1], truth[[0, 1]]) if kind == "anchors" else None
    if anchors is not None:
        found = calibrate(responses, "2pl", anchors=anchors, tolerance=1e-8)
        at = np.array([*found.items.a[2:], *found.items.b[2:], found.population_mean, found.population_sd])
    else:
        found = calibrate(responses, "1pl", slope=1.0, tolerance=1e-8)
        at = np.array([*found.items.b, found.population_sd])

    def height(values) -> float:
        if anchors is not None:
            a, b = np.append(truth.a[:2], values[:2]), np.append(truth.b[:2], values[2:4])
            mean, sd = values[4:]
        else:
            a, b, mean, sd = np.ones(4), values[:4], 0.0, values[4]
        return marginal_log_likelihood(LogisticItems.of(a, b), responses, normal_grid(mean=mean, sd=sd))

    step, unit = 1e-3, np.eye(at.size)
    bend = [
        [
            sum(s * t * height(at + s * step * one + t * step * two) for s in (1, -1) for t in (1, -1))
            / (4 * step**2)
            for two in unit
        ]
        for one in unit
    ]
    errors = np.sqrt(np.diag(np.linalg.inv(-np.array(bend))))
    if anchors is not None:
        np.testing.assert_allclose(found.standard_errors["a"], errors[:2], rtol=2e-3)
        np.testing.assert_allclose(found.standard_errors["b"], errors[2:4], rtol=2e-3)
    else:
        np.testing.assert_allclose(found.standard_errors["b"], errors[:4], rtol=2e-3)
        assert (found.standard_errors["a"] == 0).all()
