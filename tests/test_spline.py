"""The rational-quadratic formula: one for NumPy and JAX, monotone, smooth, exactly inverted."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skgauss.spline import (
    Bin,
    TailedSpline,
    rational_quadratic,
    rational_quadratic_inverse,
    tailed_forward,
    tailed_inverse,
)
from skgauss.tails import LINEAR, LOG, POWER

positive = st.floats(2**-10, 2**10, width=32)
bins = st.builds(
    Bin, st.floats(-10, 10), st.floats(-10, 10), positive, positive, positive, positive
)
shares = st.floats(0, 1, width=32)


def random_spline(seed=0, n_knots=7):
    """Three channels, one for each law of the tails."""
    rng = np.random.default_rng(seed)
    x, z = np.cumsum(rng.uniform(0.1, 1, (2, 3, n_knots)), axis=-1) - 2
    law = np.array([[LINEAR, LINEAR], [LOG, LOG], [POWER, POWER]])
    return TailedSpline(x, z, rng.uniform(0.1, 3, x.shape), law, np.full((3, 2), 1.5))


def grid(n=400):
    return np.tile(np.linspace(-20, 20, n), (3, 1))


@given(bins, shares)
def test_bin_maps_its_ends_to_its_ends_and_stays_inside(bin_, share):
    y, log_slope = rational_quadratic(bin_.x0 + share * bin_.width, bin_)
    tolerance = 1e-9 * (1 + bin_.height)
    assert bin_.y0 - tolerance <= y <= bin_.y0 + bin_.height + tolerance
    assert np.isfinite(log_slope)
    for end, slope in ((bin_.x0, bin_.slope0), (bin_.x0 + bin_.width, bin_.slope1)):
        assert rational_quadratic(end, bin_)[1] == pytest.approx(np.log(slope), abs=1e-6)


@given(bins, shares)
def test_inverse_undoes_the_formula(bin_, share):
    x = bin_.x0 + share * bin_.width
    y, log_slope = rational_quadratic(x, bin_)
    back, log_slope_back = rational_quadratic_inverse(y, bin_)
    rounding = 1e-14 * (abs(y) + bin_.height) / np.exp(log_slope)
    assert back == pytest.approx(x, abs=1e-12 * (1 + bin_.width) + 10 * rounding)
    assert np.isfinite(log_slope_back)


@given(bins, shares)
def test_discriminant_never_turns_negative_in_single_precision(bin_, share):
    single = Bin(*(np.float32(part) for part in bin_))
    y = np.float32(single.y0 + np.float32(share) * single.height)
    x, log_slope = rational_quadratic_inverse(y, single)
    assert x.dtype == np.float32
    assert np.isfinite([x, log_slope]).all()
    overshoot = 1e-3 * single.width + 1e-5 * abs(single.x0)
    assert single.x0 - overshoot <= x <= single.x0 + single.width + overshoot


@pytest.mark.parametrize("unit", [1e-150, 1.0, 1e150])
def test_inverse_is_free_of_units(unit):
    bin_ = Bin(0.0, 0.0, 2.0 * unit, 1.0, 0.4 / unit, 0.7 / unit)
    y, _ = rational_quadratic(0.3 * unit, bin_)
    assert rational_quadratic_inverse(y, bin_)[0] == pytest.approx(0.3 * unit, rel=1e-12)


def test_jax_and_numpy_give_the_same_tailed_spline():
    spline, x = random_spline(), grid()
    z, log_slope = tailed_forward(spline, x)
    with jax.enable_x64(True):
        traced = TailedSpline(*map(jnp.asarray, spline))
        np.testing.assert_allclose(tailed_forward(traced, x, jnp)[0], z, rtol=1e-13, atol=1e-13)
        np.testing.assert_allclose(tailed_forward(traced, x, jnp)[1], log_slope, atol=1e-13)
        back = tailed_inverse(traced, z, jnp)
        np.testing.assert_allclose(back, tailed_inverse(spline, z), rtol=1e-12, atol=1e-12)


def test_tailed_spline_increases_and_comes_back():
    spline, x = random_spline(), grid()
    z, _ = tailed_forward(spline, x)
    assert (np.diff(z, axis=1) > 0).all()
    np.testing.assert_allclose(tailed_inverse(spline, z), x, rtol=1e-10, atol=1e-10)


def test_tailed_spline_passes_through_its_knots_with_its_slopes():
    spline = random_spline()
    z, log_slope = tailed_forward(spline, spline.x)
    np.testing.assert_allclose(z, spline.z, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(np.exp(log_slope), spline.slope, rtol=1e-12)


def test_slope_is_continuous_across_every_knot():
    spline = random_spline()
    slopes = [np.exp(tailed_forward(spline, spline.x + step)[1]) for step in (-1e-9, 1e-9)]
    np.testing.assert_allclose(*slopes, rtol=1e-6)


def test_slope_is_the_numerical_derivative():
    spline, step = random_spline(), 1e-6
    x = grid() + 1e-3
    _, log_slope = tailed_forward(spline, x)
    above, below = (tailed_forward(spline, x + d)[0] for d in (step, -step))
    np.testing.assert_allclose((above - below) / (2 * step), np.exp(log_slope), rtol=1e-4)
