"""Gaussianize every column by kernel densities of what a coarse spline has made nearly normal."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import ClassVar, NamedTuple

import numpy as np
from scipy.special import ndtri

from skgauss._validation import Interval, StrOptions
from skgauss.grid_spline import GridSpline
from skgauss.marginals.base import BaseMarginal
from skgauss.marginals.columns import ColumnSpline, assembled, distinct, likeliest
from skgauss.marginals.smoothing import (
    Grid,
    binned_counts,
    grid_for,
    kernel_spline,
    stacked_spline,
)
from skgauss.marginals.spline import quantile_spline
from skgauss.spline import tailed_forward, tailed_inverse

__all__ = ["KDEMarginal"]

_N_KNOTS = (8, 16, 32, 64, 128, 256, 512)  # of the pilot, that "auto" chooses from
_ROWS_PER_KNOT = 4  # at least
_MIN_OUTSIDE = 0.01  # probability


class _KernelColumn(NamedTuple):
    """Pilot spline of one column, and its refinement."""

    pilot: ColumnSpline
    refinement: GridSpline  # of the first column, or of none

    def log_density(self, values):
        y, log_slope = tailed_forward(assembled([self.pilot]), values[None])
        z, increment = self.refinement.forward_by_column(y)
        return (log_slope + increment - 0.5 * z**2)[0]


def _refined(
    pilots: Sequence[ColumnSpline], values: np.ndarray, mass: np.ndarray, grid: Grid
) -> list[_KernelColumn]:
    """Refine alternative pilots of one column, each by kernels.

    What lies beyond all that as many normal rows would show is left to the pilot's tails.
    """
    near_normal, _ = tailed_forward(assembled(pilots), np.tile(values, (len(pilots), 1)))
    largest = -ndtri(min(0.5 / mass.sum(), _MIN_OUTSIDE))
    np.clip(near_normal, -largest, largest, out=near_normal)
    counts = binned_counts(near_normal, mass, grid)
    if len(grid.widths) == 1:
        spline = kernel_spline(counts, grid)
    else:
        copies = binned_counts(near_normal, mass**2, grid) / np.where(counts > 0, counts, 1)
        spline, _ = stacked_spline(counts, grid, copies=copies)
    found = dict(zip(spline.columns, zip(spline.z, spline.slope, strict=True), strict=True))
    none = np.empty((0, spline.z.shape[1]), np.float32)
    refined = []
    for i, pilot in enumerate(pilots):
        moved = np.arange(1 if i in found else 0)
        z, slope = (part[None] for part in found[i]) if i in found else (none, none)
        refined.append(_KernelColumn(pilot, GridSpline(moved, z, slope, spline.reach)))
    return refined


def _chosen_n_knots(column, weight, resolution, n_errors, grid):
    """Number of the pilot's knots that is likeliest on rows held out, None for a straight line."""
    ladder = [k for k in _N_KNOTS if k * _ROWS_PER_KNOT <= weight.sum()]
    if not ladder:
        return None

    def tried(values, mass, held_out):
        pilots = [quantile_spline(values, mass, k, resolution) for k in ladder]
        columns = _refined(pilots, values, mass, grid)
        return np.array([column.log_density(held_out) for column in columns])

    best = likeliest(column, weight, tried, n_errors)
    return None if best is None else ladder[best]


class KDEMarginal(BaseMarginal):
    """Gaussianize every column by itself, through a transformation kernel density estimate.

    A coarse spline of quantiles, with tails whose law is chosen by likelihood as in
    `SplineMarginal`, brings a column near a normal: the pilot. There one width of kernels suits the
    middle and the tails alike, which it does not in a skewed or heavy-tailed column. The kernel
    density of the pilot's values, put back through the pilot, is the column's: the map is the pilot
    followed by a monotone rational-quadratic spline through the kernels' distribution function.
    Both are strictly increasing and once continuously differentiable everywhere, and inverted
    exactly, in closed form. Counts are binned linearly, O(1) per row.

    A kernel shrinks towards zero what it widens, so that the variance stays. By default the column
    takes kernels of several widths, from 0.025 to 1.6, and the standard normal, mixed by
    leave-one-out likelihood; where they show nothing clear, the pilot stays as it is.

    Copies of a value are left out together, so that ties do not call for kernels as narrow as a
    spike: a column of two values becomes a line through them, and the pilot's knots lie no closer
    than the grid of a column whose values repeat. A constant column is divided by its absolute
    value.

    Parameters
    ----------
    bandwidth : float or "auto", default="auto"
        Standard deviation of the kernels on the pilot's scale, where a column is nearly standard
        normal; at least 0.05.
    n_knots : int or "auto", default="auto"
        Knots of the pilot. "auto" takes, column by column, that of 8, 16, ..., 512 whose refined
        map is likeliest on rows held out, or a straight line where none is clearly likelier.
    subsample : int or None, default=200_000
        Rows that are counted; more are subsampled at random.
    n_jobs : int or None, default=None
        Threads for `fit`, `transform` and their kin; None means 1 unless in a joblib context.
    random_state : int, RandomState instance or None, default=None
        Of the subsample, and of the rows held out.

    Attributes
    ----------
    pilot_ : skgauss.spline.TailedSpline
        Knots and tails, arrays of shape (n_features, n_knots) and (n_features, 2), of the
        standardised columns.
    refinement_ : skgauss.grid_spline.GridSpline
        What the kernels add, on even knots of the pilot's scale.
    loc_, scale_ : array of shape (n_features,)
        Robust standardisation: median, and interquartile range over 1.349.
    data_min_, data_max_ : array of shape (n_features,)
        Range of the training rows.
    n_features_in_ : int
    feature_names_in_ : array of shape (n_features,)
        Where the table had names.

    See Also
    --------
    sklearn.neighbors.KernelDensity : In any dimension, with one width; keeps the training rows.
    SplineMarginal : Without the kernels.

    References
    ----------
    Wand, Marron & Ruppert (1991), Transformations in density estimation, Journal of the American
    Statistical Association 86(414), doi:10.1080/01621459.1991.10475041; for the kernels see
    `skgauss.marginals.smoothing`.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.marginals import KDEMarginal
    >>> X = np.random.default_rng(0).exponential(size=(2000, 1))
    >>> marginal = KDEMarginal(bandwidth=0.2, random_state=0).fit(X)
    >>> round(float(np.exp(marginal.score_samples([[1.0]]))[0]), 1)  # exp(-1)
    0.4
    >>> bool(np.allclose(marginal.inverse_transform(marginal.transform(X)), X))
    True
    """

    _parameter_constraints: ClassVar[dict] = {
        "bandwidth": [Interval(Real, 0.05, None, closed="left"), StrOptions({"auto"})],
        "n_knots": [Interval(Integral, 4, None, closed="left"), StrOptions({"auto"})],
        "subsample": [Interval(Integral, 10, None, closed="left"), None],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        bandwidth="auto",
        n_knots="auto",
        subsample=200_000,
        n_jobs=None,
        random_state=None,
    ):
        self.bandwidth = bandwidth
        self.n_knots = n_knots
        self.subsample = subsample
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _fit_column(self, column, weight, resolution, n_errors):
        grid = grid_for(np.inf, None if self.bandwidth == "auto" else self.bandwidth)
        n_knots = self.n_knots
        if n_knots == "auto":
            n_knots = _chosen_n_knots(column, weight, resolution, n_errors, grid)
        values, mass = distinct(column, weight)
        if n_knots is None:
            pilot = ColumnSpline.affine(values, mass)
        else:
            pilot = quantile_spline(values, mass, n_knots, resolution)
        return _refined([pilot], values, mass, grid)[0]

    def _keep(self, fitted):
        self.pilot_ = assembled([column.pilot for column in fitted])
        parts = [column.refinement for column in fitted]
        self.refinement_ = GridSpline(
            np.flatnonzero([len(part.columns) for part in parts]),
            np.concatenate([part.z for part in parts]),
            np.concatenate([part.slope for part in parts]),
            parts[0].reach,
        )

    def _columns_forward(self, Y):
        Y, log_slope = tailed_forward(self.pilot_, Y)
        Z, increment = self.refinement_.forward_by_column(Y)
        return Z, log_slope + increment

    def _columns_inverse(self, Z):
        return tailed_inverse(self.pilot_, self.refinement_.inverse(Z))
