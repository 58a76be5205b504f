"""The fitted map that a flow's steps start from: columns by themselves, and perhaps clusters."""

from __future__ import annotations

import math
import time
from contextlib import nullcontext
from typing import Any, NamedTuple

import jax
import numpy as np

from skgauss._compilation import jit
from skgauss._threads import Threads
from skgauss.bijections import (
    Bijection,
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
from skgauss.noise import noise_scale
from skgauss.spline import tailed_forward, tailed_inverse
from skgauss.warp import fit_warp, warp_compiled_ahead

__all__ = ["fit_head", "has_mixture", "head_forward", "head_inverse", "repays_compilation"]

# Below so many rows, that many knots: what is compiled depends on the rung, not on the columns.
_HEAD_KNOTS = ((100, 16), (500, 64), (2_000, 256), (np.inf, 512))
_WARPED_FROM = 5_000  # rows: fewer do not train couplings from scratch
_LINES = 1  # of what a mixture may follow
_NOISE_ROWS = 4096
_TIME_FOR_BOTH = 100.0  # seconds
_PLAIN_TIME = 0.6  # of the time, for a mixture that is not warped
_SMALL = (1, 2, 4, 8, 16, 32, 64)  # components, and
_MORE_RUNGS = 2  # doublings to the most that a mixture may have
_WARP_TIME = 0.45  # of the rest, for the couplings
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
    rng: np.random.Generator | None = None,
) -> Chain:
    """Fit the map that the steps start from.

    Parameters
    ----------
    kind : {"affine", "spline", "mixture", "warped", "auto"}
        "mixture" follows the splines, or straight lines, by the mean of several Gaussian
        mixtures; "warped" has couplings, trained from scratch, between the lines and the mixture.
        "auto" takes a mixture where there are several columns, of one component where there are
        too few rows for two; from 5,000 rows on, if there is time for both, also a warped one,
        and keeps what is likelier on rows held out. A warped one is given up if what it is worth
        with 32 and 64 components promises less.
    X : array of shape (n_rows, n_features)
    weight : array of shape (n_rows,)
    X_held_out : array of shape (n_held_out, n_features), default=None
        Rows that judge a mixture; without them, or where there are few, parts of `X` do.
    weight_held_out : array of shape (n_held_out,), default=None
    like : Chain, default=None
        A head of this kind that was fitted before: its mixture's size is taken, what it follows,
        and trained couplings as they are.
    max_time : float or None, default=None
        Seconds that this and the map of all rows, with a mixture, should take.
    n_jobs : int or None, default=None
        Threads.
    rng : numpy.random.Generator, default=None
        Of the training of couplings; None is a fixed one.

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

    def time_left(share=1.0):
        return None if max_time is None else share * max_time - (time.monotonic() - start)

    table = Columns(*canonical_columns(X, weight, 0), Threads(n_jobs))
    if len(table.weight) == 1:
        table = table.with_rows(np.repeat(table.Y, 2, axis=1), np.repeat(table.weight / 2, 2))
    if kind in ("affine", "spline") or (kind == "auto" and len(table.Y) == 1):
        return _columns_head(kind, fit_marginal(_spline(), table), table.n_rows)
    if like is not None:
        return _like(like, table)
    held_out = table.split(0)[0]
    if X_held_out is not None and len(X_held_out):
        held_out = table.with_rows(*canonical_columns(X_held_out, weight_held_out, 0))
    rng = np.random.default_rng(0) if rng is None else rng
    if kind == "warped":
        return _warped(table, held_out, rng, time_left).head(None, time_left())
    sizes = _sizes(kind, table)
    may_be_warped = kind == "auto" and len(held_out.weight) and table.n_rows >= _WARPED_FROM
    tries_both = may_be_warped and (max_time or math.inf) >= _TIME_FOR_BOTH
    ahead = warp_compiled_ahead(len(table.Y), len(held_out.weight)) if tries_both else nullcontext()
    with ahead:
        front = _front(what_a_mixture_follows(_spline(), table, held_out, sizes), table, held_out)
        plain = front.head(sizes, time_left(_PLAIN_TIME if tries_both else 1))
    if not tries_both:
        return plain
    warped, least = _warped(table, held_out, rng, time_left), _log_likelihood(plain, held_out)
    if _promise(warped, held_out) <= least:
        return plain
    head = warped.head(None, time_left())
    return head if _log_likelihood(head, held_out) > least else plain


def _promise(front, held_out):
    """Log-likelihood to expect of many components, by what few give and gain, in one ladder."""
    fewer, few = (
        _log_likelihood(front.head(sizes, n_ladders=1), held_out) for sizes in (_SMALL[:-1], _SMALL)
    )
    return few + _MORE_RUNGS * max(few - fewer, 0)


def _spline():
    return SplineMarginal(subsample=None)


def _sizes(kind, table):
    """Numbers of components to choose from: None is all, "auto" wants rows for two covariances."""
    n_parameters = 2 * math.comb(len(table.Y) + 2, 2)
    return (1,) if kind == "auto" and table.n_rows < n_parameters else None


class _Front(NamedTuple):
    """What a mixture follows, and the rows behind it."""

    layers: tuple[Bijection, ...]
    table: Columns
    held_out: Columns

    def head(self, sizes, max_time=None, **kwargs) -> Chain:
        """With the likeliest mixture."""
        mixture = select_mixture(self.table, self.held_out, sizes, max_time, **kwargs)
        return Chain((*self.layers, FixedMixture.from_map(mixture)))


def _front(marginal, table, held_out):
    """Maps of the columns."""
    layers = _columns_head("mixture", marginal, table.n_rows).bijections
    return _Front(layers, _behind(table, marginal), held_out.mapped(MapLayer(marginal)))


def _warped(table, held_out, rng, time_left):
    """Straight lines, and couplings that are trained behind them."""
    marginal = fit_marginal(follows(_spline())[_LINES], table)
    front = _front(marginal, table, held_out)
    judges, rows = front.held_out, front.table
    if not len(judges.weight):
        judges, _ = rows.split(-(-len(rows.weight) // 10))
    some = slice(_NOISE_ROWS)
    noise = noise_scale(rows.Y[:, some].T, rows.weight[some], rng)
    seconds = time_left()
    warp = fit_warp(rows, judges, noise, rng, seconds and _WARP_TIME * seconds)
    behind = [columns.mapped(_CompiledLayer(warp)) for columns in (rows, front.held_out)]
    return _Front((*front.layers, warp), *behind)


def _like(head, table):
    """A mixture of the size of one fitted before, behind maps of the same kind."""
    columns, *warp, mixture = head.bijections[1:]
    which = int(np.all(columns.spline.x[:, 0] == columns.spline.x[:, -2]))
    marginal = fit_marginal(follows(_spline())[which], table)
    front, behind = _columns_head("mixture", marginal, table.n_rows), _behind(table, marginal)
    for trained in warp:  # which stays as it is
        behind.forward(_CompiledLayer(trained))
    again = mixture_of(behind, mixture_size(mixture.map))
    return Chain((*front.bijections, *warp, FixedMixture.from_map(again)))


def _behind(table, marginal):
    """A copy of a table, ties spread, behind maps of its columns."""
    behind = spread_ties(table)
    behind.forward(MapLayer(marginal))
    return behind


def _log_likelihood(head, held_out):
    """Mean log-density of rows held out."""
    Z, log_det = head_forward(head, held_out.Y.T, held_out.threads.n_jobs, compiled=True)
    return np.average(log_det - 0.5 * np.sum(Z**2, axis=1), weights=held_out.weight)


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


@jit
def _unmap_block(params, held, Z):
    return combine(params, held)._inverse(Z)


class _CompiledLayer(NamedTuple):
    """A bijection in JAX: a mixture's map is three times as fast as in NumPy, once compiled."""

    bijection: Bijection

    def forward(self, Y):
        return self._in_blocks(_map_block, Y)

    def inverse(self, Z):
        return self._in_blocks(_unmap_block, Z)[0]

    def _in_blocks(self, function, Y):
        Z, log_det = np.empty_like(Y), np.empty(Y.shape[1])
        parts = partition(self.bijection)
        for start in range(0, Y.shape[1], _COMPILED_ROWS):
            block = slice(start, min(start + _COMPILED_ROWS, Y.shape[1]))
            padding = (0, _COMPILED_ROWS - (block.stop - start))
            with jax.enable_x64(True):
                z, increment = function(*parts, np.pad(Y[:, block], ((0, 0), padding)))
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
    increment: Any
    for layer in head.bijections:
        if isinstance(layer, FixedAffine):
            Z = (Z - layer.loc[:, None]) / layer.scale[:, None]
            increment = -np.sum(np.log(layer.scale))
        elif isinstance(layer, FixedSpline):
            Z, log_slope = tailed_forward(layer.spline, Z)
            increment = log_slope.sum(axis=0)
        else:
            rows = Columns(Z.copy(), np.ones(len(X)), Threads(n_jobs))
            if isinstance(layer, FixedMixture) and not compiled:
                increment = rows.forward(MapLayer(layer.map))
            else:
                increment = rows.forward(_CompiledLayer(layer))
            Z = rows.Y
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
        elif isinstance(layer, FixedMixture):
            Y = layer.map.inverse(np.ascontiguousarray(Y.T)).T
        else:
            Y = _CompiledLayer(layer).inverse(Y)
    return Y.T
