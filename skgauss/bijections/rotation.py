"""Mixers with a log-determinant of zero: rotations, reflections, permutations."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from skgauss.bijections._arguments import check_orthogonal, check_permutation, whole
from skgauss.bijections._batch import positions_and_weight
from skgauss.bijections.base import (
    Array,
    Bijection,
    common_channels,
    fixed,
    no_log_det,
    on_device,
    register,
)
from skgauss.bijections.random import generator, random_rotation

__all__ = ["CayleyRotation", "FixedRotation", "HouseholderRotation", "Permutation"]


class _Orthogonal(Bijection):
    """A map ``z = Q x`` with an orthogonal Q, whose inverse is the transpose."""

    @property
    def matrix(self) -> Array:
        raise TypeError(f"{type(self).__name__} does not define matrix")

    def _forward(self, x):
        return jnp.tensordot(self.matrix, x, 1), no_log_det(x)

    def _inverse(self, z):
        return jnp.tensordot(self.matrix.T, z, 1), no_log_det(z)


def _principal_axes(x, weight):
    """Variances, increasing, and axes, as rows in the opposite order, of `x`: (C, *positions)."""
    columns, weight = x.reshape(len(x), -1), weight.reshape(-1) / jnp.sum(weight)
    centred = columns - (columns @ weight)[:, None]
    variance, axes = jnp.linalg.eigh((centred * weight) @ centred.T)
    axes = axes.T[::-1]
    leading = jnp.take_along_axis(axes, jnp.argmax(jnp.abs(axes), 1)[:, None], 1)
    return variance, axes * jnp.sign(leading)


@register
class FixedRotation(_Orthogonal):
    """Orthogonal map that is not trained, ``z = Q x``.

    Map and inverse (by the transpose) cost O(C^2); the log-determinant is 0.

    Parameters
    ----------
    rotation : array of shape (C, C)
        Fixed. Orthogonal.

    Raises
    ------
    ValueError
        If it is not orthogonal.

    References
    ----------
    Laparra, Camps-Valls & Malo (2011), Iterative Gaussianization: from ICA to random
    rotations, IEEE Transactions on Neural Networks 22(4), arXiv:1602.00229.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from skgauss.bijections import FixedRotation
    >>> layer = FixedRotation.from_data(jnp.array([[1.0, 1.0], [-1.0, -1.0], [0.1, -0.1]]))
    >>> z = layer.transform(jnp.array([1.0, 1.0]))  # along the first axis
    >>> [round(abs(value), 2) for value in z.tolist()]
    [1.41, 0.0]
    """

    rotation: Array = fixed()

    def __post_init__(self):
        check_orthogonal("rotation", self.rotation)

    @classmethod
    def init(cls, key: Array, n_channels: int) -> FixedRotation:
        """Draw a random rotation.

        Parameters
        ----------
        key : JAX random key or numpy.random.Generator
        n_channels : int

        Returns
        -------
        layer : FixedRotation
        """
        n_channels = whole("n_channels", n_channels)
        return cls(on_device(random_rotation(generator(key), n_channels)))

    @classmethod
    def from_data(cls, batch: Array, sample_weight: Array | None = None) -> FixedRotation:
        """Rotate to the principal axes of a batch, in the order of decreasing variance.

        Parameters
        ----------
        batch : array of shape (n, C) or (n, C, H, W)
        sample_weight : array of shape (n,), default=None
            Not negative, some of them positive.

        Returns
        -------
        layer : FixedRotation

        Raises
        ------
        ValueError
            If the batch is empty or not finite, or `sample_weight` is not as above.
        """
        positions, weight = positions_and_weight(jnp.asarray(batch), sample_weight)
        return cls._from_positions(positions, jnp.broadcast_to(weight, positions.shape[1:]))

    @classmethod
    def _from_positions(cls, x: Array, weight: Array) -> FixedRotation:
        """Principal axes of `x` of shape (C, *positions) under weights of the positions."""
        return cls(_principal_axes(x, weight)[1])

    @property
    def _n_channels(self):
        return common_channels(self, self.rotation)

    def _turned_to(self, x: Array, weight: Array) -> FixedRotation:
        """To the principal axes, or this rotation where `x` is white and has none."""
        variance, axes = _principal_axes(x, weight)
        rounding = jnp.sqrt(jnp.finfo(x.dtype).eps) * variance[-1]
        is_white = variance[-1] - variance[0] <= rounding
        return FixedRotation(jnp.where(is_white, self.rotation, axes))

    @property
    def matrix(self) -> Array:
        """The orthogonal matrix Q, of shape (C, C)."""
        return self.rotation


def _reflected(x, unit):
    """One reflection, as a scan takes it; not inside another function, so that it compiles once."""
    along = jnp.tensordot(unit, x, 1)
    return x - 2 * jnp.tensordot(unit, along, 0), None


@register
class HouseholderRotation(Bijection):
    """Product of m trainable reflections of the channels.

    ``z = H_m ... H_1 x`` with ``H_i = I - 2 v_i v_i^T / |v_i|^2``. Every reflection is its own
    inverse, so the map is invertible for any ``v_i`` other than 0. Map and inverse cost O(m C),
    in a scan over the reflections; the log-determinant is 0.

    Parameters
    ----------
    vectors : array of shape (m, C)
        The normals of the reflections, of any length.

    References
    ----------
    Tomczak & Welling (2016), Improving variational auto-encoders using Householder flow,
    section 3, arXiv:1611.09630.

    Examples
    --------
    >>> import jax
    >>> from skgauss.bijections import HouseholderRotation
    >>> layer = HouseholderRotation.init(jax.random.key(0), 3)
    >>> x = jax.numpy.array([1.0, 2.0, 2.0])
    >>> round(float(jax.numpy.linalg.norm(layer.transform(x))), 5)
    3.0
    """

    vectors: Array

    @classmethod
    def init(
        cls, key: Array, n_channels: int, *, n_reflections: int | None = None
    ) -> HouseholderRotation:
        """Draw distinct random reflections.

        Parameters
        ----------
        key : JAX random key or numpy.random.Generator
        n_channels : int
        n_reflections : int, default=None
            ``None`` means as many as channels: enough for any orthogonal matrix of their
            parity.

        Returns
        -------
        layer : HouseholderRotation

        Raises
        ------
        ValueError
            If a number is no integer, or negative.
        """
        n_channels = whole("n_channels", n_channels)
        if n_reflections is None:
            n_reflections = n_channels
        shape = whole("n_reflections", n_reflections, 0), n_channels
        return cls(on_device(generator(key).standard_normal(shape)))

    @property
    def _n_channels(self):
        return common_channels(self, self.vectors)

    def _units(self):
        """Normals of length 1; their squares neither underflow nor overflow on the way."""
        vectors = jnp.asarray(self.vectors)
        largest = jnp.max(jnp.abs(vectors), axis=-1, keepdims=True)
        scaled = vectors / jax.lax.stop_gradient(largest)  # whatever it is: they have no length
        return scaled / jnp.linalg.norm(scaled, axis=-1, keepdims=True)

    def _reflect(self, x, *, reverse):
        x = x.astype(jnp.result_type(x, self.vectors))
        return jax.lax.scan(_reflected, x, self._units(), reverse=reverse)[0]

    def _forward(self, x):
        return self._reflect(x, reverse=False), no_log_det(x)

    def _inverse(self, z):
        return self._reflect(z, reverse=True), no_log_det(z)


@register
class CayleyRotation(_Orthogonal):
    """Trainable rotation in the Cayley form, ``Q = (I - A)^-1 (I + A)``, A skew-symmetric.

    Every rotation without the eigenvalue -1 has this form, with C (C - 1) / 2 parameters;
    ``I - A`` is always invertible. The map costs one solve, O(C^3), whatever the number of
    positions, plus O(C^2) each; the log-determinant is 0.

    Parameters
    ----------
    skew : array of shape (C, C)
        ``A = S - S^T`` for the part S of `skew` above the diagonal; the rest is not read.

    References
    ----------
    Cayley (1846), Sur quelques propriétés des déterminants gauches; Helfrich, Willmott & Ye
    (2018), Orthogonal recurrent neural networks with scaled Cayley transform,
    arXiv:1707.09520.

    Examples
    --------
    >>> import jax
    >>> from skgauss.bijections import CayleyRotation
    >>> layer = CayleyRotation.init(jax.random.key(0), 3)
    >>> bool(jax.numpy.allclose(layer.matrix @ layer.matrix.T, jax.numpy.eye(3), atol=1e-6))
    True
    """

    skew: Array

    @classmethod
    def init(cls, key: Array, n_channels: int) -> CayleyRotation:
        """Draw a random rotation.

        Parameters
        ----------
        key : JAX random key or numpy.random.Generator
        n_channels : int

        Returns
        -------
        layer : CayleyRotation
        """
        n_channels = whole("n_channels", n_channels)
        normal = generator(key).standard_normal((n_channels, n_channels))
        return cls(on_device(np.triu(normal, 1) / np.sqrt(n_channels)))

    @property
    def _n_channels(self):
        return common_channels(self, self.skew)

    @property
    def matrix(self) -> Array:
        """The orthogonal matrix Q, of shape (C, C)."""
        upper = jnp.triu(self.skew, 1)
        skew, eye = upper - upper.T, jnp.eye(len(upper), dtype=upper.dtype)
        return jnp.linalg.solve(eye - skew, eye + skew)


@register
class Permutation(Bijection):
    """Fixed permutation of the channels, ``z = x[permutation]``, as in RealNVP.

    Map and inverse cost O(C); the log-determinant is 0.

    Parameters
    ----------
    permutation : array of int of shape (C,)
        Fixed. Every integer from 0 to C - 1 once.

    Raises
    ------
    ValueError
        If it does not hold them.

    References
    ----------
    Dinh, Sohl-Dickstein & Bengio (2017), Density estimation using Real NVP, section 3.5,
    arXiv:1605.08803.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from skgauss.bijections import Permutation
    >>> Permutation(jnp.array([2, 0, 1])).transform(jnp.array([5.0, 6.0, 7.0])).tolist()
    [7.0, 5.0, 6.0]
    """

    permutation: Array = fixed()

    def __post_init__(self):
        check_permutation(self.permutation)
        if isinstance(self.permutation, list | tuple):
            object.__setattr__(self, "permutation", np.asarray(self.permutation))

    @classmethod
    def init(cls, key: Array, n_channels: int) -> Permutation:
        """Draw a random permutation.

        Parameters
        ----------
        key : JAX random key or numpy.random.Generator
        n_channels : int

        Returns
        -------
        layer : Permutation
        """
        return cls(on_device(generator(key).permutation(whole("n_channels", n_channels))))

    @property
    def _n_channels(self):
        return common_channels(self, self.permutation)

    def _forward(self, x):
        return x[self.permutation], no_log_det(x)

    def _inverse(self, z):
        return z[jnp.argsort(self.permutation)], no_log_det(z)
