"""ActNorm: the seed's figures, and the standardising start."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from skgauss.bijections import ActNorm

RNG = np.random.default_rng(0)
BATCH = RNG.normal(size=(2000, 4)) * [3.0, 0.5, 2.0, 1.0] + [5.0, -2.0, 0.0, 1.0]


def test_default_scale_is_that_of_the_seed():
    layer = ActNorm.init(4)
    np.testing.assert_allclose(layer.scale, np.log(2) + 1e-5, rtol=1e-6)
    z, log_det = layer.transform_and_log_det(jnp.ones(4))
    np.testing.assert_allclose(z, 1 / 0.693157, rtol=1e-5)
    assert float(log_det) == pytest.approx(-4 * np.log(0.693157), rel=1e-5)


def test_identity_changes_nothing():
    z, log_det = ActNorm.identity(4).transform_and_log_det(jnp.arange(4.0))
    np.testing.assert_allclose(z, np.arange(4.0), rtol=1e-6)
    assert float(log_det) == pytest.approx(0, abs=1e-6)


def test_from_data_standardises_the_batch():
    z = np.asarray(jax.vmap(ActNorm.from_data(BATCH).transform)(BATCH))
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(z.std(axis=0), 1, atol=1e-4)


def test_from_data_standardises_every_channel_of_feature_maps():
    maps = BATCH.reshape(-1, 5, 4, 4).transpose(0, 3, 1, 2)
    layer = ActNorm.from_data(maps)
    np.testing.assert_allclose(layer.scale, ActNorm.from_data(BATCH).scale, rtol=1e-5)
    z = np.asarray(jax.vmap(layer.transform)(maps))
    np.testing.assert_allclose(z.mean(axis=(0, 2, 3)), 0, atol=1e-4)
    np.testing.assert_allclose(z.std(axis=(0, 2, 3)), 1, atol=1e-4)


@pytest.mark.parametrize("value", [0.0, 7.0, -1e6])
def test_constant_channel_is_only_shifted(value):
    batch = np.column_stack([np.full(100, value), RNG.normal(size=100)])
    layer = ActNorm.from_data(batch)
    assert float(layer.scale[0]) == pytest.approx(1, rel=1e-6)
    z = layer.transform(np.array([value, 0.0], np.float32))
    assert float(z[0]) == pytest.approx(0, abs=1e-6 * abs(value))


@pytest.mark.parametrize(
    ("value", "n_rows", "dtype"),
    [
        (1e6 + 0.3, 2000, np.float32),
        (5000.7, 100, np.float32),
        (1e20, 3001, np.float32),
        (1e12 + 0.3, 2000, np.float64),
    ],
)
def test_rounding_of_a_constant_channel_is_not_its_spread(value, n_rows, dtype):
    with jax.enable_x64(dtype == np.float64):
        layer = ActNorm.from_data(np.full((n_rows, 1), value, dtype))
        assert float(layer.scale[0]) == pytest.approx(1, rel=1e-6)
        assert float(layer.loc[0]) == dtype(value)


@pytest.mark.parametrize(("std", "scale"), [(9e-6, 1.0), (1.1e-5, 2e-5), (3e-5, 3e-5)])
def test_scale_of_a_small_spread_is_as_documented(std, scale):
    layer = ActNorm.from_data(std * np.tile([[1.0], [-1.0]], (50, 1)))
    assert float(layer.scale[0]) == pytest.approx(scale, rel=1e-4)


def test_squares_of_a_half_precision_batch_do_not_overflow():
    batch = np.float16(100 * RNG.normal(size=(2000, 1)))
    np.testing.assert_allclose(
        ActNorm.from_data(batch).scale, np.std(batch, dtype=float), rtol=1e-5
    )


def test_scale_as_small_as_the_floor_is_positive_and_finite():
    layer = ActNorm.from_data(1.5e-5 * RNG.normal(size=(100, 1)))
    assert np.isfinite(layer.log_scale).all()
    assert float(layer.scale[0]) >= 1e-5


def test_weights_are_copies():
    weight = RNG.integers(0, 4, 2000)
    with jax.enable_x64(True):
        weighted = ActNorm.from_data(BATCH, weight)
        copied = ActNorm.from_data(np.repeat(BATCH, weight, axis=0))
        np.testing.assert_allclose(weighted.loc, copied.loc, rtol=1e-12)
        np.testing.assert_allclose(weighted.scale, copied.scale, rtol=1e-12)


@pytest.mark.parametrize("log_scale", [-1e4, -50.0, 50.0, 1e4])
def test_no_parameter_makes_it_singular(log_scale):
    layer = ActNorm(jnp.zeros(1), jnp.array([log_scale]))
    z, log_det = layer.transform_and_log_det(jnp.ones(1))
    assert np.isfinite([float(z[0]), float(log_det)]).all()
    assert float(layer.inverse(z)[0]) == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize("unit", [1e-4, 1.0, 1e30, 1e37])
def test_a_batch_of_any_unit_has_a_spread(unit):
    """Where squares are not finite in single precision, too."""
    batch = (np.random.default_rng(0).normal(size=(200, 3)) * unit).astype(np.float32)
    scale = np.asarray(ActNorm.from_data(batch).scale)
    np.testing.assert_allclose(scale, batch.astype(float).std(axis=0), rtol=1e-5)
