"""How a detector's ensemble scores rows: those of the default density by blocks, in threads."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from sklearn.utils.parallel import delayed

from skgauss._blas import one_blas_thread
from skgauss._members import EstimatorEnsemble
from skgauss._threads import parallel

__all__ = ["Scorer", "by_blocks"]

_BLOCK = 512  # rows, whose kernels stay in a core's cache
_BLOCKS_PER_TASK = 8


class Scorer(NamedTuple):
    """An ensemble, and the log-density that typical rows have (None to rank by density)."""

    ensemble: Any
    typical: float | None

    def raw(self, X, n_jobs):
        """Log-density, or minus half the squared latent norm; `n_jobs` threads if it is ours."""
        if isinstance(self.ensemble, EstimatorEnsemble):
            return self.ensemble.log_density(X)
        return by_blocks(self.ensemble.log_density, X, n_jobs)

    def __call__(self, X, n_jobs):
        raw = self.raw(X, n_jobs)
        return raw if self.typical is None else -np.abs(raw - self.typical)


def _task(function, X):
    with one_blas_thread():
        starts = range(0, len(X), _BLOCK)
        return [function(np.asarray(X[i : i + _BLOCK], np.float64)) for i in starts]


def by_blocks(function, X, n_jobs):
    """Apply a function to float64 blocks of rows, in threads."""
    size = _BLOCK * _BLOCKS_PER_TASK
    tasks = (delayed(_task)(function, X[i : i + size]) for i in range(0, len(X), size))
    with one_blas_thread():
        parts = parallel(n_jobs)(tasks)
    return np.concatenate([block for part in parts for block in part])
