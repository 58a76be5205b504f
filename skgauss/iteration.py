"""Gaussianization layer by layer: rotate, map every direction to a normal, and so on.

It ends when what the layers remove on rows held out is no longer distinguishable from nothing.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import has_fit_parameter
from tqdm.auto import tqdm

from skgauss.grid_spline import GridSpline
from skgauss.layers import MarginalColumns, RotationLayer
from skgauss.marginals import MARGINALS
from skgauss.marginals.smoothing import binned_counts, grid_for, stacked_gain, stacked_spline
from skgauss.moments import VARIANCE_FLOOR, Moments
from skgauss.rotations import ica_axes, random_axes, turned
from skgauss.table import Columns, total
from skgauss.trace import Trace
from skgauss.weighted import bounded, exceeds

__all__ = ["IterationOptions", "add_layers"]

_MANY_COLUMNS = 8  # enough for two threads to share what is done once per column
_SAMPLE_ROWS = 10_000  # that the directions are chosen on
_MARGINAL_HELD_OUT = 0.2
_MAX_MARGINAL_HELD_OUT = 10_000
_SURELY = 2.58  # the one-sided 0.5 % point; less, and a direction is not moved


@dataclasses.dataclass(frozen=True)
class IterationOptions:
    """How to iterate; see `skgauss.RBIGTransformer` for the parameters.

    `white` says that the rows come from a mixture's map: directions without variance are left.

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
    white: bool = False
    verbose: int = 0


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
    if isinstance(rotation, type):
        raise ValueError(
            f"rotation={rotation.__name__} is a class: an instance is needed, such as "
            f"{rotation.__name__}()."
        )
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

    counts = total(table.map_blocks(rotate))
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
    weight = held_out.weight
    columns = np.flatnonzero([exceeds(bounded(gain, weight), weight, _SURELY) for gain in gains])
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
    >>> from skgauss.iteration import IterationOptions, add_layers
    >>> from skgauss.table import Columns
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
            again = options.white or bool(layers)
            mean, components = _linear_part(table, moments, options, rng, again)
            marginal = _marginal(table, components, mean, options, grid)
            layers.append(RotationLayer(mean, components, marginal))

            def finish(Y, weight, marginal=marginal):
                Y, _ = marginal.forward(np.ascontiguousarray(Y), log_det=False)
                return Y, Moments.of(Y, weight)

            moments = total(table.map_blocks(finish))
            bar.update()
            if trace is not None:
                trace.add(layers[-1])
                removed, error = trace.removed[-1]
                bar.set_postfix(removed=f"{removed:.4f} +- {error:.4f} nats")
                if not trace.goes_on(options.stopping, options.n_iter_no_change):
                    break
    return layers
