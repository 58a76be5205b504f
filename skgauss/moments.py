"""Mean, covariance and whitening, from sums that add up over blocks of rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import linalg

__all__ = ["VARIANCE_FLOOR", "Moments"]

VARIANCE_FLOOR = 1e-9  # of the largest variance; a smaller one is that of rounding
_ROWS_PER_COLUMN = 100  # below, a covariance is shrunk
_N_FOLDS = 5
_SHRINKAGES = np.concatenate([[0.0], np.logspace(-4, 0, 17)])


class Moments(NamedTuple):
    """What whitening needs of rows; sums, so that those of blocks add up.

    Attributes
    ----------
    weight : array of shape (n_folds,)
        Number of rows.
    total : array of shape (n_folds, n_features)
    squares : array of shape (n_folds, n_features, n_features)

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.moments import Moments
    >>> Y = np.random.default_rng(0).normal(size=(2, 4000)) * np.array([[1.0], [3.0]])
    >>> mean, components = Moments.of(Y, None).whitening()
    >>> abs(np.linalg.inv(components)).round(1).tolist()
    [[1.0, 0.0], [0.0, 3.0]]
    """

    weight: np.ndarray
    total: np.ndarray
    squares: np.ndarray

    @classmethod
    def of(cls, Y: np.ndarray, weight: np.ndarray | None) -> Moments:
        """Sum over the columns of `Y`, of shape (n_features, n_rows), in folds."""
        n_rows = Y.shape[1]
        even = n_rows - n_rows % _N_FOLDS
        weighted = Y if weight is None else Y * weight

        def in_folds(values):
            return values[..., :even].reshape(*values.shape[:-1], _N_FOLDS, even // _N_FOLDS)

        each = np.ones(n_rows) if weight is None else weight
        count = in_folds(each).sum(axis=1)
        total = in_folds(weighted).sum(axis=2).T
        squares = in_folds(weighted).swapaxes(0, 1) @ in_folds(Y).transpose(1, 2, 0)
        # What an even division leaves over joins the last fold.
        count[-1] += each[even:].sum()
        total[-1] += weighted[:, even:].sum(axis=1)
        squares[-1] += weighted[:, even:] @ Y[:, even:].T
        return cls(count, total, squares)

    def __add__(self, other) -> Moments:
        return Moments(*(mine + its for mine, its in zip(self, other, strict=True)))

    def mean_and_covariance(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and covariance of all rows."""
        return _mean_and_covariance(*(part.sum(axis=0) for part in self))

    def whitening(
        self, *, again: bool = False, at_least: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean, and the matrix that whitens; its rows are scaled principal axes.

        The covariance is shrunk, see `shrinkage`.

        Parameters
        ----------
        again : bool, default=False
            The rows were white before: directions in which they do not vary are left as they
            are. Stretched once more by every layer, they would lose all digits.
        at_least : array of shape (n_features, n_features), default=None
            A covariance: of the directions in which it varies, none is taken to vary less.

        Returns
        -------
        mean : array of shape (n_features,)
        components : array of shape (n_features, n_features)
        """
        mean, covariance = self.mean_and_covariance()
        if at_least is not None:
            covariance = _raised(covariance, at_least)
        variance, axes = linalg.eigh(covariance)
        share = self.shrinkage()
        variance = (1 - share) * variance + share * np.mean(variance)
        floor = VARIANCE_FLOOR * max(variance[-1], VARIANCE_FLOOR)
        variance = np.where(variance < floor, 1.0 if again else floor, variance)
        return mean, (axes / np.sqrt(variance)).T

    def shrinkage(self) -> float:
        """Share of a multiple of the identity that a covariance of few rows should have.

        That for which a normal is likeliest on the rows of each fold, held out; 1 where no fold can
        tell, 0 from 100 rows per column on.

        Returns
        -------
        share : float
            In [0, 1].
        """
        if self.weight.sum() >= _ROWS_PER_COLUMN * self.total.shape[1]:
            return 0.0
        likelihood = np.zeros(len(_SHRINKAGES))
        for k, n_rows in enumerate(self.weight):
            rest = [part.sum(axis=0) - part[k] for part in self]
            if not n_rows or rest[0] <= 0:
                continue
            mean, covariance = _mean_and_covariance(*rest)
            variance, axes = linalg.eigh(covariance)
            if variance[-1] <= 0:
                continue
            shrunk = variance + _SHRINKAGES[:, None] * (np.mean(variance) - variance)
            shrunk = np.maximum(shrunk, VARIANCE_FLOOR * max(variance[-1], VARIANCE_FLOOR))
            cross = np.outer(self.total[k], mean)
            squares = self.squares[k] - cross - cross.T + n_rows * np.outer(mean, mean)
            spread = np.sum(axes * (squares @ axes), axis=0)
            likelihood -= np.sum(n_rows * np.log(shrunk) + spread / shrunk, axis=1)
        return float(_SHRINKAGES[np.argmax(likelihood)]) if likelihood.any() else 1.0


def _raised(covariance, least):
    """The covariance, raised where it is less than another in directions in which that varies."""
    variance, axes = linalg.eigh(least)
    varies = variance > VARIANCE_FLOOR * max(variance[-1], VARIANCE_FLOOR)
    if not varies.any():
        return covariance
    root = axes[:, varies] * np.sqrt(variance[varies])
    to_units = axes[:, varies] / np.sqrt(variance[varies])
    relative, directions = linalg.eigh(to_units.T @ covariance @ to_units)
    missing = root @ directions * np.sqrt(np.maximum(1 - relative, 0))
    return covariance + missing @ missing.T


def _mean_and_covariance(weight, total, squares):
    mean = total / weight
    return mean, squares / weight - np.outer(mean, mean)
