"""One-dimensional maps of every column to a normal, all columns at once, in NumPy."""

from skgauss.marginals.spline import SplineMarginal

__all__ = ["SplineMarginal"]
