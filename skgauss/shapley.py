"""Which columns a score is owed to: Shapley values over random orders of the columns.

A value function v says what the score would be if only some columns were known. Columns are made
known one after the other; a column's contribution is the change at its turn, averaged over orders.
In every order the changes add up to ``v(all) - v(none)``, so that contributions do so exactly,
however few orders are drawn; each order is followed by its reverse.

References
----------
Shapley (1953), A value for n-person games, Contributions to the Theory of Games 2; Strumbelj &
Kononenko (2014), Explaining prediction models and individual predictions with feature
contributions, Knowledge and Information Systems 41(3), doi:10.1007/s10115-013-0679-x, for random
orders and reference rows; Takeishi & Kawahara (2020), On anomaly interpretation via Shapley values,
arXiv:2004.04464.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from sklearn.utils.parallel import delayed

from skgauss._blas import one_blas_thread
from skgauss._threads import parallel

__all__ = ["contributions", "mean_contributions", "replaced_levels"]

_BLOCK = 64  # rows whose columns are made known at a time
_ROWS_PER_ORDER = 20  # at least, of those whose mean is taken


def _orders(n_features, n_orders, rng) -> list[np.ndarray]:
    """Random orders, each followed by its reverse."""
    drawn = [rng.permutation(n_features) for _ in range(0, n_orders, 2)]
    return [order for forth in drawn for order in (forth, forth[::-1])]


def _change(levels, X, order):
    """What every column changes at its turn."""
    change = np.empty(X.shape)
    change[:, order] = np.diff(levels(X, order), axis=0).T
    return change


def _changes(levels, tasks, n_jobs):
    """Changes for several pairs of rows and an order, which threads share."""
    with one_blas_thread():
        return parallel(n_jobs)(delayed(_change)(levels, *task) for task in tasks)


def contributions(
    X: np.ndarray,
    levels: Callable[[np.ndarray, np.ndarray], np.ndarray],
    n_orders: int,
    rng: np.random.Generator,
    n_jobs: int | None = None,
) -> np.ndarray:
    """Contribution of every column to the score of every row.

    Threads share the orders, so that one row takes several, too.

    Parameters
    ----------
    X : array of shape (n_rows, n_features)
    levels : callable
        ``levels(X, order)`` gives v for growing sets of columns, of shape (n_features + 1, n_rows):
        of none, of the first in the order, and so on to all.
    n_orders : int
        Orders drawn, even.
    rng : numpy.random.Generator
    n_jobs : int or None, default=None
        Threads that call `levels`; the result does not depend on their number.

    Returns
    -------
    contributions : array of shape (n_rows, n_features)
        Rows add up to ``v(all) - v(none)``.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.shapley import contributions
    >>> def levels(X, order):  # the sum of what is known
    ...     return np.vstack([np.zeros(len(X)), np.cumsum(X[:, order], axis=1).T])
    >>> contributions(np.array([[1.0, 5.0]]), levels, 2, np.random.default_rng(0)).tolist()
    [[1.0, 5.0]]
    """
    orders, found = _orders(X.shape[1], n_orders, rng), np.empty(X.shape)
    for i in range(0, len(X), _BLOCK):
        rows = X[i : i + _BLOCK]
        changes = _changes(levels, [(rows, order) for order in orders], n_jobs)
        found[i : i + _BLOCK] = sum(changes) / len(orders)
    return found


def mean_contributions(
    X: np.ndarray,
    levels: Callable[[np.ndarray, np.ndarray], np.ndarray],
    n_orders: int,
    rng: np.random.Generator,
    n_jobs: int | None = None,
) -> np.ndarray:
    """Mean over many rows of about what `contributions` finds, for a part of the cost.

    Rows differ more than orders do. So a row is not seen under all of the orders, but of a hundred
    rows and ten orders under one and its reverse, the next row under the next two: a fifth of the
    cost. Of fewer rows, each is seen under more.

    Parameters
    ----------
    X, levels, n_orders, rng, n_jobs
        As those of `contributions`; from an equal generator come the same orders.

    Returns
    -------
    means : array of shape (n_features,)
        They add up to the mean of ``v(all) - v(none)``.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.shapley import mean_contributions
    >>> def levels(X, order):  # the sum of what is known
    ...     return np.vstack([np.zeros(len(X)), np.cumsum(X[:, order], axis=1).T])
    >>> X = np.array([[1.0, 5.0], [3.0, 5.0]])
    >>> mean_contributions(X, levels, 2, np.random.default_rng(0)).tolist()
    [2.0, 5.0]
    """
    orders = _orders(X.shape[1], n_orders, rng)
    n_pairs = min(-(-_ROWS_PER_ORDER * n_orders // (2 * len(X))), n_orders // 2)
    repeated = np.repeat(X, 2 * n_pairs, axis=0)
    tasks = [(repeated[k :: len(orders)], order) for k, order in enumerate(orders)]
    return np.concatenate(_changes(levels, tasks, n_jobs)).mean(axis=0)


def replaced_levels(
    score: Callable[[np.ndarray], np.ndarray],
    reference: np.ndarray,
    baseline: float | None = None,
) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Value function of any score: what is not known is taken from reference rows.

    Parameters
    ----------
    score : callable
        Rows of shape (n_rows, n_features) to scores.
    reference : array of shape (n_reference, n_features)
    baseline : float, default=None
        v(none); None means the mean score of the reference rows.

    Returns
    -------
    levels : callable
        For `contributions`.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.shapley import replaced_levels
    >>> levels = replaced_levels(lambda X: X.sum(axis=1), np.zeros((2, 2)))
    >>> levels(np.array([[1.0, 5.0]]), np.array([1, 0])).ravel().tolist()
    [0.0, 5.0, 6.0]
    """
    baseline = float(score(reference).mean()) if baseline is None else baseline

    def levels(X, order):
        mixed = np.repeat(reference[None], len(X), axis=0)
        found = np.full((len(order) + 1, len(X)), baseline)
        for k, j in enumerate(order, 1):
            mixed[:, :, j] = X[:, None, j]
            flat = score(mixed.reshape(-1, X.shape[1]))
            found[k] = flat.reshape(len(X), len(reference)).mean(axis=1)
        return found

    return levels
