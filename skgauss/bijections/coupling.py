"""Coupling layers: one half of the channels decides how the other half is mapped."""

from __future__ import annotations

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from skgauss.bijections._arguments import check_positive, whole
from skgauss.bijections.base import (
    Array,
    Bijection,
    broadcast_channels,
    register,
    static,
    sum_over_first,
)
from skgauss.bijections.conditioner import MLP, remoteness
from skgauss.bijections.elementwise import ElementwiseSpline
from skgauss.bijections.trainable_spline import (
    n_spline_parameters,
    spline_forward,
    spline_inverse,
)

__all__ = ["AffineCoupling", "MixtureCDFCoupling", "RationalQuadraticSplineCoupling"]

_N_NEWTON, _N_LAST = 60, 9


def _bounded(raw, bound):
    """Squash to (-bound, bound), with slope 1 at 0."""
    return bound * jnp.tanh(raw / bound)


def _halves(n_channels: int) -> tuple[int, int]:
    """How many channels condition, and how many are transformed (the larger half)."""
    return n_channels // 2, n_channels - n_channels // 2


class _Coupling(Bijection):
    """Map the second half of the channels with parameters computed from the first half.

    A subclass maps one channel given its parameters (`_map`, `_unmap`); the identity half is
    left alone, unless `_map_identity` and `_unmap_identity` say otherwise. A single channel has
    nothing to condition on and is mapped with constant parameters.
    """

    starts_at_identity: ClassVar[bool] = True
    conditioner: MLP

    @property
    def _n_params(self) -> int | None:
        """Parameters of one channel; None where the layer cannot tell."""
        return None

    @property
    def _n_channels(self):
        if self._n_params is None or not isinstance(self.conditioner, MLP):
            return None
        return self.conditioner.n_inputs + self.conditioner.n_outputs // self._n_params

    def _map(self, params: Array, x: Array) -> tuple[Array, Array]:
        raise TypeError(f"{type(self).__name__} does not define _map")

    def _unmap(self, params: Array, z: Array) -> tuple[Array, Array]:
        raise TypeError(f"{type(self).__name__} does not define _unmap")

    def _map_identity(self, x: Array) -> tuple[Array, Array]:
        return x, jnp.zeros(x.shape[1:], x.dtype)

    def _unmap_identity(self, z: Array) -> tuple[Array, Array]:
        return z, jnp.zeros(z.shape[1:], z.dtype)

    def _raw(self, identity):
        """What the network says of the first half."""
        return self.conditioner(identity)

    def _params(self, identity, n_transformed):
        """Parameters of shape (n_params, n_transformed, *positions)."""
        raw = self._raw(identity)
        n_params = len(raw) // n_transformed  # not -1, which a map without positions leaves open
        return jnp.reshape(raw, (n_params, n_transformed, *identity.shape[1:]))

    def _forward(self, x):
        n_identity, n_transformed = _halves(x.shape[0])
        identity, transformed = x[:n_identity], x[n_identity:]
        mapped, log_slope = self._map(self._params(identity, n_transformed), transformed)
        identity, log_det = self._map_identity(identity)
        return jnp.concatenate([identity, mapped]), log_det + sum_over_first(log_slope)

    def _inverse(self, z):
        n_identity, n_transformed = _halves(z.shape[0])
        identity, log_det = self._unmap_identity(z[:n_identity])
        params = self._params(identity, n_transformed)
        transformed, log_slope = self._unmap(params, z[n_identity:])
        return jnp.concatenate([identity, transformed]), log_det + sum_over_first(log_slope)


def _conditioner(key, n_channels, n_params, hidden_layer_sizes):
    n_identity, n_transformed = _halves(whole("n_channels", n_channels))
    return MLP.init(
        key, n_identity, n_params * n_transformed, hidden_layer_sizes=hidden_layer_sizes
    )


@register
class AffineCoupling(_Coupling):
    """Affine coupling, ``z = exp(s(x_1)) x_2 + t(x_1)``, with a bounded log-scale s.

    Map, inverse and log-determinant, ``sum(s)``, cost one pass of the conditioner. Invertible
    because ``|s| < log_scale_bound``.

    Parameters
    ----------
    conditioner : MLP
        From the first C // 2 channels to 2 parameters for each of the others.
    log_scale_bound : float
        Static.

    References
    ----------
    Dinh, Sohl-Dickstein & Bengio (2017), Density estimation using Real NVP, equations 7 and
    8, arXiv:1605.08803.

    Examples
    --------
    >>> import jax
    >>> from skgauss.bijections import AffineCoupling
    >>> layer = AffineCoupling.init(jax.random.key(0), 3)
    >>> layer.transform(jax.numpy.array([1.0, 2.0, 3.0])).tolist()  # starts at the identity
    [1.0, 2.0, 3.0]
    """

    conditioner: MLP
    log_scale_bound: float = static()

    def __post_init__(self):
        check_positive("log_scale_bound", self.log_scale_bound)

    @classmethod
    def init(
        cls,
        key: Array,
        n_channels: int,
        *,
        hidden_layer_sizes: tuple[int, ...] = (64,),
        log_scale_bound: float = 2.0,
    ) -> AffineCoupling:
        """Start at the identity.

        Parameters
        ----------
        key : JAX random key or numpy.random.Generator
        n_channels : int
        hidden_layer_sizes : tuple of int, default=(64,)
        log_scale_bound : float, default=2.0

        Returns
        -------
        layer : AffineCoupling

        Raises
        ------
        ValueError
            If a size is no positive integer, or the bound no positive number.
        """
        return cls(_conditioner(key, n_channels, 2, hidden_layer_sizes), log_scale_bound)

    @property
    def _n_params(self):
        return 2

    def _map(self, params, x):
        log_scale = _bounded(params[0], self.log_scale_bound)
        return jnp.exp(log_scale) * x + params[1], log_scale

    def _unmap(self, params, z):
        log_scale = _bounded(params[0], self.log_scale_bound)
        return (z - params[1]) * jnp.exp(-log_scale), -log_scale


@register
class RationalQuadraticSplineCoupling(_Coupling):
    """Coupling by monotone rational-quadratic splines, the identity outside a box.

    The second half of the channels goes through splines whose parameters the conditioner
    computes from the first half; the first half goes through trained splines of its own, which
    ask nothing of anyone. What the conditioner says fades to the identity where a channel of the
    first half is beyond 8, as far from the rows that it was trained on it would bend a spline so
    flat that the way back loses the digits. Map, inverse (closed form) and log-determinant cost
    one pass of the conditioner and O(K C) for K bins. Invertible because widths, heights and
    slopes are positive. The gradient of the map is written by hand (`jax.custom_vjp`): forward-mode
    autodiff (``jax.jvp``, ``jax.jacfwd``, ``jax.linearize``) is not supported, use reverse mode.

    Parameters
    ----------
    conditioner : MLP
        From the first C // 2 channels to 3 K - 1 parameters for each of the others.
    identity_spline : ElementwiseSpline
        The splines of the first C // 2 channels.
    bound : float
        Static. Half the side of the box.

    References
    ----------
    Durkan et al. (2019), Neural spline flows, sections 3.1 and 4.1, arXiv:1906.04032.

    Examples
    --------
    >>> import jax
    >>> from skgauss.bijections import RationalQuadraticSplineCoupling
    >>> layer = RationalQuadraticSplineCoupling.init(jax.random.key(0), 3)
    >>> z, log_det = layer.transform_and_log_det(jax.numpy.array([1.0, -2.0, 3.0]))
    >>> z.round(5).tolist(), abs(round(float(log_det), 5))  # starts at the identity
    ([1.0, -2.0, 3.0], 0.0)
    """

    conditioner: MLP
    identity_spline: ElementwiseSpline
    bound: float = static()

    def __post_init__(self):
        check_positive("bound", self.bound)

    @classmethod
    def init(
        cls,
        key: Array,
        n_channels: int,
        *,
        n_bins: int = 8,
        hidden_layer_sizes: tuple[int, ...] = (64,),
        bound: float = 4.0,
    ) -> RationalQuadraticSplineCoupling:
        """Start at the identity.

        Parameters
        ----------
        key : JAX random key or numpy.random.Generator
        n_channels : int
        n_bins : int, default=8
        hidden_layer_sizes : tuple of int, default=(64,)
        bound : float, default=4.0

        Returns
        -------
        layer : RationalQuadraticSplineCoupling

        Raises
        ------
        ValueError
            If a size or `n_bins` is no positive integer, or the bound no positive number.
        """
        n_params = n_spline_parameters(whole("n_bins", n_bins))
        return cls(
            _conditioner(key, n_channels, n_params, hidden_layer_sizes),
            ElementwiseSpline.init(n_channels // 2, n_bins=n_bins, bound=bound),
            bound,
        )

    @property
    def _n_params(self):
        return np.shape(self.identity_spline.params)[-2]

    def _raw(self, identity):
        return self.conditioner(identity, 1 + remoteness(identity))

    def _map(self, params, x):
        return spline_forward(params, x, self.bound)

    def _unmap(self, params, z):
        return spline_inverse(params, z, self.bound)

    def _map_identity(self, x):
        return self.identity_spline._forward(x)

    def _unmap_identity(self, z):
        return self.identity_spline._inverse(z)


def _logit_cdf(components, x):
    """Logit of a mixture's distribution function, and the logarithm of its slope."""
    log_weights, locs, log_scales = components
    scaled = (x - locs) * jnp.exp(-log_scales)
    below, above = jax.nn.log_sigmoid(scaled), jax.nn.log_sigmoid(-scaled)
    left = jnp.max(log_weights + below, axis=0) < jnp.max(log_weights + above, axis=0)
    tail, rest = jnp.where(left, below, above), jnp.where(left, above, below)
    # Far out, the logarithm of the smaller tail is as large as x. The slope is a mean of hazards
    # weighed by its terms, which keep their digits relative to the largest of them alone.
    log_tails = log_weights + tail
    largest = jax.lax.stop_gradient(jnp.max(log_tails, axis=0))
    relative = log_tails - largest
    log_total = jnp.log(jnp.sum(jnp.exp(relative), axis=0))  # its largest term is one
    log_hazard = jax.nn.logsumexp(relative + rest - log_scales, axis=0) - log_total
    log_rest = jnp.log(jnp.sum(jnp.exp(log_weights + rest), axis=0))  # not small: the larger tail
    logit = log_rest - (largest + log_total)
    return jnp.where(left, -logit, logit), log_hazard - log_rest


@jax.jit  # or every call of its own would compile the loop
def _find_quantile(components, z):
    """Newton's iteration in a bracket, which is halved where it would be left.

    Every third step halves it in any case, as Newton may go to and fro between two values for
    ever; but for the last ones, which are his, as halving a wide bracket leaves what he has found.
    """
    _, locs, log_scales = components
    roots = locs + z * jnp.exp(log_scales)

    def improve(i, state):
        low, high, x = state
        reached, log_slope = _logit_cdf(components, x)
        low, high = jnp.where(reached < z, x, low), jnp.where(reached < z, high, x)
        newton = x + (z - reached) * jnp.exp(-log_slope)
        safe = (newton >= low) & (newton <= high) & ((i % 3 != 0) | (i >= _N_NEWTON - _N_LAST))
        return low, high, jnp.where(safe, newton, (low + high) / 2)

    low, high = jnp.min(roots, axis=0), jnp.max(roots, axis=0)
    return jax.lax.fori_loop(0, _N_NEWTON, improve, (low, high, (low + high) / 2))[2]


@jax.custom_jvp
def _logit_quantile(components, z):
    """Invert `_logit_cdf`, and differentiate it implicitly."""
    return _find_quantile(components, z)


@_logit_quantile.defjvp
def _(primals, tangents):
    """``dx = (dz - d_components F) / F'(x)``, at an x that is itself differentiated so."""
    (components, z), (components_dot, z_dot) = primals, tangents
    x = _logit_quantile(components, z)
    _, reached_dot = jax.jvp(lambda c: _logit_cdf(c, x)[0], (components,), (components_dot,))
    return x, (z_dot - reached_dot) * jnp.exp(-_logit_cdf(components, x)[1])


@register
class MixtureCDFCoupling(_Coupling):
    """Coupling by the distribution function of a mixture of logistics, taken to logit scale.

    ``z = log F(x) - log(1 - F(x))`` with ``F(x) = sum_k w_k sigmoid((x - m_k) / s_k)``; both
    logarithms are log-sum-exps, so the tails stay exact: they are those of the widest
    component, linear, never clipped. Map and log-determinant cost one pass of the conditioner
    and O(K C). The inverse is a safeguarded Newton iteration in the bracket that the
    components' own inverses give; it comes as near as the map is steep, to 1e-10 in float64 but
    between components far apart, where latents hardly change. Invertible because weights and
    scales are positive.

    Parameters
    ----------
    conditioner : MLP
        From the first C // 2 channels to 3 K parameters for each of the others: logits of the
        weights, locations, and logarithms of the scales.
    log_scale_bound : float
        Static. Bound of the absolute logarithm of a scale.
    n_components : int, default=None
        Static. K; without it, the layer cannot refuse an event with another number of channels.

    References
    ----------
    Ho, Chen, Srinivas, Duan & Abbeel (2019), Flow++, section 3.2, arXiv:1902.00275.

    Examples
    --------
    >>> import jax
    >>> from skgauss.bijections import MixtureCDFCoupling
    >>> layer = MixtureCDFCoupling.init(jax.random.key(0), 2)
    >>> x = jax.numpy.array([0.3, -1.0])
    >>> bool(jax.numpy.allclose(layer.inverse(layer.transform(x)), x, atol=1e-5))
    True
    """

    conditioner: MLP
    log_scale_bound: float = static()
    n_components: int | None = static(default=None)

    def __post_init__(self):
        check_positive("log_scale_bound", self.log_scale_bound)

    starts_at_identity: ClassVar[bool] = False
    _spread: ClassVar[float] = 0.5

    @classmethod
    def init(
        cls,
        key: Array,
        n_channels: int,
        *,
        n_components: int = 8,
        hidden_layer_sizes: tuple[int, ...] = (64,),
        log_scale_bound: float = 3.0,
    ) -> MixtureCDFCoupling:
        """Start near the identity: components side by side, within 0.5 of the origin.

        Parameters
        ----------
        key : JAX random key or numpy.random.Generator
        n_channels : int
        n_components : int, default=8
        hidden_layer_sizes : tuple of int, default=(64,)
        log_scale_bound : float, default=3.0

        Returns
        -------
        layer : MixtureCDFCoupling

        Raises
        ------
        ValueError
            If a size or `n_components` is no positive integer, or the bound no positive number.
        """
        n_params = 3 * whole("n_components", n_components)
        conditioner = _conditioner(key, n_channels, n_params, hidden_layer_sizes)
        return cls(conditioner, log_scale_bound, n_components)

    @property
    def _n_params(self):
        return None if self.n_components is None else 3 * self.n_components

    def _components(self, params):
        logits, locs, log_scales = jnp.split(params, 3)
        offsets = self._spread * jnp.linspace(-1, 1, len(locs), dtype=params.dtype)
        return (
            jax.nn.log_softmax(logits, axis=0),
            locs + broadcast_channels(offsets, locs),
            _bounded(log_scales, self.log_scale_bound),
        )

    def _map(self, params, x):
        return _logit_cdf(self._components(params), x)

    def _unmap(self, params, z):
        components = self._components(params)
        x = _logit_quantile(components, z.astype(jnp.result_type(z, params)))
        return x, -_logit_cdf(components, x)[1]
