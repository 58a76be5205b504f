"""Conformal p-values for outliers, and which of many to believe."""

from __future__ import annotations

import numpy as np

__all__ = ["benjamini_hochberg", "conformal_p_values"]


def conformal_p_values(
    scores: np.ndarray, calibration: np.ndarray, weight: np.ndarray | None = None
) -> np.ndarray:
    """Share of the calibration rows that are at least as strange, the row itself counted in.

    If a row and the calibration rows are exchangeable, the probability that its p-value is at
    most alpha is at most alpha, whatever the distribution and the score, and at least
    ``alpha - 1 / (n_calibration + 1)`` where scores are not tied.

    Parameters
    ----------
    scores : array-like of shape (n_rows,)
        High is normal.
    calibration : array-like of shape (n_calibration,)
        Scores, by the same function, of rows that it was not fitted to.
    weight : array-like of shape (n_calibration,), default=None
        Frequencies.

    Returns
    -------
    p_values : array of shape (n_rows,)

    References
    ----------
    Bates, Candes, Lei, Romano & Sesia (2023), Testing for outliers with conformal p-values, Annals
    of Statistics 51(1), doi:10.1214/22-AOS2244, arXiv:2104.08279, equation 2.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.conformal import conformal_p_values
    >>> conformal_p_values(np.array([-1.0, 2.0]), np.array([0.0, 1.0, 2.0])).tolist()
    [0.25, 1.0]
    """
    calibration = np.asarray(calibration)
    order = np.argsort(calibration, kind="stable")
    mass = np.ones(len(order)) if weight is None else np.asarray(weight)[order]
    up_to = np.concatenate([[0.0], np.cumsum(mass)])
    n_stranger = up_to[np.searchsorted(calibration[order], scores, side="right")]
    return (n_stranger + 1) / (up_to[-1] + 1)


def benjamini_hochberg(p_values: np.ndarray, alpha: float) -> np.ndarray:
    """Reject as many hypotheses as the false discovery rate allows.

    Parameters
    ----------
    p_values : array of shape (n,)
    alpha : float
        Level of the false discovery rate.

    Returns
    -------
    rejected : array of bool of shape (n,)

    References
    ----------
    Benjamini & Hochberg (1995), Controlling the false discovery rate, Journal of the Royal
    Statistical Society B 57(1), doi:10.1111/j.2517-6161.1995.tb02031.x.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.conformal import benjamini_hochberg
    >>> benjamini_hochberg(np.array([0.01, 0.9, 0.04, 0.05]), 0.1).tolist()
    [True, False, True, True]
    """
    n = len(p_values)
    # p-values are multiples of a share, as the levels are: equal ones must not differ by rounding.
    below = np.sort(p_values) <= alpha * np.arange(1, n + 1) / n * (1 + 1e-12)
    if not below.any():
        return np.zeros(n, bool)
    return p_values <= np.sort(p_values)[np.flatnonzero(below)[-1]]
