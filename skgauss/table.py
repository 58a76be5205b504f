"""Rows on their way through the layers of an iteration, held as columns."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from skgauss._threads import Threads
from skgauss.moments import Moments

__all__ = ["BLOCK_VALUES", "Columns", "total"]

BLOCK_VALUES = 1 << 17  # so many that threads rarely wait for each other
_FEW_VALUES = 1 << 20


def total(parts: Sequence[Any]) -> Any:
    """Sum of what blocks gave, always in the same order.

    Parameters
    ----------
    parts : sequence
        Of one or more.

    Returns
    -------
    total : object

    Examples
    --------
    >>> from skgauss.table import total
    >>> total([1, 2, 3])
    6
    """
    so_far, *rest = parts
    for part in rest:
        so_far = so_far + part
    return so_far


class Columns:
    """Rows on their way through the layers, held as columns and changed in place.

    Parameters
    ----------
    Y : array of shape (n_features, n_rows)
    weight : array of shape (n_rows,)
        Frequencies.
    threads : skgauss._threads.Threads, default=None
        They share the blocks, and the results do not depend on them; None means as many as
        the `joblib` context says.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.table import Columns
    >>> table = Columns(np.array([[1.0, 2.0, 6.0]]), np.array([1.0, 1.0, 2.0]))
    >>> held_out, rest = table.split(1)
    >>> held_out.n_rows, rest.n_rows
    (1.0, 3.0)
    >>> table.moments().mean_and_covariance()[0]
    array([3.75])
    """

    def __init__(self, Y: np.ndarray, weight: np.ndarray, threads: Threads | None = None):
        self.Y, self.threads = Y, threads or Threads()
        self.n_rows = float(weight.sum())
        self.weight = weight
        self._plain = bool(np.all(weight == 1))
        few = Y.size < _FEW_VALUES  # too few for threads to gain: blocks that stay in a cache
        size = max(256, (BLOCK_VALUES // 4 if few else BLOCK_VALUES) // len(Y))
        self._blocks = [slice(i, i + size) for i in range(0, Y.shape[1], size)]

    def map_blocks(self, function: Callable) -> list:
        """Call ``function(Y[:, block], weight[block] or None)`` for every block, in order.

        Where it returns columns and something else, the columns are put in place of the old.
        """

        def on(block):
            columns, value = function(self.Y[:, block], self.weights(block))
            if columns is not None:
                self.Y[:, block] = columns
            return value

        # Blocks are changed in place, so only threads will do; each takes a run of blocks.
        size = -(-len(self._blocks) // self.threads.count)
        runs = [self._blocks[i : i + size] for i in range(0, len(self._blocks), size)]
        done = self.threads.map(lambda run: [on(block) for block in run], runs)
        return [value for values in done for value in values]

    def weights(self, block: slice) -> np.ndarray | None:
        """Weights of a block, None where every one is 1."""
        return None if self._plain else self.weight[block]

    def moments(self) -> Moments:
        """Sums that a whitening needs."""
        return total(self.map_blocks(lambda Y, w: (None, Moments.of(Y, w))))

    def forward(self, layer: Any) -> np.ndarray:
        """Send all rows through a layer; returns the log-determinants."""
        return np.concatenate(self.map_blocks(lambda Y, w: layer.forward(Y)))

    def mapped(self, layer: Any) -> Columns:
        """Send a copy of the rows through a layer."""
        copy = self.with_rows(self.Y.copy(), self.weight)
        if len(self.weight):
            copy.forward(layer)
        return copy

    def log_density(self, log_det: np.ndarray) -> np.ndarray:
        """Log-density of the rows before, given the log-determinant of the way here."""
        squares = np.einsum("ij,ij->j", self.Y, self.Y)
        return log_det - 0.5 * (squares + len(self.Y) * math.log(2 * math.pi))

    def split(self, n_first: int) -> tuple[Columns, Columns]:
        """Cut in two, after the first `n_first` distinct rows."""
        parts = (slice(None, n_first), slice(n_first, None))
        first, rest = (self.with_rows(self.Y[:, p], self.weight[p]) for p in parts)
        return first, rest

    def with_rows(self, Y: np.ndarray, weight: np.ndarray) -> Columns:
        """Other rows, for the same threads."""
        return Columns(Y, weight, self.threads)
