"""The mixture marginal beside the distribution functions of Gaussian mixtures."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats as st
from sklearn.mixture import GaussianMixture

from skgauss.marginals import MixtureMarginal
from skgauss.tails import POWER
from tests.marginals.columns import column


def latents(weights, means, scales, x):
    """Normal quantiles of the distribution function, by SciPy, the upper half from above."""
    parts = [w * st.norm(m, s).cdf(x) for w, m, s in zip(weights, means, scales, strict=True)]
    rests = [w * st.norm(m, s).sf(x) for w, m, s in zip(weights, means, scales, strict=True)]
    below, above = sum(parts), sum(rests)
    return np.where(below < above, st.norm.ppf(below), st.norm.isf(above))


@pytest.mark.parametrize("n_components", [1, 2, 5])
@pytest.mark.parametrize("name", ["normal", "exponential", "uniform"])
def test_map_between_the_edges_is_the_distribution_function(name, n_components):
    marginal = MixtureMarginal(n_components=n_components).fit(column(name))
    mixture, edges = marginal.mixtures_[0], marginal.edges_.x[0]
    x = np.linspace(*edges, 501)
    # One more component, the guard; see GaussianMixtureMap.
    weights = np.append(mixture.guard, mixture.weights) / (1 + mixture.guard)
    means = np.append((mixture.low + mixture.high) / 2, mixture.intercepts[:, 0])
    scales = np.append((mixture.high - mixture.low) / 6, mixture.scales[:, 0])
    Z = marginal.transform((x * marginal.scale_ + marginal.loc_)[:, None])[:, 0]
    np.testing.assert_allclose(Z, latents(weights, means, scales, x), atol=1e-9)


def test_map_is_that_of_scikit_learns_mixture():
    """Of rows that are a mixture, where both find the same one: to sampling of the quantiles."""
    rng = np.random.default_rng(0)
    X = np.where(rng.random((5000, 1)) < 0.3, rng.normal(-3, 1, (5000, 1)), rng.normal(2, 0.5))
    X += 0.5 * rng.normal(size=X.shape)
    theirs = GaussianMixture(2, random_state=0, tol=1e-8, max_iter=1000).fit(X)
    marginal = MixtureMarginal(n_components=2).fit(X)
    x = np.quantile(X, np.linspace(0.01, 0.99, 300))
    scales = np.sqrt(theirs.covariances_[:, 0, 0])
    expected = latents(theirs.weights_, theirs.means_[:, 0], scales, x)
    np.testing.assert_allclose(marginal.transform(x[:, None])[:, 0], expected, atol=0.05)


def test_slope_is_continuous_at_the_edges():
    marginal = MixtureMarginal(n_components=4).fit(column("exponential"))
    x = marginal.edges_.x[0] * marginal.scale_ + marginal.loc_
    step = 1e-9 * marginal.scale_
    sides = [marginal.score_samples((x + s)[:, None]) for s in (-step, step)]
    np.testing.assert_allclose(*sides, atol=1e-6)


def test_heavy_tails_follow_a_power_law():
    X = st.t(1.5).rvs((20_000, 1), random_state=0)
    marginal = MixtureMarginal(random_state=0).fit(X)
    assert marginal.edges_.law.tolist() == [[POWER, POWER]]
    assert np.abs(marginal.transform([[-1e9], [1e9]])).max() < 12


def test_number_of_components_grows_where_there_is_something_to_see():
    rng = np.random.default_rng(0)
    three = 6 * rng.integers(3, size=10_000) + rng.normal(size=10_000)
    X = np.column_stack([three, rng.normal(size=10_000)])
    numbers = [len(m.weights) for m in MixtureMarginal(random_state=0).fit(X).mixtures_]
    assert numbers[0] >= 5  # the rung above three
    assert numbers[1] == 1


def test_rows_beyond_the_edges_do_not_widen_a_component():
    marginal = MixtureMarginal(n_components=3).fit(column("outlier"))
    assert marginal.mixtures_[0].scales.max() < 2
