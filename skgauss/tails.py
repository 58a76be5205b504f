"""Laws of a map beyond its last knot, for NumPy and JAX alike.

Beyond the last knot, where the latent has the absolute value ``z_edge``, a map grows with the
excess ``t >= 0``: the distance from the knot times the slope there. Three laws, each strictly
increasing, with slope 1 at ``t = 0`` and an inverse in closed form:

===========  ====================================================  ==========================
law          growth ``g(t)`` of the latent                         tail of the data
===========  ====================================================  ==========================
``LINEAR``   ``t``                                                 Gaussian
``LOG``      ``log(1 + a t) / a``                                  log-normal
``POWER``    ``sqrt(z_edge^2 + 2 a log(1 + z_edge t / a)) -        power law of index a, and
             z_edge``                                              exponential for large a
===========  ====================================================  ==========================

The last one is ``-log P(X > x) = a log(1 + z_edge t / a) + const`` with the leading term of the
normal's own tail, ``-log P(Z > z) = z^2 / 2``.
"""

from __future__ import annotations

import numpy as np

__all__ = ["LINEAR", "LOG", "POWER", "tail_forward", "tail_inverse"]

LINEAR, LOG, POWER = 0, 1, 2
_MAX_EXPONENT = 0.85  # of the largest in the range of the dtype: keeps an inverse inside it


def tail_forward(t, law, parameter, z_edge, xp=np):
    """Growth of the latent beyond the last knot.

    Parameters
    ----------
    t : array
        Excess, not negative.
    law : array of int
        ``LINEAR``, ``LOG`` or ``POWER``; broadcasts with `t`.
    parameter : array
        The ``a`` of the law, positive.
    z_edge : array
        Absolute latent at the knot, positive where the law is ``POWER``.
    xp : module, default=numpy
        ``numpy`` or ``jax.numpy``.

    Returns
    -------
    growth : array
    log_slope : array
        ``log(d growth / d t)``.

    Examples
    --------
    >>> from skgauss.tails import LOG, tail_forward
    >>> growth, log_slope = tail_forward(1.0, LOG, 1.0, 2.0)
    >>> round(float(growth), 4), round(float(log_slope), 4)
    (0.6931, -0.6931)
    """
    is_power = law == POWER
    rate = xp.where(is_power, z_edge / parameter, parameter)
    log_term = xp.log1p(rate * t)
    z = xp.sqrt(xp.where(is_power, z_edge**2 + 2 * parameter * log_term, 1))
    power = 2 * parameter * log_term / xp.where(is_power, z + z_edge, 1)
    growth = xp.where(law == LINEAR, t, xp.where(is_power, power, log_term / parameter))
    log_slope = xp.where(is_power, xp.log(xp.where(is_power, z_edge, 1) / z), 0) - log_term
    return growth, xp.where(law == LINEAR, 0, log_slope)


def tail_inverse(growth, law, parameter, z_edge, xp=np):
    """Invert `tail_forward`: the excess at which the latent has grown by `growth`.

    Parameters
    ----------
    growth : array
        Not negative.
    law, parameter, z_edge, xp
        As in `tail_forward`.

    Returns
    -------
    t : array
        Excess. It stays inside the range of the dtype whatever the latent: beyond an excess of
        about 1e260 (1e32 in single precision) the inverse saturates.

    Examples
    --------
    >>> from skgauss.tails import POWER, tail_forward, tail_inverse
    >>> growth, _ = tail_forward(1e6, POWER, 3.0, 2.0)
    >>> round(float(growth), 2), round(float(tail_inverse(growth, POWER, 3.0, 2.0)), 3)
    (7.19, 1000000.0)
    """
    is_power = law == POWER
    rate = xp.where(is_power, z_edge / parameter, parameter)
    log_term = xp.where(
        is_power, growth * (growth + 2 * z_edge) / (2 * parameter), growth * parameter
    )
    largest = _MAX_EXPONENT * np.log(np.finfo(xp.result_type(log_term, 0.0)).max)
    log_term = xp.where(law == LINEAR, 0, xp.minimum(log_term, largest))
    return xp.where(law == LINEAR, growth, xp.expm1(log_term) / rate)
