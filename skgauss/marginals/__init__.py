"""One-dimensional maps from every column to a normal, all columns at once, in NumPy."""

from skgauss.marginals.spline import SplineMarginal

MARGINALS = {"spline": SplineMarginal}

__all__ = ["MARGINALS", "SplineMarginal"]
