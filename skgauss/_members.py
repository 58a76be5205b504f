"""Clones of an estimator that was given, as the members of a detector's ensemble."""

from __future__ import annotations

import numpy as np
from sklearn.base import clone
from sklearn.utils.parallel import delayed
from sklearn.utils.validation import has_fit_parameter

from skgauss._nested import called, unseeded
from skgauss._threads import parallel
from skgauss.content import ranked_columns, row_keys, told_apart_in_single
from skgauss.resolution import column_resolution
from skgauss.robust import central_rows

__all__ = ["EstimatorEnsemble", "check_given", "taken", "wanted_metadata"]

_LARGE_BLOCK = 1 << 16  # rows that an estimator is asked about at once
_LOWEST = -1e100  # in place of the logarithm of zero: differences stay finite


class EstimatorEnsemble:
    """Clones of an estimator, each fitted to a subsample, or one to all rows."""

    def __init__(self, estimators, keys, single, by_latents):
        self.estimators, self.keys, self.single = estimators, keys, single
        self.by_latents = by_latents

    @classmethod
    def fit(cls, estimator, table, rows, rng, *, n_members, max_samples, trim, by_latents, n_jobs):
        """Fit clones to some rows of a table: its rows, their weights and what goes with them."""
        X, weight, fit_params = table
        if trim != "auto":
            Y, counts = ranked_columns(X[rows], weight[rows], 0)  # of many, the first are looked at
            central = row_keys(Y[:, central_rows(Y, counts, trim)].T)
            rows = rows[np.isin(row_keys(X[rows]), central)]
        size = min(max_samples, len(rows))
        changes, seeds = _changes(estimator, X, weight, rows, n_members)
        tasks = []
        for _ in range(n_members):
            drawn = rows if size == len(rows) else np.sort(rng.permutation(rows)[:size])
            member = clone(estimator).set_params(**changes)
            member.set_params(**{name: int(rng.integers(2**31 - 1)) for name in seeds})
            tasks.append((member, X[drawn], taken(fit_params, drawn, len(X))))
        members = parallel(n_jobs)(delayed(_fitted)(*task) for task in tasks)
        if n_members == 1:
            return cls(members, [], False, by_latents)
        single = told_apart_in_single(X[rows])
        keys = [row_keys(X_drawn, single=single) for _, X_drawn, _ in tasks]
        return cls(members, keys, single, by_latents)

    def log_density(self, X):
        """Mean over the members; those fitted to a row itself have no say if others have."""
        starts = range(0, len(X), _LARGE_BLOCK)
        blocks = (np.asarray(X[i : i + _LARGE_BLOCK], np.float64) for i in starts)
        return np.concatenate([self._of_block(block) for block in blocks])

    def _of_block(self, X):
        scores = np.array([self._score(estimator, X) for estimator in self.estimators])
        if len(scores) == 1:
            return scores[0]
        keys = row_keys(X, single=self.single)
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


def _changes(estimator, X, weight, rows, n_members):
    """Parameters that members have otherwise than the estimator, and those that are seeds."""
    seeds, spreading = called("random_state", estimator), called("dequantize", estimator)
    if n_members == 1:  # a seed that was given holds; members should differ
        seeds = unseeded(estimator)
    tied = bool(spreading) and bool(column_resolution(X[rows], weight[rows]).any())
    return dict.fromkeys(spreading, True) if tied else {}, seeds


def _fitted(estimator, X, fit_params):
    return estimator.fit(X, **fit_params)


def check_given(estimator, criterion):
    """An instance is needed, and one that has latents where they are asked for."""
    if isinstance(estimator, type):
        name = estimator.__name__
        raise TypeError(f"estimator={name} is a class: give an instance, {name}().")
    no_latents = estimator is not None and not hasattr(estimator, "transform")
    if criterion == "latent_norm" and no_latents:
        raise ValueError(
            f"criterion='latent_norm' needs an estimator with transform; {estimator!r} "
            "has none. Accepted for it: criterion='log_density' or 'typicality'."
        )


def taken(fit_params, rows, n_rows):
    """What goes with some rows."""
    return {
        name: np.asarray(value)[rows] if np.shape(value)[:1] == (n_rows,) else value
        for name, value in fit_params.items()
    }


def wanted_metadata(estimator, weight, fit_params):
    """What is passed along with the rows, if the estimator takes all of it in its own fit."""
    if weight is not None:
        fit_params = {**fit_params, "sample_weight": weight}
    for name in fit_params:
        if not has_fit_parameter(estimator, name):
            raise TypeError(
                f"{name} was passed to fit, but estimator={estimator!r} does not take it "
                f"in its own fit: leave {name} out, or give an estimator that does. A step of "
                "a pipeline gets it by scikit-learn's metadata routing: "
                f"set_config(enable_metadata_routing=True), set_fit_request({name}=True)."
            )
    return fit_params
