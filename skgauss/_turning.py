"""Steps that only turn what they are given: they leave the log-density alone, and are a matrix."""

from __future__ import annotations

import functools

import numpy as np

from skgauss.bijections import (
    AffineCoupling,
    CayleyRotation,
    FixedRotation,
    GlowStack,
    HouseholderRotation,
    Invertible1x1Conv,
    Permutation,
    RationalQuadraticSplineCoupling,
)
from skgauss.bijections.actnorm import _FLOOR

__all__ = ["only_turns", "turned", "turning_matrix"]

_ORTHOGONAL = CayleyRotation, FixedRotation, HouseholderRotation, Permutation
_ROUNDING = 1e-12


def only_turns(stack: GlowStack) -> bool:
    """Tell whether steps are rotations, as they are where rows held out kept nothing of training.

    Independent standard normals are then as likely behind the steps as before them, up to
    rounding.

    Parameters
    ----------
    stack : GlowStack
        With NumPy arrays.

    Returns
    -------
    only_turns : bool
        False too of layers that are not known here.

    Examples
    --------
    >>> import jax
    >>> from skgauss._turning import only_turns
    >>> from skgauss.bijections import ActNorm, GlowStack
    >>> with jax.enable_x64(True):
    ...     start = GlowStack.init(jax.random.key(0), 3, n_steps=2, actnorm=ActNorm.identity(3))
    >>> only_turns(start), only_turns(GlowStack.init(jax.random.key(0), 3, n_steps=2))
    (True, False)
    """
    steps = stack.steps
    return _is_identity(steps.coupling) and _keeps(steps.actnorm) and _is_orthogonal(steps.mixer)


def _is_identity(coupling):
    if type(coupling) not in (AffineCoupling, RationalQuadraticSplineCoupling):
        return False
    last = [coupling.conditioner.weights[-1], coupling.conditioner.biases[-1]]
    if isinstance(coupling, RationalQuadraticSplineCoupling):
        last.append(coupling.identity_spline.params)
    return not any(np.any(parameters) for parameters in last)


def _keeps(actnorm):
    scale = np.logaddexp(0.0, actnorm.log_scale) + _FLOOR  # in NumPy's precision
    return not np.any(actnorm.loc) and bool(np.all(np.abs(scale - 1) < _ROUNDING))


def _is_orthogonal(mixer):
    if type(mixer) is not Invertible1x1Conv:
        return type(mixer) in _ORTHOGONAL
    weight = _weights(mixer)
    one = np.eye(weight.shape[-1])
    return bool(np.all(np.abs(weight @ np.swapaxes(weight, -1, -2) - one) < _ROUNDING))


def _weights(mixer):
    """Matrix of every step's linear map."""
    one = np.eye(np.shape(mixer.lower)[-1])
    diagonal = (np.asarray(mixer.signs) * np.exp(mixer.log_diag_u))[..., None] * one
    product = (np.tril(mixer.lower, -1) + one) @ (np.triu(mixer.upper, 1) + diagonal)
    return np.take_along_axis(product, np.asarray(mixer.permutation)[..., None], -2)


def turning_matrix(stack: GlowStack) -> np.ndarray | None:
    """Multiply steps that only turn into one matrix, in NumPy.

    Parameters
    ----------
    stack : GlowStack
        With NumPy arrays; of steps that `only_turns` is true of.

    Returns
    -------
    matrix : array of shape (n_features, n_features), or None
        Orthogonal, up to rounding. None if their mixers are not LU.

    Examples
    --------
    >>> import jax
    >>> import numpy as np
    >>> from skgauss._turning import turning_matrix
    >>> from skgauss.bijections import ActNorm, GlowStack
    >>> with jax.enable_x64(True):
    ...     start = GlowStack.init(jax.random.key(0), 3, n_steps=2, actnorm=ActNorm.identity(3))
    ...     z = start.transform(np.arange(3.0))
    >>> bool(np.allclose(turning_matrix(start) @ np.arange(3.0), z))
    True
    """
    if not isinstance(stack.steps.mixer, Invertible1x1Conv):
        return None
    return functools.reduce(lambda before, weight: weight @ before, _weights(stack.steps.mixer))


def turned(matrix: np.ndarray, Z: np.ndarray) -> np.ndarray:
    """Multiply every row by a matrix, to the same bits whatever rows are beside it.

    Parameters
    ----------
    matrix : array of shape (n_features, n_features)
    Z : array of shape (n_rows, n_features)

    Returns
    -------
    product : array of shape (n_rows, n_features)

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss._turning import turned
    >>> turned(np.array([[0.0, -1.0], [1.0, 0.0]]), np.array([[1.0, 2.0]])).tolist()
    [[-2.0, 1.0]]
    """
    product = np.zeros(Z.shape)
    for column, values in zip(matrix.T, Z.T, strict=True):  # not a matrix product, nor an einsum
        product += values[:, None] * column
    return product
