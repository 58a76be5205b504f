"""Trainable invertible layers for researchers: one event per call, batches by ``jax.vmap``."""

from skgauss.bijections.actnorm import ActNorm
from skgauss.bijections.base import Bijection, Chain, combine, partition
from skgauss.bijections.conditioner import MLP
from skgauss.bijections.conv1x1 import Invertible1x1Conv
from skgauss.bijections.coupling import (
    AffineCoupling,
    MixtureCDFCoupling,
    RationalQuadraticSplineCoupling,
)
from skgauss.bijections.elementwise import ElementwiseAffine, ElementwiseSpline
from skgauss.bijections.glow import GlowStack, GlowStep
from skgauss.bijections.head import FixedAffine, FixedSpline
from skgauss.bijections.mixture import FixedMixture
from skgauss.bijections.rotation import (
    CayleyRotation,
    FixedRotation,
    HouseholderRotation,
    Permutation,
)

__all__ = [
    "MLP",
    "ActNorm",
    "AffineCoupling",
    "Bijection",
    "CayleyRotation",
    "Chain",
    "ElementwiseAffine",
    "ElementwiseSpline",
    "FixedAffine",
    "FixedMixture",
    "FixedRotation",
    "FixedSpline",
    "GlowStack",
    "GlowStep",
    "HouseholderRotation",
    "Invertible1x1Conv",
    "MixtureCDFCoupling",
    "Permutation",
    "RationalQuadraticSplineCoupling",
    "combine",
    "partition",
]
