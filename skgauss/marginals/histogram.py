"""Gaussianize every column by a smoothed histogram."""

from __future__ import annotations

from numbers import Integral
from typing import ClassVar

import numpy as np
from scipy.special import ndtri

from skgauss._validation import Interval, StrOptions
from skgauss.marginals.base import BaseMarginal
from skgauss.marginals.columns import (
    ColumnSpline,
    assembled,
    bulk,
    distinct,
    likeliest,
    log_densities,
)
from skgauss.spline import tailed_forward, tailed_inverse

__all__ = ["HistogramMarginal", "histogram_spline"]

_N_BINS = (4, 8, 16, 32, 64, 128, 256, 512)  # that "auto" chooses from
_ROWS_PER_BIN = 4  # at least
_PRIOR_ROWS = 0.5  # that every bin has besides its own
_MIN_SHARE = 1e-9  # of the mass, in a bin
_MIN_RANGE = 1e-9  # of the bins, relative to the size of their edges


def histogram_spline(
    values: np.ndarray, mass: np.ndarray, n_bins: int, resolution: float
) -> ColumnSpline:
    """Spline of a column through the distribution function of its smoothed histogram.

    Parameters
    ----------
    values, mass : array of shape (n_distinct,)
        See `skgauss.marginals.columns.distinct`.
    n_bins : int
        At most so many.
    resolution : float
        Bins are so wide at least.

    Returns
    -------
    spline : ColumnSpline
        One knot at every edge of a bin.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.marginals.histogram import histogram_spline
    >>> spline = histogram_spline(np.linspace(-1, 1, 1000), np.ones(1000), 4, 0.0)
    >>> (spline.x + 2).round(2).tolist()
    [1.01, 1.5, 2.0, 2.5, 2.99]
    """
    total = mass.sum()
    cdf = (np.cumsum(mass) - mass / 2) / total
    low, high = bulk(cdf, total)
    first, last = np.interp([low, high], cdf, values)
    if last - first <= _MIN_RANGE * max(abs(first), abs(last)):
        return ColumnSpline.affine(values, mass)
    if resolution:
        n_bins = max(1, min(n_bins, int((last - first) / resolution)))
    edges = np.linspace(first, last, n_bins + 1)
    share = np.diff(np.interp(edges, values, cdf))
    padded = np.pad(share, 1, mode="edge")
    share = 0.25 * padded[:-2] + 0.5 * share + 0.25 * padded[2:]
    share += max(_PRIOR_ROWS / total, _MIN_SHARE)
    share *= (high - low) / share.sum()
    below = low + np.append(0, np.cumsum(share))
    above = 1 - high + np.append(np.cumsum(share[::-1])[::-1], 0)
    z = np.where(below < above, ndtri(below), -ndtri(above))
    return ColumnSpline.through(edges, z, values, mass)


def _chosen_n_bins(column, weight, resolution, n_errors):
    """Number of bins that is likeliest on rows held out, None for a straight line."""
    ladder = [k for k in _N_BINS if k * _ROWS_PER_BIN <= weight.sum()]
    if not ladder:
        return None

    def tried(values, mass, held_out):
        splines = [histogram_spline(values, mass, k, resolution) for k in ladder]
        return log_densities(splines, held_out)

    best = likeliest(column, weight, tried, n_errors)
    return None if best is None else ladder[best]


class HistogramMarginal(BaseMarginal):
    """Gaussianize every column by itself, through its smoothed histogram.

    Bins are even between the 0.5 % and the 99.5 % quantile; neighbours share their rows in the
    proportions 1, 2, 1, and every bin gets half a row more, so that none is empty. Through the
    distribution function at the edges, on the normal scale, runs a monotone rational-quadratic
    spline: the density is continuous, not a staircase. Beyond the last edges follow tails whose
    law (nearly Gaussian, log-normal or power law) is chosen per side by the likelihood of the rows
    there. The map is strictly increasing and once continuously differentiable everywhere, and the
    inverse is exact, in closed form.

    Even bins are at their best where a column has edges and gaps; where its density runs over
    orders of magnitude, `SplineMarginal` puts its knots where the rows are.

    Tied values share the mass between their neighbours evenly, and in a column whose values repeat
    on a grid no bin is narrower than the grid's step: a column of two values becomes a line through
    them. A constant column is divided by its absolute value.

    Parameters
    ----------
    n_bins : int or "auto", default="auto"
        Bins per column. "auto" takes, column by column, that of 4, 8, 16, ..., 512 whose map is
        likeliest on rows held out, or a straight line where none is clearly likelier.
    subsample : int or None, default=200_000
        Rows that are counted; more are subsampled at random.
    n_jobs : int or None, default=None
        Threads for `fit`, `transform` and their kin; None means 1 unless in a joblib context.
    random_state : int, RandomState instance or None, default=None
        Of the subsample, and of the rows held out.

    Attributes
    ----------
    spline_ : skgauss.spline.TailedSpline
        Edges of the bins as knots, and tails, arrays of shape (n_features, n_knots) and
        (n_features, 2), of the standardised columns.
    loc_, scale_ : array of shape (n_features,)
        Robust standardisation: median, and interquartile range over 1.349.
    data_min_, data_max_ : array of shape (n_features,)
        Range of the training rows.
    n_features_in_ : int
    feature_names_in_ : array of shape (n_features,)
        Where the table had names.

    See Also
    --------
    SplineMarginal : Knots at even steps of probability, on the normal scale.

    References
    ----------
    Scott (1985), Averaged shifted histograms, Annals of Statistics 13(3),
    doi:10.1214/aos/1176349654: 1, 2, 1 are the weights of two histograms shifted by half a bin.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.marginals import HistogramMarginal
    >>> X = np.random.default_rng(0).uniform(size=(2000, 1))
    >>> marginal = HistogramMarginal(random_state=0).fit(X)
    >>> bool(abs(np.exp(marginal.score_samples([[0.5]]))[0] - 1) < 0.15)  # the density is 1
    True
    >>> bool(np.allclose(marginal.inverse_transform(marginal.transform(X)), X))
    True
    """

    _parameter_constraints: ClassVar[dict] = {
        "n_bins": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "subsample": [Interval(Integral, 10, None, closed="left"), None],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    }

    def __init__(self, *, n_bins="auto", subsample=200_000, n_jobs=None, random_state=None):
        self.n_bins = n_bins
        self.subsample = subsample
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _fit_column(self, column, weight, resolution, n_errors):
        n_bins = self.n_bins
        if n_bins == "auto":
            n_bins = _chosen_n_bins(column, weight, resolution, n_errors)
        values, mass = distinct(column, weight)
        if n_bins is None:
            return ColumnSpline.affine(values, mass)
        return histogram_spline(values, mass, n_bins, resolution)

    def _keep(self, fitted):
        self.spline_ = assembled(fitted)

    def _columns_forward(self, Y):
        return tailed_forward(self.spline_, Y)

    def _columns_inverse(self, Z):
        return tailed_inverse(self.spline_, Z)
