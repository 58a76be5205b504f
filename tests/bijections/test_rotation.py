"""Rotations, reflections and permutations."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from skgauss.bijections import (
    CayleyRotation,
    FixedRotation,
    HouseholderRotation,
    Permutation,
)

ORTHOGONAL = {
    "fixed": FixedRotation.init,
    "householder": HouseholderRotation.init,
    "cayley": CayleyRotation.init,
    "permutation": Permutation.init,
}
RNG = np.random.default_rng(0)
BATCH = RNG.normal(size=(500, 3)) @ RNG.normal(size=(3, 3))


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def matrix_of(layer, n_channels):
    return np.asarray(jax.vmap(layer.transform)(jnp.eye(n_channels)).T)


@pytest.mark.parametrize("n_channels", [1, 2, 5])
@pytest.mark.parametrize("init", ORTHOGONAL.values(), ids=list(ORTHOGONAL))
def test_matrix_is_orthogonal(init, n_channels):
    matrix = matrix_of(init(jax.random.key(0), n_channels), n_channels)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(n_channels), atol=1e-12)


@pytest.mark.parametrize("init", ORTHOGONAL.values(), ids=list(ORTHOGONAL))
def test_keys_give_different_and_repeatable_matrices(init):
    first, again, other = (matrix_of(init(jax.random.key(k), 6), 6) for k in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.1


def test_pca_decorrelates_in_the_order_of_variance():
    z = np.asarray(jax.vmap(FixedRotation.from_data(BATCH).transform)(BATCH))
    covariance = np.cov(z.T)
    np.testing.assert_allclose(covariance, np.diag(np.diag(covariance)), atol=1e-10)
    assert (np.diff(np.diag(covariance)) < 0).all()


def test_pca_does_not_depend_on_signs_or_order_of_the_rows():
    matrix = FixedRotation.from_data(BATCH).matrix
    np.testing.assert_allclose(FixedRotation.from_data(BATCH[::-1]).matrix, matrix, atol=1e-10)
    largest = np.abs(matrix).argmax(axis=1)
    assert (np.take_along_axis(np.asarray(matrix), largest[:, None], 1) > 0).all()


def test_pca_weights_are_copies():
    weight = RNG.integers(0, 4, 500)
    weighted = FixedRotation.from_data(BATCH, weight)
    copied = FixedRotation.from_data(np.repeat(BATCH, weight, axis=0))
    np.testing.assert_allclose(weighted.matrix, copied.matrix, atol=1e-10)


def test_pca_of_feature_maps_is_that_of_their_pixels():
    maps = BATCH.reshape(20, 5, 5, 3).transpose(0, 3, 1, 2)
    of_maps, of_pixels = FixedRotation.from_data(maps), FixedRotation.from_data(BATCH)
    np.testing.assert_allclose(of_maps.matrix, of_pixels.matrix, atol=1e-10)


def test_householder_reflects_in_order():
    layer = HouseholderRotation.init(jax.random.key(0), 4, n_reflections=3)
    expected = np.eye(4)
    for vector in np.asarray(layer.vectors):
        expected = (np.eye(4) - 2 * np.outer(vector, vector) / (vector @ vector)) @ expected
    np.testing.assert_allclose(matrix_of(layer, 4), expected, atol=1e-12)


def test_householder_reflections_are_distinct():
    vectors = np.asarray(HouseholderRotation.init(jax.random.key(0), 5).vectors)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    assert np.abs(np.triu(unit @ unit.T, 1)).max() < 0.99


@pytest.mark.parametrize("size", [1e-8, 1.0, 1e8])
def test_householder_does_not_read_the_length_of_its_vectors(size):
    layer = HouseholderRotation.init(jax.random.key(0), 4)
    scaled = HouseholderRotation(size * layer.vectors)
    np.testing.assert_allclose(matrix_of(scaled, 4), matrix_of(layer, 4), atol=1e-12)


@pytest.mark.parametrize("size", [1e-30, 1e-20, 1e19, 1e30])
def test_householder_vectors_of_any_length_in_single_precision(size):
    x = np.arange(4, dtype=np.float32)
    with jax.enable_x64(False):
        vectors = jnp.asarray(HouseholderRotation.init(jax.random.key(0), 4).vectors)
        expected, found = (
            jax.value_and_grad(lambda v: HouseholderRotation(v).transform(x)[1])(v)
            for v in (vectors, np.float32(size) * vectors)
        )
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-5)
    np.testing.assert_allclose(size * np.float64(found[1]), expected[1], rtol=1e-3, atol=1e-5)


def test_cayley_is_the_textbook_formula_and_a_proper_rotation():
    layer = CayleyRotation.init(jax.random.key(0), 4)
    upper = np.triu(layer.skew, 1)
    skew = upper - upper.T
    expected = np.linalg.inv(np.eye(4) - skew) @ (np.eye(4) + skew)
    np.testing.assert_allclose(layer.matrix, expected, atol=1e-12)
    assert np.linalg.det(layer.matrix) == pytest.approx(1)


def test_cayley_of_zero_is_the_identity():
    np.testing.assert_array_equal(CayleyRotation(jnp.zeros((3, 3))).matrix, np.eye(3))


def test_permutation_moves_channels():
    layer = Permutation(np.array([2, 0, 1]))
    np.testing.assert_array_equal(layer.transform(np.array([5.0, 6.0, 7.0])), [7, 5, 6])
    np.testing.assert_array_equal(layer.inverse(np.array([7.0, 5.0, 6.0])), [5, 6, 7])
