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

from skgauss.bijections._arguments import check_scales
from skgauss.bijections.base import (
    Array,
    Bijection,
    combine,
    common_channels,
    fixed,
    partition,
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
_CENTRE, _DEGREE = 3.75, 20  # of the polynomial for a normal's tail
_BLOCK = 1 << 15  # positions times components: some ten arrays of them stay in a cache


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


class _Normals(NamedTuple):
    """Weights, means and standard deviations of normals, of shape (k, n), (k, n) and (k, 1)."""

    weights: Array
    means: Array
    scale: Array

    def bell(self, x):
        """Standardised residuals e of the values, and ``exp(-e^2 / 2)``."""
        e = (x - self.means) * (1 / self.scale)
        return e, exp(jnp.maximum(-(e**2) / 2, LOWEST))

    def densities(self, bell):
        """Density of the values in every one."""
        return bell * (1 / (self.scale * math.sqrt(2 * math.pi)))

    def tails(self, e, bell):
        """Probability below the values and above them, every term of either positive."""
        right = e > 0
        scaled = _scaled_tail(jnp.where(right, e, -e))  # not of |e|, which has no slope at 0
        tail = self.weights * bell * scaled
        rest = self.weights - tail
        below = sum_over_first(jnp.where(right, rest, tail))
        return below, sum_over_first(jnp.where(right, tail, rest))


class _Conditional(NamedTuple):
    """A column given those before: components, whose weights sum to one, and the guard beside.

    The components have the share `kept` of the probability; the row is lost to the guard with
    probability `lost`, and `contamination` is the guard's weight over that of a component.
    """

    components: _Normals
    guard: _Normals
    kept: Array
    lost: Array
    contamination: float

    @property
    def _all(self):
        """Weights, means and standard deviations of all, the guard first."""
        weights, means, scale = self.components
        together = (self.guard, (self.kept * weights, means, scale))
        return _Normals(*map(jnp.concatenate, zip(*together, strict=True)))

    def bells(self, x):
        """Residuals, and what is exponential in them, in the components and in the guard."""
        return self.components.bell(x), self.guard.bell(x)

    def densities(self, bells):
        """Densities in every component, and in the guard."""
        (_, bell), (_, of_guard) = bells
        return self.components.densities(bell), self.guard.densities(of_guard)[0]

    def posterior(self, densities):
        """Components' weights given one more column, not normalised, and their sum.

        Also the share of the row that is lost to the guard, which never falls again.
        """
        densities, of_guard = densities
        guard = self.contamination * of_guard
        weights = self.components.weights * (densities + guard)
        total = sum_over_first(weights)
        return weights, total, jnp.clip(guard / total, self.lost, 1.0)

    def _latent(self, bells):
        """Latent whose tail has digits enough, that tail, and whether it is the left one."""
        tails = self.components.tails(*bells[0]), self.guard.tails(*bells[1])
        below, above = (self.kept * mine + of_guard for mine, of_guard in zip(*tails, strict=True))
        left = below < above
        smaller = jnp.where(left, below, above)
        z = ndtri(jnp.where(smaller < _tiny(smaller), 0.5, smaller))
        return jnp.where(left, z, -z), smaller, left

    def within_range(self, x, *, latents):
        """Latent and log-slope, or log-density, and the posterior, of values in the range.

        There the guard leaves no tail, and no density, without digits.
        """
        bells = self.bells(x)
        densities = self.densities(bells)
        posterior = self.posterior(densities)
        log_density = jnp.log(self.kept * posterior[1] + self.lost * densities[1])
        if not latents:
            return (log_density,), posterior
        z, _, _ = self._latent(bells)
        return (z, log_density + z**2 / 2 + _HALF_LOG_2PI), posterior

    def _density(self, densities):
        densities, of_guard = densities
        of_components = sum_over_first(self.components.weights * densities)
        return self.kept * of_components + self.guard.weights[0] * of_guard

    def log_density(self, x):
        """Log-density of the values, wherever they are, and the densities."""
        densities = self.densities(self.bells(x))
        density = self._density(densities)
        far = density < _tiny(x)
        log_density = jnp.log(jnp.where(far, 1.0, density))

        def with_far():
            weights, means, scale = self._all
            e = jnp.where(far, (x - means) / scale, 0.0)
            seen = weights > 0
            terms = jnp.log(jnp.where(seen, weights, 1.0) / scale) - e**2 / 2 - _HALF_LOG_2PI
            total = jax.nn.logsumexp(jnp.where(seen, terms, -jnp.inf), axis=0)
            return jnp.where(far, total, log_density)

        return jax.lax.cond(jnp.any(far), with_far, lambda: log_density), densities

    def quantile(self, x):
        """Latent of the values, the logarithm of its derivative, and the densities."""
        bells = self.bells(x)
        z, smaller, left = self._latent(bells)
        densities = self.densities(bells)
        far = smaller < _tiny(x)
        density = jnp.where(far, 1.0, self._density(densities))
        log_slope = jnp.log(density) + z**2 / 2 + _HALF_LOG_2PI

        def with_far():
            weights, means, scale = self._all
            e = jnp.where(far, (x - means) / scale, -1.0)
            far_z, far_slope = _far_quantile(weights, e, scale, left | ~far)
            return jnp.where(far, far_z, z), jnp.where(far, far_slope, log_slope)

        z, log_slope = jax.lax.cond(jnp.any(far), with_far, lambda: (z, log_slope))
        return z, log_slope, densities


def _tiny(x):
    """Probabilities below have lost digits; one whose density has not vanished is above."""
    return 1e-290 if x.dtype == jnp.float64 else 1e-30


def _far_quantile(weights, e, scale, left):
    """Latent and log-slope where a tail's probability has no digits but in its logarithm."""
    e = jnp.where(left, e, -e)
    seen = weights > 0
    log_weights = jnp.log(jnp.where(seen, weights, 1.0))
    log_ndtr, hazards = _log_ndtr_and_hazard(e)
    log_tails = jnp.where(seen, log_weights + log_ndtr, -jnp.inf)
    # Not a logsumexp: shares of numbers so large keep their digits only relative to each other.
    largest = jax.lax.stop_gradient(jnp.max(log_tails, axis=0))
    relative = jnp.exp(log_tails - largest)
    total = jnp.sum(relative, axis=0)
    z = _far_ndtri(jnp.minimum(largest + jnp.log(total), -1.0))
    share = relative / total
    hazard = jnp.sum(jnp.where(seen, share * hazards / scale, 0.0), axis=0)
    return jnp.where(left, z, -z), jnp.log(hazard / _log_ndtr_and_hazard(z)[1])


def _solve(conditional, z):
    """Value whose latent is z; it lies between the components' own answers."""
    weights, means, scale = conditional._all
    answers = means + scale * z

    def improve(state):
        i, low, high, x, _ = state
        latent, log_slope, _ = conditional.quantile(x)
        low, high = jnp.where(latent < z, x, low), jnp.where(latent > z, x, high)
        newton = x - (latent - z) * _reciprocal(log_slope)
        slow = i % 3 == 2  # a bisection among them bounds the number of steps
        safe = (newton >= low) & (newton <= high) & ~slow
        new = jnp.where(safe, newton, low + (high - low) / 2)
        new = jnp.where(latent == z, x, new)
        return i + 1, low, high, new, jnp.all((new == x) & ~slow)

    low, high = jnp.min(answers, axis=0), jnp.max(answers, axis=0)
    start = jnp.clip(jnp.sum(weights * answers, axis=0), low, high)
    state = (0, low, high, start, False)
    done = jax.lax.while_loop(lambda s: (s[0] < _N_NEWTON) & ~s[4], improve, state)
    return done[3]


def _reciprocal(log_slope):
    return jnp.exp(jnp.minimum(-log_slope, 80.0))


@register
class FixedMixture(Bijection):
    """Map of a Gaussian mixture's events to independent normals, not trained.

    Channel by channel, the conditional distribution function of the mixture and then the
    normal's quantile; see `skgauss.mixture.GaussianMixtureMap`, whose fields these are. Map and
    log-determinant cost O(k C^2) for k components, the inverse, a Newton iteration in a bracket,
    some ten times as much; the inverse can be differentiated once. Invertible because the
    components' standard deviations are positive.

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

    Raises
    ------
    ValueError
        If a standard deviation is not positive.

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

    def __post_init__(self):
        check_scales("scales", self.scales)

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

    @property
    def _n_channels(self):
        return common_channels(self, self.scales, self.low, self.high)

    def _columns(self, dtype):
        """What each channel needs, the channels first: its bounds, the components' moments."""
        return (
            jnp.arange(len(self.low)),
            jnp.asarray(self.low, dtype),
            jnp.asarray(self.high, dtype),
            jnp.asarray(self.intercepts, dtype).T,
            jnp.swapaxes(jnp.asarray(self.coefficients, dtype), 0, 1),
            jnp.asarray(self.scales, dtype).T,
        )

    def _run(self, values, visit, within=None, n_out=2):
        """What a visit gives of every channel, a chunk of the positions at a time.

        Where `within` is given, it takes the place of that visit at positions in the range,
        whatever positions are beside them, and what it gives, `n_out` arrays, costs nothing for
        chunks that are all NaN.
        """
        n_channels, n = values.shape
        size = max(16, _BLOCK // len(self.weights))

        def run(chunk):
            if within is None or not self.guard > 0:
                return self._through_channels(chunk, visit)
            low, high = (jnp.asarray(end, chunk.dtype)[:, None] for end in (self.low, self.high))
            inside = jnp.all((low <= chunk) & (chunk <= high), axis=0)
            blank = jnp.any(jnp.isnan(chunk), axis=0)
            near = self._through_channels(jnp.where(inside, chunk, low), within)
            far = functools.partial(self._through_channels, chunk, visit)
            beyond = jax.lax.cond(jnp.all(inside | blank), lambda: near, far)
            found = [jnp.where(inside, *both) for both in zip(near, beyond, strict=True)]
            return [jnp.where(blank, jnp.nan, values) for values in found]

        def run_if_any(chunk):
            nothing = [jnp.full_like(chunk, jnp.nan)] * n_out
            blank = jnp.all(jnp.isnan(chunk))
            return jax.lax.cond(blank, lambda: nothing, lambda: list(run(chunk)))

        if n <= size:
            return run(values)
        n_chunks = -(-n // size)
        padded = jnp.pad(values, ((0, 0), (0, n_chunks * size - n)), mode="edge")
        chunks = jnp.moveaxis(padded.reshape(n_channels, n_chunks, size), 1, 0)
        done = jax.lax.map(run if within is None else run_if_any, chunks)
        return [jnp.moveaxis(part, 0, 1).reshape(n_channels, -1)[:, :n] for part in done]

    def _through_channels(self, values, visit):
        """Visit the channels in order, each given the values of those before."""
        n, dtype = values.shape[1], values.dtype
        weights = jnp.asarray(self.weights, dtype)
        weights = jnp.repeat((weights / jnp.sum(weights))[:, None], n, axis=1)

        def step(state, column):
            known, weights, total, lost = state
            value, (j, low, high, intercept, coefficients, scale) = column
            means = jnp.clip(intercept[:, None] + coefficients @ known, low, high)
            components = _Normals(weights * (1 / total), means, scale[:, None])
            kept, middle = (1 - lost) / (1 + self.guard), jnp.full((1, n), (low + high) / 2)
            share = kept * self.guard + lost
            guard = _Normals(share[None], middle, jnp.reshape((high - low) / 6, (1, 1)))
            conditional = _Conditional(components, guard, kept, lost, self.guard)
            seen, posterior, out = visit(conditional, value, low, high)
            return (known.at[j].set(seen), *posterior), out

        ones = jnp.ones(n, dtype)
        start = (jnp.zeros_like(values), weights, ones, 0 * ones)
        return jax.lax.scan(step, start, (values, self._columns(dtype)))[1]

    @staticmethod
    def _given(conditional, x, densities, low, high):
        """Value as later channels see it, and the posterior that it leaves them."""
        seen = jnp.clip(x, low, high)
        densities = jax.lax.cond(
            jnp.any(seen != x),
            lambda: conditional.densities(conditional.bells(seen)),
            lambda: densities,
        )
        return seen, conditional.posterior(densities)

    @classmethod
    def _read(cls, conditional, x, *ends, reading):
        *out, densities = reading(conditional, x)
        return *cls._given(conditional, x, densities, *ends), tuple(out)

    @staticmethod
    def _read_within(conditional, x, *_, latents):
        out, posterior = conditional.within_range(x, latents=latents)
        return x, posterior, out

    @classmethod
    def _unmap(cls, conditional, z, *ends):
        x = jax.lax.stop_gradient(_solve(conditional, z))
        latent, log_slope, _ = conditional.quantile(x)
        slope = jax.lax.stop_gradient(_reciprocal(log_slope))
        x = x - (latent - z) * slope  # one more step, which carries the implicit gradient
        _, log_slope, densities = conditional.quantile(x)
        return *cls._given(conditional, x, densities, *ends), (x, log_slope)

    def _forward(self, x):
        return _evaluated(*partition(self), x, way="forward")

    def _inverse(self, z):
        return _evaluated(*partition(self), z, way="inverse")

    def _log_density(self, x):
        return _evaluated(*partition(self), x, way="log_density")


@functools.partial(jax.jit, static_argnames="way")  # or every call of its own would compile
def _evaluated(params, held, x, way):
    """Map events, map them back, or give their log-density."""
    layer, flat = combine(params, held), _flat(x)
    if way == "inverse":
        values, log_slope = layer._run(flat, layer._unmap)
        return values.reshape(x.shape), -jnp.sum(log_slope, axis=0).reshape(x.shape[1:])
    latents = way == "forward"
    reading = _Conditional.quantile if latents else _Conditional.log_density
    read = functools.partial(layer._read, reading=reading)
    within = functools.partial(layer._read_within, latents=latents)
    *values, log_slope = layer._run(flat, read, within, n_out=1 + latents)
    log_slope = jnp.sum(log_slope, axis=0).reshape(x.shape[1:])
    return (values[0].reshape(x.shape), log_slope) if latents else log_slope


def _flat(x):
    """Positions of an event in one axis, in single or double precision."""
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    return x.reshape(len(x), -1)
