"""The network that turns one half of the channels into the parameters for the other half."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from skgauss.bijections._arguments import layer_sizes
from skgauss.bijections.base import Array, Module, broadcast_channels, on_device, register
from skgauss.bijections.elementary import silu
from skgauss.bijections.random import generator

__all__ = ["MLP", "remoteness", "weight_decay_mask"]

_INPUT_BOUND = 6.0
_FADE_INPUT = 8.0
_MAX_INPUT = 1e3  # its eighth power is finite in float32


@register
class MLP(Module):
    """Multi-layer perceptron over the channels, applied at every position.

    Inputs are squashed to (-6, 6) by ``6 tanh(x / 6)``, near the identity for standardised
    values, so that a far outlier meets the network where it was trained. The last layer
    starts at zero. Without inputs the network is its last bias: an unconditional parameter.

    Parameters
    ----------
    weights : tuple of arrays of shape (n_out, n_in)
    biases : tuple of arrays of shape (n_out,)

    Examples
    --------
    >>> import jax
    >>> from skgauss.bijections import MLP
    >>> network = MLP.init(jax.random.key(0), 2, 3, hidden_layer_sizes=(16,))
    >>> network(jax.numpy.ones(2)).tolist()
    [0.0, 0.0, 0.0]
    """

    weights: tuple[Array, ...]
    biases: tuple[Array, ...]

    @classmethod
    def init(
        cls, key: Array, n_inputs: int, n_outputs: int, *, hidden_layer_sizes: tuple[int, ...]
    ) -> MLP:
        """Draw hidden layers after He et al. (2015) and set the last layer to zero.

        Parameters
        ----------
        key : JAX random key or numpy.random.Generator
        n_inputs, n_outputs : int
        hidden_layer_sizes : tuple of int
            Units per hidden layer.

        Returns
        -------
        network : MLP

        Raises
        ------
        ValueError
            If a number of units is no positive integer.
        """
        rng = generator(key)
        sizes = (n_inputs, *layer_sizes(hidden_layer_sizes)) if n_inputs else (0,)
        hidden = [
            rng.standard_normal((n_out, n_in)) * np.sqrt(2 / n_in)
            for n_in, n_out in itertools.pairwise(sizes)
        ]
        weights = (*hidden, np.zeros((n_outputs, sizes[-1])))
        biases = (np.zeros(len(weight)) for weight in weights)
        return cls(tuple(map(on_device, weights)), tuple(map(on_device, biases)))

    @property
    def n_inputs(self) -> int:
        """Number of channels that the network reads."""
        return np.shape(self.weights[0])[-1]

    @property
    def n_outputs(self) -> int:
        """Number of channels that it returns."""
        return np.shape(self.biases[-1])[-1]

    def __call__(self, x: Array, divisor: Array = 1.0) -> Array:
        """Evaluate the network.

        Parameters
        ----------
        x : array of shape (n_inputs, ...)
        divisor : array of shape (...), default=1
            Of the outputs at every position.

        Returns
        -------
        y : array of shape (n_outputs, ...)
        """
        h = _INPUT_BOUND * jnp.tanh(x / _INPUT_BOUND)
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            h = jnp.tensordot(weight, h, 1)
            h = silu(h + broadcast_channels(bias, h))
        # The last bias is a weight of a one, and few hidden units are divided, not many outputs.
        weight = jnp.concatenate([self.weights[-1], self.biases[-1][:, None]], axis=1)
        one = jnp.ones((1, *h.shape[1:]), h.dtype)
        return jnp.tensordot(weight, jnp.concatenate([h, one]) / divisor, 1)


def remoteness(x: Array) -> Array:
    """Tell rows far from where a network was trained: near 0 within 5, beyond 1 from 8 on.

    Parameters
    ----------
    x : array of shape (n_inputs, ...)
        The network's inputs, standardised.

    Returns
    -------
    remoteness : array of shape (...)
        ``sum_i (x_i / 8)^8``, smooth.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from skgauss.bijections.conditioner import remoteness
    >>> [round(float(r), 3) for r in remoteness(jnp.array([[3.0, 8.0, 16.0]]))]
    [0.0, 1.0, 256.0]
    """
    return jnp.sum((jnp.clip(x, -_MAX_INPUT, _MAX_INPUT) / _FADE_INPUT) ** 8, axis=0)


def weight_decay_mask(params: Any) -> Any:
    """Mark what weight decay applies to: the weights of the conditioners, nothing else.

    Parameters
    ----------
    params : pytree of layers

    Returns
    -------
    mask : pytree of bool
        Of the structure of `params`, as ``optax.add_decayed_weights`` takes it.

    Examples
    --------
    >>> import jax
    >>> from skgauss.bijections import AffineCoupling
    >>> from skgauss.bijections.conditioner import weight_decay_mask
    >>> coupling = AffineCoupling.init(jax.random.key(0), 4, hidden_layer_sizes=(8,))
    >>> mask = weight_decay_mask(coupling)
    >>> mask.conditioner.weights, mask.conditioner.biases
    ((True, True), (False, False))
    """

    def is_weight(path, _):
        return any(getattr(entry, "name", None) == "weights" for entry in path)

    return jax.tree_util.tree_map_with_path(is_weight, params)
