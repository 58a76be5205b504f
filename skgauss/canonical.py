"""One table, one order: what a fit makes of rows may depend on their content alone."""

from __future__ import annotations

import numpy as np

__all__ = ["canonical_columns", "split_copies"]

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX = (
    (np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)),
    (np.uint64(27), np.uint64(0x94D049BB133111EB)),
)
_BLOCK = 1 << 16


def mixed(words: np.ndarray) -> np.ndarray:
    """Scramble 64-bit words in place: the finaliser of SplitMix64.

    Parameters
    ----------
    words : array of uint64

    Returns
    -------
    words : array of uint64

    References
    ----------
    Steele, Lea & Flood (2014), Fast splittable pseudorandom number generators, OOPSLA,
    doi:10.1145/2660193.2660195.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.canonical import mixed
    >>> mixed(np.zeros(1, np.uint64)).tolist()
    [0]
    """
    for shift, factor in _MIX:
        words ^= words >> shift
        words *= factor
    words ^= words >> np.uint64(31)
    return words


def _exponents(X: np.ndarray) -> np.ndarray:
    """Binary exponent of the largest absolute value of every column."""
    largest = np.maximum(np.abs(X.max(axis=0)), np.abs(X.min(axis=0)))
    return np.frexp(largest.astype(np.float64))[1]


def _row_hashes(X: np.ndarray, salt: int) -> np.ndarray:
    """Hash the float64 bytes of every row, each column divided by its own power of two."""
    exponents = _exponents(X)
    hashes = np.full(len(X), salt, np.uint64)
    for start in range(0, len(X), _BLOCK):
        block = slice(start, start + _BLOCK)
        values = np.ldexp(np.asarray(X[block], np.float64) + 0.0, -exponents)  # no -0.0
        for words in values.T:
            hashes[block] = mixed((hashes[block] ^ words.copy().view(np.uint64)) + GOLDEN)
    return hashes


def _equal_to_next(Y: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Whether the rows at these places equal their successors."""
    return np.all(Y[:, places] == Y[:, places + 1], axis=0)


def canonical_columns(
    X: np.ndarray, sample_weight: np.ndarray | None, salt: int
) -> tuple[np.ndarray, np.ndarray]:
    """Merge equal rows and put the rest in an order drawn from their content.

    Rows are sorted by a salted hash of their float64 bytes. The order is as good as random, so
    that any run of consecutive rows is a random sample of the table, and it is the same
    whatever the order of the rows given: a row of weight k is exactly k copies of it. Columns
    are divided by powers of two first, so that rescaling a column by one changes nothing.

    Parameters
    ----------
    X : array of shape (n_rows, n_features)
        Finite. May be memory-mapped.
    sample_weight : array of shape (n_rows,) or None
        Frequencies; rows of weight zero are dropped.
    salt : int
        Draws another order.

    Returns
    -------
    Y : array of float64 of shape (n_features, n_distinct)
        A copy, one row of the table per column.
    weight : array of shape (n_distinct,)

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.canonical import canonical_columns
    >>> X = np.array([[1.0, 2.0], [3.0, 4.0], [1.0, 2.0]])
    >>> Y, weight = canonical_columns(X, None, salt=0)
    >>> Z, same_weight = canonical_columns(X[:2], np.array([2.0, 1.0]), salt=0)
    >>> bool((Y == Z).all()), bool((weight == same_weight).all()), Y.shape
    (True, True, (2, 2))
    """
    if sample_weight is not None and not sample_weight.all():
        X, sample_weight = X[sample_weight > 0], sample_weight[sample_weight > 0]
    hashes = _row_hashes(X, salt)
    order = np.argsort(hashes, kind="stable")
    Y = np.empty((X.shape[1], len(X)))
    for j, column in enumerate(Y):
        np.add(X[:, j][order], 0.0, out=column)
    alike = np.flatnonzero(np.diff(hashes[order]) == 0)
    equal = _equal_to_next(Y, alike)
    if not equal.all():  # distinct rows of one hash: their values decide
        within = np.lexsort((*Y, hashes[order]))
        order, Y = order[within], np.take(Y, within, axis=1)
        equal = _equal_to_next(Y, alike)
    weight = np.ones(len(X)) if sample_weight is None else sample_weight[order]
    repeats = alike[equal] + 1
    if len(repeats):
        first = np.delete(np.arange(len(X)), repeats)
        Y, weight = np.take(Y, first, axis=1), np.add.reduceat(weight, first)
    return Y, weight


def split_copies(Y: np.ndarray, weight: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Undo the merging of equal rows, so that each of them can get noise of its own.

    Parameters
    ----------
    Y : array of shape (n_features, n_distinct)
    weight : array of shape (n_distinct,)
        Frequencies.
    most : int
        Copies, about; of more, several stay together.

    Returns
    -------
    Y : array of shape (n_features, n_rows)
    weight : array of shape (n_rows,)

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.canonical import split_copies
    >>> Y, weight = split_copies(np.array([[5.0, 7.0]]), np.array([1.0, 2.0]), 100)
    >>> sorted(Y[0].tolist()), weight.tolist()
    ([5.0, 7.0, 7.0], [1.0, 1.0, 1.0])
    """
    share = min(1.0, most / weight.sum())
    copies = np.maximum(np.ceil(weight * share), 1).astype(int)
    rows = np.repeat(np.arange(len(weight)), copies)
    each = (weight / copies)[rows]
    if np.all(weight == np.round(weight)):  # whole weights stay whole
        place = np.arange(len(rows)) - np.repeat(np.cumsum(copies) - copies, copies)
        each = np.floor(each) + (place < np.repeat(weight % copies, copies))
    order = np.random.default_rng(0).permutation(len(rows))  # any of them are a sample of all
    return Y[:, rows[order]], each[order]
