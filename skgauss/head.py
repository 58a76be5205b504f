"""The fitted map that a flow's steps start from: columns by themselves, and perhaps clusters."""

from __future__ import annotations

import math
import time
from typing import NamedTuple, cast

import jax
import numpy as np

from skgauss._compilation import jit
from skgauss._threads import Threads
from skgauss.bijections import (
    Chain,
    FixedAffine,
    FixedMixture,
    FixedSpline,
    combine,
    partition,
)
from skgauss.canonical import canonical_columns
from skgauss.iteration import Columns
from skgauss.layers import MapLayer
from skgauss.marginals import SplineMarginal
from skgauss.mixture_head import (
    fit_marginal,
    follows,
    mixture_of,
    mixture_size,
    select_mixture,
    spread_ties,
    what_a_mixture_follows,
)
from skgauss.spline import tailed_forward, tailed_inverse

__all__ = ["fit_head", "has_mixture", "head_forward", "head_inverse", "repays_compilation"]

# Below so many rows, that many knots: what is compiled depends on the rung, not on the columns.
_HEAD_KNOTS = ((100, 16), (500, 64), (2_000, 256), (np.inf, 512))
_COMPILED_ROWS = 1024
_REPAYS = 1e8  # rows times columns times components: some 3 s in NumPy


def fit_head(
    kind: str,
    X: np.ndarray,
    weight: np.ndarray,
    X_held_out: np.ndarray | None = None,
    weight_held_out: np.ndarray | None = None,
    *,
    like: Chain | None = None,
    max_time: float | None = None,
    n_jobs: int | None = None,
) -> Chain:
    """Fit the map that the steps start from.

    Parameters
    ----------
    kind : {"affine", "spline", "mixture", "auto"}
        "mixture" follows the splines, or straight lines, by the mean of several Gaussian
        mixtures; "auto" does so where there are several columns, with one component where there
        are too few rows for two.
    X : array of shape (n_rows, n_features)
    weight : array of shape (n_rows,)
    X_held_out : array of shape (n_held_out, n_features), default=None
        Rows that judge a mixture; without them, or where there are few, parts of `X` do.
    weight_held_out : array of shape (n_held_out,), default=None
    like : Chain, default=None
        A head of this kind that was fitted before: its mixture's size is taken, and what it
        follows.
    max_time : float or None, default=None
        Seconds that this and the map of all rows, with a mixture, should take.
    n_jobs : int or None, default=None
        Threads.

    Returns
    -------
    head : Chain
        With NumPy arrays.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.head import fit_head
    >>> X = np.random.default_rng(0).exponential(size=(200, 2))
    >>> head = fit_head("spline", X, np.ones(200))
    >>> [type(bijection).__name__ for bijection in head.bijections]
    ['FixedAffine', 'FixedSpline']
    """
    start = time.monotonic()
    table = Columns(*canonical_columns(X, weight, 0), Threads(n_jobs))
    if len(table.weight) == 1:
        table = table.with_rows(np.repeat(table.Y, 2, axis=1), np.repeat(table.weight / 2, 2))
    spline = SplineMarginal(subsample=None)
    if kind in ("affine", "spline") or (kind == "auto" and len(table.Y) == 1):
        return _columns_head(kind, fit_marginal(spline, table), table.n_rows)
    held_out = table.split(0)[0]
    if X_held_out is not None and len(X_held_out):
        held_out = table.with_rows(*canonical_columns(X_held_out, weight_held_out, 0))
    sizes, n_components = _sizes(kind, table), None
    if like is None:
        marginal = what_a_mixture_follows(spline, table, held_out, sizes)
    else:
        which, n_components = _mixture_of(like)
        marginal = fit_marginal(follows(spline)[which], table)
    behind = spread_ties(table)
    behind.forward(MapLayer(marginal))
    if max_time is not None:
        max_time -= time.monotonic() - start
    if n_components is None:
        mixture = select_mixture(behind, held_out.mapped(MapLayer(marginal)), sizes, max_time)
    else:
        mixture = mixture_of(behind, n_components)
    columns = _columns_head(kind, marginal, table.n_rows)
    return Chain((*columns.bijections, FixedMixture.from_map(mixture)))


def _sizes(kind, table):
    """Numbers of components to choose from: None is all, "auto" wants rows for two covariances."""
    n_parameters = 2 * math.comb(len(table.Y) + 2, 2)
    return (1,) if kind == "auto" and table.n_rows < n_parameters else None


def _mixture_of(head):
    """What the mixture of a head follows (see `follows`), and its number of components."""
    columns, mixture = head.bijections[-2:]
    is_line = bool(np.all(columns.spline.x[:, 0] == columns.spline.x[:, -2]))
    return int(is_line), mixture_size(mixture.map)


def _columns_head(kind, marginal, n_rows):
    """The maps of the columns as layers."""
    affine = FixedAffine(marginal.loc_, marginal.scale_)
    if kind == "affine":
        return Chain((affine,))
    n_knots = next(knots for limit, knots in _HEAD_KNOTS if n_rows < limit)
    return Chain((affine, FixedSpline(*marginal.spline_.widened(n_knots))))


@jit
def _map_block(params, held, Y):
    return combine(params, held)._forward(Y)


class _CompiledLayer(NamedTuple):
    """A mixture's map in JAX: some three times as fast as in NumPy, once it is compiled."""

    mixture: FixedMixture

    def forward(self, Y):
        Z, log_det = np.empty_like(Y), np.empty(Y.shape[1])
        parts = partition(self.mixture)
        for start in range(0, Y.shape[1], _COMPILED_ROWS):
            block = slice(start, min(start + _COMPILED_ROWS, Y.shape[1]))
            padding = (0, _COMPILED_ROWS - (block.stop - start))
            with jax.enable_x64(True):
                z, increment = _map_block(*parts, np.pad(Y[:, block], ((0, 0), padding)))
            Z[:, block] = np.asarray(z)[:, : block.stop - start]
            log_det[block] = np.asarray(increment)[: block.stop - start]
        return Z, log_det


def repays_compilation(head: Chain, n_rows: int) -> bool:
    """Whether so many rows are sooner through a compiled head.

    Parameters
    ----------
    head : Chain
    n_rows : int

    Returns
    -------
    repays : bool

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.head import fit_head, repays_compilation
    >>> repays_compilation(fit_head("affine", np.eye(3), np.ones(3)), 1_000_000)
    False
    """
    sizes = [np.size(layer.scales) for layer in head.bijections if isinstance(layer, FixedMixture)]
    return n_rows * sum(sizes) > _REPAYS


def has_mixture(head: Chain) -> bool:
    """Whether a head ends in a mixture's map, which is evaluated in NumPy.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.head import fit_head, has_mixture
    >>> has_mixture(fit_head("affine", np.eye(3), np.ones(3)))
    False
    """
    return any(isinstance(layer, FixedMixture) for layer in head.bijections)


def head_forward(
    head: Chain, X: np.ndarray, n_jobs: int | None = None, *, compiled: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Apply a head in NumPy: the same map as ``head.transform``, without compilation.

    Parameters
    ----------
    head : Chain
    X : array of shape (n_rows, n_features)
    n_jobs : int or None, default=None
        Threads that share the rows, where there is a mixture.
    compiled : bool, default=False
        Whether JAX maps the mixture: the same up to rounding.

    Returns
    -------
    Z : array of shape (n_rows, n_features)
    log_det : array of shape (n_rows,)

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.head import fit_head, head_forward
    >>> X = np.random.default_rng(0).exponential(size=(200, 2))
    >>> Z, log_det = head_forward(fit_head("spline", X, np.ones(200)), X)
    >>> Z.shape, log_det.shape, bool(abs(Z.mean()) < 0.1)
    ((200, 2), (200,), True)
    """
    Z, log_det = np.asarray(X, np.float64).T, np.zeros(len(X))
    for layer in head.bijections:
        if isinstance(layer, FixedAffine):
            Z = (Z - layer.loc[:, None]) / layer.scale[:, None]
            increment = -np.sum(np.log(layer.scale))
        elif isinstance(layer, FixedSpline):
            Z, log_slope = tailed_forward(layer.spline, Z)
            increment = log_slope.sum(axis=0)
        else:
            mixture = cast(FixedMixture, layer)
            rows = Columns(Z.copy(), np.ones(len(X)), Threads(n_jobs))
            by = _CompiledLayer(mixture) if compiled else MapLayer(mixture.map)
            increment, Z = rows.forward(by), rows.Y
        log_det = log_det + increment
    return Z.T, log_det


def head_inverse(head: Chain, Z: np.ndarray) -> np.ndarray:
    """Undo `head_forward`.

    Parameters
    ----------
    head : Chain
    Z : array of shape (n_rows, n_features)

    Returns
    -------
    X : array of shape (n_rows, n_features)

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.head import fit_head, head_forward, head_inverse
    >>> X = np.random.default_rng(0).exponential(size=(200, 2))
    >>> head = fit_head("mixture", X, np.ones(200))
    >>> bool(np.allclose(head_inverse(head, head_forward(head, X)[0]), X))
    True
    """
    Y = np.asarray(Z, np.float64).T
    for layer in reversed(head.bijections):
        if isinstance(layer, FixedAffine):
            Y = Y * layer.scale[:, None] + layer.loc[:, None]
        elif isinstance(layer, FixedSpline):
            Y = tailed_inverse(layer.spline, Y)
        else:
            Y = cast(FixedMixture, layer).map.inverse(np.ascontiguousarray(Y.T)).T
    return Y.T
