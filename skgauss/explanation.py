"""Why rows score as they do: what every column adds to a detector's score."""

from __future__ import annotations

from numbers import Integral
from typing import NamedTuple

import numpy as np
from sklearn.utils import check_scalar

from skgauss._members import EstimatorEnsemble
from skgauss._scoring import Scorer
from skgauss._thresholds import ZERO_DENSITY, rounding
from skgauss.content import draw_rows, n_weighted, ranked_columns
from skgauss.ranking_density import RankingDensity
from skgauss.shapley import contributions, mean_contributions, replaced_levels

__all__ = ["Explanation"]

_N_REFERENCE = 100  # training rows that explanations start from
_N_REPLACED = 20  # training rows, where any score is explained by replacing columns
_N_ORDERS = 10
_STRANGE = 100.0  # nats


class Explanation(NamedTuple):
    """Why rows score as they do.

    Attributes
    ----------
    contributions : array of shape (n_rows, n_features)
        What every column adds to the score, in its units; the most negative one is the first reason
        to find a row strange.
    baseline : float
        Mean score of some training rows that are not flagged, with contributions the score: of at
        most 100 for log-densities of the default density, else of 20 of them.
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
        """Columns that take most from the score of a row, the first reason first.

        Parameters
        ----------
        row : int
        n_reasons : int, default=3

        Returns
        -------
        reasons : list of (str, float)
            Columns and their contributions, all negative: fewer than `n_reasons`, or none, where no
            more columns take something from the score.
        """
        check_scalar(n_reasons, "n_reasons", Integral, min_val=0)
        shares = self.contributions[row]
        order = np.argsort(shares, kind="stable")[:n_reasons]
        least = rounding(self.scores[row])
        return [(self.columns[j], float(shares[j])) for j in order if shares[j] < -least]


def reference_rows(X: np.ndarray, weight: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rows that stand for all, a row of weight k for k."""
    Y, weight = ranked_columns(X, weight, int(rng.integers(2**63)))
    counts = draw_rows(weight, min(_N_REFERENCE, n_weighted(weight)), rng)
    return rng.permutation(np.repeat(Y, counts, axis=1).T)


def typical_shares(scorer: Scorer, reference: np.ndarray, n_jobs: int | None) -> np.ndarray | None:
    """Mean contributions of reference rows, where they are integrals of the density itself."""
    if not isinstance(scorer.ensemble, RankingDensity) or scorer.typical is not None:
        return None
    by_content, levels = _by_content(reference, _integrated(scorer))
    means = mean_contributions(reference[:, by_content], levels, _N_ORDERS, _rng(), n_jobs)
    return means[np.argsort(by_content)]


def explained(
    scorer: Scorer,
    X: np.ndarray,
    reference: np.ndarray,
    typical: np.ndarray | None,
    names: list,
    n_jobs: int | None,
) -> Explanation:
    """Contributions that add up to the scores, from a baseline of reference rows.

    `typical` is what `typical_shares` has of them.
    """
    if typical is None:
        shares, baseline = _replaced(scorer, X, reference, n_jobs)
    else:
        by_content, levels = _by_content(reference, _integrated(scorer))
        found = contributions(X[:, by_content], levels, _N_ORDERS, _rng(), n_jobs)
        shares = found[:, np.argsort(by_content)] - typical
        baseline = float(typical.sum())
    return Explanation(shares, baseline, scorer(X, n_jobs), names)


def _rng():
    """One generator for all rows: under the same orders, typical ones and others compare best."""
    return np.random.default_rng(0)


def _by_content(reference, levels):
    """Columns in an order that hangs on what they hold, and not on their place; levels of these.

    Else the orders that are drawn would give the columns of a relation other shares.
    """
    ranks = np.argsort(np.argsort(reference, axis=0, kind="stable"), axis=0)
    by_content = np.lexsort(ranks)

    def of_these(rows, order):
        return levels(rows[:, np.argsort(by_content)], by_content[order])

    return by_content, of_these


def _integrated(scorer):
    """The columns that are not known are integrated out of the density."""

    def levels(rows, order):
        rest = scorer.ensemble.along(rows, order)
        return np.vstack([np.zeros(len(rows)), rest])

    return levels


def _replaced(scorer, X, reference, n_jobs):
    """The columns that are not known are taken from reference rows.

    What so has a density of zero is no worse than very strange, but for rows that have it
    themselves: else the reasons of all others would drown in it. Estimators given are not called
    in several threads.
    """
    if isinstance(scorer.ensemble, EstimatorEnsemble):
        n_jobs = 1
    reference, scores = reference[:_N_REPLACED], scorer(X, n_jobs)

    def score_alone(rows):  # within one of the threads
        return scorer(rows, 1)

    seen = score_alone(reference)
    seen = seen[seen > ZERO_DENSITY]
    very_strange = (seen.min() if len(seen) else 0.0) - _STRANGE

    def bounded(rows):
        found = score_alone(rows)
        return np.where(found > ZERO_DENSITY, found, very_strange)

    baseline, shares = float(bounded(reference).mean()), np.empty(X.shape)
    is_zero = scores <= ZERO_DENSITY
    for rows, score in ((~is_zero, bounded), (is_zero, score_alone)):
        by_content, levels = _by_content(reference, replaced_levels(score, reference, baseline))
        found = contributions(X[rows][:, by_content], levels, _N_ORDERS, _rng(), n_jobs)
        shares[rows] = found[:, np.argsort(by_content)]
    return shares, baseline
