"""The curves that a calibration climbs on: derivatives, beginnings, bounds, and the M-step's way uphill."""

import numpy as np
import pytest

from domain.cat.calibration import Beta, LogNormal, Priors
from domain.cat.calibration.calibrate import _layout
from domain.cat.calibration.curves import (
    GradedCurves,
    LogisticCurves,
    NominalCurves,
    PartialCreditCurves,
    RatingScaleCurves,
)
from domain.cat.calibration.expectation import Expected
from domain.cat.calibration.maximisation import ItemStep, Layout
from domain.cat.grid import DEFAULT_GRID

POINTS = np.linspace(-4, 4, 9)
MIXED, ALIKE = np.array([2, 4, 3]), np.array([4, 4, 4])

# A model and numbers of categories for three items.
CURVES = [
    pytest.param(LogisticCurves(2), np.array([2, 2, 2]), id="2pl"),
    pytest.param(LogisticCurves(3), np.array([2, 2, 2]), id="3pl"),
    pytest.param(LogisticCurves(4), np.array([2, 2, 2]), id="4pl"),
    pytest.param(GradedCurves(MIXED), MIXED, id="grm"),
    pytest.param(PartialCreditCurves(MIXED), MIXED, id="gpcm"),
    pytest.param(RatingScaleCurves(ALIKE), ALIKE, id="rsm"),
    pytest.param(NominalCurves(MIXED), MIXED, id="nominal"),
]


def somewhere(curves, seed=3) -> np.ndarray:
    """Parameters as they come; a lower asymptote below a half and an upper one above it."""
    x = np.random.default_rng(seed).normal(0, 0.7, (3, curves.size))
    if isinstance(curves, LogisticCurves):
        x[:, 2:3], x[:, 3:4] = -np.abs(x[:, 2:3]) - 0.1, np.abs(x[:, 3:4]) + 0.1
    if isinstance(curves, RatingScaleCurves):
        x[:, 0], x[:, 2:] = x[0, 0], x[0, 2:]  # common to all items
    return x


@pytest.mark.parametrize(("curves", "categories"), CURVES)
def test_the_curves_of_the_calibration_are_those_of_the_items(curves, categories) -> None:
    x = somewhere(curves)
    logs = curves.traces(x, POINTS).logs
    wanted = curves.items(x).log_category_probabilities(POINTS).transpose(1, 2, 0)
    real = np.arange(logs.shape[1]) < categories[:, None]
    assert curves.items(x).categories.tolist() == categories.tolist()
    np.testing.assert_allclose(logs[real], wanted[real], atol=1e-12)
    assert (logs[~real] == 0).all()


@pytest.mark.parametrize(("curves", "categories"), CURVES)
def test_the_scores_are_the_derivatives_of_the_logarithms(curves, categories) -> None:
    x = somewhere(curves)
    scores = curves.traces(x, POINTS).scores
    step = 1e-6
    assert scores.shape == (3, categories.max(), curves.size, POINTS.size)
    for at in range(curves.size):
        nudge = np.zeros(curves.size)
        nudge[at] = step
        rise = curves.traces(x + nudge, POINTS).logs - curves.traces(x - nudge, POINTS).logs
        np.testing.assert_allclose(scores[:, :, at], rise / (2 * step), atol=3e-8, err_msg=str(at))


@pytest.mark.parametrize(("curves", "categories"), CURVES)
def test_far_from_an_item_its_logarithms_and_scores_are_numbers(curves, categories) -> None:
    x = somewhere(curves)
    x[:, 0] = 3.0
    traces = curves.traces(x, np.array([-80.0, 80.0]))
    assert traces.logs.shape == (3, categories.max(), 2)
    assert np.isfinite(traces.logs).all()
    assert np.isfinite(traces.scores).all()


SHARES = np.array([[0.3, 0.7, 0.0, 0.0], [0.1, 0.2, 0.3, 0.4], [0.5, 0.25, 0.25, 0.0]])


@pytest.mark.parametrize("slope", [0.5, 1.0, 1.5])
def test_a_calibration_begins_where_a_normal_population_would_give_the_shares_that_were_seen(slope) -> None:
    # The normal approximates the logistic to a hundredth.
    slopes = np.full(3, slope)
    binary = np.array([[0.3, 0.7], [0.9, 0.1], [0.45, 0.55]])
    for curves, shares, wanted in (
        (LogisticCurves(2), binary, binary),
        (GradedCurves(MIXED), SHARES, SHARES),
        (GradedCurves(np.array([2, 2, 2])), binary, binary),
    ):
        x = curves.start(shares, slopes)
        chances = np.exp(curves.traces(x, DEFAULT_GRID.points).logs) @ DEFAULT_GRID.weights
        real = shares > 0
        np.testing.assert_allclose(chances[real], wanted[real], atol=0.015)
        np.testing.assert_allclose(np.exp(x[:, 0]), slope)


def test_a_calibration_with_asymptotes_begins_between_them() -> None:
    shares = np.array([[0.4, 0.6], [0.9, 0.1], [0.01, 0.99]])
    three, four = (LogisticCurves(size).start(shares, np.ones(3)) for size in (3, 4))
    found = LogisticCurves(4).natural(four)
    np.testing.assert_allclose(found["c"], 0.15)
    np.testing.assert_allclose(found["d"], 0.95)
    np.testing.assert_allclose(LogisticCurves(3).natural(three)["c"], 0.15)
    for size, x, upper in ((3, three, 1.0), (4, four, 0.95)):
        chances = np.exp(LogisticCurves(size).traces(x, DEFAULT_GRID.points).logs) @ DEFAULT_GRID.weights
        # Shares beyond the asymptotes are taken for 2 and 98 percent of the way between them.
        inside = 0.15 + (upper - 0.15) * np.clip((shares[:, 1] - 0.15) / (upper - 0.15), 0.02, 0.98)
        np.testing.assert_allclose(chances[:, 1], inside, atol=0.012)


def test_divided_models_begin_at_the_ratios_of_the_shares() -> None:
    slopes = np.array([1.0, 2.0, 0.5])
    shares = SHARES[[1, 1, 1]]
    credit = PartialCreditCurves(ALIKE).start(shares, slopes)
    np.testing.assert_allclose(np.exp(credit[:, 0]), slopes)
    np.testing.assert_allclose(np.exp(credit[:, 1:]), shares[:, 1:] / shares[:, :1])
    nominal = NominalCurves(ALIKE).start(shares, slopes)
    np.testing.assert_allclose(nominal[:, :3], slopes[:, None] * [1 / 3, 2 / 3, 1])
    np.testing.assert_allclose(np.exp(nominal[:, 3:]), shares[:, 1:] / shares[:, :1])
    rating = RatingScaleCurves(ALIKE)
    common = rating.start(shares, np.ones(3))
    at_nought = rating.items(common).category_probabilities(0.0)[0]
    np.testing.assert_allclose(at_nought, shares, rtol=1e-12)  # alike in all items: no compromise is needed
    rare = PartialCreditCurves(ALIKE).start(np.array([[1.0, 0.0, 0.0, 0.0]] * 3), slopes)
    np.testing.assert_allclose(np.exp(rare[:, 1:]), 0.005)


# The layout of the parameters


def test_shared_and_fixed_parameters_go_into_the_vector_and_come_back() -> None:
    index = np.array([[0, 1, -1], [0, 2, 3], [0, 4, 5]])
    fixed = np.array([[9.0, 9.0, 7.0], [9.0] * 3, [9.0] * 3])
    layout = Layout(index, fixed, slopes=True, logistic=False)
    assert (layout.size, layout.shared) == (6, True)
    vector = np.arange(10.0, 16.0)
    np.testing.assert_array_equal(layout.items(vector), [[10, 11, 7], [10, 12, 13], [10, 14, 15]])
    np.testing.assert_array_equal(layout.vector(layout.items(vector)), vector)
    uneven = layout.items(vector)
    uneven[:, 0] = [1.0, 2.0, 6.0]
    assert layout.vector(uneven)[0] == 3.0
    assert not Layout(np.array([[0, 1], [2, 3]]), np.zeros((2, 2)), slopes=True, logistic=False).shared
    nothing = Layout(np.array([[-1, -1]]), np.array([[1.0, 2.0]]), slopes=True, logistic=False)
    assert (nothing.size, nothing.shared) == (0, False)


def test_bounds_hold_slopes_intercepts_and_asymptotes_each_in_its_range() -> None:
    index = np.arange(8).reshape(2, 4)
    four = Layout(index, np.zeros((2, 4)), slopes=True, logistic=True)
    far = np.full(8, 1e3)
    high, low = four.items(four.within_bounds(far)), four.items(four.within_bounds(-far))
    np.testing.assert_allclose(np.exp(high[:, 0]), 20.0)
    np.testing.assert_allclose(np.exp(low[:, 0]), 0.01)
    np.testing.assert_allclose((high[:, 1], low[:, 1]), [[30.0] * 2, [-30.0] * 2])
    assert (high[:, 2] < low[:, 3]).all()  # c stays below d, wherever both go
    np.testing.assert_allclose((low[:, 2], high[:, 3]), [[-9.0] * 2, [9.0] * 2])
    inside = np.tile([0.0, 0.0, -1.0, 1.0], 2)
    assert not four.at_bound(inside).any()
    for place, end in ((0, np.log(20.0)), (1, 30.0), (1, -30.0), (2, -9.0), (3, 9.0)):
        at = inside.copy()
        at[4 + place] = end
        assert four.at_bound(at).tolist() == [False, True]


# The M-step


def expected_of(curves, x, seed=5) -> Expected:
    """The counts that these parameters would lead one to expect, of people who are not quite normal."""
    people = 400 * np.random.default_rng(seed).dirichlet(20 * DEFAULT_GRID.weights + 0.01)
    counts = np.exp(curves.traces(x, DEFAULT_GRID.points).logs) * people
    if hasattr(curves, "categories"):
        counts[np.arange(counts.shape[1]) >= curves.categories[:, None]] = 0.0
    return Expected(0.0, counts, people)


@pytest.mark.parametrize(("curves", "categories"), CURVES)
def test_a_step_leads_no_item_downhill_however_far_off_it_begins(curves, categories) -> None:
    model = {2: "2pl", 3: "3pl", 4: "4pl"}[curves.size] if isinstance(curves, LogisticCurves) else "grm"
    model = {NominalCurves: "nominal", RatingScaleCurves: "rsm"}.get(type(curves), model)
    expected = expected_of(curves, somewhere(curves))
    rng = np.random.default_rng(8)
    for _ in range(40):
        start = somewhere(curves, seed=int(rng.integers(10**6))) * rng.choice([0.1, 1.0, 3.0], (3, 1))
        if model == "rsm":
            start = np.tile(start[0], (3, 1))
        step = ItemStep(
            curves, _layout(model, start, categories, None), Priors.usual(model), DEFAULT_GRID.points
        )
        vector = step.layout.within_bounds(step.layout.vector(start))
        after = step.step(vector, step.traces(vector), expected)
        before = step._heights(vector, step.traces(vector), expected)
        now = step._heights(after, step.traces(after), expected)
        assert (now >= before - 1e-12 * np.abs(before)).all()


@pytest.mark.parametrize("make", [GradedCurves, PartialCreditCurves, NominalCurves])
def test_the_step_of_an_item_does_not_depend_on_the_categories_of_others(make) -> None:
    model = {GradedCurves: "grm", PartialCreditCurves: "gpcm", NominalCurves: "nominal"}[make]
    together = make(MIXED)
    x = somewhere(together) / 3
    expected = expected_of(together, somewhere(together, seed=9) / 2)
    step = ItemStep(together, _layout(model, x, MIXED, None), Priors(), DEFAULT_GRID.points)
    vector = step.layout.vector(x)
    after = step.layout.items(step.step(vector, step.traces(vector), expected))
    for row, count in enumerate(MIXED):
        alone = make(MIXED[[row]])
        columns = np.flatnonzero(step.layout.index[row] >= 0)
        own = _layout(model, x[[row]][:, columns], MIXED[[row]], None)
        single = ItemStep(alone, own, Priors(), DEFAULT_GRID.points)
        counts = Expected(0.0, expected.counts[[row], :count], expected.people)
        first = own.vector(x[[row]][:, columns])
        found = single.step(first, single.traces(first), counts)
        np.testing.assert_allclose(after[row, columns], found, rtol=1e-9)


@pytest.mark.parametrize(("curves", "categories"), CURVES)
def test_the_slope_of_the_m_step_is_the_derivative_of_its_height_priors_included(curves, categories) -> None:
    x = somewhere(curves)
    priors = Priors()
    if isinstance(curves, LogisticCurves):
        priors = Priors(
            a=LogNormal(0.2, 0.4),
            c=Beta(5.0, 17.0) if curves.size > 2 else None,
            d=Beta(17.0, 5.0) if curves.size > 3 else None,
        )
    expected = expected_of(curves, somewhere(curves, seed=9))
    free = Layout(np.arange(x.size).reshape(x.shape), x, slopes=True, logistic=False)
    step = ItemStep(curves, free, priors, DEFAULT_GRID.points)

    def height(at):
        vector = at.ravel()
        return step._heights(vector, step.traces(vector), expected)

    slope = step.slope(x, expected)
    for at in range(curves.size):
        nudge = np.zeros(curves.size)
        nudge[at] = 1e-5
        rise = (height(x + nudge) - height(x - nudge)) / 2e-5
        real = np.arange(3) if categories.max() == categories.min() else np.flatnonzero(categories == 4)
        np.testing.assert_allclose(slope[real, at], rise[real], rtol=1e-5, atol=1e-5)
    assert step.log_prior(x.ravel()) == pytest.approx(step._log_priors(x.ravel()).sum())


@pytest.mark.parametrize(
    ("model", "index"),
    [
        ("grm", [[0, 1, -1, -1], [2, 3, 4, 5], [6, 7, 8, -1]]),
        ("gpcm", [[0, 1, -1, -1], [2, 3, 4, 5], [6, 7, 8, -1]]),
        ("pcm", [[0, 1, -1, -1], [0, 2, 3, 4], [0, 5, 6, -1]]),
        ("nominal", [[0, -1, -1, 1, -1, -1], [2, 3, 4, 5, 6, 7], [8, 9, -1, 10, 11, -1]]),
    ],
)
def test_what_an_item_has_no_category_for_is_no_parameter(model, index) -> None:
    wanted = np.array(index)
    start = np.arange(wanted.size, dtype=float).reshape(wanted.shape)
    layout = _layout(model, start, MIXED, None)
    np.testing.assert_array_equal(layout.index, wanted)
    np.testing.assert_array_equal(layout.fixed, start)
    assert layout.slopes == (model != "nominal")
    assert not layout.logistic


def test_what_all_items_share_is_one_parameter_unless_it_is_fixed() -> None:
    start = np.zeros((3, 4))
    np.testing.assert_array_equal(
        _layout("rsm", start, ALIKE, None).index, [[0, 1, 2, 3], [0, 4, 2, 3], [0, 5, 2, 3]]
    )
    np.testing.assert_array_equal(
        _layout("rsm", start, ALIKE, 1.0).index, [[-1, 0, 1, 2], [-1, 3, 1, 2], [-1, 4, 1, 2]]
    )
    one = _layout("1pl", np.zeros((3, 2)), np.array([2, 2, 2]), None)
    np.testing.assert_array_equal(one.index, [[0, 1], [0, 2], [0, 3]])
    assert one.logistic
    rasch = _layout("1pl", np.zeros((3, 2)), np.array([2, 2, 2]), 1.0)
    np.testing.assert_array_equal(rasch.index, [[-1, 0], [-1, 1], [-1, 2]])
