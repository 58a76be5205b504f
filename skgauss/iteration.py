"""Gaussianization layer by layer: rotate, map every direction to a normal, and so on.

It ends when what the layers remove on rows held out is no longer distinguishable from nothing.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import stdtrit
from sklearn.base import clone
from sklearn.utils.validation import has_fit_parameter
from tqdm.auto import tqdm

from skgauss._threads import Threads
from skgauss.grid_spline import GridSpline
from skgauss.layers import MarginalColumns, RotationLayer
from skgauss.marginals import MARGINALS
from skgauss.marginals.smoothing import binned_counts, grid_for, stacked_gain, stacked_spline
from skgauss.moments import VARIANCE_FLOOR, Moments
from skgauss.rotations import ica_axes, random_axes, turned

__all__ = ["BLOCK_VALUES", "Columns", "IterationOptions", "Trace", "add_layers", "mean_and_error"]

BLOCK_VALUES = 1 << 17  # so many that threads rarely wait for each other
_FEW_VALUES = 1 << 20
_MANY_COLUMNS = 8  # enough for two threads to share what is done once per column
_SAMPLE_ROWS = 10_000  # that the directions are chosen on
_MARGINAL_HELD_OUT = 0.2
_MAX_MARGINAL_HELD_OUT = 10_000
_ROUNDING = 1e-7  # nats
_MAYBE = 1.64  # standard errors: the one-sided 5 % point of a normal; less, and it stops
_SURELY = 2.58  # the one-sided 0.5 % point; less, and a direction is not moved
_SURE_OF_MANY = 0.999  # quantile of Student's t: the best of many depths is judged


@dataclasses.dataclass(frozen=True)
class IterationOptions:
    """How to iterate; see `skgauss.RBIGTransformer` for the parameters.

    Examples
    --------
    >>> from skgauss.iteration import IterationOptions
    >>> IterationOptions(max_layers=10, rotation="pca").stopping
    'negentropy'
    """

    max_layers: int
    learning_rate: float = 1.0
    rotation: Any = "auto"
    marginal: Any = "spline"
    stopping: str | None = "negentropy"
    n_iter_no_change: int = 20
    verbose: int = 0


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
    >>> from skgauss.iteration import Columns
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
        return _total(self.map_blocks(lambda Y, w: (None, Moments.of(Y, w))))

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


def _total(parts):
    """Sum of parts, always in the same order."""
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def mean_and_error(values: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    """Weighted mean over rows, and its standard error.

    Parameters
    ----------
    values, weight : array of shape (n_rows,)
        Weights are frequencies.

    Returns
    -------
    mean, error : float

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.iteration import mean_and_error
    >>> mean_and_error(np.array([0.0, 2.0]), np.array([2.0, 2.0]))
    (1.0, 0.57...)
    """
    mean = float(np.average(values, weights=weight))
    square = float(np.average((values - mean) ** 2, weights=weight))
    return mean, math.sqrt(square / max(weight.sum() - 1, 1))


def _location_and_scale(table):
    """Mean and standard deviation of every column, or 1 where that is 0; both (n_features, 1)."""
    loc, scale = np.empty((2, len(table.Y), 1))
    for j, column in enumerate(table.Y):
        loc[j] = np.average(column, weights=table.weight)
        centred = column - loc[j]
        largest = np.abs(centred).max() or 1.0
        centred /= largest  # now squares neither over- nor underflow
        scale[j] = largest * np.sqrt(np.average(centred**2, weights=table.weight)) or 1.0
    return loc, scale


def _exceeds(gain, weight, n_errors):
    """Whether a mean gain is so many standard errors above zero, and more than rounding."""
    mean, error = mean_and_error(gain, weight)
    return mean > max(n_errors * error, _ROUNDING)


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
    base : array of shape (n_held_out,)
        Log-density under independent normals with the training rows' moments.
    gains : list of arrays of shape (n_held_out,)
        What each layer added to the log-density of every row.
    by_columns : array of shape (n_held_out,)
        Log-density under the product of the columns' own densities, once told.
    n_first : int
        Number of layers before the rotations: these are always kept.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.iteration import Columns, Trace
    >>> from skgauss.layers import MapLayer
    >>> from skgauss.marginals import SplineMarginal
    >>> X = np.random.default_rng(0).exponential(size=(4000, 1))
    >>> held_out, table = Columns(X.T.copy(), np.ones(len(X))).split(2000)
    >>> trace = Trace(held_out, table)
    >>> trace.add(MapLayer(SplineMarginal().fit(X[2000:])), first=True)
    >>> removed, error = trace.removed()[0]  # of an exponential: log(2 pi e) / 2 - 1 = 0.42
    >>> bool(abs(removed - 0.42) < 3 * error)
    True
    """

    def __init__(self, held_out: Columns, table: Columns):
        loc, scale = _location_and_scale(table)
        standard = (held_out.Y - loc) / scale
        self.base = -0.5 * np.sum(standard**2 + math.log(2 * math.pi) + 2 * np.log(scale), axis=0)
        self.gains: list[np.ndarray] = []
        self.n_first = 0
        self.by_columns = self.base
        self._held_out, self.weight = held_out, held_out.weight
        self._log_det, self._level = np.zeros(len(self.base)), self.base

    def tell_columns(self, layer: Any) -> None:
        """Note the log-density of the rows under maps of the columns; before any layer."""
        rows = self._held_out.with_rows(self._held_out.Y.copy(), self.weight)
        self.by_columns = rows.log_density(rows.forward(layer))

    def add(self, layer: Any, *, first: bool = False) -> None:
        """Send the rows through a layer, and note what it adds to their log-density."""
        self._log_det = self._log_det + self._held_out.forward(layer)
        before, self._level = self._level, self._held_out.log_density(self._log_det)
        self.gains.append(self._level - before)
        self.n_first += first

    def removed(self) -> list[tuple[float, float]]:
        """What each layer removed, and its standard error."""
        return [mean_and_error(gain, self.weight) for gain in self.gains]

    def score(self) -> float:
        """Mean log-density of the rows behind the layers to be kept."""
        kept = sum(self.gains[: self.best_length()], self.base)
        return mean_and_error(kept, self.weight)[0]

    def goes_on(self, stopping: str | None, patience: int) -> bool:
        """Whether to add another layer."""
        gains = self.gains[self.n_first :]
        if stopping is None or len(gains) < patience:
            return True
        if stopping == "likelihood":
            levels = np.cumsum([mean_and_error(gain, self.weight)[0] for gain in gains])
            return bool(np.argmax(levels) >= len(levels) - patience)
        return _exceeds(np.sum(gains[-patience:], axis=0), self.weight, _MAYBE)

    def best_length(self) -> int:
        """Number of layers, the first ones included, after which the rows are likeliest.

        More than one rotation must be clearly better than one, and one is kept unless it is
        clearly worse than none.
        """
        gains = self.gains[self.n_first :]
        if not gains:
            return self.n_first
        totals = np.cumsum([mean_and_error(gain, self.weight)[0] for gain in gains])
        best = int(np.argmax(totals)) + 1 if totals.max() > 0 else 1
        beyond = sum(gains[1:best], np.zeros_like(self.base))
        n_errors = stdtrit(max(self.weight.sum() - 1, 1), _SURE_OF_MANY)
        if _exceeds(beyond, self.weight, n_errors):
            return self.n_first + best
        # The first rotation whitens, which few rows seldom prove to be right, and often is.
        return self.n_first + int(not _exceeds(-gains[0], self.weight, _MAYBE))


def _directions(rotation, white, weight, rng):
    """Candidates for the rotation of white columns, as functions that find them."""
    finders = {
        "ica": lambda: turned(white, lambda varying: ica_axes(varying, weight, rng)),
        "random": lambda: turned(white, lambda varying: random_axes(len(varying), rng)),
        "pca": lambda: np.eye(len(white)),
    }
    if len(white) == 1:
        return [finders["pca"]]
    return [finders[name] for name in (("ica", "pca") if rotation == "auto" else (rotation,))]


def _linear_part(table: Columns, moments: Moments, options: IterationOptions, rng, again):
    """Mean and components of the next layer; `again` if it is not the first one."""
    if not isinstance(options.rotation, str):
        return _given_rotation(options.rotation, table, moments, rng, again)
    mean, whitening = moments.whitening(again=again)
    sample = slice(None, _SAMPLE_ROWS)
    weight = table.weights(sample)
    white = whitening @ (table.Y[:, sample] - mean[:, None])
    candidates = _directions(options.rotation, white, weight, rng)
    if len(candidates) == 1:
        return mean, candidates[0]() @ whitening
    grid = grid_for(float(table.weight[sample].sum()))

    def judged(find):
        axes = find()
        return axes, stacked_gain(binned_counts(axes @ white, weight, grid), grid).sum()

    axes, _ = max(table.threads.map(judged, candidates), key=lambda found: found[1])
    return mean, axes @ whitening


def _given_rotation(rotation, table, moments, rng, again):
    """Fit a rotation of the user's, and scale its directions to unit variance."""
    fitted = clone(rotation)
    if "random_state" in fitted.get_params():
        fitted.set_params(random_state=int(rng.integers(2**31)))
    weighted = has_fit_parameter(fitted, "sample_weight")
    fitted.fit(table.Y.T, **({"sample_weight": table.weight} if weighted else {}))
    shape = (len(table.Y), len(table.Y))
    components = np.asarray(getattr(fitted, "components_", None), np.float64)
    if components.shape != shape or not _is_invertible(components):
        raise ValueError(
            f"rotation={rotation!r} gave components_ of shape {components.shape}: an invertible "
            f"matrix of shape {shape} is needed."
        )
    mean, covariance = moments.mean_and_covariance()
    variance = np.einsum("ij,jk,ik->i", components, covariance, components)
    variance[variance < VARIANCE_FLOOR] = 1.0 if again else VARIANCE_FLOOR
    return mean, components / np.sqrt(variance)[:, None]


def _is_invertible(matrix):
    return np.isfinite(matrix).all() and np.linalg.matrix_rank(matrix) == len(matrix)


def _marginal(table: Columns, components, mean, options, grid):
    """Fit the one-dimensional maps of a layer; the rows are rotated on the way."""

    def rotate(Y, weight):
        Y = components @ (Y - mean[:, None])
        return Y, binned_counts(Y, weight, grid)

    counts = _total(table.map_blocks(rotate))
    if options.marginal == "spline":
        return _spline(counts, grid, options.learning_rate, table.threads)
    return _worthwhile_marginal(table, options.marginal)


def _spline(counts, grid, learning_rate, threads):
    """Make the map of all columns, of many in two parts."""
    parts = np.array_split(np.arange(len(counts)), 2 if len(counts) >= _MANY_COLUMNS else 1)
    splines = threads.map(lambda p: stacked_spline(counts[p], grid, learning_rate)[0], parts)
    columns = [part[spline.columns] for part, spline in zip(parts, splines, strict=True)]
    return GridSpline(
        np.concatenate(columns),
        np.concatenate([spline.z for spline in splines]),
        np.concatenate([spline.slope for spline in splines]),
        splines[0].reach,
    )


def _worthwhile_marginal(table, template):
    """Fit a marginal estimator to the columns that are clearly likelier with it, held out."""
    n_held_out = min(int(_MARGINAL_HELD_OUT * table.Y.shape[1]), _MAX_MARGINAL_HELD_OUT)
    held_out, train = table.split(n_held_out)
    if not n_held_out or len(train.weight) < 2:
        return MarginalColumns(np.arange(0), None)
    template = MARGINALS[template]() if isinstance(template, str) else clone(template)
    template.set_params(n_jobs=table.threads.n_jobs)
    fitted = clone(template)
    fitted._fit_columns(train.Y, train.weight)
    gains = fitted._log_density_by_column(held_out.Y) + held_out.Y**2 / 2
    columns = np.flatnonzero([_exceeds(gain, held_out.weight, _SURELY) for gain in gains])
    if not len(columns):
        return MarginalColumns(columns, None)
    template._fit_columns(table.Y[columns], table.weight)
    return MarginalColumns(columns, template)


def add_layers(
    table: Columns,
    trace: Trace | None,
    options: IterationOptions,
    rng: np.random.Generator,
) -> list[RotationLayer]:
    """Add layers of rotation and marginal maps until they no longer remove anything.

    Parameters
    ----------
    table : Columns
        Training rows behind the first marginal layer; changed in place.
    trace : Trace or None
        Of the rows held out; every layer is noted in it. None where no rows judge.
    options : IterationOptions
    rng : numpy.random.Generator

    Returns
    -------
    layers : list of RotationLayer
        All that were tried; ``trace.best_length()`` says how many to keep, the first ones counted.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import make_moons
    >>> from skgauss.iteration import Columns, IterationOptions, add_layers
    >>> X, _ = make_moons(2000, noise=0.1, random_state=0)
    >>> table = Columns(X.T.copy(), np.ones(len(X)))
    >>> options = IterationOptions(max_layers=30, stopping=None)
    >>> layers = add_layers(table, None, options, np.random.default_rng(0))
    >>> len(layers), round(float(table.Y.std()), 1)  # the rows went through the layers
    (30, 1.0)
    """
    grid = grid_for(table.n_rows)
    layers: list[RotationLayer] = []
    moments = table.moments()
    with tqdm(total=options.max_layers, disable=not options.verbose, unit="layer") as bar:
        for _ in range(options.max_layers):
            mean, components = _linear_part(table, moments, options, rng, again=bool(layers))
            marginal = _marginal(table, components, mean, options, grid)
            layers.append(RotationLayer(mean, components, marginal))

            def finish(Y, weight, marginal=marginal):
                Y, _ = marginal.forward(np.ascontiguousarray(Y), log_det=False)
                return Y, Moments.of(Y, weight)

            moments = _total(table.map_blocks(finish))
            bar.update()
            if trace is not None:
                trace.add(layers[-1])
                removed, error = mean_and_error(trace.gains[-1], trace.weight)
                bar.set_postfix(removed=f"{removed:.4f} +- {error:.4f} nats")
                if not trace.goes_on(options.stopping, options.n_iter_no_change):
                    break
    return layers
