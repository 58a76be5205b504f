"""The spline marginal: its knots, its slopes and its tails."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats as st

from skgauss.marginals import SplineMarginal
from skgauss.spline import tailed_forward
from tests.marginals.columns import COLUMNS, SMOOTH, column, drawn

every_column = pytest.mark.parametrize("name", COLUMNS)


@every_column
def test_knots_and_images_strictly_increase(name):
    spline = SplineMarginal(random_state=0).fit(column(name)).spline_
    assert (np.diff(spline.x) > 0).all()
    assert (np.diff(spline.z) > 0).all()
    assert (spline.slope > 0).all()
    assert np.isfinite(spline.slope).all()


@pytest.mark.parametrize(
    "name", sorted(COLUMNS.keys() - {"a rounding error apart", "twenty decades"})
)
def test_slope_is_continuous_at_every_knot(name):
    spline = SplineMarginal(random_state=0).fit(column(name)).spline_
    nearby = 1e-9 * np.min(np.diff(spline.x))
    slopes = [tailed_forward(spline, spline.x + step)[1] for step in (-nearby, nearby)]
    np.testing.assert_allclose(*slopes, atol=1e-6)


@pytest.mark.parametrize("n_columns", [1, 2])
def test_knots_are_no_closer_than_the_values_of_discrete_columns(n_columns):
    """Also where there is no other column, and most rows are merged with their copies."""
    X = np.random.default_rng(0).poisson(4, size=(2000, n_columns))
    marginal = SplineMarginal(n_knots=256).fit(X)
    for x, scale in zip(marginal.spline_.x, marginal.scale_, strict=True):
        knots = np.unique(x)
        assert len(knots) > 2
        assert np.diff(knots).min() * scale >= 1 - 1e-9


def test_log_density_is_that_of_the_map():
    X = column("exponential")[:200] + 0.01
    marginal = SplineMarginal(random_state=0).fit(column("exponential"))
    step = 1e-6
    slope = (marginal.transform(X + step) - marginal.transform(X - step))[:, 0] / (2 * step)
    expected = st.norm.logpdf(marginal.transform(X)[:, 0]) + np.log(slope)
    error = np.abs(marginal.score_samples(X) - expected)
    assert np.median(error) < 1e-7
    assert np.mean(error < 1e-5) > 0.98  # a row astride a knot may differ


@pytest.mark.parametrize("name", ["outlier", "offset outlier", "sentinel"])
def test_an_outlier_does_not_set_the_scale(name):
    robust = SplineMarginal(random_state=0).fit(column(name)).scale_
    assert robust[0] == pytest.approx(
        SplineMarginal(random_state=0).fit(column("normal")).scale_[0] / 2, rel=0.1
    )


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [("normal", 0.02), ("exponential", 0.03), ("uniform", 0.03), ("student", 0.1)],
)
def test_held_out_likelihood_is_close_to_the_truth(name, tolerance):
    distribution, losses = SMOOTH[name], []
    for seed in range(10):
        held_out = distribution.rvs((5000, 1), random_state=100 + seed)
        marginal = SplineMarginal(random_state=0).fit(drawn(distribution, seed)[:, None])
        losses.append(distribution.logpdf(held_out).mean() - marginal.score(held_out))
    assert 0 < np.mean(losses) < tolerance
    assert np.max(losses) < 2 * tolerance


@pytest.mark.parametrize("distribution", [st.cauchy(), st.t(1.5)])
def test_heavy_tails_are_recognised(distribution):
    """From 20,000 rows on, latents far outside the training range grow like logarithms."""
    X = distribution.rvs((20_000, 1), random_state=0)
    Z = SplineMarginal(random_state=0).fit(X).transform([[-1e9], [1e9]])
    assert np.abs(Z).max() < 12
