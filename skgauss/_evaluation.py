"""A fitted flow evaluated on blocks of rows: compiled, or in NumPy where that is sooner done.

A flow is a chain of a head and of steps, with NumPy arrays. Compiled blocks are filled up, so that
few shapes are compiled, each once. Where the steps only turn what the head makes of the rows, they
leave its log-density alone and are one matrix: the head alone is compiled then, and behind a small
mixture nothing.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from skgauss._compilation import jit
from skgauss._turning import only_turns, turned, turning_matrix
from skgauss.base import BaseGaussianizer
from skgauss.bijections import Chain, GlowStack, combine, partition
from skgauss.head import has_mixture, head_forward, head_inverse, head_log_density, is_light

__all__ = ["block_size", "map_rows", "unmap_rows", "weigh_rows"]

_BLOCK = BaseGaussianizer._block_size
_LARGE_BLOCK = 1 << 14  # rows that keep an accelerator busy, behind splines


@jit
def _map(params, held, x):
    z, log_det = combine(params, held)._forward(x.T)
    return z.T, log_det


@jit
def _weigh(params, held, x):
    return combine(params, held)._log_density(x.T)


@jit
def _unmap(params, held, z):
    return combine(params, held)._inverse(z.T)[0].T


def block_size(on_cpu: int = _BLOCK) -> int:
    """Rows that are evaluated at once.

    Examples
    --------
    >>> from skgauss._evaluation import block_size
    >>> block_size() >= 1024
    True
    """
    return on_cpu if jax.default_backend() == "cpu" else _LARGE_BLOCK


def _compiled(function, flow, X, fill=np.nan):
    """What a compiled function gives of a block, in double precision.

    It is filled up with NaN, on which a mixture loses no time. (An inverse that iterates would.)
    """
    size = _BLOCK if len(X) <= _BLOCK else block_size()
    filled = np.pad(X, ((0, -len(X) % size), (0, 0)), constant_values=fill)
    with jax.enable_x64(True):
        out = function(*partition(flow), filled)
    return jax.tree.map(lambda array: np.asarray(array)[: len(X)], out)


def _turning(flow: Chain) -> tuple[Any, Any]:
    """The head, and the steps behind it if all that they do is turn; else None twice."""
    head, *steps = flow.bijections
    turning = len(steps) == 1 and isinstance(steps[0], GlowStack) and only_turns(steps[0])
    return (head, steps[0]) if turning else (None, None)


def _with_matrix(flow):
    """The head, and the steps as a matrix if that is all they are; else None twice."""
    head, steps = _turning(flow)
    matrix = None if head is None else turning_matrix(steps)
    return (None, None) if matrix is None else (head, matrix)


def map_rows(flow: Chain, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Map a block of rows to latents, with log-determinants.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss._evaluation import map_rows
    >>> from skgauss.bijections import Chain, FixedAffine
    >>> flow = Chain((FixedAffine(np.ones(1), np.full(1, 2.0)),))
    >>> Z, log_det = map_rows(flow, np.array([[5.0]]))
    >>> Z.tolist(), log_det.round(4).tolist()
    ([[2.0]], [-0.6931])
    """
    head, matrix = _with_matrix(flow)
    if head is None:
        return _compiled(_map, flow, X)
    Z, log_det = head_forward(head, X) if is_light(head) else _compiled(_map, head, X)
    return turned(matrix, Z), log_det


def weigh_rows(flow: Chain, X: np.ndarray) -> np.ndarray | None:
    """Log-density of a block of rows, where it can be had without the latents; else None.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss._evaluation import weigh_rows
    >>> from skgauss.bijections import Chain, FixedAffine
    >>> weigh_rows(Chain((FixedAffine(np.ones(1), np.ones(1)),)), np.array([[5.0]])) is None
    True
    """
    head, _ = _turning(flow)
    if head is None:
        return None
    return head_log_density(head, X) if is_light(head) else _compiled(_weigh, head, X)


def unmap_rows(flow: Chain, Z: np.ndarray) -> np.ndarray:
    """Map a block of latents back to rows.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss._evaluation import unmap_rows
    >>> from skgauss.bijections import Chain, FixedAffine
    >>> flow = Chain((FixedAffine(np.ones(1), np.full(1, 2.0)),))
    >>> unmap_rows(flow, np.array([[2.0]])).tolist()
    [[5.0]]
    """
    head, matrix = _with_matrix(flow)
    if head is not None:
        return head_inverse(head, turned(matrix.T, Z))
    head, *steps = flow.bijections
    if not isinstance(head, Chain) or not has_mixture(head):
        return _compiled(_unmap, flow, Z, fill=0.0)
    # In NumPy only the rows that are not there yet go on.
    return head_inverse(head, _compiled(_unmap, Chain(tuple(steps)), Z, fill=0.0))
