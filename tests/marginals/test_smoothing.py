"""Stacked kernels on a grid, beside the sums over pairs of rows that they stand for."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats as st
from scipy.optimize import minimize

from skgauss.marginals import smoothing
from skgauss.marginals.smoothing import binned_counts, grid_for, stacked_spline

COARSE, FINE = grid_for(100), grid_for(1e6)
WIDTHS = COARSE.widths


def standardised(columns):
    Y = np.atleast_2d(columns)
    return (Y - Y.mean(axis=1, keepdims=True)) / Y.std(axis=1, keepdims=True)


def skewed(n_rows=80, seed=0):
    return standardised(np.random.default_rng(seed).gamma(2.0, size=n_rows))[0]


def on_bins(y, grid=COARSE):
    """Values moved to the nearest bin: linear binning is exact there."""
    return grid.bins[np.abs(np.subtract.outer(y, grid.bins)).argmin(axis=1)]


def kernel_densities(points, y, weight=None, widths=WIDTHS):
    """Densities of the shrunk, smoothed rows, summed over every row; one row per width."""
    weight = np.ones(len(y)) if weight is None else weight
    shrink = 1 / np.sqrt(1 + widths**2)
    kernels = [
        st.norm(a * y, a * h).pdf(points[:, None]) for a, h in zip(shrink, widths, strict=True)
    ]
    return np.array([kernel @ weight / weight.sum() for kernel in kernels])


def fit(Y, grid=COARSE, weight=None, learning_rate=1.0):
    return stacked_spline(binned_counts(np.atleast_2d(Y), weight, grid), grid, learning_rate)


# Binning


@pytest.mark.parametrize("grid", [COARSE, FINE], ids=["coarse", "fine"])
@pytest.mark.parametrize("weighted", [False, True])
def test_counts_are_those_of_a_loop(grid, weighted):
    rng = np.random.default_rng(0)
    Y = np.hstack([2 * rng.normal(size=(3, 200)), [[-7.0, 6.0, 1e9]] * 3, np.zeros((3, 2))])
    weight = rng.uniform(0, 3, Y.shape[1]) if weighted else None
    step = grid.bins[1] - grid.bins[0]
    expected = np.zeros((3, len(grid.bins)))
    for column, counts in zip(Y, expected, strict=True):
        for i, y in enumerate(column):
            nearness = np.maximum(0, 1 - np.abs(np.clip(y, -6, 6) - grid.bins) / step)
            counts += nearness * (1 if weight is None else weight[i])
    np.testing.assert_allclose(binned_counts(Y, weight, grid), expected, atol=1e-10)


def test_binning_leaves_its_input_alone_and_keeps_mass_and_mean():
    Y = np.random.default_rng(0).normal(size=(4, 1000))
    before, counts = Y.copy(), binned_counts(Y, None, COARSE)
    np.testing.assert_array_equal(Y, before)
    np.testing.assert_allclose(counts.sum(axis=1), 1000)
    np.testing.assert_allclose(counts @ COARSE.bins / 1000, Y.mean(axis=1), atol=1e-12)


def test_tables_of_50_000_rows_have_the_finer_grid():
    assert grid_for(50_000) is FINE
    assert grid_for(49_999) is COARSE
    assert FINE.widths.min() < COARSE.widths.min()


# Kernels


@pytest.mark.parametrize("grid", [COARSE, FINE], ids=["coarse", "fine"])
def test_densities_are_the_sums_over_rows(grid):
    """Exact for rows on bins; for others to what linear binning costs, (step / width)^2 / 8."""
    y = skewed()
    step = grid.bins[1] - grid.bins[0]
    for rows, tolerance in ((on_bins(y, grid), 1e-9), (y, 0.2 * (step / grid.widths[0]) ** 2)):
        share = binned_counts(rows[None], None, grid)[0] / len(rows)
        densities = grid.kernels @ share
        expected = kernel_densities(grid.bins, rows, widths=grid.widths)
        error = np.abs(densities - expected).max(axis=1) / expected.max(axis=1)
        assert error.max() < tolerance


def test_cdf_survival_and_density_at_the_knots_are_the_sums_over_rows():
    rows = on_bins(skewed())
    share = binned_counts(rows[None], None, COARSE)[0] / len(rows)
    for k, h in enumerate(WIDTHS):
        a = 1 / math.sqrt(1 + h**2)
        smoothed = st.norm(a * rows, a * h)
        x = COARSE.knots[:, None]
        for table, expected in (
            (COARSE.cdf, smoothed.cdf(x)),
            (COARSE.survival, smoothed.sf(x)),
            (COARSE.density, smoothed.pdf(x)),
        ):
            np.testing.assert_allclose(table[k] @ share, expected.mean(axis=1), atol=1e-300)


@pytest.mark.parametrize("kind", ["two values", "uniform", "triangle"])
def test_smoothing_keeps_mean_and_variance(kind):
    """No width inflates the variance, unlike a plain kernel density."""
    rng = np.random.default_rng(0)
    y = {
        "two values": np.repeat([-1.0, 1.0], [30, 70]),
        "uniform": rng.uniform(size=300),
        "triangle": rng.triangular(0, 0, 1, size=300),
    }[kind]
    y = standardised(y)[0]
    points = np.linspace(-15, 15, 3001)
    for density in kernel_densities(points, y):
        assert np.trapezoid(density * points, points) == pytest.approx(0, abs=1e-6)
        assert np.trapezoid(density * points**2, points) == pytest.approx(1, abs=1e-4)
    densities = COARSE.kernels @ (binned_counts(y[None], None, COARSE)[0] / len(y))
    step = COARSE.bins[1] - COARSE.bins[0]
    np.testing.assert_allclose(densities.sum(axis=1) * step, 1, atol=1e-4)
    np.testing.assert_allclose(densities @ COARSE.bins * step, 0, atol=1e-3)
    np.testing.assert_allclose(densities @ COARSE.bins**2 * step, 1, atol=1e-3)


# Leaving one out, and stacking


@pytest.fixture
def stacked(monkeypatch):
    """What `stacked_spline` hands to the stacking, and what comes back."""
    seen, stack = {}, smoothing._stack

    def recorded(share, densities, allowed):
        seen["arguments"] = share, densities, allowed
        seen["weights"], seen["likelihood"] = stack(share, densities, allowed)
        return seen["weights"].copy(), seen["likelihood"]

    monkeypatch.setattr(smoothing, "_stack", recorded)
    return seen


@pytest.mark.parametrize("copies", [1, 3])
def test_leave_one_out_densities_are_those_without_the_row(stacked, copies):
    """Each distinct row on a bin of its own: one copy of it is removed, the others stay."""
    rows = np.repeat(np.unique(on_bins(skewed(40))), copies)
    weight = None if copies == 1 else np.full(len(rows) // copies, float(copies))
    fit(rows if weight is None else rows[::copies], weight=weight)
    _, densities, _ = stacked["arguments"]
    for row in np.unique(rows):
        without = np.delete(rows, np.flatnonzero(rows == row)[0])
        expected = kernel_densities(np.array([row]), without)[:, 0]
        here = densities[0][:-1, COARSE.bins == row][:, 0]
        np.testing.assert_allclose(here, np.maximum(expected, 1e-300), rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(densities[0][-1], st.norm.pdf(COARSE.bins))


def best_on_the_simplex(densities, share):
    """The largest likelihood of any mixture, by a general optimiser."""

    def loss(w):
        mixed = np.maximum(w @ densities, 1e-300)
        return -share @ np.log(mixed), -(densities / mixed) @ share

    start = np.full(len(densities), 1 / len(densities))
    found = minimize(
        loss,
        start,
        jac=True,
        method="SLSQP",
        bounds=[(0, 1)] * len(start),
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": lambda w: np.ones(len(w))},
        options={"maxiter": 500, "ftol": 1e-12},
    )
    assert found.success
    return -found.fun


@pytest.mark.parametrize("kind", ["skewed", "bimodal", "normal"])
@pytest.mark.parametrize(("n_steps", "tolerance"), [(None, 0.05), (1000, 5e-4)])
def test_stacking_is_nearly_the_likeliest_mixture_of_widths(
    stacked, monkeypatch, kind, n_steps, tolerance
):
    """Within so many nats per row of the optimum, for every set of widths, and never beyond it.

    The few steps of EM are a choice, for speed: more of them reach the optimum.
    """
    if n_steps:
        monkeypatch.setattr(smoothing, "_N_EM", n_steps)
    rng = np.random.default_rng(0)
    y = {
        "skewed": rng.gamma(2.0, size=1000),
        "bimodal": np.concatenate([rng.normal(-2, 0.3, 500), rng.normal(2, 1, 500)]),
        "normal": rng.normal(size=1000),
    }[kind]
    fit(standardised(y))
    share, densities, allowed = stacked["arguments"]
    assert allowed.shape == (len(WIDTHS), len(WIDTHS) + 1)
    for s, members in enumerate(allowed.astype(bool)):
        assert members.tolist() == [t >= s for t in range(len(WIDTHS))] + [True]
        weights = stacked["weights"][0, s]
        assert (weights[~members] == 0).all()
        assert weights.sum() == pytest.approx(1)
        mixed = weights @ densities[0]
        assert stacked["likelihood"][0, s] == pytest.approx(share[0] @ np.log(mixed))
        best = best_on_the_simplex(densities[0][members], share[0])
        assert best - tolerance < stacked["likelihood"][0, s] < best + 1e-7


def test_gain_is_the_leave_one_out_likelihood_over_the_normal(stacked):
    y = standardised(np.random.default_rng(0).uniform(size=(2, 2000)))
    spline, gain = fit(y)
    share, _, _ = stacked["arguments"]
    normal = share @ st.norm.logpdf(COARSE.bins)
    gains = stacked["likelihood"] - normal[:, None]
    worth = 2000 * gains - smoothing._CHARGE / WIDTHS
    np.testing.assert_array_equal(spline.columns, [0, 1])
    np.testing.assert_allclose(gain, gains[[0, 1], worth.argmax(axis=1)])


# The map


def reference_map(stacked, column=0):
    """Quantile map of the stacked density from its definition, on a column that is moved."""
    share, _, _ = stacked["arguments"]
    n_rows = stacked["n_rows"]
    gains = stacked["likelihood"][column] - share[column] @ st.norm.logpdf(COARSE.bins)
    weights = stacked["weights"][column, np.argmax(n_rows * gains - smoothing._CHARGE / WIDTHS)]
    weights[-1] = max(weights[-1], smoothing._MIN_NORMAL)
    weights /= weights.sum()
    cdf = weights[-1] * st.norm.cdf(COARSE.knots)
    for w, h in zip(weights, WIDTHS, strict=False):
        a = 1 / math.sqrt(1 + h**2)
        cdf += w * st.norm(a * COARSE.bins, a * h).cdf(COARSE.knots[:, None]) @ share[column]
    return st.norm.ppf(cdf)


def test_map_takes_the_stacked_distribution_to_the_normal(stacked):
    y = standardised(np.random.default_rng(1).gamma(2.0, size=3000))
    stacked["n_rows"] = 3000
    spline, _ = fit(y)
    np.testing.assert_allclose(spline.z[0], reference_map(stacked), atol=1e-5)
    # The slopes are those of the distribution itself, not of the secants.
    secants = np.diff(spline.z[0]) / np.diff(COARSE.knots)
    ends = np.stack([spline.slope[0, 1:], spline.slope[0, :-1]])
    inner = slice(3, -3)  # the edges' slopes are bounded
    assert np.all((0.9 * ends.min(axis=0) < secants)[inner])
    assert np.all((secants < 1.1 * ends.max(axis=0))[inner])


@pytest.mark.parametrize("learning_rate", [0.1, 0.5, 1.0])
def test_learning_rate_is_the_share_of_the_way(learning_rate):
    y = standardised(np.random.default_rng(1).gamma(2.0, size=3000))
    whole, gain = fit(y)
    part, same_gain = fit(y, learning_rate=learning_rate)
    expected = COARSE.knots + learning_rate * (whole.z - COARSE.knots)
    np.testing.assert_allclose(part.z, expected, atol=1e-5)
    np.testing.assert_allclose(part.slope, 1 + learning_rate * (whole.slope - 1), atol=1e-5)
    np.testing.assert_array_equal(gain, same_gain)


def test_knots_increase_and_slopes_are_positive_and_bounded_at_the_edges():
    rng = np.random.default_rng(0)
    columns = [
        rng.uniform(size=2000),
        rng.standard_t(3, 2000),
        np.repeat([0.0, 1.0], [200, 1800]),
        rng.lognormal(size=2000),
        rng.integers(3, size=2000).astype(float),
    ]
    spline, _ = fit(standardised(np.array(columns)))
    assert (np.diff(spline.z, axis=1) > 0).all()
    assert (spline.slope > 0).all()
    assert np.isfinite(spline.slope).all()
    assert (spline.slope[:, [0, -1]] <= 1).all()


def test_weights_are_copies():
    y = np.random.default_rng(0).gamma(2.0, size=(2, 500))
    weight = np.random.default_rng(1).integers(1, 4, 500)
    weighted, copied = (
        fit(y, weight=weight.astype(float)),
        fit(np.repeat(y, weight, axis=1)),
    )
    np.testing.assert_array_equal(weighted[0].columns, copied[0].columns)
    assert len(copied[0].columns)
    np.testing.assert_allclose(weighted[0].z, copied[0].z, rtol=1e-6)
    np.testing.assert_allclose(weighted[1], copied[1], rtol=1e-9)


def test_columns_are_fitted_one_by_one():
    Y = standardised(np.random.default_rng(0).gamma(2.0, size=(4, 1000)))
    together, gain = fit(Y)
    for j, column in enumerate(Y):
        alone, its_gain = fit(column)
        np.testing.assert_allclose(alone.z[0], together.z[j], rtol=1e-6)
        assert its_gain[0] == pytest.approx(gain[j])


# What it is good for


@pytest.mark.parametrize("n_rows", [20, 100, 1000, 10_000])
def test_a_normal_sample_is_mostly_left_alone(n_rows):
    """At most one direction in ten of whitened normal ones is moved, at any size."""
    Y = standardised(np.random.default_rng(n_rows).normal(size=(300, n_rows)))
    spline, gain = fit(Y)
    assert len(spline.columns) <= 0.1 * len(Y)
    left = np.setdiff1d(np.arange(300), spline.columns)
    np.testing.assert_array_equal(gain[left], 0)
    assert (gain[spline.columns] > 0).all()


def test_moving_does_not_lose_likelihood_on_normal_samples():
    """The few that are moved cost little on new rows: 0.002 nats per column on average."""
    n_rows = 500
    Y = standardised(np.random.default_rng(0).normal(size=(300, n_rows)))
    new = np.random.default_rng(1).normal(size=(300, 2000))
    spline, _ = fit(Y)
    before = (new**2).sum(axis=0) / 2
    Z, log_det = spline.forward(new.copy())
    loss = (before - (Z**2).sum(axis=0) / 2 + log_det).mean() / 300
    assert -0.002 < loss


SHAPES = {
    "uniform": st.uniform(-math.sqrt(3), 2 * math.sqrt(3)),
    "exponential": st.expon(-1),
    "student": st.t(5, scale=math.sqrt(3 / 5)),
}


def bimodal(n_rows, seed):
    rng = np.random.default_rng(seed)
    return np.where(rng.random(n_rows) < 0.5, -0.95, 0.95) + math.sqrt(1 - 0.95**2) * rng.normal(
        size=n_rows
    )


@pytest.mark.parametrize("kind", ["uniform", "student", "bimodal"])
def test_columns_that_are_not_normal_become_so(kind):
    """Kolmogorov distance of 20,000 new rows: on average 0.025 at most, and half of what it was."""

    def drawn(n, seed):
        if kind == "bimodal":
            return bimodal(n, seed)
        return SHAPES[kind].rvs(n, random_state=seed)

    before, after = [], []
    for seed in range(5):
        new = drawn(20_000, 100 + seed)
        spline, gain = fit(drawn(20_000, seed))
        assert gain[0] > 0
        before.append(st.kstest(new, "norm").statistic)
        after.append(st.kstest(spline.forward(new[None].copy())[0][0], "norm").statistic)
    assert np.mean(after) < 0.025
    assert np.mean(after) < 0.5 * np.mean(before)


@pytest.mark.parametrize("kind", SHAPES)
def test_gain_is_the_negentropy(kind):
    """On average over seeds, at least seven tenths of it: edges are lost to kernels; never more."""
    distribution = SHAPES[kind]
    negentropy = st.norm.entropy() - distribution.entropy()
    gains, gains_on_new = [], []
    for seed in range(10):
        new = distribution.rvs((1, 10_000), random_state=100 + seed)
        spline, gain = fit(distribution.rvs(10_000, random_state=seed))
        Z, log_det = spline.forward(new.copy())
        gains.append(gain[0])
        gains_on_new.append(np.mean((new**2 - Z**2) / 2 + log_det))
    error = np.std(gains) / np.sqrt(10)
    assert 0.7 * negentropy < np.mean(gains) < negentropy + 3 * error
    assert np.mean(gains) == pytest.approx(np.mean(gains_on_new), abs=0.02)


@pytest.mark.parametrize("few", [1, 3])
def test_a_direction_that_few_rows_span_is_left_alone(few):
    """All rows but a few at one value, and variance far below one: nothing to learn there."""
    y = np.zeros((1, 300))
    y[0, :few] = 1e-2
    spline, gain = fit(y)
    assert len(spline.columns) == 0
    assert gain[0] == 0


def test_one_row_and_no_variance_are_finite():
    for y in (np.zeros((2, 1)), np.zeros((2, 5)), np.full((1, 3), 1e9)):
        with np.errstate(all="raise", under="ignore"):
            spline, gain = fit(y)
        assert np.isfinite(gain).all()
        assert np.isfinite(spline.z).all()


def test_what_is_no_number_is_counted_nowhere_else():
    """A NaN as an index would be written beside the table."""
    with np.errstate(invalid="ignore"):
        counts = binned_counts(np.array([[0.0, np.nan], [0.0, 0.0]]), None, grid_for(2))
    assert np.isnan(counts[0]).any()
    assert counts[1].sum() == 2
