"""Fitted maps of every column by itself, which a flow starts from and does not train."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from skgauss.bijections._arguments import check_no_fall, check_scales
from skgauss.bijections.base import (
    Array,
    Bijection,
    broadcast_channels,
    common_channels,
    fixed,
    register,
)
from skgauss.spline import TailedSpline, tailed_forward, tailed_inverse

__all__ = ["FixedAffine", "FixedSpline"]


@register
class FixedAffine(Bijection):
    """Standardisation that is not trained, ``z = (x - loc) / scale``.

    Map, inverse and log-determinant, ``-sum(log(scale))`` at every position, cost O(C).
    Invertible for positive scales.

    Parameters
    ----------
    loc, scale : array of shape (C,)
        Fixed.

    Raises
    ------
    ValueError
        If a scale is not positive.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from skgauss.bijections import FixedAffine
    >>> FixedAffine(jnp.array([1.0]), jnp.array([2.0])).transform(jnp.array([5.0])).tolist()
    [2.0]
    """

    loc: Array = fixed()
    scale: Array = fixed()

    def __post_init__(self):
        check_scales("scale", self.scale)

    @property
    def _n_channels(self):
        return common_channels(self, self.loc, self.scale)

    def _log_det(self, x):
        return jnp.broadcast_to(-jnp.sum(jnp.log(jnp.asarray(self.scale))), x.shape[1:])

    def _forward(self, x):
        z = (x - broadcast_channels(self.loc, x)) / broadcast_channels(self.scale, x)
        return z, self._log_det(x)

    def _inverse(self, z):
        x = z * broadcast_channels(self.scale, z) + broadcast_channels(self.loc, z)
        return x, -self._log_det(z)


@register
class FixedSpline(Bijection):
    """Monotone spline of every channel through given knots, with a law for each tail.

    Map, inverse (closed form) and log-determinant cost O(n_knots C). Invertible because knots
    and images increase and slopes are positive. `skgauss.marginals.SplineMarginal` fits it:
    its ``spline_`` is of standardised columns, so ``FixedAffine(loc_, scale_)`` goes before.

    Parameters
    ----------
    x, z, slope : array of shape (C, n_knots)
        Fixed. Knots in increasing order, their images, and the derivative there.
    tail_law : array of int of shape (C, 2)
        Fixed. Law of the lower and the upper tail, see `skgauss.tails`.
    tail_parameter : array of shape (C, 2)
        Fixed. Its parameter.

    Raises
    ------
    ValueError
        If knots or images fall, or a slope is not positive.

    References
    ----------
    Gregory & Delbourgo (1982), Piecewise rational quadratic interpolation to monotonic data,
    IMA Journal of Numerical Analysis 2(2).

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.bijections import Chain, FixedAffine, FixedSpline
    >>> from skgauss.marginals import SplineMarginal
    >>> x = np.random.default_rng(0).exponential(size=(1000, 1))
    >>> fitted = SplineMarginal().fit(x)
    >>> standardise = FixedAffine(fitted.loc_, fitted.scale_)
    >>> layer = Chain((standardise, FixedSpline(*fitted.spline_)))
    >>> abs(round(float(layer.transform(np.median(x, axis=0))[0]), 1))
    0.0
    """

    x: Array = fixed()
    z: Array = fixed()
    slope: Array = fixed()
    tail_law: Array = fixed()
    tail_parameter: Array = fixed()

    def __post_init__(self):
        check_no_fall("x", self.x)
        check_no_fall("z", self.z)
        check_scales("slope", self.slope)

    @property
    def spline(self) -> TailedSpline:
        """The spline's arrays, as `skgauss.spline` takes them."""
        return TailedSpline(self.x, self.z, self.slope, self.tail_law, self.tail_parameter)

    @property
    def _n_channels(self):
        return np.shape(self.x)[-2]

    @property
    def _device_spline(self):
        return TailedSpline(*map(jnp.asarray, self.spline))

    def _forward(self, x):
        z, log_slope = tailed_forward(self._device_spline, x.reshape(len(x), -1), jnp)
        return z.reshape(x.shape), jnp.sum(log_slope.reshape(x.shape), axis=0)

    def _inverse(self, z):
        x = tailed_inverse(self._device_spline, z.reshape(len(z), -1), jnp).reshape(z.shape)
        return x, -self._forward(x)[1]
