"""The kernel marginal beside SciPy's kernel density estimate; the maps' parts."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats as st

from skgauss.grid_spline import GridSpline
from skgauss.marginals import KDEMarginal, SplineMarginal
from skgauss.marginals.smoothing import binned_counts, grid_for, kernel_spline, stacked_spline
from skgauss.spline import tailed_forward
from tests.marginals.columns import column


@pytest.mark.parametrize("bandwidth", [0.1, 0.3, 1.0])
@pytest.mark.parametrize("name", ["normal", "exponential", "bimodal", "cauchy"])
def test_density_is_that_of_the_kernels_behind_the_pilot(name, bandwidth):
    """To the 1e-3 of a standard normal that is mixed in, binning, and the spline between knots."""
    X = column(name)
    marginal = KDEMarginal(bandwidth=bandwidth, n_knots=16).fit(X)

    def pilot(x):
        y, log_slope = tailed_forward(marginal.pilot_, ((x - marginal.loc_) / marginal.scale_).T)
        return y[0], log_slope[0] - np.log(marginal.scale_)

    y, _ = pilot(X)
    shrink = 1 / np.sqrt(1 + bandwidth**2)
    kernels = st.gaussian_kde(shrink * y, bandwidth * shrink / np.std(shrink * y, ddof=1))
    x = np.quantile(X, np.linspace(0.01, 0.99, 200))[:, None]
    y, log_slope = pilot(x)
    expected = np.log(kernels(y)) + log_slope
    np.testing.assert_allclose(marginal.score_samples(x), expected, atol=0.03)


def test_weighted_kernels_are_those_of_scipy():
    X, weight = column("bimodal"), np.random.default_rng(0).uniform(0.5, 2, size=2000)
    marginal = KDEMarginal(bandwidth=0.2, n_knots=16).fit(X, sample_weight=weight)

    def pilot(x):
        y, log_slope = tailed_forward(marginal.pilot_, ((x - marginal.loc_) / marginal.scale_).T)
        return y[0], log_slope[0] - np.log(marginal.scale_)

    y, _ = pilot(X)
    shrink = 1 / np.sqrt(1.04)
    kernels = st.gaussian_kde(shrink * y, 1.0, weights=weight)
    kernels.set_bandwidth(0.2 * shrink / np.sqrt(kernels.covariance[0, 0]))
    x = np.quantile(X, np.linspace(0.01, 0.99, 200))[:, None]
    y, log_slope = pilot(x)
    expected = np.log(kernels(y)) + log_slope
    np.testing.assert_allclose(marginal.score_samples(x), expected, atol=0.03)


def test_kernels_see_what_a_coarse_pilot_does_not():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20_000, 1)) + 4 * rng.integers(3, size=(20_000, 1))
    kde = KDEMarginal(n_knots=4).fit(X)
    assert kde.score(X) > SplineMarginal(n_knots=4).fit(X).score(X) + 0.02


def test_normal_column_is_left_to_its_pilot():
    X = np.random.default_rng(1).normal(size=(5000, 1))
    marginal = KDEMarginal(random_state=0).fit(X)
    assert len(marginal.refinement_.columns) == 0
    assert marginal.pilot_.x.shape == (1, 2)


def test_copies_of_a_value_are_left_out_together():
    """A column of few values takes kernels that reach from one to the next, not spikes."""
    y = np.repeat(np.linspace(-1.8, 1.8, 10), 500)[None]
    grid = grid_for(np.inf)
    counts = binned_counts(y, None, grid)
    copies = np.full(counts.shape, 500.0)
    smooth, _ = stacked_spline(counts, grid, copies=copies)
    spiked, _ = stacked_spline(counts, grid)
    probe = np.linspace(-1.5, 1.5, 301)[None]
    _, log_slope = smooth.forward_by_column(probe)
    assert np.ptp(log_slope) < 2
    _, log_slope = spiked.forward_by_column(probe)
    assert np.ptp(log_slope) > 4


def test_one_copy_each_changes_nothing():
    y = np.random.default_rng(0).uniform(-1.7, 1.7, size=(2, 1000))
    grid = grid_for(1000)
    counts = binned_counts(y, None, grid)
    plain, gain = stacked_spline(counts, grid)
    ones, same_gain = stacked_spline(counts, grid, copies=np.ones(counts.shape))
    np.testing.assert_array_equal(plain.z, ones.z)
    np.testing.assert_array_equal(gain, same_gain)


def test_derivatives_by_column_add_up():
    rng = np.random.default_rng(0)
    grid = grid_for(2000, bandwidth=0.3)
    spline = kernel_spline(binned_counts(rng.uniform(-1.7, 1.7, size=(3, 2000)), None, grid), grid)
    some = GridSpline(np.array([0, 2]), spline.z[[0, 2]], spline.slope[[0, 2]], spline.reach)
    Y = 3 * rng.normal(size=(3, 500))
    for each in (spline, some):
        Z, log_slope = each.forward_by_column(Y)
        expected, log_det = each.forward(Y.copy())
        np.testing.assert_array_equal(Z, expected)
        np.testing.assert_allclose(log_slope.sum(axis=0), log_det, atol=1e-12)
