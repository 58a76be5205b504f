"""The LU convolution: the seed's figures, and what its factors promise."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from skgauss.bijections import Invertible1x1Conv

LOG_DIAG_U = np.array([0.5, -0.3, 0.2, 0.1])
STARTS = ["rotation", "permutation", "identity"]


def conv(start="rotation", seed=0):
    """The seed's layer: log-determinant 0.5."""
    with jax.enable_x64(True):
        layer = Invertible1x1Conv.init(jax.random.key(seed), 4, start=start)
        return dataclasses.replace(layer, log_diag_u=LOG_DIAG_U).astype(np.float64)


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("start", STARTS)
def test_log_det_is_the_sum_and_the_dense_one(start):
    _, log_det = conv(start).transform_and_log_det(np.ones(4))
    assert float(log_det) == pytest.approx(0.5, abs=1e-12)
    assert np.linalg.slogdet(conv(start).weight)[1] == pytest.approx(0.5, abs=1e-12)


def test_log_det_of_a_feature_map_counts_every_pixel():
    image = np.random.default_rng(0).normal(size=(4, 8, 8))
    _, log_det = conv().transform_and_log_det(image)
    assert float(log_det) == pytest.approx(32.0, abs=1e-10)


@pytest.mark.parametrize("start", STARTS)
def test_weight_has_the_images_of_the_axes_as_columns(start):
    columns = jax.vmap(conv(start).transform)(np.eye(4)).T
    np.testing.assert_allclose(columns, conv(start).weight, atol=1e-14)


@pytest.mark.parametrize("start", STARTS)
def test_factors_are_triangular_and_give_the_weight(start):
    layer = conv(start)
    lower, upper = np.asarray(layer.lower_factor), np.asarray(layer.upper_factor)
    np.testing.assert_array_equal(lower, np.tril(lower))
    np.testing.assert_array_equal(np.diag(lower), 1)
    np.testing.assert_array_equal(upper, np.triu(upper))
    np.testing.assert_allclose(np.diag(upper), layer.signs * np.exp(LOG_DIAG_U))
    permutation = np.eye(4)[np.asarray(layer.permutation)]
    np.testing.assert_allclose(permutation @ lower @ upper, layer.weight, atol=1e-14)


def test_rotation_start_is_orthogonal_and_random():
    first, second = (Invertible1x1Conv.init(jax.random.key(k), 5).weight for k in range(2))
    np.testing.assert_allclose(first @ first.T, np.eye(5), atol=1e-12)
    assert np.abs(first - second).max() > 0.1


def test_permutation_start_is_a_random_permutation():
    first, second = (
        Invertible1x1Conv.init(jax.random.key(k), 5, start="permutation").weight for k in range(2)
    )
    np.testing.assert_array_equal(np.sort(first, axis=1), np.tile([0, 0, 0, 0, 1.0], (5, 1)))
    np.testing.assert_array_equal(first @ first.T, np.eye(5))
    assert np.abs(first - second).max() == 1


def test_identity_start_is_near_the_identity():
    layer = Invertible1x1Conv.init(jax.random.key(0), 5, start="identity")
    np.testing.assert_array_equal(layer.permutation, np.arange(5))
    distance = np.abs(layer.weight - np.eye(5)).max()
    assert 0 < distance < 0.1


@pytest.mark.parametrize("seed", range(5))
def test_from_weight_keeps_the_matrix(seed):
    weight = np.random.default_rng(seed).normal(size=(6, 6))
    np.testing.assert_allclose(Invertible1x1Conv.from_weight(weight).weight, weight, atol=1e-12)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.ones((2, 3)), r"square matrix, got shape \(2, 3\)"),
        (np.ones(4), r"square matrix, got shape \(4,\)"),
        (np.ones((2, 2)), "singular"),
        (np.arange(9).reshape(3, 3), "singular"),  # by rounding alone its U has no zero
        (np.arange(9, dtype=np.float32).reshape(3, 3), "singular"),
        (np.diag([1.0, np.nan]), "finite"),
    ],
)
def test_a_matrix_without_inverse_is_refused(weight, message):
    with pytest.raises(ValueError, match=message):
        Invertible1x1Conv.from_weight(weight)


def test_units_of_the_channels_do_not_make_a_matrix_singular():
    weight = np.diag([1e-30, 1.0, 1e30])
    np.testing.assert_allclose(Invertible1x1Conv.from_weight(weight).weight, weight)


def test_unknown_start_is_refused():
    with pytest.raises(ValueError, match="'rotation', 'permutation' or 'identity', got 'pca'"):
        Invertible1x1Conv.init(jax.random.key(0), 3, start="pca")


@pytest.mark.parametrize("start", STARTS)
def test_training_never_makes_it_singular(start):
    """The seed's arbitrary objective, 300 steps of Adam."""
    batch = np.random.default_rng(3).normal(size=(2000, 4)) * [3.0, 0.5, 2.0, 1.0]
    optimizer = optax.adam(1e-2)

    def loss(layer):
        squares = jnp.sum(jax.vmap(layer.transform)(batch) ** 2, axis=1)
        return jnp.mean((squares - 4) ** 2)

    def step(carry, _):
        layer, state = carry
        updates, state = optimizer.update(jax.grad(loss)(layer), state)
        layer = optax.apply_updates(layer, updates)
        return (layer, state), jnp.linalg.det(layer.weight)

    layer = Invertible1x1Conv.init(jax.random.key(0), 4, start=start)
    start_state = (layer, optimizer.init(layer))
    (trained, _), determinants = jax.jit(lambda c: jax.lax.scan(step, c, length=300))(start_state)
    assert len(set(np.sign(determinants))) == 1
    assert np.abs(determinants).min() > 1e-3
    z, log_det = trained.transform_and_log_det(batch[0])
    assert float(log_det) == pytest.approx(np.linalg.slogdet(trained.weight)[1], abs=1e-12)
    assert abs(float(log_det)) > 0.5  # it has moved
    np.testing.assert_allclose(trained.inverse(z), batch[0], atol=1e-13)
