"""Cross-fitted log-densities: every row judged by fits that have seen it and by one that has not.

A fit of p parameters to n rows flatters these by p / (2n) nats per row, and is short of the truth by
as much on new rows. Half the sum of the two has neither error, to first order.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.utils.validation import has_fit_parameter

from skgauss.base import BaseGaussianizer

__all__ = ["CrossFit", "Ratio", "has_latents", "log_normal"]


def log_normal(Z: np.ndarray) -> np.ndarray:
    """Log-density of rows under independent standard normals."""
    return -0.5 * np.sum(Z * Z + math.log(2 * math.pi), axis=1)


def has_latents(estimator: Any) -> bool:
    """Whether an estimator's density is that of a map to normals, which gives coordinates too."""
    return isinstance(estimator, BaseGaussianizer)


class Ratio(NamedTuple):
    """A log-density to be estimated, over that of a reference.

    Attributes
    ----------
    X : array of shape (n_rows, n_features)
    log_reference : array of shape (n_rows,) or float
        Log-density of the reference.
    latents : array of shape (n_rows, n_features) or None
        What the reference's own map to normals makes of the rows, if it has one: the
        ratio is the same there, with the standard normal as the reference.
    """

    X: np.ndarray
    log_reference: np.ndarray | float
    latents: np.ndarray | None = None

    def ways(self) -> dict[str, tuple[np.ndarray, np.ndarray | float]]:
        """Coordinates that it can be estimated in, and the log-density of the reference there."""
        found: dict[str, tuple[np.ndarray, np.ndarray | float]]
        found = {"rows": (self.X, self.log_reference)}
        if self.latents is not None:
            found["latents"] = self.latents, log_normal(self.latents)
        return found


def _fit(estimator: Any, X: np.ndarray, weight: np.ndarray, seed: int) -> Any:
    """Fit a clone to weighted rows; to repeated ones if it takes no weights."""
    model = clone(estimator)
    if "random_state" in model.get_params() and model.random_state is None:
        model.set_params(random_state=seed)
    if np.all(weight == 1):
        return model.fit(X)
    if has_fit_parameter(model, "sample_weight"):
        return model.fit(X, sample_weight=weight)
    if np.all(weight == np.round(weight)):
        return model.fit(np.repeat(X, weight.astype(int), axis=0))
    raise ValueError(
        f"estimator={estimator!r} takes no sample_weight in fit, and sample_weight holds values "
        "that are no whole numbers: round them, or give another estimator."
    )


class CrossFit:
    """Folds of rows, and the fits to all but one of them.

    Parameters
    ----------
    estimator : estimator
        With ``fit`` and ``score_samples``.
    weight : array of shape (n_rows,)
        Frequencies of distinct rows whose order is as good as random.
    n_folds : int
    seed : int
        For the estimator, if it leaves its own `random_state` open.
    n_jobs : int or None
        Folds fitted at a time.
    """

    def __init__(
        self, estimator: Any, weight: np.ndarray, n_folds: int, seed: int, n_jobs: int | None
    ):
        self.estimator, self.weight, self.n_folds = estimator, weight, n_folds
        self.seed, self.n_jobs = seed, n_jobs
        self.fold = np.arange(len(weight)) * n_folds // len(weight)

    def fit(self, X: np.ndarray, k: int) -> Any:
        """Fit to the rows that are not in fold `k`."""
        train = self.fold != k
        return _fit(self.estimator, X[train], self.weight[train], self.seed)

    def run(
        self, ratios_of_fold: Callable[[int], tuple[list[Ratio], Any]]
    ) -> tuple[np.ndarray, list]:
        """Estimate log-ratios in every fold.

        Where a reference has latents, a ratio is estimated in the coordinates that are likelier
        for the first fold, held out.

        Parameters
        ----------
        ratios_of_fold : callable
            From the number of a fold to the ratios, whose references are fitted to the rows that
            are not in it, and to anything else that is wanted back.

        Returns
        -------
        values : array of shape (n_ratios, n_rows)
            Half the sum of the log-ratio by the fit that has not seen the row, and of the mean by
            those that have.
        others : list
            What else `ratios_of_fold` returned, by fold.
        """
        first, ways, other = self._fold(ratios_of_fold, 0, None)
        parallel = Parallel(n_jobs=self.n_jobs)
        rest = parallel(
            delayed(self._fold)(ratios_of_fold, k, ways) for k in range(1, self.n_folds)
        )
        values = np.array([first, *(values for values, _, _ in rest)])
        return self.half_sum(values), [other, *(other for _, _, other in rest)]

    def _fold(self, ratios_of_fold, k, chosen):
        """Log-ratios of all rows by the fits of one fold, and the coordinates they were made in."""
        ratios, other = ratios_of_fold(k)
        values, ways = [], []
        for i, ratio in enumerate(ratios):
            tried = ratio.ways()
            if chosen is not None:
                tried = {chosen[i]: tried[chosen[i]]}
            found = {
                way: self.fit(rows, k).score_samples(rows) - log_reference
                for way, (rows, log_reference) in tried.items()
            }
            ways.append(max(found, key=lambda way: self._held_out_mean(found[way], k)))
            values.append(found[ways[-1]])
        return values, ways, other

    def _held_out_mean(self, values, k):
        out = self.fold == k
        return np.average(values[out], weights=self.weight[out])

    def seen_and_unseen(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Split values by fold, of shape (n_folds, ..., n_rows): the mean over the fits that
        have seen a row, and the value by the one that has not.
        """
        rows = np.arange(len(self.fold))
        unseen = np.moveaxis(values, 0, -1)[..., rows, self.fold]
        return (values.sum(axis=0) - unseen) / (self.n_folds - 1), unseen

    def half_sum(self, values: np.ndarray) -> np.ndarray:
        """Half the sum of the two parts of `seen_and_unseen`."""
        seen, unseen = self.seen_and_unseen(values)
        return (seen + unseen) / 2
