"""A stiff, robust fit, to say which training rows a flexible one should not learn from."""

from __future__ import annotations

import numpy as np

from skgauss._margin import Margin, coarse_margin, common_values, lost_columns
from skgauss._thresholds import lower_fence, weighted_quantile
from skgauss.moments import Moments

__all__ = ["central_rows", "stiff_scores"]

_KEPT = 0.75
_N_STEPS = 4
_FENCE = 4.0  # interquartile ranges
_DISCRETE = 0.9  # share of the rows with a common value of a column


def central_rows(
    Y: np.ndarray, weight: np.ndarray, trim: float | str, margin: Margin | None = None
) -> np.ndarray:
    """Which rows to learn from: all but those that a stiff, robust fit finds the strangest.

    To that fit, rows with the rarer value of a binary column can be strange. Without them the
    column would be constant, and the value impossible rather than rare; so of a column that would
    vary less than half as often, no value that more than 2 % of the rows have is dropped.

    Parameters
    ----------
    Y : array of shape (n_features, n_rows)
    weight : array of shape (n_rows,)
    trim : float or "auto"
        Share of the rows to drop, but for such values. "auto" drops rows whose `stiff_scores` lie
        more than four interquartile ranges below the first quartile, so that three quarters always
        stay.
    margin : Margin, default=None
        The columns' coarse maps, if they are there already.

    Returns
    -------
    central : array of bool of shape (n_rows,)

    References
    ----------
    Tukey (1977), Exploratory Data Analysis, for the fences; his outer one is at three ranges.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.robust import central_rows
    >>> Y = np.random.default_rng(0).normal(size=(5, 300))
    >>> Y[:, :30] += 12
    >>> central = central_rows(Y, np.ones(300), "auto")
    >>> bool(central[:30].any()), bool(central[30:].mean() > 0.95)
    (False, True)
    """
    if trim == 0:
        return np.ones(len(weight), bool)
    scores = stiff_scores(Y, weight, margin)
    if trim == "auto":
        central = scores >= lower_fence(scores, weight, _FENCE)
    else:
        central = scores >= weighted_quantile(scores, weight, float(trim))
    return central | _lost_levels(Y, weight, central)


def _lost_levels(Y, weight, central):
    """Rows with another common value of a column that hardly varies in the central rows alone."""
    lost = np.zeros(len(weight), bool)
    for j in lost_columns(Y, weight, central):
        atom = weighted_quantile(Y[j, central], weight[central], 0.5)
        common = common_values(Y[j], weight, weight.sum())
        lost |= np.isin(Y[j], common) & (Y[j] != atom)
    return lost


def _discrete_covariance(Y, Z, weight):
    """Covariance of the latents of discrete columns in all rows, and 0 beside them."""
    total = weight.sum()
    common = [np.isin(column, common_values(column, weight, total)) for column in Y]
    discrete = np.array([weight[among].sum() > _DISCRETE * total for among in common])
    covariance = np.cov(Z, aweights=weight, bias=True).reshape(len(Z), len(Z))
    return np.where(np.outer(discrete, discrete), covariance, 0.0) if discrete.any() else None


def stiff_scores(Y: np.ndarray, weight: np.ndarray, margin: Margin | None = None) -> np.ndarray:
    """Log-density, up to a constant, under a Gaussian of the most central rows.

    Columns go through coarse marginal maps first; then the Gaussian (its covariance shrunk where
    rows are few) is fitted four times to the three quarters of the rows that were likeliest before.
    Three quarters of the rows may have few of the combinations of discrete columns, and all others
    would be infinitely far: among these columns no direction varies less than in all rows.

    Parameters
    ----------
    Y : array of shape (n_features, n_rows)
    weight : array of shape (n_rows,)
    margin : Margin, default=None
        The coarse maps, if they are there already.

    Returns
    -------
    scores : array of shape (n_rows,)
        High is normal.

    References
    ----------
    Rousseeuw & Van Driessen (1999), A fast algorithm for the minimum covariance determinant
    estimator, Technometrics 41(3), doi:10.1080/00401706.1999.10485670, for the steps.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.robust import stiff_scores
    >>> Y = np.random.default_rng(0).normal(size=(2, 300))
    >>> Y[:, 7] = 9
    >>> int(stiff_scores(Y, np.ones(300)).argmin())
    7
    """
    Z = (margin or coarse_margin(Y, weight)).forward(Y.T)[0].T
    all_rows = _discrete_covariance(Y, Z, weight)
    middle = np.array([[weighted_quantile(z, weight, 0.5)] for z in Z])
    scores = -np.sum((Z - middle) ** 2, axis=0)
    for _ in range(_N_STEPS):
        order = np.argsort(-scores, kind="stable")
        central = np.sort(order[np.cumsum(weight[order]) <= _KEPT * weight.sum()])
        central = central if len(central) > 1 else order
        moments = Moments.of(Z[:, central], weight[central])
        mean, whitening = moments.whitening(at_least=all_rows)
        scores = -0.5 * np.sum((whitening @ (Z - mean[:, None])) ** 2, axis=0)
    return scores
