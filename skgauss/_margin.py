"""Maps of single columns to normals, made to rank rows: bounded, and smooth where values repeat."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from skgauss._thresholds import weighted_quantile
from skgauss.marginals import SplineMarginal
from skgauss.resolution import column_resolution
from skgauss.spline import tailed_forward

__all__ = [
    "Margin",
    "Units",
    "central_columns",
    "coarse_margin",
    "common_values",
    "lost_columns",
    "smooth_margin",
]

_FARTHEST = 1e100  # standardised values: beyond, all are as far
_STILL = 1e-6  # of its value: standard deviation of a constant column
_ATOM = 0.02  # share of the rows that makes a repeated value a common one
_ATOM_WIDTH = 0.1  # standard deviations that an atom in a continuous column is spread over
_ATOM_PIECES = 64
_SELDOM = 0.5  # of what is expected: a column varies in rows left out, mostly
_COARSE_KNOTS = 4
_GOLDEN_RATIO = (math.sqrt(5) - 1) / 2  # whose multiples fill an interval evenly


class Units(NamedTuple):
    """Where every column is measured from, and in what."""

    loc: np.ndarray
    scale: np.ndarray

    def of(self, X):
        """Rows in these units, as far as squares are finite."""
        with np.errstate(over="ignore"):  # then it is infinitely far, and clipped
            return np.clip((X - self.loc) / self.scale, -_FARTHEST, _FARTHEST)

    def beside_atoms(self, Y, weight):
        """Units of what lies beside a value that both quartiles are: its median distance from it.

        Such quartiles tell nothing of amounts that most rows have none of, nor of a flag that few
        have.
        """
        scale = self.scale.copy()
        for j, column in enumerate(Y):
            low, high = (weighted_quantile(column, weight, share) for share in (0.25, 0.75))
            apart = column != low
            if low == high and apart.any():
                scale[j] = weighted_quantile(np.abs(column - low)[apart], weight[apart], 0.5)
        return Units(self.loc, scale)


class Margin(NamedTuple):
    """Spline maps of all columns, each standardised first; a constant one by next to nothing."""

    units: Units  # median and interquartile range
    spline: Any

    @classmethod
    def fit(cls, Y, weight, n_knots="auto"):
        """Fit the map of every column (a row of `Y`)."""
        marginal = SplineMarginal(n_knots=n_knots, random_state=0)
        marginal._fit_columns(Y, weight)
        unit = np.where(np.ptp(Y, axis=1) == 0, _STILL, 1.0)
        return cls(Units(marginal.loc_, unit * marginal.scale_), marginal.spline_)

    def forward(self, X):
        """Latents and log-slopes of rows, of shape (n_rows, n_features)."""
        z, log_slope = tailed_forward(self.spline, self.units.of(X).T)
        return z.T, log_slope.T - np.log(self.units.scale)

    def log_density(self, X):
        """Log-density of every value, but for the constant of a normal."""
        z, log_slope = self.forward(X)
        return log_slope - 0.5 * z**2


def lost_columns(Y, weight, central):
    """Columns that vary in the central rows less than half as often as in all.

    That is how often they have another value than the one of most central rows, where there is one.
    """
    kept, shares = Y[:, central], weight[central]
    lost = []
    for j, column in enumerate(Y):
        low, high = (weighted_quantile(kept[j], shares, share) for share in (0.25, 0.75))
        often = np.sum(weight[column != low]) / weight.sum()
        seldom = np.sum(shares[kept[j] != low]) / shares.sum()
        if low == high and seldom < _SELDOM * often:
            lost.append(j)
    return np.array(lost, dtype=int)


def central_columns(Y, weight, central, lost):
    """The central rows' columns and weights, where a lost column has all rows' distribution.

    That most rows pay nothing makes a payment rare, and not strange beyond all measure. What they
    share is spread like an atom.
    """
    kept, shares = Y[:, central], weight[central]
    if not lost.size:
        return kept, shares
    kept, shares = _in_pieces(kept, shares)
    for j in lost:
        atom, order = weighted_quantile(kept[j], shares, 0.5), np.argsort(Y[j], kind="stable")
        upto = np.cumsum(weight[order])
        ranks = (0.5 + _evenly(kept.shape[1])) * upto[-1]
        kept[j] = Y[j, order[np.searchsorted(upto, ranks)]]
        same = np.flatnonzero(kept[j] == atom)
        kept[j, same] += _ATOM_WIDTH * _deviation(Y[j], weight) * _evenly(len(same))
    return kept, shares


def _deviation(column, weight):
    """Standard deviation of a column, whatever its unit: squares are of numbers up to one."""
    unit = np.abs(column).max() or 1.0
    return unit * math.sqrt(np.cov(column / unit, aweights=weight))


def _evenly(n):
    """Numbers that fill the interval from -0.5 to 0.5."""
    return (np.arange(n) * _GOLDEN_RATIO) % 1 - 0.5


def coarse_margin(Y, weight):
    """Smooth maps of four knots, which take scale and skewness out, and leave gaps and modes in."""
    return smooth_margin(Y, weight, _COARSE_KNOTS)


def smooth_margin(Y, weight, n_knots):
    """Maps of columns in which repeated values are no spikes, see `_spread_atoms`."""
    Y, weight = _spread_atoms(Y, weight)
    return Margin.fit(Y, weight, n_knots)


def _in_pieces(Y, weight):
    """Rows, those split that weigh much: every value that many share is then many rows."""
    n_pieces = np.maximum(np.ceil(weight * (_ATOM_PIECES / weight.sum())), 1).astype(int)
    return np.repeat(Y, n_pieces, axis=1), np.repeat(weight / n_pieces, n_pieces)


def _spread_atoms(Y, weight):
    """Columns in which no value that repeats within a continuous column is a spike.

    Rows that weigh much are split, so that a repeated value is always many rows; these are then
    spread evenly over a tenth of a standard deviation. Tied columns are left as they are: their
    splines have no knots closer than the values.
    """
    total = weight.sum()
    candidates = [j for j, step in enumerate(column_resolution(Y.T, weight)) if not step]
    if not any(_atoms(Y[j], weight, total).size for j in candidates):
        return Y, weight
    Y, weight = _in_pieces(Y, weight)
    for j in candidates:
        width = _ATOM_WIDTH * _deviation(Y[j], weight)
        for value in _atoms(Y[j], weight, total):
            rows = np.flatnonzero(Y[j] == value)
            Y[j, rows] += width * _evenly(len(rows))
    return Y, weight


def _atoms(column, weight, total):
    """Values that many rows share, in a column that has others."""
    common = common_values(column, weight, total)
    return common if len(np.unique(column)) > 2 else common[:0]


def common_values(column, weight, total):
    """Values that more than 2 % of all rows share, and more than two of them."""
    values, index = np.unique(column, return_inverse=True)
    one = min(1.0, weight.min())  # a weight of 80 is 80 rows, even if it is the least
    return values[np.bincount(index, weight) > max(_ATOM * total, 2 * one)]
