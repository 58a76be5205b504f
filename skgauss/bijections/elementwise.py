"""Trainable maps of each channel by itself."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from skgauss.bijections._arguments import check_positive, whole
from skgauss.bijections.base import (
    Array,
    Bijection,
    broadcast_channels,
    common_channels,
    on_device,
    register,
    static,
    sum_over_first,
)
from skgauss.bijections.trainable_spline import (
    n_spline_parameters,
    spline_forward,
    spline_inverse,
)

__all__ = ["ElementwiseAffine", "ElementwiseSpline"]


@register
class ElementwiseAffine(Bijection):
    """Scale and shift every channel, ``z = exp(log_scale) x + shift``.

    Map, inverse and log-determinant, ``sum(log_scale)`` at every position, cost O(C).
    Invertible because the scale is positive.

    Parameters
    ----------
    shift : array of shape (C,)
    log_scale : array of shape (C,)

    References
    ----------
    Dinh, Krueger & Bengio (2015), NICE, section 3.3 (the scaling layer), arXiv:1410.8516.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from skgauss.bijections import ElementwiseAffine
    >>> layer = ElementwiseAffine(jnp.array([1.0, 0.0]), jnp.log(jnp.array([2.0, 3.0])))
    >>> layer.transform(jnp.array([1.0, 1.0])).round(4).tolist()
    [3.0, 3.0]
    """

    shift: Array
    log_scale: Array

    @classmethod
    def init(cls, n_channels: int) -> ElementwiseAffine:
        """Start at the identity.

        Parameters
        ----------
        n_channels : int

        Returns
        -------
        layer : ElementwiseAffine
        """
        zeros = np.zeros(whole("n_channels", n_channels))
        return cls(on_device(zeros), on_device(zeros))

    @property
    def _n_channels(self):
        return common_channels(self, self.shift, self.log_scale)

    def _log_det(self, x):
        return jnp.broadcast_to(jnp.sum(jnp.asarray(self.log_scale)), x.shape[1:])

    def _forward(self, x):
        scale = jnp.exp(broadcast_channels(self.log_scale, x))
        return scale * x + broadcast_channels(self.shift, x), self._log_det(x)

    def _inverse(self, z):
        scale = jnp.exp(broadcast_channels(self.log_scale, z))
        return (z - broadcast_channels(self.shift, z)) / scale, -self._log_det(z)


@register
class ElementwiseSpline(Bijection):
    """Monotone rational-quadratic spline of every channel.

    The identity outside ``[-bound, bound]``. Map, inverse (closed form) and log-determinant
    cost O(K C) for K bins. Invertible because widths, heights and slopes are positive. The gradient
    of the map is written by hand (`jax.custom_vjp`): forward-mode autodiff (``jax.jvp``,
    ``jax.jacfwd``, ``jax.linearize``) is not supported, use reverse mode.

    Parameters
    ----------
    params : array of shape (3 * n_bins - 1, C)
        Unconstrained widths, heights and inner slopes; zero is the identity.
    bound : float
        Static.

    References
    ----------
    Durkan et al. (2019), Neural spline flows, section 3.1, arXiv:1906.04032.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from skgauss.bijections import ElementwiseSpline
    >>> layer = ElementwiseSpline.init(2, n_bins=4)
    >>> layer.transform(jnp.array([0.5, 100.0])).round(5).tolist()
    [0.5, 100.0]
    """

    params: Array
    bound: float = static()

    def __post_init__(self):
        check_positive("bound", self.bound)

    @classmethod
    def init(cls, n_channels: int, *, n_bins: int = 8, bound: float = 4.0) -> ElementwiseSpline:
        """Start at the identity.

        Parameters
        ----------
        n_channels : int
        n_bins : int, default=8
        bound : float, default=4.0

        Returns
        -------
        layer : ElementwiseSpline

        Raises
        ------
        ValueError
            If `n_bins` is no positive integer, or the bound no positive number.
        """
        n_params = n_spline_parameters(whole("n_bins", n_bins))
        return cls(on_device(np.zeros((n_params, whole("n_channels", n_channels, 0)))), bound)

    @property
    def _n_channels(self):
        return common_channels(self, self.params)

    def _positioned(self, x):
        return jnp.reshape(self.params, jnp.shape(self.params) + (1,) * (x.ndim - 1))

    def _forward(self, x):
        z, log_slope = spline_forward(self._positioned(x), x, self.bound)
        return z, sum_over_first(log_slope)

    def _inverse(self, z):
        x, log_slope = spline_inverse(self._positioned(z), z, self.bound)
        return x, sum_over_first(log_slope)
