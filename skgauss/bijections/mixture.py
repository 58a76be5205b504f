"""The fitted map of a Gaussian mixture, which a flow starts from and does not train.

The formulas, and what they are for, stand in `skgauss.mixture`; here they are in JAX, so that
the map is a layer like any other, and in polynomials that a compiler fuses and vectorises: some
three times as fast.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtri
from numpy.polynomial import chebyshev
from scipy.special import erfcx

from skgauss.bijections.base import (
    Array,
    Bijection,
    fixed,
    register,
    static,
    sum_over_first,
)
from skgauss.bijections.elementary import LOWEST, exp
from skgauss.mixture import GaussianMixtureMap

__all__ = ["FixedMixture"]

_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
_N_NEWTON = 100  # of the inverse; every other step halves the bracket at least
_FARTHEST = {"float32": 1e18, "float64": 1e150}  # beyond, a square is not finite
_CENTRE, _DEGREE = 3.75, 24  # of the polynomial for a normal's tail
_CHUNK = 128  # positions at a time: some ten arrays of them, times components, stay in a cache


@functools.cache
def _tail_coefficients():
    """Powers of ``(x - c) / (x + c)`` in ``(1 + 2 x) erfcx(x)``, which is smooth to infinity.

    Shepherd & Laframboise (1981), Chebyshev approximation of (1 + 2x) exp(x^2) erfc x in
    0 <= x < inf, Mathematics of Computation 36(153), doi:10.1090/S0025-5718-1981-0595058-X.
    """

    def scaled(y):
        x = _CENTRE * (1 + y) / (1 - y)
        return (1 + 2 * x) * erfcx(x)

    return chebyshev.cheb2poly(chebyshev.chebinterpolate(scaled, _DEGREE)).tolist()


@jax.custom_jvp
def _scaled_tail(distance):
    """Probability of a normal beyond a distance >= 0, over ``exp(-distance^2 / 2)``."""
    x = jnp.minimum(distance, _FARTHEST[str(distance.dtype)]) * math.sqrt(0.5)
    y = (x - _CENTRE) / (x + _CENTRE)
    *rest, value = _tail_coefficients()
    for coefficient in reversed(rest):
        value = value * y + coefficient
    return 0.5 * value / (1 + 2 * x)  # XLA would compute a product again for every sum of it


@_scaled_tail.defjvp
def _(primals, tangents):
    """Slope ``x t(x) - 1 / sqrt(2 pi)``, whose digits cancel far out: there its expansion."""
    (x,), scaled = primals, _scaled_tail(*primals)
    far = float(jnp.finfo(x.dtype).eps) ** -0.2
    inverse_square = jnp.maximum(x, far) ** -2
    near_slope = x * scaled - 1 / math.sqrt(2 * math.pi)
    far_slope = inverse_square * (3 * inverse_square - 1) / math.sqrt(2 * math.pi)
    return scaled, tangents[0] * jnp.where(x < far, near_slope, far_slope)


def _log_ndtr_and_hazard(e):
    """Logarithm of the normal's distribution function, and its derivative, far out too."""
    left = e < 0
    scaled, bell = _scaled_tail(jnp.where(left, -e, e)), jnp.exp(-(e**2) / 2)
    log_p = jnp.where(left, jnp.log(scaled) - e**2 / 2, jnp.log1p(-bell * scaled))
    hazard = jnp.where(left, 1 / scaled, bell / (1 - bell * scaled)) / math.sqrt(2 * math.pi)
    return log_p, hazard


@jax.custom_jvp
def _far_ndtri(log_p):
    """Quantile of a normal at a probability that is so small that it has to come as a logarithm."""

    def improve(_, z):
        reached, hazard = _log_ndtr_and_hazard(z)
        return z - (reached - log_p) / hazard

    return jax.lax.fori_loop(0, 4, improve, -jnp.sqrt(-2 * log_p))


@_far_ndtri.defjvp
def _(primals, tangents):
    z = _far_ndtri(*primals)
    return z, tangents[0] / _log_ndtr_and_hazard(z)[1]


class _Conditional(NamedTuple):
    """A column given those before: components' weights, means and standard deviations.

    Of shape (k + 1, n), (k + 1, n) and (k + 1, 1), the guard first.
    """

    weights: Array
    means: Array
    scale: Array

    def bell(self, x):
        """Standardised residuals e of the values, and ``exp(-e^2 / 2)``."""
        e = (x - self.means) / self.scale
        return e, exp(jnp.maximum(-(e**2) / 2, LOWEST))

    def densities(self, bell):
        """Density of the values in every component."""
        return bell / (self.scale * math.sqrt(2 * math.pi))

    def quantile(self, x):
        """Latent of the values, the logarithm of its derivative, and the components' densities."""
        e, bell = self.bell(x)
        right = e > 0
        scaled = _scaled_tail(jnp.where(right, e, -e))  # not of |e|, which has no slope at 0
        tail = self.weights * bell * scaled
        rest = self.weights - tail
        below = sum_over_first(jnp.where(right, rest, tail))
        above = sum_over_first(jnp.where(right, tail, rest))
        left = below < above
        smaller = jnp.where(left, below, above)
        far = smaller < self._tiny(x)
        z = ndtri(jnp.where(far, 0.5, smaller))
        z = jnp.where(left, z, -z)
        densities = self.densities(bell)
        density = sum_over_first(self.weights * densities)
        log_slope = jnp.log(jnp.where(far, 1.0, density)) + z**2 / 2 + _HALF_LOG_2PI

        def with_far():
            far_z, far_slope = self._far_quantile(jnp.where(far, e, -1.0), left | ~far)
            return jnp.where(far, far_z, z), jnp.where(far, far_slope, log_slope)

        z, log_slope = jax.lax.cond(jnp.any(far), with_far, lambda: (z, log_slope))
        return z, log_slope, densities

    @staticmethod
    def _tiny(x):
        """Probabilities below have lost digits; one whose density has not vanished is above."""
        return 1e-290 if x.dtype == jnp.float64 else 1e-30

    def _far_quantile(self, e, left):
        """The same where a tail's probability has no digits but in its logarithm."""
        e = jnp.where(left, e, -e)
        seen = self.weights > 0
        log_weights = jnp.log(jnp.where(seen, self.weights, 1.0))
        log_ndtr, hazards = _log_ndtr_and_hazard(e)
        log_tails = jnp.where(seen, log_weights + log_ndtr, -jnp.inf)
        # Not a logsumexp: shares of numbers so large keep their digits only relative to each other.
        largest = jax.lax.stop_gradient(jnp.max(log_tails, axis=0))
        relative = jnp.exp(log_tails - largest)
        total = jnp.sum(relative, axis=0)
        z = _far_ndtri(jnp.minimum(largest + jnp.log(total), -1.0))
        share = relative / total
        hazard = jnp.sum(jnp.where(seen, share * hazards / self.scale, 0.0), axis=0)
        return jnp.where(left, z, -z), jnp.log(hazard / _log_ndtr_and_hazard(z)[1])

    def solve(self, z):
        """Value whose latent is z; it lies between the components' own answers."""
        answers = self.means + self.scale * z

        def improve(state):
            i, low, high, x, _ = state
            latent, log_slope, _ = self.quantile(x)
            low, high = jnp.where(latent < z, x, low), jnp.where(latent > z, x, high)
            newton = x - (latent - z) * jnp.exp(jnp.minimum(-log_slope, 80.0))
            slow = i % 3 == 2  # a bisection among them bounds the number of steps
            safe = (newton >= low) & (newton <= high) & ~slow
            new = jnp.where(safe, newton, low + (high - low) / 2)
            new = jnp.where(latent == z, x, new)
            return i + 1, low, high, new, jnp.all((new == x) & ~slow)

        low, high = jnp.min(answers, axis=0), jnp.max(answers, axis=0)
        start = jnp.clip(jnp.sum(self.weights * answers, axis=0), low, high)
        state = (0, low, high, start, False)
        done = jax.lax.while_loop(lambda s: (s[0] < _N_NEWTON) & ~s[4], improve, state)
        return done[3]


@register
class FixedMixture(Bijection):
    """Map of a Gaussian mixture's events to independent normals, not trained.

    Channel by channel, the conditional distribution function of the mixture and then the
    normal's quantile; see `skgauss.mixture.GaussianMixtureMap`, whose fields these are. Map and
    log-determinant cost O(k C^2) for k components, the inverse, a Newton iteration in a bracket,
    some ten times as much. Invertible because the components' standard deviations are positive.

    Parameters
    ----------
    weights : array of shape (k,)
        Fixed, like all that follow.
    intercepts : array of shape (k, C)
    coefficients : array of shape (k, C, C)
        Strictly lower triangular.
    scales : array of shape (k, C)
    low, high : array of shape (C,)
    guard : float
        Static.

    References
    ----------
    Rosenblatt (1952), Remarks on a multivariate transformation, Annals of Mathematical
    Statistics 23(3), doi:10.1214/aoms/1177729394.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.bijections import FixedMixture
    >>> from skgauss.mixture import GaussianMixtureMap
    >>> means, bound = [[-3.0, 0.0], [3.0, 0.0]], np.full(2, 12.0)
    >>> mixture = GaussianMixtureMap.from_moments([0.5, 0.5], means, [np.eye(2)] * 2, -bound, bound)
    >>> FixedMixture.from_map(mixture).transform(np.array([3.0, 0.5])).round(3).tolist()
    [0.674..., 0.5]
    """

    weights: Array = fixed()
    intercepts: Array = fixed()
    coefficients: Array = fixed()
    scales: Array = fixed()
    low: Array = fixed()
    high: Array = fixed()
    guard: float = static(default=3e-5)

    @classmethod
    def from_map(cls, mixture: GaussianMixtureMap) -> FixedMixture:
        """Make a layer of a mixture's map.

        Parameters
        ----------
        mixture : skgauss.mixture.GaussianMixtureMap

        Returns
        -------
        layer : FixedMixture
        """
        return cls(**vars(mixture))

    @property
    def map(self) -> GaussianMixtureMap:
        """The same map in NumPy."""
        return GaussianMixtureMap(**{name: getattr(self, name) for name in vars(self)})

    def _columns(self, dtype):
        """What each channel needs, the channels first: the guard's moments, the components'."""
        low, high = jnp.asarray(self.low, dtype), jnp.asarray(self.high, dtype)
        scales = jnp.concatenate([(high - low)[None] / 4, jnp.asarray(self.scales, dtype)])
        return (
            jnp.arange(len(low)),
            low,
            high,
            jnp.asarray(self.intercepts, dtype).T,
            jnp.swapaxes(jnp.asarray(self.coefficients, dtype), 0, 1),
            scales.T,
        )

    def _run(self, values, *, inverse):
        """Latents, log-slopes and values of every channel, a chunk of the positions at a time."""
        n_channels, n = values.shape
        run = functools.partial(self._run_chunk, inverse=inverse)
        if n <= _CHUNK:
            return run(values)
        n_chunks = -(-n // _CHUNK)
        padded = jnp.pad(values, ((0, 0), (0, n_chunks * _CHUNK - n)))
        chunks = jnp.moveaxis(padded.reshape(n_channels, n_chunks, _CHUNK), 1, 0)
        done = jax.lax.map(run, chunks)
        return [jnp.moveaxis(part, 0, 1).reshape(n_channels, -1)[:, :n] for part in done]

    def _run_chunk(self, values, *, inverse):
        """Go through the channels: latents, log-slopes and values of each, in order."""
        n = values.shape[1]
        weights = jnp.asarray(self.weights, values.dtype)
        weights = jnp.append(jnp.asarray(self.guard, values.dtype), weights / jnp.sum(weights))
        weights = jnp.repeat(weights[:, None] / (1 + self.guard), n, axis=1)

        def step(state, column):
            known, weights, lost = state
            value, (j, low, high, intercept, coefficients, scale) = column
            means = intercept[:, None] + coefficients @ known
            means = jnp.concatenate([jnp.broadcast_to((low + high) / 2, (1, n)), means])
            current = (weights * (1 - lost)).at[0].add(lost)
            conditional = _Conditional(current, jnp.clip(means, low, high), scale[:, None])
            x = self._value(conditional, value) if inverse else value
            z, log_slope, densities = conditional.quantile(x)
            seen = jnp.clip(x, low, high)
            densities = jax.lax.cond(
                jnp.any(seen != x),
                lambda: conditional.densities(conditional.bell(seen)[1]),
                lambda: densities,
            )
            state = known.at[j].set(seen), *self._posterior(weights, lost, densities)
            return state, (z, log_slope, x)

        start = (jnp.zeros_like(values), weights, jnp.zeros(n, values.dtype))
        return jax.lax.scan(step, start, (values, self._columns(values.dtype)))[1]

    @staticmethod
    def _value(conditional, z):
        x = jax.lax.stop_gradient(conditional.solve(z))
        latent, log_slope, _ = conditional.quantile(x)
        slope = jax.lax.stop_gradient(jnp.exp(jnp.minimum(-log_slope, 80.0)))
        return x - (latent - z) * slope  # one more step, which carries the implicit gradient

    def _posterior(self, weights, lost, densities):
        """Weights given one more channel, and the share of the row that is lost to the guard."""
        guard = self.guard * densities[0]
        posterior = (weights * (densities + guard)).at[0].set(0.0)
        total = sum_over_first(posterior)
        share = guard / ((1 + self.guard) * total)
        posterior = (posterior / (total * (1 + self.guard))).at[0].set(weights[0])
        return posterior, jnp.clip(share, lost, 1.0)

    def _forward(self, x):
        z, log_slope, _ = self._run(x.reshape(len(x), -1), inverse=False)
        return z.reshape(x.shape), jnp.sum(log_slope, axis=0).reshape(x.shape[1:])

    def _inverse(self, z):
        _, log_slope, x = self._run(z.reshape(len(z), -1), inverse=True)
        return x.reshape(z.shape), -jnp.sum(log_slope, axis=0).reshape(z.shape[1:])
