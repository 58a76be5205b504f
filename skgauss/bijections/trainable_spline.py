"""The rational-quadratic spline as a layer trains it: unconstrained parameters, fast gradient.

For K bins there are 3K - 1 unconstrained parameters per channel: K widths and K heights, each
a share of the box, and K - 1 inner slopes. They are made positive by exponentials (the shares:
a softmax) and the squareplus ``(u + sqrt(u^2 + 4)) / 2`` (the slopes), and zeros give the
identity. Outside ``[-bound, bound]`` the map is the identity: linear tails.

Autodiff through knots that are looked up row by row is slow to run and to compile. The
gradient is written by hand instead, from one remark: a value sees only the bin it falls in, so
its cotangents reach a width in two ways alone, as the width of its own bin or as a part of the
position of that bin's left knot.

What is fast here is what XLA does with it on a CPU. It copies cheap arithmetic into every loop
that reads its result, but computes a root or a quotient once: so what several loops read ends
in one of these. And it writes the parts of a concatenation element by element, those of
`lax.dynamic_update_slice` in one sweep.

References
----------
Durkan, Bekasov, Murray & Papamakarios (2019), Neural spline flows, section 3.1,
arXiv:1906.04032; Barron (2021), Squareplus, arXiv:2112.11687.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from skgauss.bijections import elementary
from skgauss.spline import Bin, rational_quadratic, rational_quadratic_inverse

__all__ = ["n_spline_parameters", "spline_forward", "spline_inverse"]

Array = Any

_MIN_FRACTION = 1e-3  # of the box, for a bin's width and height
_MIN_SLOPE = 1e-3
_MAX_LOGIT = 30.0


def n_spline_parameters(n_bins: int) -> int:
    """Return the number of unconstrained parameters of a spline of `n_bins` bins.

    Examples
    --------
    >>> from skgauss.bijections.trainable_spline import n_spline_parameters
    >>> n_spline_parameters(8)
    23
    """
    return 3 * n_bins - 1


def _weight(logit):
    """Unnormalised share of a bin; the clip keeps a sum of exponentials finite."""
    return elementary.exp(jnp.clip(logit, -_MAX_LOGIT, _MAX_LOGIT))


def _slope(u):
    """The slope of a knot; that of zero is 1."""
    return _MIN_SLOPE + (1 - _MIN_SLOPE) * (u + jnp.sqrt(u**2 + 4)) / 2


def _slope_pullback(u, cotangent):
    root = jnp.sqrt(u**2 + 4)
    return (1 - _MIN_SLOPE) / 2 * cotangent * (u + root) / root


class _Place(NamedTuple):
    """Where a value falls: its bin, the bin's number, and what the bin was computed from."""

    bin_: Bin
    index: Array
    raw_slopes: tuple[Array, Array]  # unconstrained, of the bin's two knots
    weights: Array  # unnormalised shares: of the widths, then of the heights
    totals: tuple[Array, Array]  # of these


def _chosen(rows, index):
    """The row of the value's bin; to try them one by one is cheaper than a gather."""
    found = jnp.broadcast_to(rows[0], index.shape)
    for k, row in enumerate(rows[1:], 1):
        found = jnp.where(index >= k, row, found)
    return found


def _sum_before(rows, index):
    """The sum of the rows of the bins to the left of the value's."""
    before = (jnp.where(index > k, row, 0) for k, row in enumerate(rows[:-1]))
    return sum(before, jnp.zeros_like(index))


def _place(params, value, bound, *, by_height=False):
    """Find the bin of every value in the box, by its x or (`by_height`) by its y."""
    n_bins = (len(params) + 1) // 3
    weights = _weight(params[: 2 * n_bins])
    widths, heights = list(weights[:n_bins]), list(weights[n_bins:])
    end = jnp.zeros_like(params[0])
    inner = list(params[2 * n_bins :])
    least, rest = 2 * bound * _MIN_FRACTION, 2 * bound * (1 - n_bins * _MIN_FRACTION)
    totals = sum(widths), sum(heights)
    searched, total = (heights, totals[1]) if by_height else (widths, totals[0])
    square, reached = jnp.zeros_like(value), 0
    for k in range(1, n_bins):
        reached = reached + searched[k - 1]
        knot = -bound + k * least + rest * reached / total
        square = jnp.where(value >= knot, square + (2 * k - 1), square)
    index = jnp.sqrt(square)  # the sum of as many odd numbers
    raw_slopes = _chosen([end, *inner], index), _chosen([*inner, end], index)
    bin_ = Bin(
        x0=-bound + least * index + rest * _sum_before(widths, index) / totals[0],
        y0=-bound + least * index + rest * _sum_before(heights, index) / totals[1],
        width=least + rest * _chosen(widths, index) / totals[0],
        height=least + rest * _chosen(heights, index) / totals[1],
        slope0=_slope(raw_slopes[0]),
        slope1=_slope(raw_slopes[1]),
    )
    return _Place(bin_, index, raw_slopes, weights, totals)


def _inside(value, bound):
    """Mask of the values in the box, and the values with the others replaced by 0."""
    inside = (value > -bound) & (value < bound)
    return inside, jnp.where(inside, value, 0)


def _evaluate(params, x, bound):
    inside, x_box = _inside(x, bound)
    place = _place(params, x_box, bound)
    y, log_slope = rational_quadratic(x_box, place.bin_, elementary)
    return (jnp.where(inside, y, x), jnp.where(inside, log_slope, 0)), place


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def spline_forward(params, x, bound):
    """Evaluate the spline.

    Parameters
    ----------
    params : array of shape (3 * n_bins - 1, C, ...)
        Unconstrained; trailing axes broadcast with those of `x`.
    x : array of shape (C, ...)
    bound : float
        Half the side of the box outside of which the map is the identity.

    Returns
    -------
    y : array of shape (C, ...)
    log_slope : array of shape (C, ...)

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from skgauss.bijections.trainable_spline import spline_forward
    >>> y, log_slope = spline_forward(jnp.zeros((11, 2)), jnp.array([0.25, 9.0]), 4.0)
    >>> y.round(6).tolist(), abs(log_slope.round(5)).tolist()
    ([0.25, 9.0], [0.0, 0.0])
    """
    return _evaluate(params, x, bound)[0]


def _forward_rule(params, x, bound):
    outputs, place = _evaluate(params, x, bound)
    return outputs, (params, x, place)


def _sum_to_shape(values, shape):
    """Undo broadcasting: add up over the axes along which `shape` has length 1."""
    axes = tuple(i for i, n in enumerate(shape) if n == 1 and values.shape[i] != 1)
    return jnp.sum(values, axes, keepdims=True) if axes else values


def _pullback(x, bin_, y_bar, log_slope_bar):
    """Cotangents of the value and of its bin, from those of what `rational_quadratic` returns."""
    t, secant = (x - bin_.x0) / bin_.width, bin_.height / bin_.width
    slope0, slope1 = bin_.slope0, bin_.slope1
    rest = 1 - t
    mix, skew, bend = t * rest, rest - t, slope0 + slope1 - 2 * secant
    denominator = secant + bend * mix
    risen = (secant * t**2 + slope0 * mix) / denominator
    risen_bar = y_bar * bin_.height / denominator  # of its numerator
    denominator_bar = -(risen_bar * risen + 2 * log_slope_bar / denominator)
    numerator_bar = log_slope_bar / (slope1 * t**2 + 2 * secant * mix + slope0 * rest**2)
    t_bar = (
        risen_bar * (2 * secant * t + slope0 * skew)
        + denominator_bar * bend * skew
        + 2 * numerator_bar * (slope1 * t + secant * skew - slope0 * rest)
    )
    secant_bar = (
        risen_bar * t**2
        + denominator_bar * (1 - 2 * mix)
        + 2 * (numerator_bar * mix + log_slope_bar / secant)
    )
    x_bar, height_bar = t_bar / bin_.width, secant_bar / bin_.width
    both_slopes_bar = (risen_bar + denominator_bar) * mix
    return x_bar, Bin(
        x0=-x_bar,
        y0=y_bar,
        width=-(x_bar * t + height_bar * secant),
        height=y_bar * risen + height_bar,
        slope0=both_slopes_bar + numerator_bar * rest**2,
        slope1=denominator_bar * mix + numerator_bar * t**2,
    )


def _logits_gradient(weights, total, bin_number, index, extent, start, bars, bound):
    """Gradient for the logits of the widths (or the heights) of all bins.

    With ``extent_k = least + rest * share_k`` and a softmax behind the shares, it is
    ``rest * share_k * (bar_k - sum_i share_i bar_i)``, where ``bar_k`` is the cotangent of the
    extent of bin k: that of the value's own bin, or that of the bin's start for the bins
    to the left. The sum needs only the share of the own bin and those to the left together.
    """
    n_bins = len(weights)
    rest = 2 * bound * (1 - n_bins * _MIN_FRACTION)
    own = extent / (2 * bound) - _MIN_FRACTION
    left = (start + bound) / (2 * bound) - _MIN_FRACTION * index
    mean = (own * bars[0] + left * bars[1]) / (1 - n_bins * _MIN_FRACTION)
    at, before, after = (rest * (bar - mean) / total for bar in (*bars, 0))
    return weights * jnp.where(
        bin_number == index, at, jnp.where(bin_number < index, before, after)
    )


def _stacked(parts, place):
    """Concatenate along the first axis, in the place of an array that is not needed any more."""
    place = jnp.broadcast_to(place, (len(place), *parts[0].shape[1:]))
    start = 0
    for part in parts:
        place = jax.lax.dynamic_update_slice_in_dim(place, part, start, axis=0)
        start += len(part)
    return place


def _backward_rule(bound, residuals, cotangents):
    params, x, place = residuals
    inside, x_box = _inside(x, bound)
    n_bins = (len(params) + 1) // 3
    cotangents_inside = (jnp.where(inside, cotangent, 0) for cotangent in cotangents)
    x_bar, bar = _pullback(x_box, place.bin_, *cotangents_inside)
    k = jnp.arange(n_bins, dtype=x.dtype).reshape((n_bins,) + (1,) * x.ndim)
    bin_, index = place.bin_, place.index
    widths_bar, heights_bar = (
        _logits_gradient(weights, total, k, index, extent, start, bars, bound)
        for weights, total, extent, start, bars in (
            (place.weights[:n_bins], place.totals[0], bin_.width, bin_.x0, (bar.width, bar.x0)),
            (place.weights[n_bins:], place.totals[1], bin_.height, bin_.y0, (bar.height, bar.y0)),
        )
    )
    left, right = map(_slope_pullback, place.raw_slopes, (bar.slope0, bar.slope1))
    knot = k[1:]  # inner knot k is the left end of bin k and the right end of bin k - 1
    slopes_bar = jnp.where(knot == index, left, jnp.where(knot - 1 == index, right, 0))
    params_bar = _stacked([widths_bar, heights_bar, slopes_bar], params)
    return _sum_to_shape(params_bar, params.shape), jnp.where(inside, x_bar, cotangents[0])


spline_forward.defvjp(_forward_rule, _backward_rule)


def spline_inverse(params, y, bound):
    """Invert the spline in closed form.

    Parameters
    ----------
    params : array of shape (3 * n_bins - 1, C, ...)
        Unconstrained; trailing axes broadcast with those of `y`.
    y : array of shape (C, ...)
    bound : float
        Half the side of the box outside of which the map is the identity.

    Returns
    -------
    x : array of shape (C, ...)
    log_slope : array of shape (C, ...)
        Of the inverse: minus that of `spline_forward` at `x`.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from skgauss.bijections.trainable_spline import spline_forward, spline_inverse
    >>> params = jnp.linspace(-1.0, 1.0, 11)[:, None]
    >>> y, _ = spline_forward(params, jnp.array([0.25]), 4.0)
    >>> round(float(spline_inverse(params, y, 4.0)[0][0]), 4)
    0.25
    """
    inside, y_box = _inside(y, bound)
    bin_ = _place(params, y_box, bound, by_height=True).bin_
    x, log_slope = rational_quadratic_inverse(y_box, bin_, elementary)
    return jnp.where(inside, x, y), jnp.where(inside, -log_slope, 0)
