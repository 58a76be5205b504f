"""One-dimensional maps from every column to a normal, all columns at once, in NumPy."""

from skgauss.marginals.histogram import HistogramMarginal
from skgauss.marginals.kde import KDEMarginal
from skgauss.marginals.mixture import MixtureMarginal
from skgauss.marginals.spline import SplineMarginal

MARGINALS = {
    "spline": SplineMarginal,
    "histogram": HistogramMarginal,
    "kde": KDEMarginal,
    "mixture": MixtureMarginal,
}

__all__ = ["MARGINALS", "HistogramMarginal", "KDEMarginal", "MixtureMarginal", "SplineMarginal"]
