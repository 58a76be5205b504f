"""Ties and grids: columns whose density would be a row of spikes."""

from __future__ import annotations

import numpy as np

from skgauss._warnings import warn
from skgauss.canonical import split_copies
from skgauss.exceptions import TiedColumnWarning

__all__ = ["column_resolution", "is_discrete", "noise_width", "spread_copies"]

_MAX_ROWS = 10_000
_TIED_SHARE = 0.5
_MANY = 20  # rows to a value
_SPREAD_ROWS = 20_000  # are draws enough of the noise
_ATOM = 0.2  # of all rows
_ALONE = 2  # rows to every other value, on the mean: of a grid there are more
_ON_GRID = 1e-3  # of a step
_MOST = 0.9  # of the rows
_ROUNDING = 1e-12  # of a value, which sums of decimal fractions differ by


def column_resolution(X: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
    """Step between the values of every column that repeats them.

    A column is tied if its distinct values are fewer than half of the distinct rows: rows
    that are repeated whole, as in a bootstrap sample, tie no column. In a table of few discrete
    columns alone all rows are repeated; there a column is tied if its values are the points of a
    grid, and twenty rows or more share one on the mean. Its resolution is the 5 % quantile of the
    gaps between its distinct values. At most 10,000 evenly spaced rows are looked at.

    Parameters
    ----------
    X : array of shape (n_rows, n_features)
    weight : array of shape (n_rows,), default=None
        Frequencies, where copies of rows have been merged.

    Returns
    -------
    resolution : array of shape (n_features,)
        In the units of the columns; 0 for columns that are continuous or constant.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.resolution import column_resolution
    >>> rng = np.random.default_rng(0)
    >>> X = np.column_stack([rng.normal(size=500), rng.integers(10, size=500) / 2])
    >>> column_resolution(X).tolist()
    [0.0, 0.5]
    """
    n_rows = len(X) if weight is None else float(np.sum(weight))
    X = np.asarray(X[:: -(-len(X) // _MAX_ROWS)], np.float64)
    n_distinct_rows = len(np.unique(X, axis=0))
    resolution = np.zeros(X.shape[1])
    for j, column in enumerate(X.T):
        values = np.unique(column)
        gaps, size = np.diff(values), np.abs(values)
        typical = np.quantile(np.abs(column), _MOST)  # a few far rows tell nothing of rounding
        size = np.maximum(np.maximum(size[1:], size[:-1]), typical)
        gaps = gaps[gaps > _ROUNDING * size]  # less is rounding
        if not len(gaps):
            continue
        with np.errstate(over="ignore", invalid="ignore"):  # then it is no grid
            steps = gaps / gaps.min()
            on_grid = np.all(np.abs(steps - np.round(steps)) < _ON_GRID)
        is_grid = on_grid and len(gaps) == len(values) - 1
        is_repeated = len(values) < (1 - _TIED_SHARE) * n_distinct_rows
        if is_repeated or (is_grid and _MANY * len(values) <= n_rows):
            resolution[j] = np.quantile(gaps, 0.05, method="lower")
    return resolution


def is_discrete(X: np.ndarray, weight: np.ndarray) -> bool:
    """Whether every column that varies repeats its values: then rows are equal by accident.

    Parameters
    ----------
    X : array of shape (n_rows, n_features)
    weight : array of shape (n_rows,)

    Returns
    -------
    is_discrete : bool

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.resolution import is_discrete
    >>> X, weight = np.random.default_rng(0).integers(10, size=(500, 2)), np.ones(500)
    >>> is_discrete(X, weight), is_discrete(np.column_stack([X, np.arange(500)]), weight)
    (True, False)
    """
    return bool(np.all((column_resolution(X, weight) > 0) | (np.ptp(X, axis=0) == 0)))


def spread_copies(
    X: np.ndarray, weight: np.ndarray, width: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Undo the merging of equal rows, where every column will get noise that parts them.

    Elsewhere copies of a row would be known by the columns that get none.

    Parameters
    ----------
    X : array of shape (n_rows, n_features)
    weight : array of shape (n_rows,)
    width : array of shape (n_features,)
        Of the noise.

    Returns
    -------
    X : array of shape (n_copies, n_features)
        At most 20,000 rows more than before.
    weight : array of shape (n_copies,)

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.resolution import spread_copies
    >>> X, weight = spread_copies(np.array([[5.0], [7.0]]), np.array([30.0, 20.0]), np.ones(1))
    >>> int(np.sum(X == 5)), int(np.sum(X == 7)), set(weight.tolist())
    (30, 20, {1.0})
    """
    is_few = len(X) < _SPREAD_ROWS and np.any(weight > 1)
    if not (is_few and width.any() and is_discrete(X, weight)):
        return X, weight
    Y, weight = split_copies(np.asarray(X).T, weight, _SPREAD_ROWS)
    return np.ascontiguousarray(Y.T), weight


def noise_width(
    X: np.ndarray, names: list[str], *, dequantize: bool, weight: np.ndarray | None = None
) -> np.ndarray:
    """Width of the uniform noise that spreads tied values; where it is off, name them.

    Parameters
    ----------
    X : array of shape (n_rows, n_features)
    names : list of str
        What to call the columns in the warning.
    dequantize : bool
        False means a width of 0 everywhere, and a `TiedColumnWarning` if a column is tied.
    weight : array of shape (n_rows,), default=None
        As in `column_resolution`.

    Returns
    -------
    width : array of shape (n_features,)
        The resolution of tied columns, 0 for the others.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.resolution import noise_width
    >>> rng = np.random.default_rng(0)
    >>> X = np.column_stack([rng.normal(size=500), rng.integers(10, size=500) / 2])
    >>> noise_width(X, ["height", "age"], dequantize=True).tolist()
    [0.0, 0.5]
    """
    resolution = column_resolution(X, weight)
    if dequantize:
        return resolution
    tied = [
        f"{name} (step {step:.3g})" for name, step in zip(names, resolution, strict=True) if step
    ]
    if tied:
        atoms = [_atom(name, X[:, j], weight) for j, name in enumerate(names) if resolution[j]]
        told = ", ".join(atom for atom in atoms if atom)
        warn(
            f"Values repeat in {', '.join(tied)}: the density there is a row of spikes, a "
            "log-likelihood says little, and sampled rows can lie far out. dequantize=True adds "
            "noise of one step in fit"
            + (f", but {told}: such a spike stays. Model these rows apart." if told else "."),
            TiedColumnWarning,
        )
    return np.zeros(X.shape[1])


def _atom(name, column, weight):
    """Say which single value many rows of a column share whose others hardly repeat."""
    values, index = np.unique(column, return_inverse=True)
    mass = np.bincount(index.ravel(), weight)
    share, others = mass.max() / mass.sum(), np.sort(mass)[:-1]
    if share < _ATOM or others.sum() >= _ALONE * len(others):
        return ""
    return f"{share:.0%} of {name} is {values[mass.argmax()]:.6g}"
