"""The map of a mixture in JAX: the normal's tail that it is made of, and the density by itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import erfcx

from skgauss.bijections import Bijection, FixedMixture
from skgauss.bijections.mixture import _scaled_tail
from skgauss.mixture import GaussianMixtureMap

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


RNG = np.random.default_rng(0)
ROWS = np.concatenate(
    [
        2 * RNG.normal(size=(3000, 2)),  # more than a block of them
        20 * RNG.normal(size=(20, 2)),  # some beyond the range
        1e4 * RNG.normal(size=(20, 2)),
        [[0.0, 1e9], [-1e9, 1e9]],
    ]
)


def mixture_layer(guard=3e-5, n_components=30):
    means = 2 * RNG.normal(size=(n_components, 2))
    factors = np.tril(0.3 * RNG.normal(size=(n_components, 2, 2)), -1) + 0.3 * np.eye(2)
    weights, bound = RNG.dirichlet(np.ones(n_components)), np.full(2, 12.0)
    mixture = GaussianMixtureMap.from_cholesky(weights, means, factors, -bound, bound, guard)
    return FixedMixture.from_map(mixture)


@pytest.mark.parametrize("guard", [3e-5, 0.0])
@pytest.mark.parametrize(
    ("dtype", "error"),
    [(np.float64, 1e-13), pytest.param(np.float32, 2e-6, marks=pytest.mark.slow)],
)
def test_the_density_by_itself_is_that_of_the_map(guard, dtype, error):
    layer, rows = mixture_layer(guard), ROWS.astype(dtype)
    with jax.enable_x64(dtype == np.float64):
        alone = np.asarray(jax.jit(layer.astype(dtype)._log_density)(rows.T))
        through = np.asarray(
            jax.jit(lambda x: Bijection._log_density(layer.astype(dtype), x))(rows.T)
        )
    np.testing.assert_allclose(alone, through, rtol=error, atol=10 * error)
    if dtype == np.float64:
        np.testing.assert_allclose(alone, layer.map.log_density(rows), rtol=error, atol=10 * error)


def test_rows_in_the_range_are_mapped_to_the_same_bits_beside_rows_that_are_not():
    layer, rows = mixture_layer(), np.clip(ROWS[:100], -30, 30)
    with jax.enable_x64(True):
        for method in (lambda x: layer._forward(x)[0], layer._log_density):
            inside, beside = (
                jax.jit(method)(np.concatenate([rows, [last]]).T)[..., :-1]
                for last in ([0.0, 0.0], [1e3, 0.0])
            )
            np.testing.assert_array_equal(inside, beside)


def test_positions_without_a_number_stay_so_and_change_no_other():
    """Whole chunks of them, which cost nothing, and some beside others."""
    layer, rows = mixture_layer(), np.tile(ROWS[:1000], (4, 1))
    gone = np.arange(len(rows)) >= 1500
    gone[[3, 700]] = True
    holed = np.where(gone[:, None], np.nan, rows)
    holed[3] = [0.0, np.nan]
    with jax.enable_x64(True):
        method = jax.jit(lambda x: (*layer._forward(x), layer._log_density(x)))
        for full, found in zip(method(rows.T), method(holed.T), strict=True):
            assert np.isnan(found[..., gone]).all()
            np.testing.assert_array_equal(found[..., ~gone], full[..., ~gone])


@pytest.mark.slow
def test_whole_numbers_and_half_precision_are_events():
    layer = mixture_layer()
    expected = layer.transform(np.array([3.0, 1.0], np.float32))
    for event in (np.array([3, 1]), np.array([3, 1], np.float16)):
        np.testing.assert_allclose(layer.transform(event), expected, rtol=1e-6)
