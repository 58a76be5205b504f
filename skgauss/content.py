"""Rows by what they hold, whatever the units of the columns: order, draws, keys."""

from __future__ import annotations

import numpy as np

from skgauss.canonical import GOLDEN, mixed

__all__ = ["draw_rows", "n_weighted", "ranked_columns", "row_keys", "told_apart_in_single"]

_MOST = 2.0**53  # rows that weights can stand for
_NEARLY_ALL = 0.99
_HALF_DIGIT = np.uint64(1 << 28)  # of a float64's 52 bits behind the point, 23 are left


def ranked_columns(
    X: np.ndarray, sample_weight: np.ndarray | None, salt: int
) -> tuple[np.ndarray, np.ndarray]:
    """Merge equal rows and put the rest in an order drawn from the ranks of their values.

    The order is as good as random, and is left as it is by any strictly increasing map of a
    column and by shuffling the rows; shuffling the columns leaves it too, except among rows that
    hold the same ranks in other columns. A row of weight k is exactly k copies of it.

    Parameters
    ----------
    X : array of shape (n_rows, n_features)
        Finite.
    sample_weight : array of shape (n_rows,) or None
        Frequencies; rows of weight zero are dropped.
    salt : int
        Draws another order.

    Returns
    -------
    Y : array of float64 of shape (n_features, n_distinct)
    weight : array of shape (n_distinct,)

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.content import ranked_columns
    >>> X = np.array([[1.0, 2.0], [3.0, 4.0], [1.0, 2.0]])
    >>> Y, weight = ranked_columns(X, None, salt=0)
    >>> Z, _ = ranked_columns(np.exp(X), None, salt=0)
    >>> bool(np.allclose(np.exp(Y), Z)), sorted(weight.tolist())
    (True, [1.0, 2.0])
    """
    weight = np.ones(len(X)) if sample_weight is None else sample_weight
    if not weight.all():
        X, weight = X[weight > 0], weight[weight > 0]
    together = np.zeros(len(X), np.uint64)
    in_order = np.full(len(X), salt, np.uint64)
    for column in X.T:
        ranks = np.unique(column, return_inverse=True)[1].astype(np.uint64)
        together += mixed(ranks * GOLDEN + np.uint64(salt))
        in_order = mixed((in_order ^ ranks) + GOLDEN)
    order = np.lexsort((in_order, mixed(together)))
    Y = np.add(X[order].T, 0.0, dtype=np.float64)  # no -0.0
    weight = weight[order].astype(np.float64)
    new = np.ones(len(order), bool)
    new[1:] = np.any(Y[:, 1:] != Y[:, :-1], axis=0)
    first = np.flatnonzero(new)
    return np.ascontiguousarray(Y[:, first]), np.add.reduceat(weight, first)


def n_weighted(weight: np.ndarray) -> int:
    """Number of rows that frequencies stand for: their sum, or how many are not zero, if less.

    Beyond 2^53 rows a float64 cannot count, and only proportions are left.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.content import n_weighted
    >>> n_weighted(np.array([2.0, 3.0])), n_weighted(np.array([0.1, 0.0, 0.9]))
    (5, 2)
    """
    return max(round(min(float(np.sum(weight)), _MOST)), int(np.count_nonzero(weight)))


def draw_rows(weight: np.ndarray, n_drawn: int, rng: np.random.Generator) -> np.ndarray:
    """Draw rows without replacement, a row of weight k being k rows.

    Parameters
    ----------
    weight : array of shape (n_distinct,)
        Frequencies. Where they sum to less than the number of rows, only their proportions count.
    n_drawn : int
        At most the number of rows.
    rng : numpy.random.Generator

    Returns
    -------
    counts : array of int of shape (n_distinct,)
        How often each was drawn.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.content import draw_rows
    >>> draw_rows(np.array([1.0, 3.0]), 4, np.random.default_rng(0)).tolist()
    [1, 3]
    """
    cumulative, n_rows = np.cumsum(weight), n_weighted(weight)
    places = rng.choice(n_rows, n_drawn, replace=False) + 0.5
    drawn = np.searchsorted(cumulative, places * (cumulative[-1] / n_rows))
    return np.bincount(np.minimum(drawn, len(weight) - 1), minlength=len(weight))


def told_apart_in_single(X: np.ndarray) -> bool:
    """Whether nearly all rows that differ do so in single precision, too.

    Parameters
    ----------
    X : array of shape (n_rows, n_features)

    Returns
    -------
    told_apart : bool

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.content import told_apart_in_single
    >>> X = np.random.default_rng(0).normal(size=(100, 2))
    >>> told_apart_in_single(X), told_apart_in_single(X + 1e9)
    (True, False)
    """
    n_single, n_exact = (len(np.unique(row_keys(X, single=single))) for single in (True, False))
    return n_single >= _NEARLY_ALL * n_exact


def row_keys(X: np.ndarray, *, single: bool = False) -> np.ndarray:
    """Give every row a key of 64 bits, made from its float64 bytes.

    Parameters
    ----------
    X : array of shape (n_rows, n_features)
    single : bool, default=False
        Round values to the digits of single precision (not to its range) first: a row that was
        single precision in between, or that a matrix product made among other rows, has then the
        key that it had.

    Returns
    -------
    keys : array of uint64 of shape (n_rows,)
        Equal for equal rows; for others equal by accident only, once in 2^64 pairs.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.content import row_keys
    >>> a, b, c = row_keys(np.array([[1.0, 2.0], [2.0, 1.0], [1.0, 2.0]]))
    >>> bool(a == c), bool(a == b)
    (True, False)
    >>> near = np.array([[1.0, 2.0 + 1e-14]])
    >>> bool(row_keys(near)[0] == a)
    False
    >>> bool(row_keys(near, single=True)[0] == row_keys(np.array([[1.0, 2.0]]), single=True)[0])
    True
    """
    keys = np.zeros(len(X), np.uint64)
    for column in X.T:
        words = np.add(column, 0.0, dtype=np.float64).view(np.uint64)
        if single:  # half to even
            even = words // (2 * _HALF_DIGIT) % np.uint64(2)
            words = (words + _HALF_DIGIT - np.uint64(1) + even) & ~(2 * _HALF_DIGIT - np.uint64(1))
        keys = mixed((keys ^ words) + GOLDEN)
    return keys
