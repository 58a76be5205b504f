"""The fitted map that a flow's steps start from, evaluated: columns, and perhaps clusters."""

from __future__ import annotations

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
from skgauss.layers import MapLayer
from skgauss.spline import tailed_forward, tailed_inverse
from skgauss.table import Columns

__all__ = [
    "CompiledLayer",
    "fitted_kind",
    "has_mixture",
    "head_forward",
    "head_inverse",
    "head_log_density",
    "is_light",
    "repays_compilation",
]

_COMPILED_ROWS = 1024
_LIGHT = 200  # columns times components: 100,000 rows per second or more in NumPy
_REPAYS = 1e8  # rows times columns times components: some 3 s in NumPy


@jit
def _map_block(params, held, Y):
    return combine(params, held)._forward(Y)


@jit
def _unmap_block(params, held, Z):
    return combine(params, held)._inverse(Z)


class CompiledLayer(NamedTuple):
    """A bijection in JAX as a layer of columns: a mixture's map is three times as fast so.

    Attributes
    ----------
    bijection : Bijection
        With NumPy arrays; compiled once for its structure, whatever the number of rows.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.bijections import FixedAffine
    >>> from skgauss.head import CompiledLayer
    >>> layer = CompiledLayer(FixedAffine(np.ones(2), np.ones(2)))
    >>> layer.forward(np.full((2, 3), 5.0))[0].tolist()
    [[4.0, 4.0, 4.0], [4.0, 4.0, 4.0]]
    """

    bijection: Bijection

    def forward(self, Y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Map columns; also the log-determinants."""
        return self._in_blocks(_map_block, Y)

    def inverse(self, Z: np.ndarray) -> np.ndarray:
        """Undo `forward`."""
        return self._in_blocks(_unmap_block, Z)[0]

    def _in_blocks(self, function, Y):
        Z, log_det = np.empty_like(Y), np.empty(Y.shape[1])
        parts = partition(self.bijection)
        for start in range(0, Y.shape[1], _COMPILED_ROWS):
            block = slice(start, min(start + _COMPILED_ROWS, Y.shape[1]))
            padding = (0, _COMPILED_ROWS - (block.stop - start))
            with jax.enable_x64(True):
                z, increment = function(*parts, np.pad(Y[:, block], ((0, 0), padding), mode="edge"))
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
    >>> from skgauss.head import repays_compilation
    >>> from skgauss.head_selection import fit_head
    >>> repays_compilation(fit_head("affine", np.eye(3), np.ones(3)), 1_000_000)
    False
    """
    sizes = [np.size(layer.scales) for layer in head.bijections if isinstance(layer, FixedMixture)]
    return n_rows * sum(sizes) > _REPAYS


def fitted_kind(head: Chain) -> str:
    """What a fitted head is, by the names that `skgauss.GlowGaussianizer` gives its parameter.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.head import fitted_kind
    >>> from skgauss.head_selection import fit_head
    >>> fitted_kind(fit_head("spline", np.eye(3), np.ones(3)))
    'spline'
    """
    if not has_mixture(head):
        return "spline" if len(head.bijections) > 1 else "affine"
    *columns, _ = head.bijections
    plain = all(isinstance(layer, FixedAffine | FixedSpline) for layer in columns)
    return "mixture" if plain else "warped"


def has_mixture(head: Chain) -> bool:
    """Whether a head ends in a mixture's map, which is evaluated in NumPy.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.head import has_mixture
    >>> from skgauss.head_selection import fit_head
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
    >>> from skgauss.head import head_forward
    >>> from skgauss.head_selection import fit_head
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
                increment = rows.forward(CompiledLayer(layer))
            Z = rows.Y
        log_det = log_det + increment
    return Z.T, log_det


def is_light(head: Chain) -> bool:
    """Whether a head ends in a mixture so small that compilation is not worth it.

    Parameters
    ----------
    head : Chain

    Returns
    -------
    is_light : bool

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.head import is_light
    >>> from skgauss.head_selection import fit_head
    >>> is_light(fit_head("mixture", np.random.default_rng(0).normal(size=(200, 2)), np.ones(200)))
    True
    """
    *before, last = head.bijections
    if not isinstance(last, FixedMixture) or np.size(last.scales) > _LIGHT:
        return False
    return all(isinstance(layer, FixedAffine | FixedSpline) for layer in before)


def head_log_density(head: Chain, X: np.ndarray) -> np.ndarray:
    """Log-density of rows under a head that ends in a mixture, in NumPy and without latents.

    Parameters
    ----------
    head : Chain
    X : array of shape (n_rows, n_features)

    Returns
    -------
    log_density : array of shape (n_rows,)

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.head import head_log_density
    >>> from skgauss.head_selection import fit_head
    >>> X = np.random.default_rng(0).normal(size=(500, 1))
    >>> head = fit_head("mixture", X, np.ones(500))
    >>> bool(abs(head_log_density(head, X).mean() + 1.4) < 0.1)  # minus the entropy
    True
    """
    *before, mixture = head.bijections
    assert isinstance(mixture, FixedMixture)
    Z, log_det = head_forward(Chain(tuple(before)), X)
    return log_det + mixture.map.log_density(np.ascontiguousarray(Z))


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
    >>> from skgauss.head import head_forward, head_inverse
    >>> from skgauss.head_selection import fit_head
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
            Y = CompiledLayer(layer).inverse(Y)
    return Y.T
