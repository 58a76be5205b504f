"""Elementwise layers, and what the base class promises of every layer."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from skgauss.bijections import Bijection, ElementwiseAffine, ElementwiseSpline
from tests.registry import BOUND, build, quick_jit

ROWS = np.random.default_rng(0).normal(size=(50, 3)) * 2


@pytest.mark.parametrize("init", [ElementwiseAffine.init, ElementwiseSpline.init])
def test_starts_at_the_identity(init):
    layer = init(3)
    z, log_det = quick_jit(jax.vmap(layer.transform_and_log_det))(ROWS)
    np.testing.assert_allclose(z, ROWS, atol=1e-5)
    np.testing.assert_allclose(log_det, 0, atol=1e-5)


@pytest.mark.parametrize("name", ["ElementwiseAffine", "ElementwiseSpline"])
def test_channels_do_not_meet(name):
    with jax.enable_x64(True):
        jacobian = np.asarray(quick_jit(jax.jacrev(build(name, 3, np.float64).transform))(ROWS[0]))
    np.testing.assert_array_equal(jacobian, np.diag(np.diag(jacobian)))


def test_affine_is_its_formula():
    layer = ElementwiseAffine(jnp.array([1.0, 0.0]), jnp.log(jnp.array([2.0, 3.0])))
    z, log_det = layer.transform_and_log_det(jnp.array([1.0, 1.0]))
    np.testing.assert_allclose(z, [3, 3], rtol=1e-6)
    assert float(log_det) == pytest.approx(np.log(6), rel=1e-6)


@pytest.mark.parametrize("edge", [-BOUND, BOUND])
def test_spline_meets_the_identity_smoothly(edge):
    with jax.enable_x64(True):
        layer = build("ElementwiseSpline", 1, np.float64)
        for x in edge + np.array([-1e-9, 0.0, 1e-9]):
            z, log_det = layer.transform_and_log_det(np.array([x]))
            assert float(z[0]) == pytest.approx(x, abs=1e-8)
            assert float(log_det) == pytest.approx(0, abs=1e-6)


def test_spline_is_the_identity_outside_its_box():
    layer = build("ElementwiseSpline", 3, np.float32)
    far = np.array([-1e6, 4.5, 1e6], np.float32)
    z, log_det = layer.transform_and_log_det(far)
    np.testing.assert_array_equal(z, far)
    assert float(log_det) == 0


def test_a_layer_without_its_map_says_so():
    class Unfinished(Bijection):
        pass

    for method in ("transform", "inverse"):
        with pytest.raises(TypeError, match="Unfinished does not define"):
            getattr(Unfinished(), method)(np.zeros(2))
