"""The parts of a calibration, each by itself: the population, the climb, the table of responses, priors."""

import numpy as np
import pytest
from scipy.stats import norm

from domain.cat.calibration import Beta, LogNormal, Priors
from domain.cat.calibration.acceleration import ascend
from domain.cat.calibration.expectation import ResponseTable
from domain.cat.calibration.population import Population
from domain.cat.errors import InvalidItem
from domain.cat.grid import DEFAULT_GRID, normal_grid
from domain.cat.types import MISSING

# The population


def test_a_normal_tilted_is_the_normal_that_the_formula_says() -> None:
    grid = normal_grid(241, -12.0, 12.0)
    population = Population(grid.points, np.log(grid.weights), (True, True))
    for mean, sd in ((0.0, 1.0), (0.0, 1.4), (0.7, 1.3), (-0.5, 0.6)):
        tilt = np.array([mean / sd**2, (1 - 1 / sd**2) / 2])
        assert population.moments(tilt) == (pytest.approx(mean, abs=1e-9), pytest.approx(sd, abs=1e-9))
        weights = np.exp(population.tilted(tilt))
        wanted = norm.pdf(grid.points, mean, sd)
        np.testing.assert_allclose(weights, wanted / wanted.sum(), atol=1e-12)
        found = population.step(np.zeros(2), 500 * wanted)
        np.testing.assert_allclose(found, tilt, atol=1e-9)
        np.testing.assert_allclose(population.step(found, 500 * wanted), tilt, atol=1e-9)


@pytest.mark.parametrize("free", [(True, False), (False, True), (True, True)])
def test_the_slopes_of_a_population_are_the_derivatives_of_its_log_weights(free) -> None:
    population = Population(DEFAULT_GRID.points, np.log(DEFAULT_GRID.weights), free)
    assert population.size == sum(free)
    tilt, step = np.full(population.size, -0.2), 1e-6
    for at, slopes in enumerate(population.scores(tilt)):
        nudge = np.zeros(population.size)
        nudge[at] = step
        rise = (population.tilted(tilt + nudge) - population.tilted(tilt - nudge)) / (2 * step)
        np.testing.assert_allclose(slopes, rise, atol=1e-8)
    people = norm.pdf(DEFAULT_GRID.points, 0.4, 1.2)
    weights = np.exp(population.tilted(population.step(tilt, people)))
    for power, wanted in zip((1, 2), free, strict=True):
        if wanted:
            seen = DEFAULT_GRID.points**power @ people / people.sum()
            assert weights @ DEFAULT_GRID.points**power == pytest.approx(seen, abs=1e-10)


def test_a_population_far_from_where_it_began_is_reached_uphill() -> None:
    grid = normal_grid(241, -12.0, 12.0)
    population = Population(grid.points, np.log(grid.weights), (True, True))
    tilt = population.step(np.zeros(2), norm.pdf(grid.points, 5.0, 0.3))
    assert population.moments(tilt) == (pytest.approx(5.0, abs=1e-6), pytest.approx(0.3, abs=1e-6))


def test_a_population_of_which_nothing_is_free_stays() -> None:
    population = Population(DEFAULT_GRID.points, np.log(DEFAULT_GRID.weights), (False, False))
    nothing = np.zeros(0)
    assert population.size == 0
    assert population.step(nothing, np.ones(61)).size == 0
    np.testing.assert_allclose(np.exp(population.tilted(nothing)), DEFAULT_GRID.weights, rtol=1e-12)
    assert population.moments(nothing) == (pytest.approx(0, abs=1e-15), pytest.approx(DEFAULT_GRID.sd))


# The climb


def towards(target, rate):
    """Each plain step goes a share `rate` of the way; the height falls with the square of the distance."""

    def evaluate(x):
        return -float(((x - target) ** 2).sum()), x + rate * (target - x)

    return evaluate


def stay(x):
    return x


def test_a_climb_of_slow_steps_is_made_short() -> None:
    target = np.array([3.0, -1.0, 0.5, 2.0])
    rates = np.array([0.02, 0.05, 0.1, 0.3])
    top = ascend(towards(target, rates), np.zeros(4), stay, tolerance=1e-10, max_evaluations=500)
    np.testing.assert_allclose(top.point, target, atol=1e-6)
    assert top.converged
    assert top.evaluations < 40  # plain steps of 2 percent need a thousand
    assert top.height == pytest.approx(0, abs=1e-10)
    assert top.last_change <= 1e-10


def test_a_climb_uses_no_more_evaluations_than_it_may_and_says_that_it_is_not_there() -> None:
    for most in (1, 2, 5):
        seen = []

        def evaluate(x, seen=seen):
            seen.append(x)
            return towards(np.full(4, 9.0), np.array([0.1, 0.2, 0.4, 0.7]))(x)

        top = ascend(evaluate, np.zeros(4), stay, tolerance=1e-12, max_evaluations=most)
        assert (len(seen), top.evaluations, top.converged) == (most, most, False)
        assert top.last_change > 1e-12
        np.testing.assert_array_equal(top.point, seen[-1])


def test_a_climb_that_begins_at_the_top_ends_there() -> None:
    top = ascend(towards(np.ones(2), 0.5), np.ones(2), stay, tolerance=1e-9, max_evaluations=10)
    assert (top.evaluations, top.converged, top.last_change) == (1, True, 0.0)
    exactly = ascend(towards(np.ones(2), 0.5), np.ones(2), stay, tolerance=0.0, max_evaluations=10)
    assert exactly.converged
    nothing = ascend(lambda x: (-1.0, x), np.zeros(0), stay, tolerance=1e-9, max_evaluations=10)
    assert (nothing.height, nothing.converged) == (-1.0, True)


def test_a_climb_keeps_within_its_bounds() -> None:
    seen = []

    def evaluate(x):
        seen.append(x.copy())
        return towards(np.full(2, 5.0), np.array([0.3, 0.6]))(x)

    top = ascend(evaluate, np.zeros(2), lambda x: np.clip(x, -1, 2), tolerance=1e-9, max_evaluations=60)
    assert max(x.max() for x in seen) <= 2
    np.testing.assert_allclose(top.point, 2.0)


def test_where_a_leap_falls_off_the_climb_goes_on_by_plain_and_then_by_shorter_steps() -> None:
    heights = []

    def evaluate(x):
        # Beyond 4 there is an abyss; plain steps of twice the way to 3 would land in it.
        height = np.nan if x[0] > 4 else -float((x[0] - 3.0) ** 2)
        heights.append(height)
        return height, x + 2.5 * (3.0 - x)

    top = ascend(evaluate, np.zeros(1), stay, tolerance=1e-6, max_evaluations=200)
    assert top.height == pytest.approx(0, abs=1e-4)
    assert np.isnan(heights).any()
    assert top.evaluations == len(heights)


def test_a_climb_with_no_way_on_ends_at_the_last_point_that_has_a_height() -> None:
    top = ascend(
        lambda x: (0.0 if x[0] == 0 else np.nan, x + 1.0),
        np.zeros(1),
        stay,
        tolerance=1e-6,
        max_evaluations=50,
    )
    assert (top.point[0], top.height, top.converged) == (0.0, 0.0, False)
    assert top.evaluations == 8  # the start, the whole step, and a half to a sixty-fourth of it
    top = ascend(
        lambda x: (0.0 if x[0] == 0 else np.nan, x + 1.0),
        np.zeros(1),
        stay,
        tolerance=1e-6,
        max_evaluations=4,
    )
    assert top.evaluations == 4


# The table of responses


def test_shares_of_the_answers_are_of_those_who_answered_or_of_all_where_nobody_missed_one() -> None:
    given = np.array([[0, 1], [1, 2], [1, 0], [1, 1]])
    table = ResponseTable(given, np.array([2, 3]))
    np.testing.assert_allclose(table.shares, [[0.25, 0.75, 0], [0.25, 0.5, 0.25]])
    assert table.complete
    assert (table.examinees, table.items, table.width) == (4, 2, 3)


@pytest.mark.parametrize("people", [5, 511, 512, 513, 1100])
@pytest.mark.parametrize("missing", [0.0, 0.4])
@pytest.mark.parametrize("kind", ["graded", "right or wrong"])
def test_the_expectation_is_that_of_everybody_one_after_the_other(people, missing, kind) -> None:
    rng = np.random.default_rng(people)
    categories = np.array([2, 4, 3]) if kind == "graded" else np.array([2, 2, 2])
    given = np.column_stack([np.arange(people) % count for count in categories])
    rng.permuted(given, axis=0, out=given)
    given[rng.random(given.shape) < missing] = MISSING
    given[:4] = np.minimum(np.arange(4)[:, None], categories - 1)  # every category by somebody
    fixed = rng.normal(size=(people, 7))
    logs = np.zeros((3, categories.max(), 7))
    for item, count in enumerate(categories):
        logs[item, :count] = np.log(rng.dirichlet(np.ones(count), 7)).T
    log_weights = np.log(rng.dirichlet(np.ones(7)))

    for known in (None, fixed):
        counts, seen, total = np.zeros_like(logs), np.zeros(7), 0.0
        for person, answers in enumerate(given):
            line = log_weights.copy() if known is None else log_weights + known[person]
            for item, answer in enumerate(answers):
                if answer != MISSING:
                    line += logs[item, answer]
            joint = np.exp(line)
            total += np.log(joint.sum())
            seen += joint / joint.sum()
            for item, answer in enumerate(answers):
                if answer != MISSING:
                    counts[item, answer] += joint / joint.sum()
        found = ResponseTable(given, categories, known).expect(logs, log_weights)
        assert found.log_likelihood == pytest.approx(total, rel=1e-12)
        np.testing.assert_allclose(found.people, seen, rtol=1e-10)
        np.testing.assert_allclose(found.counts, counts, atol=1e-9)


# Priors


def test_the_usual_priors_are_on_asymptotes_and_on_the_slopes_of_the_4pl() -> None:
    assert Priors.usual("3pl") == Priors(c=Beta(5.0, 17.0))
    assert Priors.usual("4pl") == Priors(a=LogNormal(0.0, 0.5), c=Beta(5.0, 17.0), d=Beta(17.0, 5.0))
    for model in ("1pl", "2pl", "grm", "gpcm", "pcm", "rsm", "nominal"):
        assert Priors.usual(model) == Priors()


@pytest.mark.parametrize(
    "make",
    [
        lambda: Beta(0.999, 2.0),
        lambda: Beta(2.0, 0.999),
        lambda: Beta(np.inf, 2.0),
        lambda: Beta(2.0, np.inf),
        lambda: Beta(np.nan, 2.0),
        lambda: LogNormal(0.0, 0.0),
        lambda: LogNormal(np.nan, 1.0),
        lambda: LogNormal(0.0, np.inf),
        lambda: LogNormal(0.0, -1.0),
    ],
)
def test_a_density_that_is_none_is_refused_for_no_row(make) -> None:
    with pytest.raises(InvalidItem) as refused:
        make()
    assert refused.value.row == -1


def test_a_flat_beta_is_a_prior() -> None:
    np.testing.assert_allclose(Beta(1.0, 1.0).log_density(np.array([0.1, 0.9])), 0.0, atol=1e-12)
    slope, bend = Beta(1.0, 1.0).slope_and_bend(np.array([-2.0, 0.0, 3.0]))
    assert (slope == 0).all()
    assert (bend == 0).all()
