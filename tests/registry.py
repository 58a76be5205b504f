"""Every layer of `skgauss.bijections`, one line each; the laws of `test_laws` hold for all."""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import numpy as np

from skgauss.bijections import (
    ActNorm,
    AffineCoupling,
    Bijection,
    CayleyRotation,
    Chain,
    ElementwiseAffine,
    ElementwiseSpline,
    FixedAffine,
    FixedMixture,
    FixedRotation,
    FixedSpline,
    GlowStack,
    GlowStep,
    HouseholderRotation,
    Invertible1x1Conv,
    MixtureCDFCoupling,
    Permutation,
    RationalQuadraticSplineCoupling,
)
from skgauss.mixture import GaussianMixtureMap
from skgauss.tails import LINEAR, LOG, POWER

BOUND = 4.0  # of every spline layer below: rows of the laws fall exactly on it
_NETWORK = {"hidden_layer_sizes": (8,)}
_SPLINE = {"n_bins": 3, "bound": BOUND}
_MIXTURE = {"n_components": 2}
_COUPLING = {
    "affine": _NETWORK,
    "spline": _NETWORK | _SPLINE,
    "mixture": _NETWORK | _MIXTURE,
}


def glow(cls, mixer, coupling, **kwargs):
    """Constructor of a `GlowStep` or a `GlowStack` with a small coupling."""
    kwargs |= {"mixer": mixer, "coupling": coupling, "coupling_kwargs": _COUPLING[coupling]}
    return lambda key, n: cls.init(key, n, **kwargs)


def fixed_spline(law, parameter, n_channels):
    """Spline through five uneven knots, whose tails follow `law`."""
    knots = np.array([-4.0, -1.0, 0.3, 1.0, 4.0])
    images = np.array([-2.5, -0.7, 0.2, 1.4, 2.0])
    slopes = np.array([0.3, 0.8, 1.5, 0.4, 0.2])
    rows = [np.tile(array, (n_channels, 1)) for array in (knots, images, slopes)]
    parameters = np.full((n_channels, 2), parameter)
    return FixedSpline(*rows, np.full((n_channels, 2), law, np.int8), parameters)


def fixed_mixture(n_channels):
    """Four correlated components, one of them narrow."""
    rng = np.random.default_rng(n_channels)
    shape = (4, n_channels, n_channels)
    factors = (
        np.tril(rng.normal(size=shape), -1)
        + np.eye(n_channels) * np.array([1, 0.3, 1, 0.5])[:, None, None]
    )
    bound = np.full(n_channels, 8.0)
    means = rng.normal(size=shape[:2])
    mixture = GaussianMixtureMap.from_cholesky([0.4, 0.3, 0.2, 0.1], means, factors, -bound, bound)
    return FixedMixture.from_map(mixture)


BIJECTIONS: dict[str, Callable[[jax.Array, int], Bijection]] = {
    "ActNorm": lambda key, n: ActNorm.init(n),
    "Invertible1x1Conv": lambda key, n: Invertible1x1Conv.init(key, n),
    "Invertible1x1Conv-identity": lambda key, n: Invertible1x1Conv.init(key, n, start="identity"),
    "Invertible1x1Conv-permutation": lambda key, n: Invertible1x1Conv.init(
        key, n, start="permutation"
    ),
    "FixedRotation": lambda key, n: FixedRotation.init(key, n),
    "HouseholderRotation": lambda key, n: HouseholderRotation.init(key, n),
    "HouseholderRotation-2": lambda key, n: HouseholderRotation.init(key, n, n_reflections=2),
    "CayleyRotation": lambda key, n: CayleyRotation.init(key, n),
    "Permutation": lambda key, n: Permutation.init(key, n),
    "AffineCoupling": lambda key, n: AffineCoupling.init(key, n, **_NETWORK),
    "RationalQuadraticSplineCoupling": lambda key, n: RationalQuadraticSplineCoupling.init(
        key, n, **_NETWORK, **_SPLINE
    ),
    "MixtureCDFCoupling": lambda key, n: MixtureCDFCoupling.init(key, n, **_NETWORK, **_MIXTURE),
    "ElementwiseAffine": lambda key, n: ElementwiseAffine.init(n),
    "ElementwiseSpline": lambda key, n: ElementwiseSpline.init(n, **_SPLINE),
    "FixedAffine": lambda key, n: FixedAffine(np.linspace(-3, 5, n), np.linspace(0.5, 2, n)),
    "FixedSpline-linear": lambda key, n: fixed_spline(LINEAR, 1.0, n),
    "FixedSpline-log": lambda key, n: fixed_spline(LOG, 0.4, n),
    "FixedSpline-power": lambda key, n: fixed_spline(POWER, 3.0, n),
    "FixedMixture": lambda key, n: fixed_mixture(n),
    "GlowStep": glow(GlowStep, "lu", "affine"),
    "GlowStack-lu-spline": glow(GlowStack, "lu", "spline", n_steps=3),
    "GlowStack-rotation-affine": glow(GlowStack, "rotation", "affine", n_steps=2),
    "GlowStack-householder-affine": glow(GlowStack, "householder", "affine", n_steps=2),
    "GlowStack-cayley-mixture": glow(GlowStack, "cayley", "mixture", n_steps=2),
    "GlowStack-permutation-affine": glow(GlowStack, "permutation", "affine", n_steps=2),
    "Chain": lambda key, n: Chain(
        (
            FixedAffine(np.full(n, 0.5), np.full(n, 2.0)),
            fixed_spline(LOG, 0.4, n),
            ActNorm.init(n),
            Permutation.init(key, n),
        )
    ),
}

_COUPLINGS = ["AffineCoupling", "RationalQuadraticSplineCoupling", "MixtureCDFCoupling"]
CASES = [
    *((name, 3) for name in BIJECTIONS),
    *((name, 4) for name in _COUPLINGS),
    *((name, 1) for name in ["Invertible1x1Conv", *_COUPLINGS, "GlowStep"]),
]


def build(name: str, n_channels: int, dtype) -> Bijection:
    """Build a layer whose parameters are moved from their start, so that it does something.

    Call it under ``jax.enable_x64(True)`` for any dtype: what is fixed is then orthogonal to
    the precision asked for.
    """
    layer = BIJECTIONS[name](jax.random.key(len(name)), n_channels)
    rng = np.random.default_rng(len(name) + n_channels)
    moved = jax.tree.map(lambda leaf: leaf + 0.1 * rng.standard_normal(np.shape(leaf)), layer)
    return moved.astype(dtype)


# Compiled code that runs once had better be compiled fast than run fast.
quick_jit = functools.partial(
    jax.jit,
    compiler_options={
        "xla_backend_optimization_level": 0,
        "xla_llvm_disable_expensive_passes": True,
    },
)
