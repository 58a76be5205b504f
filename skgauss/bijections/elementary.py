"""Elementary functions that a compiler vectorises in float64 too.

In float64, XLA on a CPU takes logarithms one by one and is slow with exponentials: some 3.5 and
1.2 ns, where float32 takes 0.4. So in float64 alone they are written out: the argument is brought
near 0 (or 1) by a power of two, whose exponent is put together from bits, and what is left is a
short rational function. Derivatives are those of the functions themselves.

The names are those of `jax.numpy`, so that `skgauss.spline` takes this module in its place.

References
----------
Muller (2016), Elementary functions, 3rd edition, chapter 11 (reduction of the range),
doi:10.1007/978-1-4899-7983-4.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.numpy import abs, maximum, sqrt, where  # what else a spline asks of its namespace

__all__ = ["abs", "exp", "log", "maximum", "silu", "sqrt", "where"]

Array = Any

_DEGREE = 6  # of numerator and denominator
#: Pade's approximant of exp: sum_j p_j r^j over sum_j p_j (-r)^j, to 1e-18 for |r| < log(2) / 2.
_PADE = [
    math.comb(_DEGREE, j) * math.factorial(2 * _DEGREE - j) / math.factorial(2 * _DEGREE)
    for j in range(_DEGREE + 1)
]
_LOG2_HIGH = 0.6931471803691238  # its last 21 bits are zero: times a whole number it is exact
_LOG2_LOW = 1.9082149292705877e-10
LOWEST, HIGHEST = -708.0, 709.0  # whose exponentials are normal numbers
_MANTISSA = 52  # bits
_ONE_BITS = 1023 << _MANTISSA  # of 1.0: the exponent's bias
_WHOLE = 1.5 * 2.0**_MANTISSA  # whose last bits are a whole number that is added
_ROOT_HALF_BITS = 0x3FE6A09E667F3BCD  # of sqrt(1 / 2): a logarithm is reduced to [it, 2 of it)
_LOG_TERMS = 11


def _horner(coefficients, x):
    """Polynomial by its coefficients, the constant first."""
    value = coefficients[-1]
    for coefficient in reversed(coefficients[:-1]):
        value = value * x + coefficient
    return value


def _as_bits(x):
    return jax.lax.bitcast_convert_type(x, jnp.int64)


def _from_bits(bits):
    return jax.lax.bitcast_convert_type(bits, jnp.float64)


def _exp_parts(x):
    """Numerator and denominator of ``exp(x)``, for x where that is a normal number."""
    n = jnp.round(x * (1 / math.log(2)))
    r = (x - n * _LOG2_HIGH) - n * _LOG2_LOW
    even, odd = _horner(_PADE[::2], r**2), r * _horner(_PADE[1::2], r**2)
    bits = (_as_bits(n + _WHOLE) << _MANTISSA) + _ONE_BITS
    return _from_bits(bits) * (even + odd), even - odd


@jax.custom_jvp
def exp(x: Array) -> Array:
    """Exponential function; in float64 from `LOWEST` to `HIGHEST`, -708 to 709.

    Parameters
    ----------
    x : array

    Returns
    -------
    y : array

    Examples
    --------
    >>> import jax
    >>> from skgauss.bijections.elementary import exp
    >>> with jax.enable_x64(True):
    ...     print(exp(jax.numpy.array([0.0, 1.0])).round(12).tolist())
    [1.0, 2.718281828459]
    """
    x = jnp.asarray(x)
    if x.dtype != jnp.float64:
        return jnp.exp(x)
    numerator, denominator = _exp_parts(x)
    return numerator / denominator


@exp.defjvp
def _(primals, tangents):
    y = exp(*primals)
    return y, y * tangents[0]


@jax.custom_jvp
def log(x: Array) -> Array:
    """Natural logarithm; in float64 of normal positive numbers alone.

    Parameters
    ----------
    x : array

    Returns
    -------
    y : array

    Examples
    --------
    >>> import jax
    >>> from skgauss.bijections.elementary import log
    >>> with jax.enable_x64(True):
    ...     print(log(jax.numpy.array([1.0, 2.0, 1e-300])).round(12).tolist())
    [0.0, 0.69314718056, -690.775527898214]
    """
    x = jnp.asarray(x)
    if x.dtype != jnp.float64:
        return jnp.log(x)
    bits = _as_bits(x)
    n = (bits - _ROOT_HALF_BITS) >> _MANTISSA
    m = _from_bits(bits - (n << _MANTISSA))
    s = (m - 1) / (m + 1)
    series = _horner([1 / (2 * k + 1) for k in range(_LOG_TERMS)], s**2)  # of artanh(s) / s
    n = n.astype(jnp.float64)
    return n * _LOG2_HIGH + (2 * s * series + n * _LOG2_LOW)


@log.defjvp
def _(primals, tangents):
    return log(*primals), tangents[0] / primals[0]


@jax.custom_jvp
def silu(x: Array) -> Array:
    """Sigmoid linear unit, ``x / (1 + exp(-x))``.

    Parameters
    ----------
    x : array

    Returns
    -------
    y : array

    Examples
    --------
    >>> import jax
    >>> from skgauss.bijections.elementary import silu
    >>> [round(float(y), 4) for y in silu(jax.numpy.array([0.0, 1.0]))]
    [0.0, 0.7311]
    """
    x = jnp.asarray(x)
    if x.dtype != jnp.float64:
        return jax.nn.silu(x)
    numerator, denominator = _exp_parts(jnp.clip(-x, LOWEST, HIGHEST))
    return x * denominator / (denominator + numerator)


@silu.defjvp
def _(primals, tangents):
    (x,) = primals
    y, share = silu(x), jax.nn.sigmoid(x)
    return y, (share + y * (1 - share)) * tangents[0]
