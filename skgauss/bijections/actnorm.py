"""ActNorm: a per-channel affine map that starts by standardising its first batch."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np

from skgauss.bijections._arguments import whole
from skgauss.bijections._batch import positions_and_weight
from skgauss.bijections.base import (
    Array,
    Bijection,
    broadcast_channels,
    common_channels,
    on_device,
    register,
)

__all__ = ["ActNorm"]

_FLOOR = 1e-5


def _inverse_softplus(y):
    return y + jnp.log(-jnp.expm1(-y))


@register
class ActNorm(Bijection):
    """Per-channel affine normalisation, ``z = (x - loc) / scale``.

    With ``scale = softplus(log_scale) + 1e-5 > 0`` it is always invertible. Map, inverse and
    log-determinant, ``-sum(log(scale))`` at every position, cost O(C).

    Parameters
    ----------
    loc : array of shape (C,)
    log_scale : array of shape (C,)
        Unconstrained; 0 means a scale of about 0.69.

    References
    ----------
    Kingma & Dhariwal (2018), Glow, section 3.1, arXiv:1807.03039.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from skgauss.bijections import ActNorm
    >>> layer = ActNorm.from_data(jnp.array([[1.0, 20.0], [3.0, 60.0]]))
    >>> layer.transform(jnp.array([1.0, 60.0])).round(3).tolist()
    [-1.0, 1.0]
    """

    loc: Array
    log_scale: Array

    @classmethod
    def init(cls, n_channels: int) -> ActNorm:
        """Start at location 0 and scale ``softplus(0) + 1e-5``, about 0.69.

        Parameters
        ----------
        n_channels : int

        Returns
        -------
        layer : ActNorm
        """
        zeros = np.zeros(whole("n_channels", n_channels))
        return cls(on_device(zeros), on_device(zeros))

    @classmethod
    def identity(cls, n_channels: int) -> ActNorm:
        """Start at location 0 and scale 1, for channels that are standardised already.

        Parameters
        ----------
        n_channels : int

        Returns
        -------
        layer : ActNorm
        """
        log_scale = math.log(math.expm1(1 - _FLOOR))
        zeros = np.zeros(whole("n_channels", n_channels))
        return cls(on_device(zeros), on_device(np.full_like(zeros, log_scale)))

    @classmethod
    def from_data(cls, batch: Array, sample_weight: Array | None = None) -> ActNorm:
        """Standardise a batch: mean 0 and standard deviation 1 per channel.

        A channel whose standard deviation is below 1e-5 counts as constant and keeps scale 1;
        from there to 2e-5 the scale is 2e-5.

        Parameters
        ----------
        batch : array of shape (n, C) or (n, C, H, W)
        sample_weight : array of shape (n,), default=None
            Not negative, some of them positive.

        Returns
        -------
        layer : ActNorm

        Raises
        ------
        ValueError
            If the batch is empty or not finite, or `sample_weight` is not as above.
        """
        positions, weight = positions_and_weight(jnp.asarray(batch), sample_weight)
        return cls._from_positions(positions, jnp.broadcast_to(weight, positions.shape[1:]))

    @classmethod
    def _from_positions(cls, x: Array, weight: Array) -> ActNorm:
        """Standardise `x` of shape (C, *positions) under weights of the positions' shape."""
        axes = tuple(range(1, x.ndim))
        weight = weight / jnp.sum(weight)
        loc = jnp.sum(weight * x, axes)
        # The sum's rounding would look like the spread of a constant channel far from 0.
        loc = loc + jnp.sum(weight * (x - broadcast_channels(loc, x)), axes)
        centred = x - broadcast_channels(loc, x)
        # A power of two, so that squares are finite and no digit changes.
        _, exponent = jnp.frexp(jax.lax.stop_gradient(jnp.max(jnp.abs(centred), axes)))
        unit = jnp.ldexp(jnp.ones_like(loc), exponent - 1)
        squares = weight * (centred / broadcast_channels(unit, x)) ** 2
        std = unit * jnp.sqrt(jnp.sum(squares, axes))
        std = jnp.where(std < _FLOOR, 1, jnp.maximum(std, 2 * _FLOOR))
        return cls(loc, _inverse_softplus(std - _FLOOR))

    @property
    def scale(self) -> Array:
        """Positive scale per channel, of shape (C,)."""
        return jax.nn.softplus(self.log_scale) + _FLOOR

    @property
    def _n_channels(self):
        return common_channels(self, self.loc, self.log_scale)

    def _log_det(self, x):
        return jnp.broadcast_to(-jnp.sum(jnp.log(self.scale)), x.shape[1:])

    def _forward(self, x):
        z = (x - broadcast_channels(self.loc, x)) / broadcast_channels(self.scale, x)
        return z, self._log_det(x)

    def _inverse(self, z):
        x = z * broadcast_channels(self.scale, z) + broadcast_channels(self.loc, z)
        return x, -self._log_det(z)
