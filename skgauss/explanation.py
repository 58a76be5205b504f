"""Why rows score as they do: what every column adds to a detector's score."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from skgauss._scoring import Scorer, by_blocks
from skgauss._thresholds import ZERO_DENSITY
from skgauss.content import draw_rows, n_weighted, ranked_columns
from skgauss.kernel_ensemble import KernelEnsemble
from skgauss.shapley import contributions, replaced_levels

__all__ = ["Explanation"]

_N_REFERENCE = 100  # training rows that explanations start from
_N_REPLACED = 20  # training rows, where any score is explained by replacing columns
_N_ORDERS = 10
_STRANGE = 100.0  # nats
_BLOCK = 64  # rows whose columns are replaced at a time


class Explanation(NamedTuple):
    """Why rows score as they do.

    Attributes
    ----------
    contributions : array of shape (n_rows, n_features)
        What every column adds to the score, in its units; the most negative one is the first reason
        to find a row strange.
    baseline : float
        Mean score of training rows; with the contributions it adds up to the score.
    scores : array of shape (n_rows,)
    columns : list of str

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss import DensityOutlierDetector
    >>> X = np.random.default_rng(0).normal(size=(200, 3))
    >>> X[7, 1] = 6
    >>> explanation = DensityOutlierDetector(random_state=0).fit(X).explain(X[7:8])
    >>> explanation.reasons(0, 1)[0][0]
    'column 1'
    """

    contributions: np.ndarray
    baseline: float
    scores: np.ndarray
    columns: list

    def reasons(self, row: int, n_reasons: int = 3) -> list[tuple[str, float]]:
        """Columns that make a row strange, the first reason first, with their contributions."""
        order = np.argsort(self.contributions[row], kind="stable")[:n_reasons]
        return [(self.columns[j], float(self.contributions[row, j])) for j in order]


def reference_rows(X: np.ndarray, weight: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rows that stand for all, a row of weight k for k."""
    Y, weight = ranked_columns(X, weight, int(rng.integers(2**63)))
    counts = draw_rows(weight, min(_N_REFERENCE, n_weighted(weight)), rng)
    return rng.permutation(np.repeat(Y, counts, axis=1).T)


def typical_shares(scorer: Scorer, reference: np.ndarray) -> np.ndarray | None:
    """Mean contributions of reference rows, where they are integrals of the density itself."""
    if not isinstance(scorer.ensemble, KernelEnsemble) or scorer.typical is not None:
        return None
    return _integrated(scorer)(reference).mean(axis=0)


def explained(
    scorer: Scorer, X: np.ndarray, reference: np.ndarray, typical: np.ndarray | None, names: list
) -> Explanation:
    """Contributions that add up to the scores, from a baseline of reference rows.

    `typical` is what `typical_shares` has of them.
    """
    if typical is None:
        shares, baseline = _replaced(scorer, X, reference)
    else:
        shares = by_blocks(_integrated(scorer), X, scorer.n_jobs) - typical
        baseline = float(typical.sum())
    return Explanation(shares, baseline, scorer(X), names)


def _attributed(levels):
    return lambda X: contributions(X, levels, _N_ORDERS, np.random.default_rng(0))


def _integrated(scorer):
    """The columns that are not known are integrated out of the density."""

    def levels(rows, order):
        rest = scorer.ensemble.along(rows, order)
        return np.vstack([np.zeros(len(rows)), rest])

    return _attributed(levels)


def _replaced(scorer, X, reference):
    """The columns that are not known are taken from reference rows.

    What so has a density of zero is no worse than very strange, but for rows that have it
    themselves: else the reasons of all others would drown in it.
    """
    reference, scores = reference[:_N_REPLACED], scorer(X)
    seen = scorer(reference)
    seen = seen[seen > ZERO_DENSITY]
    very_strange = (seen.min() if len(seen) else 0.0) - _STRANGE

    def bounded(rows):
        found = scorer(rows)
        return np.where(found > ZERO_DENSITY, found, very_strange)

    baseline, shares = float(bounded(reference).mean()), np.empty(X.shape)
    is_zero = scores <= ZERO_DENSITY
    for rows, score in ((np.flatnonzero(~is_zero), bounded), (np.flatnonzero(is_zero), scorer)):
        attributed = _attributed(replaced_levels(score, reference, baseline))
        for i in range(0, len(rows), _BLOCK):
            shares[rows[i : i + _BLOCK]] = attributed(X[rows[i : i + _BLOCK]])
    return shares, baseline
