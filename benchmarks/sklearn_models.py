"""The baselines without a flow: one Gaussian, and the best of several Gaussian mixtures."""

from __future__ import annotations

import time
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

from datasets import gaussian_log_density

MIXTURE_GRID = (5, 10, 20, 30, 40, 50)


def fit_gaussian(train, validation, *, seed, budget):
    """The Gaussian of the training rows' mean and covariance."""
    return gaussian_log_density(train), {}


def fit_mixture(train, validation, *, seed, budget, grid=MIXTURE_GRID):
    """The full-covariance mixture with the best validation score; ``budget`` is not used.

    Every k of the grid is fitted, which is what a user pays for the choice; the time of the chosen
    fit alone is kept as ``chosen_fit_seconds``.
    """
    model, details = best_mixture(train, validation, seed=seed, grid=grid)
    return model.score_samples, details


def best_mixture(train, validation, *, seed, grid=MIXTURE_GRID):
    """The fitted mixture with the best validation score, and how it was chosen."""
    with threadpool_limits(1):  # on matrices this small, threads wait for one another
        fits = [_timed_mixture(train, k, seed) for k in grid]
    scores = [model.score(validation) for model, _ in fits]
    best = int(np.argmax(scores))
    model, seconds = fits[best]
    details = {
        "grid": list(grid),
        "validation_scores": scores,
        "n_components": grid[best],
        "chosen_fit_seconds": seconds,
        "converged": bool(model.converged_),
    }
    return model, details


def _timed_mixture(train, n_components, seed):
    start = time.perf_counter()
    with warnings.catch_warnings():
        # Reaching scikit-learn's default of 100 iterations is recorded, not warned of.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = GaussianMixture(n_components, random_state=seed).fit(train)
    return model, time.perf_counter() - start
