"""Mixtures of a few Gaussians, under which no training row is scored by what it was fitted to.

Kernels are round and small: that some columns rise together they only see where rows are dense. A
Gaussian knows it of whole directions, and is stiff: beside kernels it finds the rows that are
usual in every column and close to others, but against the grain of all. A few of them, as many as
the Bayesian information criterion allows, tell clusters apart.

Some thousand rows, in an order that is as good as random, are dealt into ten folds; each mixture is
fitted to the rows of nine. A training row is scored by the one that it had no part in (of k copies
of a row, one or a tenth is left out there), any other row by the mean of all. In few rows a
component can collapse on next to none; so each has three more, with the moments of all.

References
----------
Schwarz (1978), Estimating the dimension of a model, The Annals of Statistics 6(2),
doi:10.1214/aos/1176344136; Fraley & Raftery (2007), Bayesian regularization for normal mixture
estimation and model-based clustering, Journal of Classification 24(2),
doi:10.1007/s00357-007-0004-5, for priors with the moments of all rows.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.linalg import solve_triangular
from scipy.special import logsumexp

from skgauss.content import row_keys
from skgauss.em import Components, Sample, converge, split, standardisation
from skgauss.moments import Moments

__all__ = ["CrossedMixture"]

_MOST_ROWS = 2048
_N_FOLDS = 10
_MOST_COMPONENTS = 8
_ROWS_PER_COLUMN = 5  # at least, of every component
_PRIOR_ROWS = 3.0
_LEAST_VARIANCE = 1e-3  # along any axis, in units of the columns' scales squared
_TOL, _MAX_ITER = 3e-4, 20  # nats per column
_FARTHEST = 1e100  # units: beyond, all are as far
_FILLED = 1e6  # units: a row learned from that is farther has what stands for no number
_LOG_2PI = math.log(2 * math.pi)


def _log_density(mixture: Components, U: np.ndarray) -> np.ndarray:
    """Log-density of rows in our units, but for the constant of a normal."""
    terms = np.empty((len(mixture.means), len(U)))
    whitening = mixture.axes / np.sqrt(mixture.variances)[:, None, :]
    for i, mean in enumerate(mixture.means):
        e = (U - mean) @ whitening[i]
        terms[i] = -0.5 * np.einsum("ij,ij->i", e, e)
    constant = mixture.log_weights - 0.5 * np.log(mixture.variances).sum(axis=1)
    return logsumexp(constant[:, None] + terms, axis=0)


def _by_bic(sample: Sample) -> Components:
    """The mixture of 1, 2, 4, ... components from which on the criterion finds no better one."""
    n_rows, (d, n_distinct) = sample.weight.sum(), sample.columns.shape
    mixture, best, least = Components.of(sample), None, math.inf
    while True:
        mixture = converge(mixture, sample, _TOL * d, _MAX_ITER, _PRIOR_ROWS)
        k = len(mixture.means)
        n_parameters = k * (1 + d + d * (d + 1) // 2) - 1
        log_likelihood = sample.weight @ _log_density(mixture, sample.columns.T)
        criterion = n_parameters * math.log(n_rows) - 2 * log_likelihood
        if best is not None and criterion >= least:
            return best
        least, best = criterion, mixture
        if 2 * k > _MOST_COMPONENTS or 2 * k * _ROWS_PER_COLUMN * d > n_distinct:
            return best
        mixture = split(mixture, k)


def _sample_of(columns, weight, shrinkage):
    """Rows of positive weight; next to none of them, or copies, have a covariance too."""
    rows = np.flatnonzero(weight > 0)
    sample = Sample.of(np.ascontiguousarray(columns[:, rows]), weight[rows], shrinkage)
    least = np.eye(len(columns)) / max(1.0, sample.weight.sum()) ** 2
    return sample._replace(covariance=sample.covariance + least)


class CrossedMixture:
    """Ten Gaussian mixtures, each fitted without a tenth of the rows; see the module.

    Parameters
    ----------
    Y : array of shape (n_features, n_distinct)
        Rows to learn from, as columns, in an order that is as good as random and given by their
        content (`skgauss.content.ranked_columns`); the first 2,048 are taken.
    weight : array of shape (n_distinct,)
        Frequencies.
    single : bool
        Whether rows are known by what they are in single precision.

    Attributes
    ----------
    mixtures : list of skgauss.em.Components
        In units of the columns' `scale`, about `loc`.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.content import ranked_columns
    >>> from skgauss.crossed_mixture import CrossedMixture
    >>> X = np.random.default_rng(0).normal(size=(500, 1)) @ [[1.0, 2.0]]
    >>> X += np.random.default_rng(1).normal(size=X.shape) / 10
    >>> mixture = CrossedMixture(*ranked_columns(X, None, 0), single=False)
    >>> along, against = mixture.log_density(np.array([[1.0, 2.0], [1.0, -2.0]]))
    >>> bool(against < along - 100)
    True
    """

    def __init__(self, Y, weight, single):
        Y, weight = Y[:, :_MOST_ROWS], weight[:_MOST_ROWS]
        X, n_folds = np.ascontiguousarray(Y.T), min(_N_FOLDS, Y.shape[1])
        self.single = single
        self.loc, self.scale = standardisation(X, weight)
        with np.errstate(over="ignore"):
            units = np.clip((X - self.loc) / self.scale, -_FILLED, _FILLED)
        columns = np.ascontiguousarray(units.T)
        shrinkage = Moments.of(columns, weight).shrinkage()
        fold = np.arange(len(X)) % n_folds
        self.mixtures = []
        for k in range(n_folds):
            left = np.where(fold == k, weight - np.maximum(1, weight / n_folds), weight)
            left = left if np.any(left > 0) else weight
            mixture = _by_bic(_sample_of(columns, left, shrinkage))
            least = np.maximum(mixture.variances, _LEAST_VARIANCE)
            self.mixtures.append(mixture._replace(variances=least))
        keys = row_keys(X, single=single)
        order = np.argsort(keys)
        self.keys, self.fold = keys[order], fold[order]

    def _units(self, X):
        with np.errstate(over="ignore"):
            return np.clip((X - self.loc) / self.scale, -_FARTHEST, _FARTHEST)

    def _crossed(self, of_mixtures, X):
        """A row's own answer, the last axis, if it was learned from; else the mean of all."""
        keys = row_keys(X, single=self.single)
        place = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        known = self.keys[place] == keys
        own = np.where(known, self.fold[place], 0)
        taken = np.take_along_axis(
            of_mixtures, own.reshape(1, *[1] * (of_mixtures.ndim - 2), -1), 0
        )
        return np.where(known, taken[0], of_mixtures.mean(axis=0))

    def log_density(self, X: np.ndarray) -> np.ndarray:
        """Log-density of rows.

        Parameters
        ----------
        X : array of float64 of shape (n_rows, n_features)
            A block.

        Returns
        -------
        log_density : array of shape (n_rows,)
        """
        U = self._units(X)
        found = np.stack([_log_density(mixture, U) for mixture in self.mixtures])
        constant = np.log(self.scale).sum() + 0.5 * len(self.scale) * _LOG_2PI
        return self._crossed(found, X) - constant

    def along(self, X: np.ndarray, order: np.ndarray) -> np.ndarray:
        """Log-density of the first columns of an order, for every number of them.

        Parameters
        ----------
        X : array of float64 of shape (n_rows, n_features)
        order : array of int of shape (n_features,)

        Returns
        -------
        log_density : array of shape (n_features, n_rows)
            Of the first one, the first two, ..., all columns.
        """
        U = np.ascontiguousarray(self._units(X)[:, order].T)
        found = np.empty((len(self.mixtures), *U.shape))
        for k, mixture in enumerate(self.mixtures):
            terms = np.empty((len(mixture.means), *U.shape))
            factors = np.linalg.cholesky(mixture.covariances()[:, order[:, None], order])
            for i, mean in enumerate(mixture.means):
                e = solve_triangular(factors[i], U - mean[order, None], lower=True)
                slopes = np.log(np.diag(factors[i]))[:, None] + 0.5 * e**2
                terms[i] = mixture.log_weights[i] - np.cumsum(slopes, axis=0)
            found[k] = logsumexp(terms, axis=0)
        per_column = np.log(self.scale[order]) + 0.5 * _LOG_2PI
        return self._crossed(found, X) - np.cumsum(per_column)[:, None]
