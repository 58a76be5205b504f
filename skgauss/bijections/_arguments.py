"""What layers are asked to be: sizes, bounds and orders, refused with their names."""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any

import jax
import numpy as np

__all__ = [
    "check_no_fall",
    "check_orthogonal",
    "check_permutation",
    "check_positive",
    "check_scales",
    "is_own",
    "is_traced",
    "layer_sizes",
    "whole",
]

_ROUNDING = 1e-3


def _told(values):
    return np.array2string(np.asarray(values), precision=3, threshold=20).replace("\n", "")


def _is_whole(value):
    return isinstance(value, Integral) and not isinstance(value, bool)


def whole(name: str, value: Any, least: int = 1) -> int:
    """Return a number of things as an int.

    Raises
    ------
    ValueError
        If it is none, or below `least`.

    Examples
    --------
    >>> from skgauss.bijections._arguments import whole
    >>> whole("n_bins", 8)
    8
    """
    if not _is_whole(value) or value < least:
        raise ValueError(f"{name} must be an integer, at least {least}, got {value!r}.")
    return int(value)


def check_positive(name: str, value: Any) -> None:
    """Refuse a bound that is no finite positive number.

    Raises
    ------
    ValueError

    Examples
    --------
    >>> from skgauss.bijections._arguments import check_positive
    >>> check_positive("bound", 4.0)
    """
    if not isinstance(value, Real) or not 0 < float(value) < math.inf:
        raise ValueError(f"{name} must be a finite positive number, got {value!r}.")


def check_scales(name: str, scales: Any) -> None:
    """Refuse scales that are not all positive; ones that are traced are let pass.

    Raises
    ------
    ValueError

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.bijections._arguments import check_scales
    >>> check_scales("scale", np.ones(3))
    """
    if not is_traced(scales) and not np.all(np.asarray(scales) > 0):
        raise ValueError(f"{name} must be positive, got {_told(scales)}.")


def check_no_fall(name: str, knots: Any) -> None:
    """Refuse knots that fall along the last axis; they may repeat, and ones traced are let pass.

    Raises
    ------
    ValueError

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.bijections._arguments import check_no_fall
    >>> check_no_fall("x", np.array([[0.0, 1.0, 5.0]]))
    """
    if not is_traced(knots) and not np.all(np.diff(np.asarray(knots)) >= 0):
        raise ValueError(f"{name} must not fall along its last axis, got {_told(knots)}.")


def layer_sizes(sizes: Any) -> tuple[int, ...]:
    """Return the sizes of hidden layers, of which there may be none, as a tuple of int.

    Raises
    ------
    ValueError
        If they are no sequence of positive integers.

    Examples
    --------
    >>> from skgauss.bijections._arguments import layer_sizes
    >>> layer_sizes([64, 32])
    (64, 32)
    """
    given = tuple(sizes) if isinstance(sizes, Iterable) else (None,)
    if not all(_is_whole(size) and size > 0 for size in given):
        raise ValueError(
            "hidden_layer_sizes must hold positive integers, one per hidden layer, such as "
            f"(64, 64), got {sizes!r}."
        )
    return tuple(map(int, given))


def is_own(layer: Any) -> bool:
    """Whether what stands for a mixer or a coupling is no name, but a class of the user's own.

    Examples
    --------
    >>> from skgauss.bijections._arguments import is_own
    >>> is_own("lu")
    False
    """
    return isinstance(layer, type)


def is_traced(value: Any) -> bool:
    """Whether JAX traces a value, which is then not known.

    Examples
    --------
    >>> from skgauss.bijections._arguments import is_traced
    >>> is_traced(1.0)
    False
    """
    return isinstance(value, jax.core.Tracer)


def check_orthogonal(name: str, matrix: Any) -> None:
    """Refuse a matrix, or one of a stack, whose transpose is not its inverse, up to rounding.

    Raises
    ------
    ValueError

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.bijections._arguments import check_orthogonal
    >>> check_orthogonal("rotation", np.eye(3))
    """
    if is_traced(matrix):
        return
    Q = np.asarray(matrix)
    Q = Q.astype(np.promote_types(Q.dtype, np.float32))
    is_square = Q.ndim >= 2 and Q.shape[-2] == Q.shape[-1]
    if not is_square or np.abs(Q @ np.swapaxes(Q, -1, -2) - np.eye(Q.shape[-1])).max() > _ROUNDING:
        raise ValueError(f"{name} must be an orthogonal matrix, got {_told(Q)}.")


def check_permutation(permutation: Any) -> None:
    """Refuse an order of the channels, or one of a stack, that leaves one out.

    Raises
    ------
    ValueError

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.bijections._arguments import check_permutation
    >>> check_permutation(np.array([2, 0, 1]))
    """
    if is_traced(permutation):
        return
    order = np.asarray(permutation)
    is_list = order.ndim >= 1 and order.dtype.kind in "iu"
    if not is_list or np.any(np.sort(order, axis=-1) != np.arange(order.shape[-1])):
        told = np.array2string(order, separator=", ", threshold=20)
        raise ValueError(f"permutation must hold every integer from 0 to C - 1 once, got {told}.")
