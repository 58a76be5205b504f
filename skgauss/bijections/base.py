"""What every layer does: the `Bijection` contract, and `Chain`."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np

from skgauss.bijections.module import (
    Module,
    combine,
    fixed,
    partition,
    register,
    static,
)

__all__ = ["Bijection", "Chain", "Module", "combine", "fixed", "partition", "register", "static"]

Array = Any


def on_device(values: Any) -> Array:
    """Give JAX an array from the host; ``jnp.asarray`` would compile a program for its shape."""
    return jax.device_put(np.asarray(values))


def broadcast_channels(values: Array, x: Array) -> Array:
    """Give per-channel `values` of shape (C,) the trailing axes of `x`, of shape (C, ...)."""
    return jnp.reshape(values, jnp.shape(values) + (1,) * (jnp.ndim(x) - 1))


def sum_over_first(values: Array) -> Array:
    """Add up along the first axis, channels mostly: a product, since XLA is slow with sums."""
    ones = jnp.ones(len(values), values.dtype)
    return jnp.tensordot(ones, values, 1, precision=jax.lax.Precision.HIGHEST)


def common_channels(layer: Bijection, *parts: Any) -> int | None:
    """Number of channels of a layer with such parts; None where no part tells.

    Parameters
    ----------
    layer : Bijection
    *parts : Bijection or array of shape (..., C)

    Returns
    -------
    n_channels : int or None

    Raises
    ------
    ValueError
        If the parts are for different numbers of channels.
    """

    def count(part):
        if part is None or isinstance(part, Bijection):  # None where it was taken out
            return part and part._n_channels
        return (np.shape(part) or (1,))[-1]

    counts = list(map(count, parts))
    told = {count for count in counts if count is not None}
    if len(told) > 1:
        raise ValueError(
            f"The parts of {type(layer).__name__} must have one number of channels, got {counts}."
        )
    return told.pop() if told else None


def no_log_det(x: Array) -> Array:
    """Return a log-determinant of zero at every position of `x`."""
    return jnp.zeros(jnp.shape(x)[1:], jnp.result_type(x, float))


class Bijection(Module):
    """An invertible map of events, with the logarithm of its Jacobian determinant.

    An event is a vector of shape (C,) or a feature map of shape (C, H, W). For a map the same
    layer is applied at every position, and the layer itself adds up the log-determinant over
    the H*W positions. Batches go through ``jax.vmap``.

    A subclass implements two methods for arrays of shape ``(C, *positions)``, any number of
    trailing axes: ``_forward(x) -> (z, log_det)`` and ``_inverse(z) -> (x, log_det)``, whose
    ``log_det`` has the shape of the positions. A table of rows is then one wide feature map,
    ``rows.T``, which is how the estimators evaluate a layer on many rows at once.

    A subclass may also define the property ``_n_channels``, of which None, the default, means
    any: the methods below then refuse events with another number. ``_forward`` and ``_inverse``
    check nothing.

    Examples
    --------
    >>> import jax
    >>> import jax.numpy as jnp
    >>> from skgauss.bijections import ActNorm, Bijection
    >>> layer = ActNorm.init(3)
    >>> isinstance(layer, Bijection)
    True
    >>> jax.vmap(layer.transform)(jnp.ones((5, 3))).shape  # a batch of vectors
    (5, 3)
    >>> _, per_vector = layer.transform_and_log_det(jnp.ones(3))
    >>> _, per_map = layer.transform_and_log_det(jnp.ones((3, 2, 4)))  # 8 positions
    >>> round(float(per_map / per_vector), 3)
    8.0
    """

    def _forward(self, x: Array) -> tuple[Array, Array]:
        raise TypeError(f"{type(self).__name__} does not define _forward")

    def _inverse(self, z: Array) -> tuple[Array, Array]:
        raise TypeError(f"{type(self).__name__} does not define _inverse")

    def _log_density(self, x: Array) -> Array:
        """Log-density of every position, latents being independent standard normals."""
        z, log_det = self._forward(x)
        return log_det - 0.5 * sum_over_first(z**2 + math.log(2 * math.pi))

    @property
    def _n_channels(self) -> int | None:
        return None

    def _event(self, x):
        """Return `x` as an array; refuse one with another number of channels than the layer's."""
        x, n = jnp.asarray(x), self._n_channels
        if n is not None and x.shape[:1] != (n,):
            raise ValueError(
                f"{type(self).__name__} with C = {n} takes an event of shape ({n},) or "
                f"({n}, H, W), got shape {x.shape}. Batches go through jax.vmap."
            )
        return x

    def _summed(self, of_positions, x):
        """Add up what a layer says of every position of an event."""
        if jnp.shape(of_positions) != x.shape[1:]:
            raise ValueError(
                f"{type(self).__name__} must give a log_det of shape {x.shape[1:]}, one for every "
                f"position of an event of shape {x.shape}, got shape {jnp.shape(of_positions)}."
            )
        return jnp.sum(of_positions)

    def transform(self, x: Array) -> Array:
        """Map an event.

        Parameters
        ----------
        x : array of shape (C,) or (C, H, W)

        Returns
        -------
        z : array of the same shape

        Raises
        ------
        ValueError
            If the layer has another number of channels.
        """
        return self._forward(self._event(x))[0]

    def transform_and_log_det(self, x: Array) -> tuple[Array, Array]:
        """Map an event, and give ``log|det dz/dx|``.

        Parameters
        ----------
        x : array of shape (C,) or (C, H, W)

        Returns
        -------
        z : array of the same shape
        log_det : array of shape ()
            In nats, summed over the positions of a feature map.
        """
        x = self._event(x)
        z, log_det = self._forward(x)
        return z, self._summed(log_det, x)

    def log_density(self, x: Array) -> Array:
        """Log-density of an event whose latents are independent standard normals.

        Parameters
        ----------
        x : array of shape (C,) or (C, H, W)

        Returns
        -------
        log_density : array of shape ()
            In nats, summed over the positions of a feature map.

        Raises
        ------
        ValueError
            If the layer has another number of channels.

        Examples
        --------
        >>> import jax
        >>> from skgauss.bijections import ActNorm
        >>> rows = 100 + 7 * jax.random.normal(jax.random.key(0), (500, 2))
        >>> layer = ActNorm.from_data(rows)
        >>> log_density = jax.vmap(layer.log_density)(rows)
        >>> round(float(log_density.mean()), 1)  # -2 log(7) - log(2 pi) - 1
        -6.7
        """
        x = self._event(x)
        return self._summed(self._log_density(x), x)

    def inverse(self, z: Array) -> Array:
        """Map an event back.

        Parameters
        ----------
        z : array of shape (C,) or (C, H, W)

        Returns
        -------
        x : array of the same shape
        """
        return self._inverse(self._event(z))[0]

    def inverse_and_log_det(self, z: Array) -> tuple[Array, Array]:
        """Map an event back, and give ``log|det dx/dz|``.

        Parameters
        ----------
        z : array of shape (C,) or (C, H, W)

        Returns
        -------
        x : array of the same shape
        log_det : array of shape ()
            In nats: minus the forward map's at `x`.
        """
        z = self._event(z)
        x, log_det = self._inverse(z)
        return x, self._summed(log_det, z)

    def astype(self, dtype) -> Self:
        """Cast every floating array of the layer, fixed ones included.

        Parameters
        ----------
        dtype : dtype
            ``float32`` or ``float64`` (the latter under ``jax.enable_x64``).

        Returns
        -------
        bijection : Bijection
            The same map in the other precision, with NumPy arrays.

        Raises
        ------
        ValueError
            If `dtype` is not a floating one.
        """
        if not jnp.issubdtype(dtype, jnp.floating):
            raise ValueError(f"dtype must be a floating one, got {dtype!r}.")

        def cast(leaf):
            leaf = np.asarray(leaf)
            return leaf.astype(dtype) if np.issubdtype(leaf.dtype, np.floating) else leaf

        params, held = partition(self)
        return combine(jax.tree.map(cast, params), [cast(value) for value in held])


@register
class Chain(Bijection):
    """Apply bijections one after the other; their log-determinants add.

    Cost and invertibility are those of the parts.

    Parameters
    ----------
    bijections : tuple of Bijection
        In the order of `transform`.

    Raises
    ------
    TypeError
        If one of them is none.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from skgauss.bijections import ActNorm, Chain, Permutation
    >>> chain = Chain((ActNorm.init(2), Permutation(jnp.array([1, 0]))))
    >>> z, log_det = chain.transform_and_log_det(jnp.array([1.0, 2.0]))
    >>> [round(value, 3) for value in z.tolist()], round(float(log_det), 3)
    ([2.885, 1.443], 0.733)
    """

    bijections: tuple[Bijection, ...]

    def __post_init__(self):
        if isinstance(self.bijections, Bijection) or not isinstance(self.bijections, Iterable):
            raise TypeError(f"bijections must be a tuple of Bijection, got {self.bijections!r}.")
        parts = tuple(self.bijections)
        for i, part in enumerate(parts):
            if not isinstance(part, Bijection):
                raise TypeError(f"bijections[{i}] must be a Bijection, got {part!r}.")
        object.__setattr__(self, "bijections", parts)

    @property
    def _n_channels(self):
        return common_channels(self, *self.bijections)

    def _forward(self, x):
        log_det = no_log_det(x)
        for bijection in self.bijections:
            x, increment = bijection._forward(x)
            log_det = log_det + increment
        return x, log_det

    def _log_density(self, x):
        if not self.bijections:
            return super()._log_density(x)
        *before, last = self.bijections
        z, log_det = Chain(tuple(before))._forward(x)
        return log_det + last._log_density(z)

    def _inverse(self, z):
        log_det = no_log_det(z)
        for bijection in reversed(self.bijections):
            z, increment = bijection._inverse(z)
            log_det = log_det + increment
        return z, log_det
