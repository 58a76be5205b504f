"""Density estimators that Gaussianize: one invertible map, from a table to normals.

The public names are imported when first used: ``import skgauss`` does not import JAX.
"""

from __future__ import annotations

import gc
import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skgauss.glow import GlowGaussianizer as GlowGaussianizer
    from skgauss.outliers import DensityOutlierDetector as DensityOutlierDetector
    from skgauss.rbig import RBIGTransformer as RBIGTransformer

__version__ = "0.1.0"

_HOMES = {
    "DensityOutlierDetector": "skgauss.outliers",
    "GlowGaussianizer": "skgauss.glow",
    "RBIGTransformer": "skgauss.rbig",
}
_MODULES = ("bijections", "display", "information", "marginals", "rotations")

__all__ = [
    "DensityOutlierDetector",
    "GlowGaussianizer",
    "RBIGTransformer",
    "bijections",
    "display",
    "information",
    "marginals",
    "rotations",
]


def _import(module):
    """Import a module and what it needs, in which no garbage is worth a search."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        return importlib.import_module(module)
    finally:
        if collecting:
            gc.enable()


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(_import(_HOMES[name]), name)
    if name in _MODULES:
        return _import(f"skgauss.{name}")
    raise AttributeError(f"module 'skgauss' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
