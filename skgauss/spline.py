"""The monotone rational-quadratic formula, once, for NumPy and JAX alike.

A monotone rational-quadratic spline is made of bins. In the bin that starts at the knot
``(x0, y0)``, is ``width`` wide and ``height`` high, and has the slopes ``slope0`` and
``slope1`` at its two knots, the map is a ratio of two quadratics: increasing, with a
continuous first derivative, and with an inverse that is the root of a quadratic.

The functions below are pure arithmetic on the quantities of one bin per value, so they take
NumPy and JAX arrays of any shape; finding the bin is the caller's work.

References
----------
Gregory & Delbourgo (1982), Piecewise rational quadratic interpolation to monotonic data,
IMA Journal of Numerical Analysis 2(2); Durkan, Bekasov, Murray & Papamakarios (2019), Neural
spline flows, section 3.1 and appendix A, arXiv:1906.04032.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import numpy as np

from skgauss.tails import tail_forward, tail_inverse

__all__ = [
    "Bin",
    "TailedSpline",
    "rational_quadratic",
    "rational_quadratic_inverse",
    "tailed_forward",
    "tailed_inverse",
]


class Bin(NamedTuple):
    """The bin of a monotone rational-quadratic spline that a value falls in.

    Attributes
    ----------
    x0, y0 : array
        The knot at the left end of the bin.
    width, height : array
        Extent of the bin; both positive.
    slope0, slope1 : array
        Derivative of the spline at the left and the right end; both positive.

    Examples
    --------
    >>> from skgauss.spline import Bin, rational_quadratic
    >>> bin_ = Bin(x0=0.0, y0=0.0, width=2.0, height=1.0, slope0=0.2, slope1=1.0)
    >>> y, _ = rational_quadratic(2.0, bin_)  # at its right end
    >>> float(y)
    1.0
    """

    x0: Any
    y0: Any
    width: Any
    height: Any
    slope0: Any
    slope1: Any


def _log_slope(t, secant, slope0, slope1, xp):
    """Logarithm of the derivative at the relative position ``t`` of the bin."""
    mix = t * (1 - t)
    denominator = secant + (slope0 + slope1 - 2 * secant) * mix
    numerator = slope1 * t**2 + 2 * secant * mix + slope0 * (1 - t) ** 2
    return 2 * xp.log(secant / denominator * xp.sqrt(numerator))


def rational_quadratic(x, bin_: Bin, xp=np):
    """Evaluate the spline and the logarithm of its derivative.

    Parameters
    ----------
    x : array
        Values, each inside its bin.
    bin_ : Bin
        The bin of every value, of shapes that broadcast with `x`.
    xp : module, default=numpy
        ``numpy``, ``jax.numpy``, or one with their names.

    Returns
    -------
    y : array
        The spline at `x`.
    log_slope : array
        ``log(dy/dx)``.

    Examples
    --------
    >>> from skgauss.spline import Bin, rational_quadratic
    >>> y, log_slope = rational_quadratic(0.25, Bin(0.0, 0.0, 1.0, 1.0, 1.0, 1.0))
    >>> float(y), float(log_slope)
    (0.25, 0.0)
    """
    secant = bin_.height / bin_.width
    t = (x - bin_.x0) / bin_.width
    mix = t * (1 - t)
    denominator = secant + (bin_.slope0 + bin_.slope1 - 2 * secant) * mix
    y = bin_.y0 + bin_.height * (secant * t**2 + bin_.slope0 * mix) / denominator
    return y, _log_slope(t, secant, bin_.slope0, bin_.slope1, xp)


def rational_quadratic_inverse(y, bin_: Bin, xp=np):
    """Invert the spline in closed form.

    Free of the bin's units, the discriminant is a sum of squares; outside the bin, where
    rounding can push a value, it is clamped. The root is taken in the form that does not cancel.

    Parameters
    ----------
    y : array
        Values of the spline, each inside the vertical range of its bin.
    bin_ : Bin
        The bin of every value, of shapes that broadcast with `y`.
    xp : module, default=numpy
        ``numpy``, ``jax.numpy``, or one with their names.

    Returns
    -------
    x : array
        Where the spline takes the value `y`.
    log_slope : array
        ``log(dy/dx)`` at `x`: the inverse's own log-derivative is its negative.

    Examples
    --------
    >>> from skgauss.spline import Bin, rational_quadratic, rational_quadratic_inverse
    >>> bin_ = Bin(0.0, 0.0, 1.0, 2.0, 0.5, 3.0)
    >>> y, _ = rational_quadratic(0.7, bin_)
    >>> round(float(rational_quadratic_inverse(y, bin_)[0]), 12)
    0.7
    """
    secant = bin_.height / bin_.width
    rise = (y - bin_.y0) / bin_.height
    rest = 1 - rise
    lead = (bin_.slope0 * rest - bin_.slope1 * rise) / secant
    root = xp.sqrt(xp.maximum(lead**2 + 4 * rise * rest, 0))
    steep = xp.abs(lead) + root
    from_start = 2 * rise / (2 * rise + steep)  # where lead > 0, without cancellation
    from_end = steep / (steep + 2 * rest)
    t = xp.where(lead > 0, from_start, from_end)
    return bin_.x0 + t * bin_.width, _log_slope(t, secant, bin_.slope0, bin_.slope1, xp)


class TailedSpline(NamedTuple):
    """A monotone spline of every channel through given knots, with a law for each tail.

    Attributes
    ----------
    x, z, slope : array of shape (C, n_knots)
        Knots in the order of x, their images, and the derivative there; x and z increase.
    tail_law : array of int of shape (C, 2)
        Law of the lower and of the upper tail, see `skgauss.tails`.
    tail_parameter : array of shape (C, 2)
        Its parameter.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.spline import TailedSpline, tailed_forward
    >>> from skgauss.tails import LINEAR
    >>> knots, ones = np.array([[-1.0, 0.0, 1.0]]), np.ones((1, 3))
    >>> identity = TailedSpline(knots, knots, ones, np.full((1, 2), LINEAR), np.ones((1, 2)))
    >>> tailed_forward(identity, np.array([[-5.0, 0.5, 7.0]]))[0].tolist()
    [[-5.0, 0.5, 7.0]]
    """

    x: Any
    z: Any
    slope: Any
    tail_law: Any
    tail_parameter: Any

    def widened(self, n_knots: int) -> TailedSpline:
        """Return the same spline with more knots: the first is repeated; its bins stay empty."""
        more = ((0, 0), (max(n_knots - self.x.shape[1], 0), 0))
        x, z, slope = (np.pad(array, more, mode="edge") for array in self[:3])
        return TailedSpline(x, z, slope, self.tail_law, self.tail_parameter)


def _bin_of(spline, values, knots, xp):
    """Return the bin of every value of shape (C, n), after clipping to the knots' range."""
    if xp is np:
        pairs = zip(knots, values, strict=True)
        right = np.stack([np.searchsorted(k[1:-1], v, side="right") for k, v in pairs])
    else:
        import jax  # only where JAX arrays come in: NumPy users do not pay for it

        right = jax.vmap(partial(xp.searchsorted, side="right"))(knots[:, 1:-1], values)
    x0, x1, z0, z1, slope0, slope1 = (
        xp.take_along_axis(array, index, axis=1)
        for array in (spline.x, spline.z, spline.slope)
        for index in (right, right + 1)
    )
    return Bin(x0, z0, x1 - x0, z1 - z0, slope0, slope1)


def tailed_forward(spline: TailedSpline, x, xp=np):
    """Evaluate a `TailedSpline` and the logarithm of its derivative.

    Parameters
    ----------
    spline : TailedSpline
    x : array of shape (C, n)
    xp : module, default=numpy
        ``numpy`` or ``jax.numpy``.

    Returns
    -------
    z : array of shape (C, n)
    log_slope : array of shape (C, n)

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.marginals import SplineMarginal
    >>> from skgauss.spline import tailed_forward
    >>> X = np.random.default_rng(0).normal(size=(1000, 1))
    >>> marginal = SplineMarginal().fit(X)
    >>> z, log_slope = tailed_forward(marginal.spline_, np.array([[-1e6, 0.0, 1e6]]))
    >>> bool(np.isfinite(z).all()), bool(np.isfinite(log_slope).all())  # tails included
    (True, True)
    """
    inside = xp.clip(x, spline.x[:, :1], spline.x[:, -1:])
    z, log_slope = rational_quadratic(inside, _bin_of(spline, inside, spline.x, xp), xp)
    for side, end, sign in ((0, 0, -1), (1, -1, 1)):
        slope, z_edge = spline.slope[:, end, None], xp.abs(spline.z[:, end, None])
        excess = xp.maximum(sign * (x - spline.x[:, end, None]), 0) * slope
        law, parameter = spline.tail_law[:, side, None], spline.tail_parameter[:, side, None]
        growth, increment = tail_forward(excess, law, parameter, z_edge, xp)
        z, log_slope = z + sign * growth, log_slope + increment
    return z, log_slope


def tailed_inverse(spline: TailedSpline, z, xp=np):
    """Invert a `TailedSpline` in closed form.

    Parameters
    ----------
    spline : TailedSpline
    z : array of shape (C, n)
    xp : module, default=numpy
        ``numpy`` or ``jax.numpy``.

    Returns
    -------
    x : array of shape (C, n)

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.marginals import SplineMarginal
    >>> from skgauss.spline import tailed_forward, tailed_inverse
    >>> spline = SplineMarginal().fit(np.random.default_rng(0).normal(size=(1000, 1))).spline_
    >>> x = np.array([[-1e6, 0.0, 1e6]])
    >>> bool(np.allclose(tailed_inverse(spline, tailed_forward(spline, x)[0]), x))
    True
    """
    inside = xp.clip(z, spline.z[:, :1], spline.z[:, -1:])
    x, _ = rational_quadratic_inverse(inside, _bin_of(spline, inside, spline.z, xp), xp)
    for side, end, sign in ((0, 0, -1), (1, -1, 1)):
        slope, z_edge = spline.slope[:, end, None], spline.z[:, end, None]
        law, parameter = spline.tail_law[:, side, None], spline.tail_parameter[:, side, None]
        growth = xp.maximum(sign * (z - z_edge), 0)
        x = x + sign * tail_inverse(growth, law, parameter, xp.abs(z_edge), xp) / slope
    return x
