"""How a detector's ensembles score rows: members' votes, blocks in threads, weighted quantiles."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed

from skgauss._blas import one_blas_thread
from skgauss.content import row_keys

__all__ = [
    "EstimatorEnsemble",
    "Scorer",
    "by_blocks",
    "fitted",
    "rounding",
    "taken",
    "weighted_quantile",
]

_BLOCK = 512  # rows, whose kernels stay in a core's cache
_LARGE_BLOCK = 1 << 16  # rows that an estimator given is asked about at once
_LOWEST = -1e100  # in place of the logarithm of zero: differences stay finite
_BLOCKS_PER_TASK = 8


class EstimatorEnsemble:
    """Clones of an estimator, each fitted to a subsample, or one to all rows."""

    def __init__(self, estimators, keys, by_latents):
        self.estimators, self.keys, self.by_latents = estimators, keys, by_latents

    def log_density(self, X):
        """Mean over the members; those fitted to a row itself have no say if others have."""
        starts = range(0, len(X), _LARGE_BLOCK)
        blocks = (np.asarray(X[i : i + _LARGE_BLOCK], np.float64) for i in starts)
        return np.concatenate([self._of_block(block) for block in blocks])

    def _of_block(self, X):
        scores = np.array([self._score(estimator, X) for estimator in self.estimators])
        if len(scores) == 1:
            return scores[0]
        keys = row_keys(X)
        heard = np.array([~np.isin(keys, fitted) for fitted in self.keys])
        heard |= ~heard.any(axis=0)
        return np.sum(np.where(heard, scores, 0.0), axis=0) / heard.sum(axis=0)

    def _score(self, estimator, X):
        if self.by_latents:
            Z = np.asarray(estimator.transform(X), np.float64)
            scores = -0.5 * np.sum(Z**2, axis=1)
        else:
            scores = np.asarray(estimator.score_samples(X), np.float64)
        if np.isnan(scores).any():
            raise ValueError(
                f"estimator={estimator!r} has a score of NaN for {np.isnan(scores).sum()} of "
                f"{len(X)} rows. An estimator is needed whose scores are numbers, or -inf where "
                "the density is zero."
            )
        return np.maximum(scores, _LOWEST)


class Scorer(NamedTuple):
    """An ensemble, and the mean log-density that typical rows have (None to rank by density)."""

    ensemble: Any
    typical: float | None
    n_jobs: int | None

    def raw(self, X):
        """Log-density, or minus half the squared latent norm, block by block."""
        if isinstance(self.ensemble, EstimatorEnsemble):
            return self.ensemble.log_density(X)
        return by_blocks(self.ensemble.log_density, X, self.n_jobs)

    def __call__(self, X):
        raw = self.raw(X)
        return raw if self.typical is None else -np.abs(raw - self.typical)


def _task(function, X):
    with one_blas_thread():
        starts = range(0, len(X), _BLOCK)
        return [function(np.asarray(X[i : i + _BLOCK], np.float64)) for i in starts]


def by_blocks(function, X, n_jobs):
    """Apply a function to float64 blocks of rows, in threads."""
    size = _BLOCK * _BLOCKS_PER_TASK
    parallel = Parallel(n_jobs=n_jobs, prefer="threads")
    with one_blas_thread():
        parts = parallel(delayed(_task)(function, X[i : i + size]) for i in range(0, len(X), size))
    return np.concatenate([block for part in parts for block in part])


def rounding(scores):
    """How far scores of equal rows may be apart: other rows beside them round them otherwise."""
    return 1e-9 * (1 + np.abs(scores))


def weighted_quantile(values, weight, share):
    """Quantile by linear interpolation, a value of weight k being k values."""
    order = np.argsort(values, kind="stable")
    upto = np.cumsum(weight[order])
    place = share * max(upto[-1] - 1, 0)
    low, high = np.searchsorted(upto, [np.floor(place), np.floor(place) + 1], side="right")
    last = len(values) - 1
    low, high = values[order[min(low, last)]], values[order[min(high, last)]]
    if not np.isfinite(low):
        return float(low)
    return float(low + (place % 1) * (high - low))


def taken(fit_params, rows, n_rows):
    """What goes with some rows."""
    return {
        name: np.asarray(value)[rows] if np.shape(value)[:1] == (n_rows,) else value
        for name, value in fit_params.items()
    }


def fitted(estimator, X, fit_params):
    return estimator.fit(X, **fit_params)
