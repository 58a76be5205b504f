"""Columns that others determine: they tell nothing more, and leave a table without a density."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

from skgauss.content import row_keys

__all__ = ["both_white_if_thin", "independent", "telling", "white_if_thin"]

_PLAIN, _ROUNDING = 1e-3, 1e-9  # least standard deviation of a table's axes over the largest


def _scaled(X, mean):
    """Differences from the mean, each column divided by its largest."""
    X = X - mean
    size = np.abs(X).max(axis=0)
    return X / np.where(size > 0, size, 1)


def _middle(X):
    """Half of the rows: without those that are far out in any column, which may hide the others."""
    far = np.abs(rankdata(X, axis=0) - (len(X) + 1) / 2).max(axis=1)
    return X[far <= np.median(far)]


def _adds_direction(X):
    """Which columns hold more than rounding that no linear function of those before them has."""
    scaled = _scaled(X, X.mean(axis=0))
    R = np.asarray(np.linalg.qr(scaled, mode="r"))  # columns of the same angles, but short
    basis = np.empty((len(R), 0))
    adds = np.zeros(R.shape[1], bool)
    for j, column in enumerate(R.T):
        rest = column - basis @ (basis.T @ column)
        rest -= basis @ (basis.T @ rest)
        size = np.linalg.norm(rest)
        adds[j] = size > _ROUNDING * np.linalg.norm(column)
        if adds[j]:
            basis = np.column_stack([basis, rest / size])
    return adds


def independent(X: np.ndarray) -> np.ndarray:
    """Which columns are no linear functions of those before them.

    A column is one if what is left of it, in all rows and in the middle half of them, is less than
    1e-9 of its standard deviation. Few rows determine each other by their number alone: up to two
    distinct ones to a column, all columns are taken for independent.

    Parameters
    ----------
    X : array of shape (n_rows, n_features)

    Returns
    -------
    independent : array of bool of shape (n_features,)

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.information._redundant import independent
    >>> X = np.random.default_rng(0).normal(size=(100, 2))
    >>> independent(np.column_stack([X, X.sum(axis=1)])).tolist()
    [True, True, False]
    """
    if len(np.unique(row_keys(X))) <= 2 * X.shape[1]:
        return np.ones(X.shape[1], bool)
    adds = _adds_direction(X)
    return adds if adds.all() else adds | _adds_direction(_middle(X))


def telling(X: np.ndarray) -> np.ndarray:
    """Which columns are neither linear nor monotone functions of those before them.

    Monotone ones are told by their ranks, which are those of another column or the reverse.

    Parameters
    ----------
    X : array of shape (n_rows, n_features)

    Returns
    -------
    telling : array of bool of shape (n_features,)

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.information._redundant import telling
    >>> x, z = np.random.default_rng(0).normal(size=(2, 100))
    >>> telling(np.column_stack([x, z, -np.exp(x), z - x])).tolist()
    [True, True, False, False]
    """
    tells, seen = independent(X), set()
    for j, column in enumerate(X.T):
        ranks = np.unique(column, return_inverse=True)[1]
        key = min(ranks.tobytes(), (ranks.max() - ranks).tobytes())
        tells[j] &= key not in seen
        seen.add(key)
    return tells


def _axes(X, weight):
    """Scaled rows, the standard deviations along their principal axes, and these."""
    X = _scaled(X, np.average(X, axis=0, weights=weight))
    share = np.sqrt(weight / weight.sum())[:, None]
    _, spread, axes = np.linalg.svd(np.linalg.qr(X * share, mode="r"))
    return X, spread, axes


def white_if_thin(X: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """White coordinates of a table whose columns nearly determine each other; others as they are.

    Directions in which nothing but rounding is left are dropped. Few rows determine each other by
    their number alone.

    Parameters
    ----------
    X : array of shape (n_rows, n_features)
        Without constant columns.
    weight : array of shape (n_rows,)

    Returns
    -------
    X : array of shape (n_rows, n_kept)

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.information._redundant import white_if_thin
    >>> X = np.random.default_rng(0).normal(size=(100, 2))
    >>> white_if_thin(X, np.ones(100)) is X
    True
    >>> white_if_thin(np.column_stack([X, X.sum(axis=1)]), np.ones(100)).shape
    (100, 2)
    """
    if len(X) <= 2 * X.shape[1]:
        return X
    scaled, spread, axes = _axes(X, weight)
    if spread[-1] > _PLAIN * spread[0]:
        return X
    kept = spread > _ROUNDING * spread[0]
    return scaled @ axes[kept].T / spread[kept]


def _has_thin_middle(X):
    """Whether columns nearly determine each other in the middle half of the rows, too.

    In all of them they seem to where few rows are far out in several columns at once.
    """
    X = _middle(X)
    _, spread, _ = _axes(X, np.ones(len(X)))
    return spread[-1] <= _PLAIN * spread[0]


def both_white_if_thin(
    X: np.ndarray, Y: np.ndarray, weight: np.ndarray, weight_Y: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates of two tables that are white for the two together, if columns call for it.

    They do if they nearly determine each other in both tables, and not by a few far rows only.

    Parameters
    ----------
    X : array of shape (n_rows_x, n_features)
    Y : array of shape (n_rows_y, n_features)
    weight : array of shape (n_rows_x,)
    weight_Y : array of shape (n_rows_y,)

    Returns
    -------
    X : array of shape (n_rows_x, n_kept)
    Y : array of shape (n_rows_y, n_kept)

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.information._redundant import both_white_if_thin
    >>> X, noise = np.random.default_rng(0).normal(size=(2, 100, 2))
    >>> X, weight = X[:, :1] + 1e-6 * noise, np.ones(100)
    >>> X, Y = both_white_if_thin(X, X + 1, weight, weight)
    >>> np.cov(np.vstack([X, Y]).T).round(1).tolist() in ([[1, 0], [0, 1]], [[1, -0.0], [-0.0, 1]])
    True

    """
    both, share = np.vstack([X, Y]), np.append(weight / weight.sum(), weight_Y / weight_Y.sum())
    white = white_if_thin(both, share)
    if white is both or not _has_thin_middle(both):
        return X, Y
    return white[: len(X)], white[len(X) :]
