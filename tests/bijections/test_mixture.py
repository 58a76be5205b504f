"""A normal's tail, which the map of a mixture is made of: its value and its slope, far out too."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import erfcx

from skgauss.bijections.mixture import _scaled_tail

DISTANCES = [0.0, 0.1, 1.0, 5.0, 20.0, 25.0, 100.0, 1e3, 1.5e3, 1e5, 1e8, 1e15]


def slope(x):
    """Of the tail: the integral of ``exp(-x u - u^2 / 2)`` over u > 0, divided by sqrt(2 pi)."""
    width = 1 + x  # so that v = u width is of the order of one
    integral = quad(
        lambda v: v * np.exp(-v * x / width - (v / width) ** 2 / 2), 0, 60, epsrel=1e-12
    )
    return -integral[0] / (width**2 * np.sqrt(2 * np.pi))


@pytest.mark.parametrize(
    ("dtype", "value_error", "slope_error"), [(np.float64, 1e-14, 1e-8), (np.float32, 1e-6, 1e-4)]
)
def test_a_normal_s_tail_and_its_slope(dtype, value_error, slope_error):
    with jax.enable_x64(dtype == np.float64):
        value_and_slope = jax.vmap(jax.value_and_grad(_scaled_tail))
        found = [np.asarray(part) for part in value_and_slope(jnp.asarray(DISTANCES, dtype))]
    assert {part.dtype for part in found} == {np.dtype(dtype)}
    expected = 0.5 * erfcx(np.sqrt(0.5) * np.array(DISTANCES))
    np.testing.assert_allclose(found[0], expected, rtol=value_error)
    np.testing.assert_allclose(found[1], [slope(x) for x in DISTANCES], rtol=slope_error)
