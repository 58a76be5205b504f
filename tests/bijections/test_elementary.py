"""Functions written out for float64: as exact as NumPy's, and as JAX's elsewhere."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit

from skgauss.bijections import elementary

EPS = np.finfo(np.float64).eps
RNG = np.random.default_rng(0)
ARGUMENTS = {
    "exp": np.concatenate([RNG.uniform(-707, 708, 20_000), RNG.normal(size=20_000), [0.0, 1e-300]]),
    "log": np.exp(np.concatenate([RNG.uniform(-707, 708, 20_000), 0.1 * RNG.normal(size=20_000)])),
    "silu": np.concatenate([RNG.uniform(-690, 690, 20_000), RNG.normal(size=20_000), [0.0, 1e9]]),
}
REFERENCE = {"exp": np.exp, "log": np.log, "silu": lambda x: x * expit(x)}
OF_JAX = {"exp": jnp.exp, "log": jnp.log, "silu": jax.nn.silu}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_float64_is_as_exact_as_numpy(name):
    x = ARGUMENTS[name]
    with jax.enable_x64(True):
        y, expected = np.asarray(getattr(elementary, name)(x)), REFERENCE[name](x)
    assert y.dtype == np.float64
    assert np.max(np.abs(y - expected) / np.maximum(np.abs(expected), 1e-300)) < 4 * EPS


@pytest.mark.parametrize("name", ARGUMENTS)
def test_the_derivative_is_that_of_jax(name):
    x = ARGUMENTS[name]
    x = x[np.abs(np.log(np.abs(x) + 1e-9)) < 3]
    with jax.enable_x64(True):
        functions = getattr(elementary, name), OF_JAX[name]
        ours, theirs = (jax.vmap(jax.grad(f))(jnp.asarray(x)) for f in functions)
        np.testing.assert_allclose(ours, theirs, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("name", ARGUMENTS)
def test_float32_is_that_of_jax(name):
    x = np.abs(RNG.normal(size=100)).astype(np.float32)
    np.testing.assert_array_equal(getattr(elementary, name)(x), OF_JAX[name](x))


def test_nothing_is_hidden():
    with jax.enable_x64(True):
        for function in (elementary.exp, elementary.silu):
            assert np.isnan(function(np.array([np.nan]))).all()
        assert elementary.silu(np.array([1e300]))[0] == 1e300
        assert abs(elementary.silu(np.array([-1e290]))[0]) < 1e-15
