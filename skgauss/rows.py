"""From a table to what a flow's steps are trained on: canonical rows, a head, noise."""

from __future__ import annotations

import numpy as np

from skgauss.bijections import Chain
from skgauss.content import row_keys
from skgauss.head import head_forward, repays_compilation
from skgauss.resolution import is_discrete
from skgauss.training import N_THREADS, Rows
from skgauss.weighted import is_heavy

__all__ = [
    "FULL_BATCH",
    "INIT_ROWS",
    "Table",
    "canonical_rows",
    "pad_rows",
    "split_rows",
]

FULL_BATCH = 512  # rows; below, one batch holds the table
INIT_ROWS = 4096  # that ActNorm sees
_CACHE_BYTES = 1 << 28
_MIN_ROWS_TO_SPLIT = 100
_MIN_ROWS_TO_JUDGE, _JUDGES = 20, 0.2  # rows, and the share of so few that judges
_MAX_HELD_OUT = 10_000
_BLOCK = 1 << 13
_COPIED = 0.05  # share of the rows that are copies of others, from which they are merged


def canonical_rows(X: np.ndarray, sample_weight: np.ndarray | None):
    """Drop rows of weight zero and merge equal rows; sort those of a small table.

    A table that fits one batch is trained on without any choice of rows, so that after this
    the weight k and k copies are the same input, bit by bit. In a larger one copies are merged
    where a column is continuous, and they are no accident, nor few: held out, a copy of a training
    row would judge nothing.

    Parameters
    ----------
    X : array of shape (n_rows, n_features)
    sample_weight : array of shape (n_rows,) or None

    Returns
    -------
    X : array of shape (n_kept, n_features)
    weight : array of shape (n_kept,)

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.rows import canonical_rows
    >>> X, weight = canonical_rows(np.array([[2.0], [1.0], [2.0], [9.0]]), np.array([1.0, 1, 3, 0]))
    >>> X.ravel().tolist(), weight.tolist()
    ([1.0, 2.0], [1.0, 4.0])
    """
    weight = np.ones(len(X)) if sample_weight is None else sample_weight
    if not weight.all():
        X, weight = X[weight > 0], weight[weight > 0]
    if len(X) <= FULL_BATCH:
        X, index = np.unique(np.asarray(X) + 0.0, axis=0, return_inverse=True)
        return X, np.bincount(index.ravel(), weight)
    _, first, index = np.unique(row_keys(X), return_index=True, return_inverse=True)
    if len(first) > (1 - _COPIED) * len(X) or is_discrete(X, weight):
        return X, weight
    order = np.argsort(first)
    return X[first[order]], np.bincount(index.ravel(), weight)[order]


def split_rows(
    n_rows: int,
    fraction: float,
    rng: np.random.Generator,
    weight: np.ndarray | None = None,
    *,
    few_too: bool = False,
):
    """Hold out a random share of the rows, at most 10,000; none of a table below 100 rows.

    Parameters
    ----------
    n_rows : int
    fraction : float
    rng : numpy.random.Generator
    weight : array of shape (n_rows,), default=None
        Heavy rows (`skgauss.weighted.is_heavy`) are not held out.
    few_too : bool, default=False
        Hold out a fifth of fewer rows, if there are 20: what was learned from others must not be
        lost by learning them by heart.

    Returns
    -------
    train, held_out : array of int
        Row numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.rows import split_rows
    >>> train, held_out = split_rows(1000, 0.1, np.random.default_rng(0))
    >>> len(train), len(held_out)
    (900, 100)
    >>> len(split_rows(50, 0.1, np.random.default_rng(0))[1])
    0
    """
    if not fraction or n_rows < (_MIN_ROWS_TO_JUDGE if few_too else _MIN_ROWS_TO_SPLIT):
        return np.arange(n_rows), np.arange(0)
    if n_rows < _MIN_ROWS_TO_SPLIT:
        fraction = max(fraction, _JUDGES)
    n_held_out = max(1, min(int(fraction * n_rows), _MAX_HELD_OUT))
    order = rng.permutation(n_rows)
    if weight is not None:  # the last to be held out
        order = order[np.argsort(is_heavy(weight)[order], kind="stable")]
    return np.sort(order[n_held_out:]), np.sort(order[:n_held_out])


def pad_rows(Z: np.ndarray, weight: np.ndarray):
    """Pad rows with ones of weight zero to a size that does not tell their number.

    Parameters
    ----------
    Z : array of shape (n_rows, n_features)
    weight : array of shape (n_rows,)

    Returns
    -------
    Z : array of shape (n_padded, n_features)
    weight : array of shape (n_padded,)

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.rows import pad_rows
    >>> Z, weight = pad_rows(np.ones((300, 2)), np.ones(300))
    >>> Z.shape, float(weight.sum())
    ((512, 2), 300.0)
    """
    size = FULL_BATCH if len(Z) <= FULL_BATCH else INIT_ROWS
    missing = size - len(Z)
    return np.pad(Z, ((0, missing), (0, 0))), np.pad(weight, (0, missing))


class Table:
    """A table of canonical rows, read in blocks, and its rows made ready for training.

    Parameters
    ----------
    X : array of shape (n_rows, n_features)
        May be memory-mapped: it is read in blocks.
    weight : array of shape (n_rows,)
    width : array of shape (n_features,)
        Of the uniform noise added to every column when it is read.
    rng : numpy.random.Generator
    dtype : numpy dtype, default=float32
        Of the rows that are kept behind the head.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.rows import Table
    >>> X = np.arange(6.0).reshape(3, 2)
    >>> table = Table(X, np.ones(3), np.zeros(2), np.random.default_rng(0))
    >>> table.load(np.array([2, 0])).tolist()
    [[4.0, 5.0], [0.0, 1.0]]
    """

    def __init__(self, X, weight, width, rng, dtype=np.float32):
        self.X, self.weight, self.width, self.rng = X, weight, width, rng
        self.dtype = np.dtype(dtype)

    def drawing_from(self, rng: np.random.Generator) -> Table:
        """The same table, its noise drawn from another generator."""
        return Table(self.X, self.weight, self.width, rng, self.dtype)

    def load(self, indices: np.ndarray) -> np.ndarray:
        """Read rows, in float64.

        Parameters
        ----------
        indices : array of int

        Returns
        -------
        X : array of shape (n, n_features)
        """
        X = np.asarray(self.X[indices], np.float64)
        if self.width.any():
            X = X + self.width * self.rng.uniform(-0.5, 0.5, X.shape)
        return X

    def is_cached(self, n_rows: int) -> bool:
        """Whether so many rows are kept in memory behind the head."""
        return self.dtype.itemsize * n_rows * self.X.shape[1] <= _CACHE_BYTES

    def rows(self, indices: np.ndarray, head: Chain, noise: np.ndarray | None = None) -> Rows:
        """Rows behind the head; kept in memory if they take less than 256 MiB.

        Parameters
        ----------
        indices : array of int
        head : Chain
        noise : array of shape (n_features,), default=None
            Standard deviation of the noise added to the latents, drawn anew each time.

        Returns
        -------
        rows : skgauss.training.Rows
        """
        shape = (len(indices), self.X.shape[1])
        latents = np.empty(shape, self.dtype) if self.is_cached(len(indices)) else None
        total, compiled = 0.0, repays_compilation(head, len(indices))
        for start in range(0, shape[0], _BLOCK):
            part = slice(start, start + _BLOCK)
            Z, log_det = head_forward(head, self.load(indices[part]), N_THREADS, compiled=compiled)
            total += self.weight[indices[part]] @ log_det
            if latents is not None:
                latents[part] = Z

        def take(part):
            Z = (
                head_forward(head, self.load(indices[part]))[0]
                if latents is None
                else latents[part]
            )
            if noise is None or not noise.any():
                return Z
            return Z + noise * self.rng.standard_normal(Z.shape)

        weight = self.weight[indices]
        return Rows(take, weight, total / weight.sum())
