"""The laws of the tails: increasing, smooth at the knot, with an exact inverse."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from skgauss.tails import LINEAR, LOG, POWER, tail_forward, tail_inverse

LAWS = [(LINEAR, 1.0), (LOG, 0.1), (LOG, 1.6), (POWER, 1.0), (POWER, 3.0), (POWER, 1000.0)]
EXCESS = np.concatenate([[0.0], np.logspace(-8, 12, 60)])
EDGE = 2.3

every_law = pytest.mark.parametrize(("law", "parameter"), LAWS)


@every_law
def test_growth_starts_at_zero_with_slope_one(law, parameter):
    growth, log_slope = tail_forward(0.0, law, parameter, EDGE)
    assert growth == 0
    assert log_slope == pytest.approx(0, abs=1e-12)


@every_law
def test_growth_increases_and_comes_back(law, parameter):
    growth, _ = tail_forward(EXCESS, law, parameter, EDGE)
    assert (np.diff(growth) > 0).all()
    np.testing.assert_allclose(tail_inverse(growth, law, parameter, EDGE), EXCESS, rtol=1e-9)


@every_law
def test_slope_is_the_numerical_derivative(law, parameter):
    t = np.logspace(-2, 6, 30)
    above, below = (tail_forward(t * (1 + d), law, parameter, EDGE)[0] for d in (1e-5, -1e-5))
    slope = np.exp(tail_forward(t, law, parameter, EDGE)[1])
    np.testing.assert_allclose((above - below) / (2e-5 * t), slope, rtol=1e-4)


@every_law
def test_jax_and_numpy_agree(law, parameter):
    arguments = (law, parameter, EDGE)
    growth, log_slope = tail_forward(EXCESS, *arguments)
    with jax.enable_x64(True):
        results = tail_forward(jnp.asarray(EXCESS), *arguments, jnp)
        back = tail_inverse(jnp.asarray(growth), *arguments, jnp)
    np.testing.assert_allclose(results[0], growth, rtol=1e-12)
    np.testing.assert_allclose(results[1], log_slope, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(back, tail_inverse(growth, *arguments), rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@every_law
def test_inverse_stays_finite_for_any_latent(law, parameter, dtype):
    latents = np.array([1.0, 100.0, 1e6, 1e12], dtype)
    t = tail_inverse(latents, law, dtype(parameter), dtype(EDGE))
    assert t.dtype == dtype
    assert np.isfinite(t).all()
    assert (np.diff(t) >= 0).all()


@pytest.mark.parametrize("function", [lambda *a: tail_forward(*a)[0], tail_inverse])
@every_law
def test_gradients_are_finite_in_single_precision(function, law, parameter):
    gradient = jax.vmap(jax.grad(lambda t: function(t, law, parameter, EDGE, jnp)))
    assert np.isfinite(gradient(jnp.array([0.0, 1.0, 200.0, 1e6]))).all()


@pytest.mark.parametrize("law", [LINEAR, LOG])
def test_gradient_is_one_at_a_knot_whose_latent_is_zero(law):
    assert jax.grad(lambda t: tail_forward(t, law, 1.0, 0.0, jnp)[0])(0.0) == 1


@pytest.mark.parametrize("index", [1.0, 3.0])
def test_power_law_is_that_of_the_data(index):
    """The log-survival of the latent falls by `index` times the logarithm of the excess."""
    t = np.array([1e6, 1e8])
    z = EDGE + tail_forward(t, POWER, index, EDGE)[0]
    fall = -np.diff(z**2 / 2) / np.diff(np.log(t))
    assert fall[0] == pytest.approx(-index, rel=1e-4)
