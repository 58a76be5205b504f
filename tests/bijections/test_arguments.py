"""Layers say what they cannot be made of, by name and value, and show what they are made of."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from skgauss.bijections import (
    ActNorm,
    AffineCoupling,
    Bijection,
    Chain,
    ElementwiseAffine,
    ElementwiseSpline,
    FixedAffine,
    FixedMixture,
    FixedRotation,
    FixedSpline,
    GlowStack,
    HouseholderRotation,
    Invertible1x1Conv,
    MixtureCDFCoupling,
    Permutation,
    RationalQuadraticSplineCoupling,
    combine,
    partition,
)
from skgauss.bijections.base import fixed, register
from skgauss.marginals import SplineMarginal
from skgauss.mixture import GaussianMixtureMap
from tests.registry import CASES, build

KEY = jax.random.key(0)


@pytest.mark.parametrize("cls", [ActNorm, ElementwiseAffine, ElementwiseSpline])
@pytest.mark.parametrize("n_channels", [2.5, -1, True, "3", None])
def test_numbers_of_channels(cls, n_channels):
    with pytest.raises(ValueError, match=f"n_channels must be an integer.*got {n_channels!r}"):
        cls.init(n_channels)


@pytest.mark.parametrize(
    "cls", [AffineCoupling, RationalQuadraticSplineCoupling, MixtureCDFCoupling, Invertible1x1Conv]
)
def test_no_channels(cls):
    with pytest.raises(ValueError, match="n_channels must be an integer, at least 1, got 0"):
        cls.init(KEY, 0)


@pytest.mark.parametrize(
    "cls", [AffineCoupling, RationalQuadraticSplineCoupling, MixtureCDFCoupling]
)
@pytest.mark.parametrize("sizes", [8, (0,), (8, 2.5), "64", (True,)])
def test_hidden_layers(cls, sizes):
    with pytest.raises(ValueError, match=r"hidden_layer_sizes must hold positive integers.*got"):
        cls.init(KEY, 3, hidden_layer_sizes=sizes)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (functools.partial(AffineCoupling.init, KEY, 3), "log_scale_bound"),
        (functools.partial(MixtureCDFCoupling.init, KEY, 3), "log_scale_bound"),
        (functools.partial(RationalQuadraticSplineCoupling.init, KEY, 3), "bound"),
        (functools.partial(ElementwiseSpline.init, 3), "bound"),
    ],
)
@pytest.mark.parametrize("bound", [0, -1.0, np.nan, np.inf, "4"])
def test_bounds(make, name, bound):
    with pytest.raises(ValueError, match=f"{name} must be a finite positive number, got"):
        make(**{name: bound})


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (functools.partial(RationalQuadraticSplineCoupling.init, KEY, 3), "n_bins"),
        (functools.partial(MixtureCDFCoupling.init, KEY, 3), "n_components"),
        (functools.partial(HouseholderRotation.init, KEY, 3), "n_reflections"),
        (functools.partial(GlowStack.init, KEY, 3), "n_steps"),
    ],
)
@pytest.mark.parametrize("number", [-1, 1.5])
def test_numbers(make, name, number):
    with pytest.raises(ValueError, match=f"{name} must be an integer, at least ., got {number}"):
        make(**{name: number})


@pytest.mark.parametrize("order", [[0, 0, 1], [1, 2, 3], [[1, 0], [1, 1]], [0.0, 1.0]])
def test_permutations(order):
    layers = Permutation.init(KEY, 2), Invertible1x1Conv.init(KEY, 2)
    for layer in layers:
        with pytest.raises(ValueError, match="permutation must hold every integer from 0 to C - 1"):
            dataclasses.replace(layer, permutation=np.array(order))


@pytest.mark.parametrize("matrix", [2 * np.eye(3), np.ones((3, 3)), np.eye(3)[:2], np.eye(3)[0]])
def test_rotations(matrix):
    with pytest.raises(ValueError, match="rotation must be an orthogonal matrix, got"):
        FixedRotation(matrix)


@pytest.mark.parametrize("scale", [0.0, -1.0, np.nan])
def test_scales(scale):
    with pytest.raises(ValueError, match="scale must be positive, got"):
        FixedAffine(np.zeros(2), np.array([1.0, scale]))


def test_fixed_maps_that_are_none():
    spline = SplineMarginal().fit(np.arange(30.0)[:, None]).spline_
    with pytest.raises(ValueError, match=r"x must not fall along its last axis, got \[\["):
        FixedSpline(*spline._replace(x=-spline.x))
    with pytest.raises(ValueError, match="z must not fall"):
        FixedSpline(*spline._replace(z=-spline.z))
    with pytest.raises(ValueError, match="slope must be positive"):
        FixedSpline(*spline._replace(slope=-spline.slope))
    bound = np.full(2, 9.0)
    mixture = GaussianMixtureMap.from_moments([1.0], np.zeros((1, 2)), [np.eye(2)], -bound, bound)
    with pytest.raises(ValueError, match="scales must be positive"):
        dataclasses.replace(FixedMixture.from_map(mixture), scales=-mixture.scales)


def test_a_chain_of_nothing_is_the_identity():
    nothing = Chain(())
    assert nothing.transform(np.array([1.0, 2.0])).tolist() == [1.0, 2.0]
    assert float(nothing.log_density(np.array([1.0, 2.0]))) == pytest.approx(
        -2.5 - np.log(2 * np.pi), rel=1e-6
    )


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_batches(value):
    batch = np.array([[1.0, value], [3.0, 4.0]])
    for start in (ActNorm, FixedRotation):
        with pytest.raises(ValueError, match="batch must be finite"):
            start.from_data(batch)
    with pytest.raises(ValueError, match="batch must be finite"):
        GlowStack.from_data(KEY, batch, n_steps=2)


def test_dtypes():
    with pytest.raises(ValueError, match="dtype must be a floating one, got <class 'int'>"):
        ActNorm.init(2).astype(int)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (ActNorm.init(2), "bijections must be a tuple of Bijection, got ActNorm"),
        ((ActNorm,), r"bijections\[0\] must be a Bijection, got <class"),
        ((ActNorm.init(2), None), r"bijections\[1\] must be a Bijection, got None"),
    ],
)
def test_parts_of_a_chain(parts, message):
    with pytest.raises(TypeError, match=message):
        Chain(parts)


def test_fixed_arrays_to_combine():
    params, held = partition(Permutation.init(KEY, 3))
    with pytest.raises(ValueError, match="Permutation holds more fixed arrays than the 0 given"):
        combine(params, [])
    with pytest.raises(ValueError, match="Permutation holds fewer fixed arrays than the 2 given"):
        combine(params, held * 2)
    assert params._n_channels is None


def test_a_layer_that_was_not_registered():
    class Unregistered(ActNorm):
        pass

    layer = Unregistered(np.zeros(2), np.zeros(2))
    assert "Unregistered object" in repr(layer)
    with pytest.raises(TypeError, match=r"Unregistered must be decorated with .*register"):
        partition(layer)


def test_a_log_det_that_is_not_one_of_every_position():
    @register
    class Scaled(Bijection):
        log_scale: jax.Array

        def _forward(self, x):
            return jnp.exp(self.log_scale) * x, self.log_scale * len(x)

        def _inverse(self, z):
            return jnp.exp(-self.log_scale) * z, -self.log_scale * len(z)

    layer, feature_map = Scaled(jnp.array(0.5)), jnp.ones((2, 2, 3))
    assert float(layer.transform_and_log_det(jnp.ones(2))[1]) == 1.0
    for method in (layer.transform_and_log_det, layer.inverse_and_log_det):
        with pytest.raises(ValueError, match=r"log_det of shape \(2, 3\).*got shape \(\)"):
            method(feature_map)


def test_a_layer_in_a_fixed_field_is_not_trained():
    @register
    class Frozen(Bijection):
        inner: Bijection = fixed()

        def _forward(self, x):
            return self.inner._forward(x)

    layer, x = Frozen(ActNorm.init(2)), jnp.ones(2)
    assert jax.tree.leaves(layer) == []
    expected = ActNorm.init(2).transform(x)
    n_traced = []

    @jax.jit
    def transform(layer, x):
        n_traced.append(1)
        return layer.transform(x)

    for same in (layer, layer.astype(np.float32), combine(*partition(layer))):
        np.testing.assert_allclose(transform(same, x), expected)
    assert len(n_traced) == 1
    assert [held.shape for held in partition(layer)[1]] == [(2,), (2,)]


def test_the_layers_of_a_stack_are_checked_one_by_one():
    for mixer, name in (("permutation", "permutation"), ("rotation", "rotation")):
        stacked = GlowStack.init(KEY, 3, n_steps=2, mixer=mixer).steps.mixer
        turned = np.array(getattr(stacked, name))[::-1]
        replaced = dataclasses.replace(stacked, **{name: turned})
        np.testing.assert_array_equal(getattr(replaced, name), turned)


def test_a_list_is_a_permutation_too():
    assert Permutation([2, 0, 1]).transform(jnp.arange(3.0)).tolist() == [2, 0, 1]


def test_a_traced_permutation():
    moved = jax.jit(lambda order: Permutation(order).transform(jnp.arange(3.0)))
    assert moved(jnp.array([2, 0, 1])).tolist() == [2, 0, 1]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}-C{case[1]}")
def test_representation_is_short(case):
    layer = build(*case, np.float32)
    assert type(layer).__name__ in repr(layer)
    assert len(repr(layer)) < 1_000


def test_representation_of_parts():
    told = "Chain(bijections=(ActNorm(loc=float32[2], log_scale=float32[2]),))"
    assert repr(Chain((ActNorm.init(2),))) == told
    assert repr(Permutation(np.array([1, 0]))) == "Permutation(permutation=int64[2])"
