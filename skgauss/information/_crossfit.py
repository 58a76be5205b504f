"""Cross-fitted log-densities: every row judged by fits that have seen it and by one that has not.

A fit of p parameters to n rows flatters these by p / (2n) nats per row, and is short of the truth
by as much on new rows. Half the sum of the two has neither error, to first order.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils import check_scalar
from sklearn.utils.parallel import delayed
from sklearn.utils.validation import has_fit_parameter

from skgauss._nested import unseeded
from skgauss._threads import parallel
from skgauss._validation import numpy_generator
from skgauss.base import BaseGaussianizer
from skgauss.canonical import canonical_columns
from skgauss.rbig import RBIGTransformer

__all__ = [
    "CrossFit",
    "Estimate",
    "Options",
    "as_asked",
    "has_latents",
    "log_normal",
    "of_positive_weight",
    "positive",
    "varying",
]

_MIN_ROWS = 4  # distinct ones, so that two are left to fit to in every fold


def as_asked(value, error, return_std):
    """Plain numbers, as every measure returns them."""
    return (float(value), float(error)) if return_std else float(value)


def of_positive_weight(
    tables: list[np.ndarray], weight: np.ndarray | None
) -> tuple[list[np.ndarray], np.ndarray | None]:
    """Rows of positive weight, and their weights."""
    if weight is None:
        return tables, None
    return [table[weight > 0] for table in tables], weight[weight > 0]


def varying(X: np.ndarray) -> np.ndarray:
    """Which columns are not constant."""
    return X.min(axis=0) < X.max(axis=0)


def log_normal(Z: np.ndarray) -> np.ndarray:
    """Log-density of rows under independent standard normals."""
    return -0.5 * np.sum(Z * Z + math.log(2 * math.pi), axis=1)


def has_latents(estimator: Any) -> bool:
    """Whether an estimator's density is that of a map to normals, which gives coordinates too."""
    return isinstance(estimator, BaseGaussianizer)


def positive(estimator: Any, log_density: Any) -> np.ndarray:
    """Log-densities of rows, where all are numbers: of none, no mean would be left."""
    log_density = np.asarray(log_density)
    wrong = log_density[~np.isfinite(log_density)]
    if len(wrong):
        raise ValueError(
            f"estimator={estimator!r} has a log-density of {wrong[0]} for {len(wrong)} of "
            f"{len(log_density)} rows. An estimator is needed whose density is positive everywhere."
        )
    return log_density


def _check_density(estimator: Any) -> None:
    """Refuse what has no density, or that of other columns than those given."""
    for method in ("fit", "score_samples"):
        if isinstance(estimator, type) or not callable(getattr(estimator, method, None)):
            raise ValueError(
                f"estimator={estimator!r} has no method {method}: an instance of a density "
                "estimator is needed, such as RBIGTransformer()."
            )
    if isinstance(estimator, Pipeline):
        steps = [name for name, step in estimator.steps if step not in (None, "passthrough")]
        if len(steps) > 1:
            raise ValueError(
                f"estimator is a Pipeline of the steps {steps}: its score_samples is the density "
                f"of what {steps[-1]!r} sees, not of the columns given. Give that step alone, "
                "estimator.steps[-1][1]: columns need no scaler."
            )


class Estimate(NamedTuple):
    """Log-densities over those of references, by the fits of one fold.

    Attributes
    ----------
    log_ratios : array of shape (n_ratios, n_rows)
    merit : float
        On the rows held out; the larger it is, the better the way it was found.
    other : object
        Anything else that is wanted back.
    """

    log_ratios: np.ndarray
    merit: float
    other: Any = None


def _fit(estimator: Any, X: np.ndarray, weight: np.ndarray, seed: int) -> Any:
    """Fit a clone to weighted rows; to repeated ones if it takes no weights."""
    model = clone(estimator)
    model.set_params(**dict.fromkeys(unseeded(model), seed))
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

    def deal(self, rows: np.ndarray) -> None:
        """Deal these rows to the folds in turn, then all others: another table may do the same."""
        others = np.setdiff1d(np.arange(len(self.fold)), rows)
        self.fold[np.concatenate([rows, others])] = np.arange(len(self.fold)) % self.n_folds

    def fit(self, X: np.ndarray, k: int, estimator: Any = None) -> Any:
        """Fit the estimator, or another one, to the rows that are not in fold `k`."""
        train = self.fold != k
        estimator = self.estimator if estimator is None else estimator
        return _fit(estimator, X[train], self.weight[train], self.seed)

    def log_density(self, X: np.ndarray, k: int) -> np.ndarray:
        """Log-density of all rows by a fit to those that are not in fold `k`."""
        return positive(self.estimator, self.fit(X, k).score_samples(X))

    def log_density_within(self, X: np.ndarray, cells: np.ndarray, k: int) -> np.ndarray:
        """The same by a fit for every cell, or by one for all rows where a cell has next to none.

        Parameters
        ----------
        X : array of shape (n_rows, n_features)
        cells : array of int of shape (n_rows,)
            Number of the cell that a row is in.
        k : int

        Returns
        -------
        log_density : array of shape (n_rows,)
        """
        log_density = np.empty(len(X))
        sparse = np.zeros(len(X), bool)
        for cell in np.unique(cells):
            rows = cells == cell
            train = rows & (self.fold != k)
            if train.sum() < _MIN_ROWS:
                sparse |= rows
                continue
            fitted = _fit(self.estimator, X[train], self.weight[train], self.seed)
            log_density[rows] = positive(self.estimator, fitted.score_samples(X[rows]))
        if sparse.any():
            log_density[sparse] = self.log_density(X, k)[sparse]
        return log_density

    def run(self, ways: dict[str, Callable[[int], Estimate]]) -> tuple[np.ndarray, list]:
        """Estimate log-ratios in every fold.

        Parameters
        ----------
        ways : dict of callables
            From the number of a fold to an `Estimate` by fits to the rows that are not in it. All
            are tried in the first fold, and the one of most merit is kept.

        Returns
        -------
        values : array of shape (n_ratios, n_rows)
            Half the sum of the log-ratio by the fit that has not seen the row, and of the mean by
            those that have.
        others : list
            What else the estimates held, by fold.
        """
        tried = {name: way(0) for name, way in ways.items()}
        best = max(tried, key=lambda name: tried[name].merit)
        tasks = (delayed(ways[best])(k) for k in range(1, self.n_folds))
        rest = parallel(self.n_jobs, prefer=None)(tasks)
        estimates = [tried[best], *rest]
        values = self.half_sum(np.array([estimate.log_ratios for estimate in estimates]))
        return values, [estimate.other for estimate in estimates]

    def held_out_mean(self, values: np.ndarray, k: int) -> float:
        """Mean over the rows of fold `k`."""
        out = self.fold == k
        return float(np.average(values[out], weights=self.weight[out]))

    def seen_and_unseen(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean over the fits that have seen a row, and the value by the one that has not.

        Parameters
        ----------
        values : array of shape (n_folds, ..., n_rows)

        Returns
        -------
        seen, unseen : array of shape (..., n_rows)
        """
        rows = np.arange(len(self.fold))
        unseen = np.moveaxis(values, 0, -1)[..., rows, self.fold]
        return (values.sum(axis=0) - unseen) / (self.n_folds - 1), unseen

    def half_sum(self, values: np.ndarray) -> np.ndarray:
        """Half the sum of the two parts of `seen_and_unseen`."""
        seen, unseen = self.seen_and_unseen(values)
        return (seen + unseen) / 2


class Options:
    """What all measures take, checked.

    Parameters
    ----------
    estimator : estimator or None
    cv : int
    n_jobs : int or None
    random_state : int, RandomState instance or None
    """

    def __init__(self, estimator, cv, n_jobs, random_state):
        self.unfolding: tuple[Any, ...]
        self.is_default = estimator is None
        if estimator is None:
            estimator = RBIGTransformer(head="auto")
            # A mixture's map twists its latents: it comes second, where little is left to map.
            self.unfolding = (RBIGTransformer(), estimator)
        else:
            self.unfolding = (estimator,) if has_latents(estimator) else ()
        _check_density(estimator)
        check_scalar(cv, "cv", Integral, min_val=2)
        self.estimator, self.cv, self.n_jobs = estimator, int(cv), n_jobs
        self.rng = numpy_generator(random_state)
        self.seed = int(self.rng.integers(2**31 - 1))

    def rows(self, X, weight):
        """Distinct rows in an order drawn from their content, and their weights."""
        Y, weight = canonical_columns(X, weight, int(self.rng.integers(2**63)))
        return np.ascontiguousarray(Y.T), weight

    def cross_fit(self, weight, names, n_folds=None):
        """Folds of distinct rows."""
        if len(weight) < _MIN_ROWS:
            raise ValueError(
                f"{names} has {len(weight)} distinct rows of positive weight: at least "
                f"{_MIN_ROWS} are needed."
            )
        n_folds = min(self.cv, len(weight)) if n_folds is None else n_folds
        return CrossFit(self.estimator, weight, n_folds, self.seed, self.n_jobs)
