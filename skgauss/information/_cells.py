"""Blocks of discrete columns: how often cells are met, counted."""

from __future__ import annotations

from functools import reduce

import numpy as np

__all__ = ["cells_of", "log_ratio", "together", "upper_scores"]

_ROWS_PER_VALUE = 10.0  # in the mean; a column of fewer is not taken for discrete
_HALF_ROW = 0.5  # that every value has besides its own


def upper_scores(column: np.ndarray, scores: np.ndarray, weight: np.ndarray) -> np.ndarray | None:
    """The largest normal score of every value of a discrete column; None if it is continuous.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.information._cells import upper_scores
    >>> scores = np.linspace(-2, 2, 40)
    >>> upper_scores(np.repeat([3.0, 5.0], 20), scores, np.ones(40)).round(2).tolist()
    [-0.05, 2.0]
    >>> upper_scores(np.arange(40.0), scores, np.ones(40)) is None
    True
    """
    values, code = np.unique(column, return_inverse=True)
    if len(values) * _ROWS_PER_VALUE > weight.sum():
        return None
    upper = np.full(len(values), -np.inf)
    np.maximum.at(upper, code, scores)
    return upper


def cells_of(scores: np.ndarray, upper: list[np.ndarray]) -> np.ndarray:
    """Number of every row's cell, which the values of all columns of a block make up.

    Parameters
    ----------
    scores : array of shape (n_rows, n_columns)
    upper : list of arrays, of length n_columns
        See `upper_scores`.

    Returns
    -------
    cells : array of int of shape (n_rows,)

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.information._cells import cells_of
    >>> cells_of(np.array([[-1.0, 0.3], [0.5, 0.3]]), [np.array([0.0, 1.0]), np.array([0.4])])
    array([0, 1])
    """
    codes = [np.searchsorted(u, column) for column, u in zip(scores.T, upper, strict=True)]
    return together(codes)


def together(cells: list[np.ndarray]) -> np.ndarray:
    """Cells that several make up together, numbered from 0 without gaps.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.information._cells import together
    >>> together([np.array([0, 0, 1]), np.array([0, 5, 5])])
    array([0, 1, 2])
    """
    return reduce(_pairs, cells)


def _pairs(first, second):
    """Of two numbers one."""
    return np.unique(first * (int(second.max(initial=0)) + 1) + second, return_inverse=True)[1]


def log_ratio(cells: list[np.ndarray], weight: np.ndarray) -> np.ndarray:
    """Log-ratio of the probability of blocks' cells together to the product of the blocks' own.

    Probabilities are counted; besides its own rows, every cell of a block has half a row, and what
    blocks have together a row in all, as if they were independent.

    Parameters
    ----------
    cells : list of arrays of int of shape (n_rows,)
        One per block.
    weight : array of shape (n_rows,)
        Zero for rows that are not to be counted.

    Returns
    -------
    log_ratio : array of shape (n_rows,)

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.information._cells import log_ratio
    >>> flag = np.arange(1000) % 2
    >>> log_ratio([flag, flag], np.ones(1000))[:2].round(2).tolist()  # log 2
    [0.69, 0.69]
    """
    total = weight.sum()
    of_blocks = [
        (np.bincount(c, weight) + _HALF_ROW)[c] / (total + _HALF_ROW * (c.max() + 1)) for c in cells
    ]
    independent = np.prod(of_blocks, axis=0)
    joint = together(cells)
    probability = (np.bincount(joint, weight)[joint] + independent) / (total + 1)
    return np.log(probability / independent)
