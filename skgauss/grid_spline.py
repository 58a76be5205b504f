"""Monotone splines of many columns on one even grid of knots: found by arithmetic, fast.

The formula is `skgauss.spline.rational_quadratic`; with evenly spaced knots the bin of a value is
a multiplication away, and what depends on the bin alone is computed once per bin.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from skgauss.spline import Bin, rational_quadratic_inverse

__all__ = ["GridSpline"]

_COLUMNS_PER_LOG = 8  # a product of so many slopes stays inside float64


class GridSpline(NamedTuple):
    """A monotone spline of some columns, the identity of the others.

    The knots lie evenly from ``-reach`` to ``reach``; beyond them the map goes on linearly with
    its slope at the last knot. Strictly increasing and once continuously differentiable.

    Attributes
    ----------
    columns : array of int of shape (n_moved,)
        The columns that are moved at all.
    z, slope : array of float32 of shape (n_moved, n_knots)
        Images of the knots, increasing, and the positive derivative there.
    reach : float
        Position of the last knot.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.grid_spline import GridSpline
    >>> knots = np.linspace(-4, 4, 9, dtype=np.float32)
    >>> spline = GridSpline(np.array([0]), 2 * knots[None], np.full((1, 9), 2, np.float32), 4.0)
    >>> Z, log_det = spline.forward(np.array([[0.3, 5.0]]))
    >>> Z.round(6).tolist(), log_det.round(4).tolist()
    ([[0.6, 10.0]], [0.6931, 0.6931])
    """

    columns: np.ndarray
    z: np.ndarray
    slope: np.ndarray
    reach: float

    @property
    def _step(self) -> float:
        return 2 * self.reach / (self.z.shape[1] - 1)

    def _place(self, Y):
        """Bin of every value, as an index into the flat coefficients, and the place in it.

        Third, the values beyond the knots, by row and column, and how far beyond each one lies;
        None where none does.
        """
        n_bins = self.z.shape[1] - 1
        place = Y + self.reach
        place *= 1 / self._step
        beyond = None
        if not (place.min(initial=0) >= 0 and place.max(initial=0) <= n_bins):
            inside = np.clip(place, 0, n_bins)
            which = np.divmod(np.flatnonzero(place != inside), Y.shape[1])
            beyond = which, (place[which] - inside[which]) * self._step
            place = inside
        index = np.minimum(place, n_bins - 1).astype(np.intp)
        place -= index
        index += n_bins * np.arange(len(Y))[:, None]
        return index, place, beyond

    def _coefficients(self):
        """Per bin, flat: start, height, and both slopes relative to the secant."""
        z, slope = self.z.astype(np.float64), self.slope.astype(np.float64)
        height = np.diff(z, axis=1)
        relative = self._step / height
        parts = (z[:, :-1], height, slope[:, :-1] * relative, slope[:, 1:] * relative)
        return [np.ascontiguousarray(part).ravel() for part in parts]

    def _evaluate(self, Y, with_slope):
        """Images of the moved columns, given alone, and the slopes or None."""
        index, t, beyond = self._place(Y)
        start, height, slope0, slope1 = (c.take(index) for c in self._coefficients())
        square = t * t
        mix = t - square
        denominator = 1 + (slope0 + slope1 - 2) * mix
        z = start + height * (square + slope0 * mix) / denominator
        if beyond is not None:
            which, excess = beyond
            low, high = self.slope.astype(np.float64)[which[0]][:, [0, -1]].T
            z[which] += np.where(excess < 0, low, high) * excess
        if not with_slope:
            return z, None
        rest = 1 - t
        slope = slope1 * square + 2 * mix + slope0 * rest * rest
        slope *= height * (1 / self._step) / (denominator * denominator)
        return z, slope

    def forward(self, Y: np.ndarray, *, log_det: bool = True):
        """Apply the map, in place.

        Parameters
        ----------
        Y : array of shape (n_features, n_rows)
            Overwritten if it is of float64.
        log_det : bool, default=True
            False saves half of the time.

        Returns
        -------
        Z : array of shape (n_features, n_rows)
            `Y` itself if that is of float64.
        log_det : array of shape (n_rows,), or None
        """
        Y = np.asarray(Y, np.float64)
        if not len(self.columns):
            return Y, np.zeros(Y.shape[1]) if log_det else None
        in_order = np.array_equal(self.columns, np.arange(len(Y)))
        moved = Y if in_order else Y[self.columns]
        Y[self.columns], slope = self._evaluate(moved, log_det)
        if slope is None:
            return Y, None
        starts = np.arange(0, len(slope), _COLUMNS_PER_LOG)
        return Y, np.log(np.multiply.reduceat(slope, starts, axis=0)).sum(axis=0)

    def forward_by_column(self, Y: np.ndarray):
        """Apply the map, and keep the columns' derivatives apart.

        Parameters
        ----------
        Y : array of shape (n_features, n_rows)

        Returns
        -------
        Z : array of shape (n_features, n_rows)
        log_slope : array of shape (n_features, n_rows)
            0 where a column is not moved.
        """
        Z = np.array(Y, np.float64)
        log_slope = np.zeros(Z.shape)
        if len(self.columns):
            Z[self.columns], slope = self._evaluate(Z[self.columns], with_slope=True)
            log_slope[self.columns] = np.log(slope)
        return Z, log_slope

    def inverse(self, Z: np.ndarray) -> np.ndarray:
        """Map back, in closed form.

        Parameters
        ----------
        Z : array of shape (n_features, n_rows)

        Returns
        -------
        Y : array of shape (n_features, n_rows)
        """
        Z = np.asarray(Z, np.float64)
        Y = Z.copy()
        knots = np.linspace(-self.reach, self.reach, self.z.shape[1])
        for j, z, slope in zip(
            self.columns, self.z.astype(np.float64), self.slope.astype(np.float64), strict=True
        ):
            inside = np.clip(Z[j], z[0], z[-1])
            i = np.searchsorted(z[1:-1], inside, side="right")
            bin_ = Bin(knots[i], z[i], self._step, z[i + 1] - z[i], slope[i], slope[i + 1])
            excess = Z[j] - inside
            beyond = excess / np.where(excess < 0, slope[0], slope[-1])
            Y[j] = rational_quadratic_inverse(inside, bin_)[0] + beyond
        return Y
