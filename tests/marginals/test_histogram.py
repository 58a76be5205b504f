"""The histogram marginal beside NumPy's histogram."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats as st

from skgauss.marginals import HistogramMarginal
from skgauss.marginals.columns import distinct
from skgauss.marginals.histogram import histogram_spline
from tests.marginals.columns import column


def reference(x, edges, low, high):
    """Distribution function at the edges, from NumPy's counts."""
    counts = np.histogram(x, edges)[0]
    padded = np.concatenate([counts[:1], counts, counts[-1:]])
    smooth = np.array([padded[i : i + 3] @ [1, 2, 1] / 4 for i in range(len(counts))])
    share = (smooth + 0.5) / np.sum(smooth + 0.5)
    return low + (high - low) * np.append(0, np.cumsum(share))


@pytest.mark.parametrize("n_bins", [4, 16, 64])
@pytest.mark.parametrize("name", ["normal", "exponential", "bimodal", "cauchy"])
def test_knots_are_those_of_a_cumulative_histogram(name, n_bins):
    """To the one row at an edge that may be counted on either side, or shared."""
    x = column(name)[:, 0]
    spline = histogram_spline(*distinct(x, np.ones(len(x))), n_bins, 0.0)
    np.testing.assert_allclose(np.diff(spline.x), np.ptp(spline.x) / n_bins)
    expected = reference(x, spline.x, 0.005, 0.995)
    np.testing.assert_allclose(st.norm.cdf(spline.z), expected, atol=2 / len(x))


def test_no_bin_is_empty():
    """Between two clusters there is half a row in every bin, smoothing aside."""
    x = np.concatenate([np.linspace(0, 1, 500), np.linspace(99, 100, 500)])
    marginal = HistogramMarginal(n_bins=100).fit(x[:, None])
    density = np.exp(marginal.score_samples([[50.0]]))
    width = 98.99 / 100
    assert density == pytest.approx(0.5 / 1050 / width, rel=0.1)


@pytest.mark.parametrize("beside", [0, 1])
@pytest.mark.parametrize(("n_values", "n_bins"), [(2, 1), (3, 2), (9, 8)])
def test_bins_are_no_narrower_than_the_grid_of_a_tied_column(n_values, n_bins, beside):
    rng = np.random.default_rng(0)
    values = rng.integers(n_values, size=(1000, 1))
    X = np.hstack([values, rng.normal(size=(1000, beside))])
    marginal = HistogramMarginal(n_bins=64).fit(X)
    x = np.unique(marginal.spline_.x[0])
    assert len(x) - 1 <= n_bins
    assert (np.diff(x) * marginal.scale_[0] >= 1 - 1e-9).all()


def test_number_of_bins_grows_where_there_is_something_to_see():
    rng = np.random.default_rng(0)
    waves = rng.integers(20, size=20_000) + 0.1 * rng.normal(size=20_000)
    X = np.column_stack([waves, rng.normal(size=20_000)])
    spline = HistogramMarginal(random_state=0).fit(X).spline_
    assert len(np.unique(spline.x[0])) > 100
    assert len(np.unique(spline.x[1])) < 40
