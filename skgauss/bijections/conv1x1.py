"""The invertible 1x1 convolution, stored in LU form."""

from __future__ import annotations

from typing import Literal

import jax.numpy as jnp
import jax.scipy.linalg as jsl
import numpy as np
import scipy.linalg as sl

from skgauss.bijections._arguments import check_permutation, whole
from skgauss.bijections.base import (
    Array,
    Bijection,
    common_channels,
    fixed,
    on_device,
    register,
)
from skgauss.bijections.random import generator, random_rotation

__all__ = ["Invertible1x1Conv"]


def _solve_triangular(matrix, x, *, lower):
    """Solve for all positions of `x`, of shape (C, *positions), at once."""
    columns = jnp.reshape(x, (x.shape[0], -1))
    solution = jsl.solve_triangular(matrix, columns, lower=lower, unit_diagonal=lower)
    return jnp.reshape(solution, x.shape)


@register
class Invertible1x1Conv(Bijection):
    """Linear map of the channels, ``z = W x`` with ``W = P L U``, at every position.

    P is a fixed permutation, L unit lower triangular, U upper triangular with the diagonal
    ``signs * exp(log_diag_u)``. No gradient step can make W singular. The log-determinant,
    ``sum(log_diag_u)`` at every position, costs O(C) where a dense one costs O(C^3); map and
    inverse (two triangular solves) cost O(C^2).

    Parameters
    ----------
    lower : array of shape (C, C)
        Only the part below the diagonal is read.
    upper : array of shape (C, C)
        Only the part above the diagonal is read.
    log_diag_u : array of shape (C,)
        Logarithm of the absolute diagonal of U.
    permutation : array of int of shape (C,)
        Fixed. ``P v = v[permutation]``.
    signs : array of shape (C,)
        Fixed. Signs of the diagonal of U, +1 or -1.

    Raises
    ------
    ValueError
        If `permutation` is none.

    References
    ----------
    Kingma & Dhariwal (2018), Glow, section 3.2, equations 10 and 11, arXiv:1807.03039.

    Examples
    --------
    >>> import jax
    >>> from dataclasses import replace
    >>> from skgauss.bijections import Invertible1x1Conv
    >>> conv = Invertible1x1Conv.init(jax.random.key(0), 4)
    >>> conv = replace(conv, log_diag_u=jax.numpy.array([0.5, -0.3, 0.2, 0.1]))
    >>> _, log_det = conv.transform_and_log_det(jax.numpy.ones(4))
    >>> round(float(log_det), 4), round(float(jax.numpy.linalg.slogdet(conv.weight)[1]), 4)
    (0.5, 0.5)
    """

    lower: Array
    upper: Array
    log_diag_u: Array
    permutation: Array = fixed()
    signs: Array = fixed()

    def __post_init__(self):
        check_permutation(self.permutation)

    @classmethod
    def init(
        cls,
        key: Array,
        n_channels: int,
        *,
        start: Literal["identity", "permutation", "rotation"] = "rotation",
    ) -> Invertible1x1Conv:
        """Start from a random rotation, from a random permutation, or near the identity.

        Parameters
        ----------
        key : JAX random key or numpy.random.Generator
        n_channels : int
        start : {"rotation", "permutation", "identity"}, default="rotation"
            "rotation" factorises a random orthogonal matrix, as Glow does, so that P is not
            the identity in general. "permutation" has L and U at the identity: channels stay what
            they are until training mixes them. "identity" draws the free entries of L and U from
            N(0, 0.01^2); P is the identity.

        Returns
        -------
        layer : Invertible1x1Conv
        """
        rng, n_channels = generator(key), whole("n_channels", n_channels)
        if start == "rotation":
            return cls.from_weight(random_rotation(rng, n_channels))
        if start == "permutation":
            return cls.from_weight(np.eye(n_channels)[rng.permutation(n_channels)])
        if start != "identity":
            raise ValueError(
                f"start must be 'rotation', 'permutation' or 'identity', got {start!r}."
            )
        lower, upper = 0.01 * rng.standard_normal((2, n_channels, n_channels))
        return cls._from_factors(np.eye(n_channels), lower, np.eye(n_channels) + np.triu(upper, 1))

    @classmethod
    def from_weight(cls, weight: Array) -> Invertible1x1Conv:
        """Factorise a dense invertible matrix.

        Parameters
        ----------
        weight : array of shape (C, C)

        Returns
        -------
        layer : Invertible1x1Conv
            Whose `weight` is the matrix given, up to rounding.

        Raises
        ------
        ValueError
            If the matrix is not square, not finite, or singular up to rounding.
        """
        weight = np.asarray(weight)
        if weight.ndim != 2 or weight.shape[0] != weight.shape[1]:
            raise ValueError(f"weight must be a square matrix, got shape {weight.shape}.")
        if not np.isfinite(weight).all():
            raise ValueError("weight must be finite, got NaN or infinity.")
        p, lower, upper = sl.lu(weight)
        rounding = len(weight) * np.finfo(upper.dtype).eps * np.abs(weight).max(axis=0)
        if (np.abs(np.diag(upper)) <= rounding).any():
            raise ValueError(
                "weight must be invertible, got a singular matrix: the diagonal of U is "
                f"{np.diag(upper)}."
            )
        return cls._from_factors(p, lower, upper)

    @classmethod
    def _from_factors(cls, p, lower, upper):
        diagonal = np.diag(upper)
        return cls(
            on_device(np.tril(lower, -1)),
            on_device(np.triu(upper, 1)),
            on_device(np.log(np.abs(diagonal))),
            on_device(np.argmax(p, axis=1)),
            on_device(np.sign(diagonal)),
        )

    @property
    def lower_factor(self) -> Array:
        """L, unit lower triangular, of shape (C, C)."""
        return jnp.tril(self.lower, -1) + jnp.eye(len(self.lower), dtype=self.lower.dtype)

    @property
    def upper_factor(self) -> Array:
        """U, upper triangular, of shape (C, C)."""
        return jnp.triu(self.upper, 1) + jnp.diag(self.signs * jnp.exp(self.log_diag_u))

    @property
    def weight(self) -> Array:
        """The dense W = P L U, of shape (C, C)."""
        return (self.lower_factor @ self.upper_factor)[self.permutation]

    @property
    def _n_channels(self):
        factors = self.lower, self.upper, self.log_diag_u
        return common_channels(self, *factors, self.permutation, self.signs)

    def _log_det(self, x):
        return jnp.broadcast_to(jnp.sum(self.log_diag_u), x.shape[1:])

    def _forward(self, x):
        return jnp.tensordot(self.weight, x, 1), self._log_det(x)

    def _inverse(self, z):
        z = z[jnp.argsort(self.permutation)]
        z = _solve_triangular(self.lower_factor, z, lower=True)
        return _solve_triangular(self.upper_factor, z, lower=False), -self._log_det(z)
