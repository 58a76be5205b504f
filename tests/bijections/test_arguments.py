"""Layers say what they cannot be made of, by name and value, and show what they are made of."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from skgauss.bijections import (
    ActNorm,
    AffineCoupling,
    Chain,
    ElementwiseAffine,
    ElementwiseSpline,
    GlowStack,
    HouseholderRotation,
    Invertible1x1Conv,
    MixtureCDFCoupling,
    Permutation,
    RationalQuadraticSplineCoupling,
)
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


@pytest.mark.parametrize("order", [[0, 0, 1], [1, 2, 3], [[1, 0]], [0.0, 1.0]])
def test_permutations(order):
    with pytest.raises(ValueError, match="permutation must hold every integer from 0 to C - 1"):
        Permutation(np.array(order))


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
