"""The fitted head: the marginal's own map, as a layer."""

from __future__ import annotations

import jax
import numpy as np

from skgauss.bijections import Chain, FixedAffine, FixedSpline
from skgauss.marginals import SplineMarginal

RNG = np.random.default_rng(0)
X = np.column_stack([RNG.normal(5, 3, 500), RNG.exponential(size=500), RNG.standard_cauchy(500)])
X[:3] = [[1e6, 1e6, 1e6], [-1e6, -1e6, -1e6], [5, 0, 0]]
MARGINAL = SplineMarginal().fit(X)
HEAD = Chain((FixedAffine(MARGINAL.loc_, MARGINAL.scale_), FixedSpline(*MARGINAL.spline_)))


def test_layers_are_the_map_of_the_marginal():
    with jax.enable_x64(True):
        z, log_det = jax.jit(jax.vmap(HEAD.transform_and_log_det))(X)
        back = jax.jit(jax.vmap(HEAD.inverse))(z)
    np.testing.assert_allclose(z, MARGINAL.transform(X), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(log_det, MARGINAL._forward(X)[1], rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(back, X, rtol=1e-9, atol=1e-9)


def test_nothing_in_the_head_is_trainable():
    assert jax.tree.leaves(HEAD) == []


def test_affine_is_its_formula():
    layer = FixedAffine(np.array([1.0, -1.0]), np.array([2.0, 4.0]))
    z, log_det = layer.transform_and_log_det(np.array([5.0, 1.0]))
    np.testing.assert_allclose(z, [2.0, 0.5])
    np.testing.assert_allclose(log_det, -np.log(8), rtol=1e-6)
