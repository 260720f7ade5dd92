"""Linking: published constants, exact recovery, an independent criterion, and PyPI mirt."""

import mirt
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from domain.cat.errors import InvalidItem, TooFewItems
from domain.cat.grid import DEFAULT_GRID, grid_of
from domain.cat.items import (
    GradedItems,
    LogisticItems,
    MixedItems,
    MultidimensionalItems,
    NominalItems,
    PartialCreditItems,
)
from domain.cat.linking import Linking, haebara, link, mean_mean, mean_sigma, stocking_lord

D = 1.7  # the published parameters are for the normal-ogive metric; a times 1.7 puts them on ours

# The first example of STUIRT (Kim & Kolen 2004): the twelve common items of Kolen & Brennan, Test equating,
# scaling, and linking, table 6.5, a, b, c of form X and of form Y.
FORM_X = np.array(
    [
        (0.4551, -0.7101, 0.2087),
        (0.5839, -0.8567, 0.2038),
        (0.7544, 0.0212, 0.1600),
        (0.6633, 0.0506, 0.1240),
        (1.0690, 0.9610, 0.2986),
        (0.9672, 0.1950, 0.0535),
        (0.3479, 2.2768, 0.1489),
        (1.4579, 1.0241, 0.2453),
        (1.8811, 1.4062, 0.1992),
        (0.7020, 2.2401, 0.0853),
        (1.4080, 1.5556, 0.0789),
        (1.2993, 2.1589, 0.1075),
    ]
)
FORM_Y = np.array(
    [
        (0.4416, -1.3349, 0.1559),
        (0.5730, -1.3210, 0.1913),
        (0.5987, -0.7098, 0.1177),
        (0.6041, -0.3539, 0.0818),
        (0.9902, 0.5320, 0.3024),
        (0.8081, -0.1156, 0.0648),
        (0.4140, 2.5538, 0.2410),
        (1.3554, 0.5811, 0.2243),
        (1.0417, 0.9392, 0.1651),
        (0.6336, 1.8960, 0.0794),
        (1.1347, 1.0790, 0.0630),
        (0.9255, 2.1337, 0.1259),
    ]
)
POINTS = (-4.0, -3.111, -2.222, -1.333, -0.4444, 0.4444, 1.333, 2.222, 3.111, 4.0)
DENSITY_X = (0.0001008, 0.00276, 0.03021, 0.142, 0.3149, 0.3158, 0.1542, 0.03596, 0.003925, 0.0001862)
DENSITY_Y = (0.0001173, 0.003242, 0.03449, 0.1471, 0.3148, 0.311, 0.1526, 0.03406, 0.00251, 0.0001116)


def three_parameter(form):
    return LogisticItems.of(D * form[:, 0], form[:, 1], form[:, 2])


FORMS = three_parameter(FORM_X), three_parameter(FORM_Y)


def test_the_moments_of_kolen_and_brennans_common_items_give_the_published_constants():
    # six digits are printed
    for found, scale, shift in (
        (mean_mean(*FORMS), 1.217266, -0.557156),
        (mean_sigma(*FORMS), 1.168891, -0.515543),
    ):
        assert pytest.approx(scale, abs=1e-6) == found.A
        assert pytest.approx(shift, abs=1e-6) == found.B


def test_the_curve_methods_reach_the_constants_and_criteria_that_stuirt_prints():
    x, y = grid_of(POINTS, DENSITY_X), grid_of(POINTS, DENSITY_Y)
    tested = stocking_lord(*FORMS, grid=y, from_grid=x)
    assert (pytest.approx(1.083417, abs=1e-6), pytest.approx(-0.487619, abs=1e-6)) == (tested.A, tested.B)
    assert tested.criterion == pytest.approx(0.009666, abs=1e-6)
    each = haebara(*FORMS, grid=y, from_grid=x)
    # STUIRT stops a little before the minimum: 1.067800 and -0.471281 where the gradient is not yet 0
    assert (pytest.approx(1.067800, abs=2e-6), pytest.approx(-0.471281, abs=2e-6)) == (each.A, each.B)
    assert each.criterion == pytest.approx(0.001506, abs=1e-6)


def parscale_items(a, location, steps):
    """GPCM in PARSCALE's form: step k is at location - steps[k]."""
    b = np.full((len(a), max(map(len, steps))), np.nan)
    for row, (at, own) in enumerate(zip(location, steps, strict=True)):
        b[row, : len(own)] = at - np.array(own)
    return PartialCreditItems(D * np.array(a), b)


def mixed_form(logistic, a, location, steps):
    first = three_parameter(np.array(logistic))
    return MixedItems((first, parscale_items(a, location, steps)), (np.arange(12), np.arange(12, 17)))


MIXED_X = mixed_form(
    [
        (0.751335, -0.897391, 0.244001),
        (0.955947, -0.811477, 0.242883),
        (0.497206, -0.858681, 0.260893),
        (0.724000, -0.123911, 0.243497),
        (0.865200, 0.205889, 0.319135),
        (0.658129, 0.555228, 0.277826),
        (1.082118, 0.950549, 0.157979),
        (0.988294, 1.377501, 0.084828),
        (1.248923, 1.614355, 0.181874),
        (1.116682, 2.353932, 0.246856),
        (0.438171, 3.217965, 0.309243),
        (1.082206, 4.441864, 0.192339),
    ],
    (0.269994, 0.972506, 0.378812, 0.537706, 0.554506),
    (0.003998, 1.632662, 3.464657, 1.010053, 2.432938),
    (
        (1.097268, -1.097268),
        (0.106514, -0.106514),
        (2.102301, -2.102301),
        (-0.476513, 1.081282, -0.604770),
        (1.007525, -0.197767, -0.809758),
    ),
)
MIXED_Y = mixed_form(
    [
        (0.887276, -1.334798, 0.134406),
        (1.184412, -1.129004, 0.237765),
        (0.609412, -1.464546, 0.151393),
        (0.923812, -0.576435, 0.240097),
        (0.822776, -0.476357, 0.192369),
        (0.707818, -0.235189, 0.189557),
        (1.306976, 0.242986, 0.165553),
        (1.295471, 0.598029, 0.090557),
        (1.366841, 0.923206, 0.172993),
        (1.389624, 1.380666, 0.238008),
        (0.293806, 2.028070, 0.203448),
        (0.885347, 3.152928, 0.195473),
    ],
    (0.346324, 1.252012, 0.392282, 0.660841, 0.669612),
    (-0.494115, 0.856264, 2.825801, 0.342977, 1.643267),
    (
        (0.893232, -0.893232),
        (0.099750, -0.099750),
        (1.850498, -1.850498),
        (-0.300428, 0.761846, -0.461417),
        (1.001974, -0.107221, -0.894753),
    ),
)


def test_a_test_of_mixed_formats_is_linked_as_stuirts_second_example():
    even = grid_of(np.linspace(-3, 3, 25), np.ones(25))
    found = {
        "mean_mean": mean_mean(MIXED_X, MIXED_Y),
        "mean_sigma": mean_sigma(MIXED_X, MIXED_Y),
        "haebara": haebara(MIXED_X, MIXED_Y, grid=even, from_grid=even),
        "stocking_lord": stocking_lord(MIXED_X, MIXED_Y, grid=even, from_grid=even),
    }
    published = {
        "mean_mean": (0.875095, -0.543611),
        "mean_sigma": (0.887294, -0.560159),
        "haebara": (0.805049, -0.446101),
        "stocking_lord": (0.815445, -0.456487),
    }
    for method, (scale, shift) in published.items():
        assert pytest.approx(scale, abs=1e-6) == found[method].A, method
        assert pytest.approx(shift, abs=1e-6) == found[method].B, method
    assert found["haebara"].criterion == pytest.approx(0.001070, abs=1e-6)
    assert found["stocking_lord"].criterion == pytest.approx(0.057876, abs=1e-6)


# Eight Rasch items linked by sirt's equating.rasch (printed in the tests of itemanalysis psychometrics).
RASCH_FROM = (-3.188047976, 1.031760328, 0.819040914, -2.706947360)
RASCH_FROM += (-0.094527077, 0.689697135, -0.551837153, -0.359559276)
RASCH_TO = (-3.074599226, 1.012824350, 0.868538408, -2.404483603)
RASCH_TO += (0.037402866, 0.700747420, -0.602555046, -0.350426446)


def test_with_a_fixed_scale_rasch_items_are_only_shifted_as_sirt_shifts_them():
    even = grid_of(np.linspace(-4, 4, 161), np.ones(161))
    here, there = LogisticItems.of(1.0, RASCH_FROM), LogisticItems.of(1.0, RASCH_TO)
    assert pytest.approx(0.068484, abs=1e-6) == mean_mean(here, there).B
    for method, published in ((haebara, 0.06468396), (stocking_lord, 0.05736233)):
        found = method(here, there, grid=even, from_grid=even, fixed_scale=True)
        assert found.A == 1.0
        # sirt optimises with R's `optimize`, whose default tolerance is 1.2e-4
        assert pytest.approx(published, abs=1e-4) == found.B


def brute_criterion(method, from_items, to_items, grid):
    """The sums as they are written in the papers, one item and one point at a time."""

    def right(items, j, theta):
        return items.c[j] + (items.d[j] - items.c[j]) / (1 + np.exp(-items.a[j] * (theta - items.b[j])))

    def value(x):
        scale, shift = x
        moved = LogisticItems.of(
            from_items.a / scale, scale * from_items.b + shift, from_items.c, from_items.d
        )
        total = 0.0
        for point, weight in zip(grid.points, grid.weights, strict=True):
            gaps = [right(to_items, j, point) - right(moved, j, point) for j in range(len(moved))]
            total += weight * (
                sum(gaps) ** 2 if method is stocking_lord else sum(g * g for g in gaps) / len(gaps)
            )
        return total

    return value


@pytest.mark.parametrize("method", [haebara, stocking_lord])
def test_the_constants_minimise_the_criterion_of_the_paper_written_apart(method):
    found = method(*FORMS)
    value = brute_criterion(method, *FORMS, DEFAULT_GRID)
    assert found.converged
    assert found.criterion == pytest.approx(value((found.A, found.B)), rel=1e-12)
    # central differences: 1e-5 leaves 1e-10 of the third derivative and 1e-16 / 1e-5 of rounding
    for step in ((1e-5, 0.0), (0.0, 1e-5)):
        ahead, behind = (
            value((found.A + step[0], found.B + step[1])),
            value((found.A - step[0], found.B - step[1])),
        )
        assert abs(ahead - behind) / 2e-5 < 1e-9
    searched = minimize(value, (1.0, 0.0), method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-14})
    # the criterion is flat to 1e-14 over some 1e-6 around its minimum
    assert (
        pytest.approx(searched.x[0], abs=2e-6),
        pytest.approx(searched.x[1], abs=2e-6),
    ) == (found.A, found.B)


def mirt_model(items):
    model = mirt.ThreeParameterLogistic(n_items=len(items))
    model.set_parameters(discrimination=items.a, difficulty=items.b, guessing=items.c)
    return model


@pytest.mark.parametrize("method", ["mean_mean", "mean_sigma", "haebara", "stocking_lord"])
def test_pypi_mirt_finds_the_same_constants(method):
    anchors = list(range(len(FORMS[0])))
    theirs = mirt.link(
        mirt_model(FORMS[1]),
        mirt_model(FORMS[0]),
        anchors,
        anchors,
        method=method,
        theta_range=(-6.0, 6.0),
        n_theta=61,
        weights=DEFAULT_GRID.weights,
        compute_diagnostics=False,
    )
    ours = link(method, *FORMS)
    # theirs is an optimiser's result with a tolerance of its own; the moments agree to rounding
    tolerance = 1e-12 if method.startswith("mean") else 1e-6
    assert pytest.approx(theirs.constants.A, abs=tolerance) == ours.A
    assert pytest.approx(theirs.constants.B, abs=tolerance) == ours.B


scales = st.floats(0.2, 5.0)
shifts = st.floats(-3.0, 3.0)
BANKS = (
    LogisticItems.of([1.0, 1.5, 0.7], [-1.0, 0.2, 1.4], [0.2, 0.0, 0.1], [1.0, 0.95, 0.9]),
    GradedItems([1.0, 1.8], [[-1.0, 0.0, 1.5], [0.3, 0.9, np.nan]]),
    PartialCreditItems([1.0, 0.6], [[0.5, -0.5, 1.5], [0.3, np.nan, np.nan]]),
    NominalItems([[0.0, 0.8, 1.7], [0.0, -0.4, 1.1]], [[0.0, 0.5, -0.3], [0.0, 0.2, 0.6]]),
    MIXED_X,
)


@given(scale=scales, shift=shifts, bank=st.sampled_from(BANKS))
def test_a_transformed_bank_has_the_same_probabilities_at_the_transformed_ability(scale, shift, bank):
    linking = Linking(scale, shift)
    theta = np.linspace(-4, 4, 9)
    moved = linking.items(bank).category_probabilities(linking.theta(theta))
    np.testing.assert_allclose(moved, bank.category_probabilities(theta), atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(
    scale=scales, shift=shifts, bank=st.sampled_from(BANKS), method=st.sampled_from([haebara, stocking_lord])
)
def test_constants_that_fit_exactly_are_found_to_nine_digits(scale, shift, bank, method):
    # weights that reach the items wherever the scale puts them; N(0, 1) sees nothing at 20 logits
    wide = grid_of(np.linspace(-25, 25, 251), np.ones(251))
    found = method(bank, Linking(scale, shift).items(bank), grid=wide)
    assert found.converged
    assert pytest.approx(scale, rel=1e-9) == found.A
    assert pytest.approx(shift, rel=1e-9, abs=1e-9) == found.B


@pytest.mark.parametrize("method", ["mean_mean", "mean_sigma", "haebara", "stocking_lord"])
def test_a_scale_of_school_points_is_linked_to_logits(method):
    """From a scale with mean 500 and unit 100: its origin lies five thousand units of A away."""
    logits = three_parameter(FORM_X)
    points = Linking(100.0, 500.0).items(logits)
    found = link(method, points, logits)
    assert (pytest.approx(0.01, rel=1e-9), pytest.approx(-5.0, rel=1e-9)) == (found.A, found.B)


@settings(max_examples=20, deadline=None)
@given(scale=st.floats(0.5, 2.0), shift=shifts, seed=st.integers(0, 2**32 - 1))
def test_a_change_of_the_from_scale_changes_the_constants_and_not_the_result(scale, shift, seed):
    """With noise on the parameters, so that no constants fit exactly."""
    rng = np.random.default_rng(seed)
    there = FORMS[1]
    here = LogisticItems.of(there.a * rng.uniform(0.8, 1.2, 12), there.b + rng.normal(0, 0.2, 12), there.c)
    other = Linking(scale, shift)
    for method in (haebara, stocking_lord):
        straight, around = method(here, there), other.then(method(other.items(here), there))
        assert straight.converged
        assert pytest.approx(straight.A, rel=1e-9) == around.A
        assert pytest.approx(straight.B, abs=1e-9) == around.B


def test_a_chain_of_linkings_is_the_linking_of_the_chain():
    first, second = Linking(1.3, -0.4), Linking(0.8, 0.7)
    theta = np.array([-1.5, 0.0, 2.0])
    np.testing.assert_allclose(first.then(second).theta(theta), second.theta(first.theta(theta)), rtol=1e-15)
    back = first.then(second).inverse()
    np.testing.assert_allclose(back.theta(first.then(second).theta(theta)), theta, atol=1e-15)
    assert not first.then(Linking(1.0, 0.0, converged=False)).converged


def test_one_item_is_enough_for_its_curve_but_not_for_a_spread():
    item, moved = LogisticItems.of(1.2, [0.3]), Linking(1.1, 0.2).items(LogisticItems.of(1.2, [0.3]))
    assert pytest.approx(1.1, rel=1e-9) == haebara(item, moved).A
    with pytest.raises(TooFewItems) as refused:
        mean_sigma(item, moved)
    assert (refused.value.have, refused.value.wanted) == (1, 2)


@pytest.mark.parametrize("method", ["mean_mean", "mean_sigma", "haebara", "stocking_lord"])
def test_sides_that_do_not_match_are_refused(method):
    two, three = LogisticItems.of(1.0, [0.0, 1.0]), LogisticItems.of(1.0, [0.0, 1.0, 2.0])
    with pytest.raises(InvalidItem, match="2 on one side and 3 on the other"):
        link(method, two, three)
    with pytest.raises(TooFewItems):
        link(method, two[:0], two[:0])
    graded = GradedItems([1.0, 1.0], [[-1.0, 1.0], [0.0, np.nan]])
    with pytest.raises(InvalidItem) as refused:
        link(method, two, graded)
    assert refused.value.row == 0


def test_difficulties_without_spread_give_no_scale():
    same = LogisticItems.of([1.0, 2.0], [0.5, 0.5])
    with pytest.raises(InvalidItem, match="all equal"):
        mean_sigma(same, LogisticItems.of(1.0, [0.0, 1.0]))


def test_nominal_items_have_curves_to_link_and_no_moments():
    nominal = BANKS[3]
    with pytest.raises(InvalidItem):
        mean_mean(nominal, nominal)
    moved = Linking(1.2, -0.3).items(nominal)
    assert pytest.approx(-0.3, rel=1e-9) == haebara(nominal, moved).B


def test_items_of_several_abilities_cannot_be_put_on_another_single_scale():
    with pytest.raises(InvalidItem):
        Linking(1.2, 0.0).items(MultidimensionalItems([[1.0, 0.5]], [0.0], [0.0]))


def test_where_no_curve_moves_under_the_weights_it_is_told_that_nothing_was_found():
    far_off = LogisticItems.of(4.0, [80.0, 90.0])
    assert not stocking_lord(far_off, far_off).converged
