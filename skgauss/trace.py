"""What layers do to rows held out, and what it says: whether to go on, and how many to keep.

Behind the first layers rows are judged by what they gained within bounds (`skgauss.weighted`): one
sentinel that happens to be held out would otherwise end it all.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.special import stdtrit

from skgauss.table import Columns
from skgauss.weighted import ROUNDING, bounded, exceeds, mean_and_error, root_mean_square

__all__ = ["Trace"]

_MAYBE = 1.64  # standard errors: the one-sided 5 % point of a normal; less, and it stops
_SURE_OF_MANY = 0.999  # quantile of Student's t: the best of many depths is judged
_FARTHEST = 1e150  # standard deviations; the square is finite


def _location_and_scale(table):
    """Mean and standard deviation of every column, or 1 where that is 0; both (n_features, 1)."""
    loc = np.array([np.average(column, weights=table.weight) for column in table.Y])[:, None]
    scale = [
        root_mean_square(column - mean, table.weight) or 1.0
        for column, mean in zip(table.Y, loc, strict=True)
    ]
    return loc, np.array(scale)[:, None]


class Trace:
    """What the layers removed on rows held out, row by row, in nats.

    Parameters
    ----------
    held_out : Columns
        The rows; sent through every layer.
    table : Columns
        Training rows before any layer.

    Attributes
    ----------
    levels : list of arrays of shape (n_held_out,)
        Log-density behind every number of layers; behind none, that of independent normals with
        the training rows' moments.
    by_columns : array of shape (n_held_out,)
        Log-density under the product of the columns' own densities, once told.
    n_first : int
        Number of layers before the rotations: these are always kept.
    removed : list of pairs of floats
        What each layer removed, and its standard error.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.layers import MapLayer
    >>> from skgauss.marginals import SplineMarginal
    >>> from skgauss.table import Columns
    >>> from skgauss.trace import Trace
    >>> X = np.random.default_rng(0).exponential(size=(4000, 1))
    >>> held_out, table = Columns(X.T.copy(), np.ones(len(X))).split(2000)
    >>> trace = Trace(held_out, table)
    >>> trace.add(MapLayer(SplineMarginal().fit(X[2000:])), first=True)
    >>> removed, error = trace.removed[0]  # of an exponential: log(2 pi e) / 2 - 1 = 0.42
    >>> bool(abs(removed - 0.42) < 3 * error)
    True
    """

    def __init__(self, held_out: Columns, table: Columns):
        loc, scale = _location_and_scale(table)
        standard = np.clip((held_out.Y - loc) / scale, -_FARTHEST, _FARTHEST)
        base = -0.5 * np.sum(standard**2 + math.log(2 * math.pi) + 2 * np.log(scale), axis=0)
        self._held_out, self._log_det = held_out, np.zeros(len(base))
        self._begin(base, held_out.weight)

    def _begin(self, base, weight):
        self.weight, self.by_columns, self.n_first = weight, base, 0
        self.levels, self.removed = [base], list[tuple[float, float]]()
        self._totals = list[float]()

    def tell_columns(self, layer: Any) -> None:
        """Note the log-density of the rows under maps of the columns; before any layer."""
        rows = self._held_out.with_rows(self._held_out.Y.copy(), self.weight)
        self.by_columns = rows.log_density(rows.forward(layer))

    def add(self, layer: Any, *, first: bool = False) -> None:
        """Send the rows through a layer, and note their log-density behind it."""
        self._log_det = self._log_det + self._held_out.forward(layer)
        self._note(self._held_out.log_density(self._log_det), first)

    def _note(self, level, first):
        self.removed.append(mean_and_error(level - self.levels[-1], self.weight))
        self.levels.append(level)
        self.n_first += first
        if not first:
            gained = self._gained(self._n_rotations)
            self._totals.append(float(np.average(gained, weights=self.weight)))

    @property
    def _n_rotations(self):
        return len(self.levels) - 1 - self.n_first

    def _gained(self, n_rotations):
        """What so many rotations gave the rows, within bounds."""
        behind, before = self.levels[self.n_first + n_rotations], self.levels[self.n_first]
        return bounded(behind - before, self.weight)

    def kept(self) -> np.ndarray:
        """Log-density of the rows behind the layers to be kept."""
        return self.levels[self.best_length()]

    def goes_on(self, stopping: str | None, patience: int) -> bool:
        """Whether to add another layer."""
        n_rotations = self._n_rotations
        if stopping is None or n_rotations < patience:
            return True
        if stopping == "likelihood":
            return self._best() > n_rotations - patience
        lately = self._gained(n_rotations) - self._gained(n_rotations - patience)
        return exceeds(lately, self.weight, _MAYBE)

    def _best(self):
        """Number of rotations behind which the rows are likeliest, but for rounding."""
        totals = np.array(self._totals)
        return int(np.argmax(totals >= totals.max() - ROUNDING)) + 1

    def best_length(self) -> int:
        """Number of layers, the first ones included, after which the rows are likeliest.

        More than one rotation must be clearly better than one, and one is kept unless it is
        clearly worse than none.
        """
        if not self._n_rotations:
            return self.n_first
        best, one = self._best(), self._gained(1)
        n_errors = stdtrit(max(self.weight.sum() - 1, 1), _SURE_OF_MANY)
        gains_at_all = self._totals[best - 1] > ROUNDING
        if gains_at_all and exceeds(self._gained(best) - one, self.weight, n_errors):
            return self.n_first + best
        # The first rotation whitens, which few rows seldom prove to be right, and often is.
        return self.n_first + int(not exceeds(-one, self.weight, _MAYBE))
