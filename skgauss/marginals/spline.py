"""Gaussianize every column by a monotone spline through its smoothed quantiles."""

from __future__ import annotations

from numbers import Integral
from typing import ClassVar

import numpy as np
from scipy.special import ndtri

from skgauss._validation import Interval, StrOptions
from skgauss.marginals.base import BaseMarginal
from skgauss.marginals.columns import (
    CONSTANT,
    ColumnSpline,
    assembled,
    bulk,
    distinct,
    likeliest,
    log_densities,
)
from skgauss.spline import tailed_forward, tailed_inverse

__all__ = ["SplineMarginal", "quantile_spline"]

_N_KNOTS = (4, 8, 16, 32, 64, 128, 256, 512)  # that "auto" chooses from
_ROWS_PER_KNOT = 4  # at least
_MIN_GAP = 1e-12  # of neighbouring knots, relative to their size


def _spread(x):
    """Push knots apart, where values a rounding error apart hold the mass of several knots."""
    if np.all(np.diff(x) > 2 * _MIN_GAP * np.maximum(np.abs(x[:-1]), _MIN_GAP)):
        return x
    for k in range(1, len(x)):
        x[k] = max(x[k], x[k - 1] + _MIN_GAP * max(abs(x[k - 1]), _MIN_GAP))
    return x


def _thinned(x, resolution):
    """Which knots to keep, so that none lie closer together than the values of their column."""
    kept = [0]
    for k in range(1, len(x) - 1):
        if x[k] - x[kept[-1]] >= resolution and x[-1] - x[k] >= resolution:
            kept.append(k)
    return [*kept, len(x) - 1]


def quantile_spline(
    values: np.ndarray, mass: np.ndarray, n_knots: int, resolution: float
) -> ColumnSpline:
    """Spline of a column through smoothed quantiles at even steps of the normal scale.

    Parameters
    ----------
    values, mass : array of shape (n_distinct,)
        See `skgauss.marginals.columns.distinct`.
    n_knots : int
        At most so many.
    resolution : float
        Knots lie so far apart at least.

    Returns
    -------
    spline : ColumnSpline

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.marginals.spline import quantile_spline
    >>> values = np.linspace(-1, 1, 1000)
    >>> spline = quantile_spline(values, np.ones(1000), 5, 0.0)
    >>> (spline.x.round(2) + 0.0).tolist(), (spline.z.round(2) + 0.0).tolist()
    ([-0.99, -0.8, 0.0, 0.8, 0.99], [-2.58, -1.29, 0.0, 1.29, 2.58])
    """
    if values[-1] - values[0] < CONSTANT:
        return ColumnSpline.affine(values, mass)
    total = mass.sum()
    cdf = (np.cumsum(mass) - mass / 2) / total
    first, last = ndtri(bulk(cdf, total))
    z = np.linspace(first, last, n_knots)
    x = _spread(np.interp(z, ndtri(cdf), values))
    if resolution:
        kept = _thinned(x, resolution)
        x, z = x[kept], z[kept]
    return ColumnSpline.through(x, z, values, mass)


def _select_column(column, weight, resolution, n_errors):
    """Spline with the number of knots that is likeliest on rows held out, or a straight line."""
    ladder = [k for k in _N_KNOTS if k * _ROWS_PER_KNOT <= weight.sum()]

    def tried(values, mass, held_out):
        splines = [quantile_spline(values, mass, k, resolution) for k in ladder]
        return log_densities(splines, held_out)

    best = likeliest(column, weight, tried, n_errors) if ladder else None
    values, mass = distinct(column, weight)
    if best is None:
        return ColumnSpline.affine(values, mass)
    return quantile_spline(values, mass, ladder[best], resolution)


class SplineMarginal(BaseMarginal):
    """Gaussianize every column by itself, through a monotone spline of its quantiles.

    The knots are smoothed quantiles at equal steps of the normal scale; between them runs a
    monotone rational-quadratic spline, beyond them a tail whose law (nearly Gaussian, log-normal
    or power law) is chosen per side by the likelihood of the rows there. The map is strictly
    increasing and once continuously differentiable everywhere, so that nothing clips outside
    the training range, and the inverse is exact, in closed form.

    Tied values share the mass between their neighbours evenly; a column of two values becomes
    a line through them; a constant column is divided by its absolute value.

    Parameters
    ----------
    n_knots : int or "auto", default="auto"
        Knots per column, at least 2; 2 is the straight line of mean and standard deviation,
        for which values far beyond all others are brought nearer.
        "auto" chooses for every column between that and 4, 8, ... 512 knots, of at least 4 rows
        each, by the likelihood of rows held out: in five folds below 2,000 rows, else on a
        fifth. A spline that does not clearly beat the line is not taken: of a table of normals,
        one column would be bent with probability 0.005.
    subsample : int or None, default=200_000
        Rows that the quantiles are taken from; more are subsampled at random.
    n_jobs : int or None, default=None
        Threads for `transform` and its kin; None means 1 unless in a joblib context.
    random_state : int, RandomState instance or None, default=None
        Of the subsample, and of the folds that choose the knots.

    Attributes
    ----------
    spline_ : skgauss.spline.TailedSpline
        Knots and tails, arrays of shape (n_features, n_knots) and (n_features, 2), of the
        standardised columns.
    loc_, scale_ : array of shape (n_features,)
        Robust standardisation: median, and interquartile range over 1.349.
    data_min_, data_max_ : array of shape (n_features,)
        Range of the training rows.
    n_features_in_ : int
    feature_names_in_ : array of shape (n_features,)
        Where the table had names.

    See Also
    --------
    sklearn.preprocessing.QuantileTransformer : The same idea with a step function; clips.

    References
    ----------
    Gregory & Delbourgo (1982), Piecewise rational quadratic interpolation to monotonic data,
    IMA Journal of Numerical Analysis 2(2), equations 2.3 to 2.6.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.marginals import SplineMarginal
    >>> X = np.random.default_rng(0).exponential(size=(2000, 1))
    >>> marginal = SplineMarginal().fit(X)
    >>> Z = marginal.transform(X)
    >>> round(abs(float(Z.mean())), 1), round(float(Z.std()), 1)
    (0.0, 1.0)
    >>> bool(np.allclose(marginal.inverse_transform(Z), X))
    True
    """

    _parameter_constraints: ClassVar[dict] = {
        "n_knots": [Interval(Integral, 2, None, closed="left"), StrOptions({"auto"})],
        "subsample": [Interval(Integral, 10, None, closed="left"), None],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    }

    def __init__(self, *, n_knots="auto", subsample=200_000, n_jobs=None, random_state=None):
        self.n_knots = n_knots
        self.subsample = subsample
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _fit_column(self, column, weight, resolution, n_errors):
        if self.n_knots == "auto":
            return _select_column(column, weight, resolution, n_errors)
        values, mass = distinct(column, weight)
        if self.n_knots == 2:
            return ColumnSpline.affine(values, mass)
        return quantile_spline(values, mass, self.n_knots, resolution)

    def _keep(self, fitted):
        self.spline_ = assembled(fitted)

    def _columns_forward(self, Y):
        return tailed_forward(self.spline_, Y)

    def _columns_inverse(self, Z):
        return tailed_inverse(self.spline_, Z)
