"""The spline marginal: increasing, smooth, normalised and exactly inverted, on any column."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats as st

from skgauss.marginals import SplineMarginal
from skgauss.spline import tailed_forward

N_ROWS = 2000
EPS = np.finfo(float).eps


def _mixed(value, share, rest):
    """Column of which a `share` is tied at `value`."""
    tied = np.random.default_rng(1).random(N_ROWS) < share
    return np.where(tied, value, rest)


def _drawn(distribution, seed=0):
    return distribution.rvs(N_ROWS, random_state=seed)


SMOOTH = {
    "normal": st.norm(3, 2),
    "exponential": st.expon(),
    "uniform": st.uniform(-1, 2),
    "student": st.t(3),
    "cauchy": st.cauchy(),
    "lognormal": st.lognorm(1),
}
NORMAL = _drawn(st.norm())
COLUMNS = {name: _drawn(distribution) for name, distribution in SMOOTH.items()} | {
    "bimodal": np.concatenate([NORMAL[:1000] - 5, NORMAL[1000:] / 5 + 5]),
    "constant": np.full(N_ROWS, 7.0),
    "two values": _mixed(1.0, 0.3, 0.0),
    "rare value": _mixed(1.0, 0.01, 0.0),
    "integers": np.round(NORMAL * 2),
    "half zeros": _mixed(0.0, 0.6, NORMAL),
    "nearly all zeros": _mixed(0.0, 0.99, NORMAL),
    "a rounding error apart": _mixed(1.1, 0.3, _mixed(1.1 + EPS, 0.3, NORMAL + 3)),
    "an ulp of noise": 1 + EPS * np.round(2 * _drawn(st.uniform())),
    "offset": 1e9 + 1e-3 * NORMAL,
    "huge": 1e150 * NORMAL,
    "tiny": 1e-150 * NORMAL,
    "outlier": np.append(NORMAL[1:], 1e12),
    "twenty decades": np.exp(20 * NORMAL),
    "two rows": np.array([1.0, 3.0]),
    "three rows": np.array([1.0, 3.0, 3.0]),
}
every_column = pytest.mark.parametrize("name", COLUMNS)


def column(name):
    return COLUMNS[name][:, None]


@every_column
def test_knots_and_images_strictly_increase(name):
    spline = SplineMarginal().fit(column(name)).spline_
    assert (np.diff(spline.x) > 0).all()
    assert (np.diff(spline.z) > 0).all()
    assert (spline.slope > 0).all()
    assert np.isfinite(spline.slope).all()


@every_column
def test_every_row_comes_back(name):
    X = column(name)
    marginal = SplineMarginal().fit(X)
    Z = marginal.transform(X)
    assert np.isfinite(Z).all()
    assert np.isfinite(marginal.score_samples(X)).all()
    np.testing.assert_allclose(marginal.inverse_transform(Z), X, rtol=1e-9, atol=1e-9 * X.std())


@every_column
def test_map_is_strictly_increasing_on_the_rows(name):
    X = np.unique(column(name))[:, None]
    marginal = SplineMarginal().fit(X if len(X) > 1 else column(name))
    # Where the rows are closer than rounding, the standardised values decide.
    standardised = (X - marginal.loc_) / marginal.scale_
    Z = marginal.transform(X)[:, 0]
    apart = np.diff(standardised[:, 0]) > 1e-9 * np.abs(standardised[1:, 0])
    assert (np.diff(Z)[apart] > 0).all()
    assert (np.diff(Z) >= 0).all()


@pytest.mark.parametrize(
    "name", sorted(COLUMNS.keys() - {"a rounding error apart", "twenty decades"})
)
def test_slope_is_continuous_at_every_knot(name):
    spline = SplineMarginal().fit(column(name)).spline_
    nearby = 1e-9 * np.min(np.diff(spline.x))
    slopes = [tailed_forward(spline, spline.x + step)[1] for step in (-nearby, nearby)]
    np.testing.assert_allclose(*slopes, atol=1e-6)


@pytest.mark.parametrize("name", sorted(COLUMNS.keys() - {"twenty decades"}))
def test_values_a_million_million_scales_out_come_back(name):
    marginal = SplineMarginal().fit(column(name))
    far = marginal.loc_ + marginal.scale_ * np.array([[-1e12], [1e12]])
    Z = marginal.transform(far)
    assert Z[0] < Z[1]
    assert np.isfinite(marginal.score_samples(far)).all()
    np.testing.assert_allclose(marginal.inverse_transform(Z), far, rtol=1e-9)


@pytest.mark.parametrize(
    "name", [*SMOOTH, "bimodal", "constant", "two values", "half zeros", "outlier", "two rows"]
)
def test_density_integrates_to_one(name):
    """Quadrature over latents: between two of them lies the mass of the normal."""
    marginal = SplineMarginal().fit(column(name))
    x = marginal.inverse_transform(np.linspace(-6, 6, 40_001)[:, None])
    density = np.exp(marginal.score_samples(x))
    assert np.trapezoid(density, x[:, 0]) == pytest.approx(1, abs=1e-3)


def test_log_density_is_that_of_the_map():
    X = column("exponential")[:200] + 0.01
    marginal = SplineMarginal().fit(column("exponential"))
    step = 1e-6
    slope = (marginal.transform(X + step) - marginal.transform(X - step))[:, 0] / (2 * step)
    expected = st.norm.logpdf(marginal.transform(X)[:, 0]) + np.log(slope)
    error = np.abs(marginal.score_samples(X) - expected)
    assert np.median(error) < 1e-7
    assert np.mean(error < 1e-5) > 0.98  # a row astride a knot may differ


@pytest.mark.parametrize("name", ["normal", "half zeros", "integers", "cauchy"])
def test_weights_are_copies(name):
    X = column(name)[:400]
    weight = np.random.default_rng(0).integers(0, 4, len(X))
    weighted = SplineMarginal().fit(X, sample_weight=weight)
    copied = SplineMarginal().fit(np.repeat(X, weight, axis=0))
    for mine, its in zip(weighted.spline_, copied.spline_, strict=True):
        np.testing.assert_array_equal(mine, its)
    assert (weighted.loc_, weighted.scale_) == (copied.loc_, copied.scale_)


@pytest.mark.parametrize("factor", [1e-3, -7.0, 1e9])
@pytest.mark.parametrize("name", ["normal", "cauchy", "half zeros", "outlier", "integers"])
def test_rescaling_shifts_the_log_density(name, factor):
    X = column(name)
    score = SplineMarginal().fit(X).score_samples(X)
    rescaled = SplineMarginal().fit(factor * X).score_samples(factor * X)
    np.testing.assert_allclose(rescaled, score - np.log(abs(factor)), rtol=0, atol=1e-6)


def test_columns_are_fitted_one_by_one():
    names = ["normal", "half zeros", "cauchy", "constant"]
    X = np.hstack([column(name) for name in names])
    marginal = SplineMarginal().fit(X)
    alone = [SplineMarginal().fit(column(name)) for name in names]
    Z = np.hstack([m.transform(column(name)) for m, name in zip(alone, names, strict=True)])
    np.testing.assert_array_equal(marginal.transform(X), Z)
    total = sum(m.score_samples(column(name)) for m, name in zip(alone, names, strict=True))
    np.testing.assert_allclose(marginal.score_samples(X), total, atol=1e-10)


def test_constant_column_is_shifted_and_divided_by_its_value():
    marginal = SplineMarginal().fit(column("constant"))
    assert marginal.transform([[7.0], [8.75]]).ravel() == pytest.approx([0.0, 0.25])


def test_an_outlier_does_not_set_the_scale():
    robust = SplineMarginal().fit(column("outlier")).scale_
    assert robust[0] == pytest.approx(SplineMarginal().fit(column("normal")).scale_[0] / 2, rel=0.1)


def test_subsample_is_seeded():
    X = column("normal")
    fits = [SplineMarginal(subsample=500, random_state=seed).fit(X) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(fits[0].spline_.x, fits[1].spline_.x)
    assert (fits[0].spline_.x != fits[2].spline_.x).any()


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [("normal", 0.02), ("exponential", 0.03), ("uniform", 0.03), ("student", 0.06)],
)
def test_held_out_likelihood_is_close_to_the_truth(name, tolerance):
    distribution, losses = SMOOTH[name], []
    for seed in range(10):
        held_out = distribution.rvs((5000, 1), random_state=100 + seed)
        marginal = SplineMarginal().fit(_drawn(distribution, seed)[:, None])
        losses.append(distribution.logpdf(held_out).mean() - marginal.score(held_out))
    assert 0 < np.mean(losses) < tolerance
    assert np.max(losses) < 2 * tolerance


@pytest.mark.parametrize("distribution", [st.cauchy(), st.t(1.5)])
def test_heavy_tails_are_recognised(distribution):
    """From 20,000 rows on, latents far outside the training range grow like logarithms."""
    X = distribution.rvs((20_000, 1), random_state=0)
    Z = SplineMarginal().fit(X).transform([[-1e9], [1e9]])
    assert np.abs(Z).max() < 12
