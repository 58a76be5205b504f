"""Densities of near-normal columns, all at once: stacked kernels that keep the variance.

A column y of mean 0 and variance 1 is smoothed by a Gaussian kernel of width h after shrinking it
by ``a = 1 / sqrt(1 + h^2)``, which keeps its variance: the density is that of
``a (y + h e)`` with a standard normal ``e``, and grows into the standard normal itself as h
grows. Several widths, the standard normal among them, are stacked: weights by EM on the
leave-one-out densities. How fine the finest width may be is chosen by the leave-one-out
likelihood less a charge, so that a column that shows nothing clear stays as it is.

Everything happens on an even grid, from linearly binned counts: O(1) per row.

References
----------
Smyth & Wolpert (1999), Linearly combining density estimators via stacking, Machine Learning 36,
doi:10.1023/A:1007511322260; Jones (1991), On correcting for variance inflation in kernel density
estimation, Computational Statistics & Data Analysis 11(1), doi:10.1016/0167-9473(91)90048-8;
Wand (1994), Fast computation of multivariate kernel estimators, JCGS 3(4), section 2 (linear
binning).
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import csc_array
from scipy.special import ndtr, ndtri

from skgauss.grid_spline import GridSpline

__all__ = [
    "Grid",
    "binned_counts",
    "grid_for",
    "kernel_spline",
    "stacked_gain",
    "stacked_spline",
]

_BIN_REACH = 6.0  # standard deviations; values beyond count in the last bin
_KNOT_REACH = 4.5
_N_EM = 12
_CHARGE = 1.0  # nats times the finest width: what a bump of that width costs
_MIN_NORMAL = 1e-3  # weight of the standard normal, for tails and gaps
_FINE_ABOVE = 50_000  # rows
_MIN_VARIANCE = 0.5  # of a direction: one that few rows span shows less, and nothing else
_MIN_OTHERS = 1e-9  # share of the rows that are not the value left out
# A steeper tail would throw rare rows out, layer by layer, and a flat one would, on the way back.
_EDGE_SLOPES = 0.1, 1.0


def _normal_density(x):
    return np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)


class Grid(NamedTuple):
    """Bins, knots, and what every kernel does between them.

    Attributes
    ----------
    widths : array of shape (n_widths,)
        Kernel widths h, the finest first.
    bins : array of shape (n_bins,)
    knots : array of shape (n_knots,)
    kernels : array of shape (n_widths, n_bins, n_bins)
        Density at a bin (first) of a unit mass in a bin (last).
    peaks : array of shape (n_widths, n_bins)
        Density that a unit mass gives to its own bin.
    cdf, survival, density : array of shape (n_widths, n_knots, n_bins)
        At a knot, of a unit mass in a bin.

    Examples
    --------
    >>> from skgauss.marginals.smoothing import grid_for
    >>> grid = grid_for(1000)
    >>> grid.density.shape == (len(grid.widths), len(grid.knots), len(grid.bins))
    True
    """

    widths: np.ndarray
    bins: np.ndarray
    knots: np.ndarray
    kernels: np.ndarray
    peaks: np.ndarray
    cdf: np.ndarray
    survival: np.ndarray
    density: np.ndarray


@functools.lru_cache(maxsize=8)
def _grid(fine: bool, bandwidth: float | None = None) -> Grid:
    """Build a grid once."""
    widths = np.array([0.025] * fine + [0.05, 0.1, 0.2, 0.4, 0.8, 1.6])
    if bandwidth is not None:
        widths = np.array([bandwidth])
    bins = np.linspace(-_BIN_REACH, _BIN_REACH, 513 if fine else 257)
    knots = np.linspace(-_KNOT_REACH, _KNOT_REACH, 129 if fine else 65)
    shrink = (1 / np.sqrt(1 + widths**2))[:, None, None]
    scale = widths[:, None, None] * shrink

    def standardised(points):
        return (points[:, None] - shrink * bins) / scale

    kernels = _normal_density(standardised(bins)) / scale
    return Grid(
        widths,
        bins,
        knots,
        kernels,
        np.diagonal(kernels, axis1=1, axis2=2).copy(),
        ndtr(standardised(knots)),
        ndtr(-standardised(knots)),
        _normal_density(standardised(knots)) / scale,
    )


def grid_for(n_rows: float, bandwidth: float | None = None) -> Grid:
    """Return the grid for a table of `n_rows` rows: finer for larger tables.

    Parameters
    ----------
    n_rows : float
    bandwidth : float, default=None
        The only width of kernels; None means several.

    Returns
    -------
    grid : Grid

    Examples
    --------
    >>> from skgauss.marginals.smoothing import grid_for
    >>> grid_for(1000).widths.tolist()
    [0.05, 0.1, 0.2, 0.4, 0.8, 1.6]
    """
    return _grid(n_rows >= _FINE_ABOVE, bandwidth)


def binned_counts(Y: np.ndarray, weight: np.ndarray | None, grid: Grid) -> np.ndarray:
    """Bin columns linearly: a value counts in its two nearest bins by its nearness.

    Parameters
    ----------
    Y : array of shape (n_features, n_rows)
    weight : array of shape (n_rows,) or None
    grid : Grid

    Returns
    -------
    counts : array of shape (n_features, n_bins)

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.marginals.smoothing import binned_counts, grid_for
    >>> binned_counts(np.zeros((1, 3)), None, grid_for(3)).max().tolist()
    3.0
    """
    n_bins = len(grid.bins)
    place = np.clip(Y, -_BIN_REACH, _BIN_REACH)
    place += _BIN_REACH
    place *= (n_bins - 1) / (2 * _BIN_REACH)
    index = np.clip(place.astype(np.int32), 0, n_bins - 2)  # nothing is counted beside the table
    place -= index
    index += np.arange(0, len(Y) * n_bins, n_bins, dtype=np.int32)[:, None]
    # Products with a sparse matrix sum in C, beside other threads; `bincount` does not.
    mass = np.ones(Y.size) if weight is None else np.tile(weight, len(Y))
    starts = np.arange(Y.size + 1, dtype=np.int32)
    sums = csc_array((mass, index.ravel(), starts), shape=(len(Y) * n_bins, Y.size))
    above = (sums @ place.ravel()).reshape(-1, n_bins)
    counts = (sums @ np.ones(Y.size)).reshape(-1, n_bins) - above
    counts[:, 1:] += above[:, :-1]
    return counts


def _stack(share: np.ndarray, densities: np.ndarray, allowed: np.ndarray):
    """Weights that maximise the likelihood of a mixture of given densities, by EM.

    `share` (C, B) holds the rows' shares of the bins, `densities` (C, T, B) what is mixed,
    `allowed` (S, T) the sets of densities to be tried. Returns the weights (C, S, T) and the
    likelihood per row (C, S).
    """
    weights = np.broadcast_to(
        allowed / allowed.sum(axis=1, keepdims=True), (len(share), *allowed.shape)
    )
    transposed = densities.transpose(0, 2, 1)
    for _ in range(_N_EM):
        weights = weights * np.matmul(share[:, None] / np.matmul(weights, densities), transposed)
    mixed = np.matmul(weights, densities)
    return weights, np.einsum("cb,csb->cs", share, np.log(mixed))


def stacked_spline(
    counts: np.ndarray, grid: Grid, learning_rate: float = 1.0, copies: np.ndarray | None = None
) -> tuple[GridSpline, np.ndarray]:
    """Make the map from every column to a standard normal, from its binned counts.

    Parameters
    ----------
    counts : array of shape (n_features, n_bins)
        From `binned_counts`, of columns with mean 0 and variance 1.
    grid : Grid
    learning_rate : float, default=1.0
        Share of the way from the identity to the map that is gone, in (0, 1].
    copies : array of shape (n_features, n_bins), default=None
        Mean number of equal values in every bin, which are left out together; None means 1.

    Returns
    -------
    spline : GridSpline
        Only the columns whose gain is worth its charge are moved.
    gain : array of shape (n_features,)
        Leave-one-out log-likelihood gained over the standard normal, per row, in nats; 0 where
        a column is not moved.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.marginals.smoothing import binned_counts, grid_for, stacked_spline
    >>> y = np.random.default_rng(0).uniform(-(3**0.5), 3**0.5, size=(1, 5000))
    >>> grid = grid_for(5000)
    >>> spline, gain = stacked_spline(binned_counts(y, None, grid), grid)
    >>> round(float(gain[0]), 2)  # of a uniform, at most log(2 pi e / 12) / 2 = 0.18
    0.13
    """
    share = counts / counts.sum(axis=1, keepdims=True)
    columns, weights, gain = _choice(counts, grid, copies)
    return _spline(columns, share[columns], weights, grid, learning_rate), gain


def stacked_gain(counts: np.ndarray, grid: Grid) -> np.ndarray:
    """Return the gain of `stacked_spline`, without making the map.

    Parameters
    ----------
    counts : array of shape (n_features, n_bins)
    grid : Grid

    Returns
    -------
    gain : array of shape (n_features,)

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.marginals.smoothing import binned_counts, grid_for, stacked_gain
    >>> y, grid = np.random.default_rng(0).normal(size=(1, 5000)), grid_for(5000)
    >>> stacked_gain(binned_counts(y, None, grid), grid).tolist()
    [0.0]
    """
    return _choice(counts, grid, None)[2]


def _choice(counts, grid, copies):
    """Columns worth moving, the weights of their kernels, and the gain of all columns."""
    n_rows = counts.sum(axis=1, keepdims=True)
    share = counts / n_rows
    own: Any = 1.0 if copies is None else copies
    others = np.maximum(n_rows - own, 1 if copies is None else _MIN_OTHERS * n_rows)
    smooth = np.matmul(share, grid.kernels.transpose(0, 2, 1))
    held_out = np.maximum((n_rows * smooth - own * grid.peaks[:, None]) / others, 1e-300)
    normal = _normal_density(grid.bins)
    densities = np.concatenate([held_out, np.broadcast_to(normal, (1, *share.shape))])
    n_widths = len(grid.widths)
    allowed = np.triu(np.ones((n_widths, n_widths + 1)))  # set s: widths from s on, and normal
    weights, likelihood = _stack(share, densities.transpose(1, 0, 2), allowed)
    gains = n_rows * (likelihood - share @ np.log(normal)[:, None])
    worth = gains - _CHARGE / grid.widths
    best = np.argmax(worth, axis=1)
    rows = np.arange(len(counts))
    columns = np.flatnonzero((worth[rows, best] > 0) & _is_spread(share, grid))
    gain = np.zeros(len(counts))
    gain[columns] = (gains[rows, best] / n_rows[:, 0])[columns]
    return columns, weights[columns, best[columns]], gain


def kernel_spline(counts: np.ndarray, grid: Grid) -> GridSpline:
    """Make the map from every column to a standard normal with the finest kernels of a grid.

    Parameters
    ----------
    counts : array of shape (n_features, n_bins)
        From `binned_counts`.
    grid : Grid

    Returns
    -------
    spline : GridSpline

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.marginals.smoothing import binned_counts, grid_for, kernel_spline
    >>> y, grid = np.random.default_rng(0).normal(size=(1, 5000)), grid_for(5000, bandwidth=0.3)
    >>> spline = kernel_spline(binned_counts(y, None, grid), grid)
    >>> spline.forward(np.array([[1.0]]))[0].round(1).tolist()
    [[1.0]]
    """
    share = counts / counts.sum(axis=1, keepdims=True)
    columns = np.flatnonzero(_is_spread(share, grid))
    weights = np.zeros((len(columns), len(grid.widths) + 1))
    weights[:, 0] = 1
    return _spline(columns, share[columns], weights, grid)


def _is_spread(share, grid):
    """Which columns vary as they should."""
    return share @ grid.bins**2 > _MIN_VARIANCE


def _spline(columns, share, weights, grid, learning_rate=1.0):
    """Map of some columns from their stacked densities, or a share of the way there."""
    z, slope = _quantile_map(share, weights, grid)
    z = grid.knots + learning_rate * (z - grid.knots)
    slope = 1 + learning_rate * (slope - 1)
    return GridSpline(columns, z.astype(np.float32), slope.astype(np.float32), _KNOT_REACH)


def _quantile_map(share, weights, grid):
    """Map of the knots from stacked densities to the standard normal, and its derivative."""
    weights[:, -1] = np.maximum(weights[:, -1], _MIN_NORMAL)
    weights /= weights.sum(axis=1, keepdims=True)

    def mixed(of_kernels, of_normal):
        by_width = np.matmul(share, of_kernels.transpose(0, 2, 1))
        return np.einsum("ct,tck->ck", weights[:, :-1], by_width) + weights[:, -1:] * of_normal

    cdf = mixed(grid.cdf, ndtr(grid.knots))
    survival = mixed(grid.survival, ndtr(-grid.knots))
    z = np.where(cdf < survival, ndtri(np.minimum(cdf, 0.5)), -ndtri(np.minimum(survival, 0.5)))
    slope = mixed(grid.density, _normal_density(grid.knots)) / _normal_density(z)
    slope[:, [0, -1]] = np.clip(slope[:, [0, -1]], *_EDGE_SLOPES)
    return z, slope
