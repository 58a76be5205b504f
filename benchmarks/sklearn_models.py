"""The baselines without a flow: one Gaussian, Gaussian mixtures, a kernel density estimate."""

from __future__ import annotations

import time
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KernelDensity
from threadpoolctl import threadpool_limits

from clock import Clock
from datasets import gaussian_log_density

MIXTURE_GRID = (1, 2, 3, 5, 10, 20, 30, 40, 50)
LARGE_MIXTURE_GRID = (10, 20, 50, 100, 150, 200, 300, 400, 500)
EM_STEPS_BETWEEN_CLOCK_READINGS = 5
EM_STEPS = 100  # scikit-learn's default max_iter
BANDWIDTHS = np.geomspace(0.03, 1.0, 15)
BANDWIDTH_ROWS = 2_000  # of the validation rows, which come shuffled


def fit_gaussian(train, validation, *, seed, budget):
    """The Gaussian of the training rows' mean and covariance."""
    return gaussian_log_density(train), {"n_parameters": mixture_parameters(1, train.shape[1])}


def mixture_parameters(n_components: int, n_features: int) -> int:
    """Weights, means and full covariances, each counted once."""
    covariance = n_features * (n_features + 1) // 2
    return n_components - 1 + n_components * (n_features + covariance)


def fit_mixture(train, validation, *, seed, budget, grid=MIXTURE_GRID):
    """The full-covariance mixture with the best validation score; ``budget`` is not used.

    Every k of the grid is fitted, which is what a user pays for the choice; the time of the chosen
    fit alone is kept as ``chosen_fit_seconds``.
    """
    model, details = best_mixture(train, validation, seed=seed, grid=grid)
    return model.score_samples, details


def best_mixture(train, validation, *, seed, grid=MIXTURE_GRID):
    """The fitted mixture with the best validation score, and how it was chosen.

    Numbers of components that leave each fewer than four rows are not tried.
    """
    grid = [k for k in grid if k <= len(train) // 4]
    with threadpool_limits(1):  # on matrices this small, threads wait for one another
        fits = [_timed_mixture(train, k, seed) for k in grid]
    scores = [model.score(validation) for model, _ in fits]
    best = int(np.argmax(scores))
    model, seconds = fits[best]
    details = {
        "grid": grid,
        "validation_scores": scores,
        "n_components": grid[best],
        "n_parameters": mixture_parameters(grid[best], train.shape[1]),
        "chosen_fit_seconds": seconds,
        "converged": bool(model.converged_),
    }
    return model, details


def fit_mixture_within_budget(train, validation, *, seed, budget):
    """The mixture with the best validation score of those that the budget has the time for.

    The number of components grows from 10 to 500. The mixture that the budget's end interrupts is
    a density all the same, and counts as it is.
    """
    clock = Clock(budget)
    scores, best = {}, None
    with threadpool_limits(1):
        for k in LARGE_MIXTURE_GRID:
            model = _interrupted_mixture(train, k, seed, clock)
            scores[k] = float(model.score(validation))
            if scores[k] == max(scores.values()):
                best = model
            if clock.share_spent() >= 1.0:
                break
    details = {
        "grid": list(scores),
        "validation_scores": list(scores.values()),
        "n_components": best.n_components,
        "n_parameters": mixture_parameters(best.n_components, train.shape[1]),
        "converged": bool(best.converged_),
    }
    return best.score_samples, details


def _interrupted_mixture(train, n_components, seed, clock):
    """A mixture whose EM reads the clock every few steps."""
    steps = EM_STEPS_BETWEEN_CLOCK_READINGS
    model = GaussianMixture(n_components, random_state=seed, warm_start=True, max_iter=steps)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # each few steps end with one
        for _ in range(EM_STEPS // steps):
            model.fit(train)
            if model.converged_ or clock.share_spent() >= 1.0:
                break
    return model


def fit_kernel_density(train, validation, *, seed, budget):
    """Gaussian kernels of the one width, for all columns, with the best validation score.

    ``budget`` is not used. ``rtol=1e-4`` lets the tree err by 1e-4 nats per row.
    """
    rows = validation[:BANDWIDTH_ROWS]
    fits = [KernelDensity(bandwidth=width, rtol=1e-4).fit(train) for width in BANDWIDTHS]
    scores = [float(model.score(rows)) / len(rows) for model in fits]
    best = int(np.argmax(scores))
    details = {
        "grid": BANDWIDTHS.tolist(),
        "validation_scores": scores,
        "bandwidth": float(BANDWIDTHS[best]),
        "n_parameters": train.size + 1,  # it keeps every row
    }
    return fits[best].score_samples, details


def _timed_mixture(train, n_components, seed):
    start = time.perf_counter()
    with warnings.catch_warnings():
        # Reaching scikit-learn's default of 100 iterations is recorded, not warned of.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = GaussianMixture(n_components, random_state=seed).fit(train)
    return model, time.perf_counter() - start
