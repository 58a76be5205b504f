"""One update of a flow whose trainable parameters are one vector: what training compiles.

A vector in place of many arrays makes the optimiser, the moving average and the exchange between
threads one operation each. What is compiled depends on the flow's configuration and on the size
of a part of the batch alone.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from skgauss._compilation import jit
from skgauss.bijections.base import Bijection, combine, partition
from skgauss.bijections.conditioner import weight_decay_mask

__all__ = [
    "Layout",
    "TrainingState",
    "gradient_and_log_density",
    "log_density",
    "start_state",
    "update",
    "with_parameters",
]

_CLIP_NORM = 10.0
_adam = optax.chain(optax.clip_by_global_norm(_CLIP_NORM), optax.scale_by_adam())


class TrainingState(NamedTuple):
    """What training carries on from, and what a warm start needs.

    Attributes
    ----------
    params : array of shape (n_parameters,)
        The trainable part of the flow, flat: one vector in place of many arrays.
    average : array of shape (n_parameters,)
        Exponential moving average of `params`.
    optimizer : pytree
        State of the optax optimiser.

    Examples
    --------
    >>> from skgauss.bijections import ActNorm
    >>> from skgauss.training_step import start_state
    >>> state = start_state(ActNorm.init(3))
    >>> state.params.shape  # a location and a scale per channel
    (6,)
    """

    params: Any
    average: Any
    optimizer: Any

    @classmethod
    def at(cls, vector: np.ndarray) -> TrainingState:
        """Return the state in which training from these parameters starts.

        Examples
        --------
        >>> import numpy as np
        >>> from skgauss.training_step import TrainingState
        >>> TrainingState.at(np.ones(2, np.float32)).average.tolist()
        [1.0, 1.0]
        """
        shapes = jax.eval_shape(_adam.init, vector)  # the optimiser's zeros, nothing compiled
        zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
        return cls(np.array(vector), np.array(vector), zeros)


class Layout(NamedTuple):
    """How a vector of parameters becomes the trainable part of a flow; hashable.

    Attributes
    ----------
    structure : jax.tree_util.PyTreeDef
    shapes : tuple of tuple of int
    decayed : tuple of bool
        For which arrays weight decay is.

    Examples
    --------
    >>> from skgauss.bijections import ActNorm
    >>> from skgauss.training_step import Layout
    >>> Layout.of(ActNorm.init(3)).shapes
    ((3,), (3,))
    """

    structure: Any
    shapes: tuple[tuple[int, ...], ...]
    decayed: tuple[bool, ...]

    @classmethod
    def of(cls, template: Any) -> Layout:
        """Return the layout of a flow, or of its trainable part."""
        leaves, structure = jax.tree.flatten(template)
        decayed = jax.tree.leaves(weight_decay_mask(template))
        return cls(structure, tuple(map(np.shape, leaves)), tuple(decayed))

    @property
    def sizes(self) -> list[int]:
        """Number of parameters in every array."""
        return [math.prod(shape) for shape in self.shapes]

    def unflatten(self, vector):
        """Cut a vector into the arrays of the flow."""
        if len(vector) != sum(self.sizes):
            raise ValueError(
                f"The flow has {sum(self.sizes)} trainable parameters, the state of its training "
                f"is for {len(vector)}: training can only carry on with the same layers."
            )
        parts = jnp.split(vector, np.cumsum(self.sizes)[:-1])
        pairs = zip(parts, self.shapes, strict=True)
        return self.structure.unflatten([part.reshape(shape) for part, shape in pairs])

    def decay_mask(self, dtype):
        """Vector of ones where weight decay applies and zeros elsewhere."""
        return np.repeat(np.array(self.decayed, dtype), self.sizes)


#: Accelerators would round what float32 multiplies.
_whole_products = partial(jax.default_matmul_precision, "highest")


def _negative_log_likelihood(params, held, x, weight):
    """Weighted sum of minus the log-densities of the rows of `x`, of shape (C, B), and these."""
    z, log_det = combine(params, held)._forward(x)
    log_density = log_det - 0.5 * jnp.sum(z**2 + math.log(2 * math.pi), axis=0)
    return -jnp.sum(jnp.where(weight > 0, weight * log_density, 0)), log_density


@partial(jit, static_argnums=0)
def log_density(layout: Layout, vector: Any, held: Any, x: Any, weight: Any) -> tuple[Any]:
    """Compute the log-density of every row, compiled.

    Parameters
    ----------
    layout, vector, held, x, weight
        As in `gradient_and_log_density`.

    Returns
    -------
    log_density : array of shape (n,)
        In nats, in a tuple.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.bijections import ActNorm
    >>> from skgauss.bijections.base import partition
    >>> from skgauss.training_step import Layout, log_density, start_state
    >>> template, held = partition(ActNorm.identity(1))
    >>> state, x = start_state(template), np.zeros((1, 2), np.float32)
    >>> inputs = Layout.of(template), state.params, held, x, np.ones(2, np.float32)
    >>> log_density(*inputs)[0].round(3).tolist()  # -log(2 pi) / 2
    [-0.919..., -0.919...]
    """
    with _whole_products():
        return (_negative_log_likelihood(layout.unflatten(vector), held, x, weight)[1],)


@partial(jit, static_argnums=0)
def gradient_and_log_density(
    layout: Layout, vector: Any, held: Any, x: Any, weight: Any
) -> tuple[Any, Any, Any]:
    """Compute log-densities, minus their weighted sum, and its gradient, compiled.

    Parameters
    ----------
    layout : Layout
    vector : array of shape (n_parameters,)
    held : list of array
        What is not trained, as `skgauss.bijections.base.partition` gives it.
    x : array of shape (C, n)
    weight : array of shape (n,)

    Returns
    -------
    log_density : array of shape (n,)
        In nats.
    loss : array of shape ()
    gradient : array of shape (n_parameters,)

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.bijections import ActNorm
    >>> from skgauss.bijections.base import partition
    >>> from skgauss.training_step import Layout, gradient_and_log_density, start_state
    >>> template, held = partition(ActNorm.identity(1))
    >>> state, x = start_state(template), np.zeros((1, 2), np.float32)
    >>> inputs = Layout.of(template), state.params, held, x, np.ones(2, np.float32)
    >>> _, loss, gradient = gradient_and_log_density(*inputs)
    >>> loss.round(3).tolist(), gradient.shape  # log(2 pi)
    (1.838..., (2,))
    """
    likelihood = jax.value_and_grad(_negative_log_likelihood, has_aux=True)
    with _whole_products():
        (loss, log_density), gradient = likelihood(layout.unflatten(vector), held, x, weight)
    flat = jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(gradient)])
    return log_density, loss, flat


@partial(jax.jit, static_argnums=0, donate_argnums=1)
def update(
    layout: Layout, state: TrainingState, gradients: Any, rate: Any, averaging: Any, alpha: Any
) -> TrainingState:
    """Make one step of Adam with decoupled weight decay, and of the moving average, compiled.

    Parameters
    ----------
    layout : Layout
    state : TrainingState
        Its memory goes to the state that is returned.
    gradients : sequence of array of shape (n_parameters,)
        Of the parts of a batch; they are added in this order, and the sum is clipped.
    rate : float
        Learning rate.
    averaging : float
        Weight of the average so far.
    alpha : float
        Strength of weight decay.

    Returns
    -------
    state : TrainingState

    References
    ----------
    Kingma & Ba (2015), Adam, arXiv:1412.6980; Loshchilov & Hutter (2019), Decoupled weight decay
    regularization, arXiv:1711.05101.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.bijections import ActNorm
    >>> from skgauss.training_step import Layout, start_state, update
    >>> flow = ActNorm.init(1)
    >>> gradient = np.array([0.0, 2.0], np.float32)
    >>> state = update(Layout.of(flow), start_state(flow), [gradient], 0.1, 0.5, 0.0)
    >>> state.params.round(3).tolist()
    [0.0, -0.1...]
    """
    updates, optimizer = _adam.update(sum(gradients), state.optimizer)
    decay = alpha * layout.decay_mask(state.params.dtype) * state.params
    params = state.params - rate * (updates + decay)
    return TrainingState(params, averaging * state.average + (1 - averaging) * params, optimizer)


def start_state(flow: Bijection, dtype: Any = np.float32) -> TrainingState:
    """Return the state in which training of `flow` starts.

    Raises
    ------
    ValueError
        If nothing in it is trainable.

    Examples
    --------
    >>> from skgauss.bijections import ActNorm
    >>> from skgauss.training_step import start_state
    >>> start_state(ActNorm.init(2)).average.tolist()
    [0.0, 0.0, 0.0, 0.0]
    """
    leaves = jax.tree.leaves(flow)
    if not leaves:
        raise ValueError(
            f"flow must have trainable parameters, got a {type(flow).__name__} of none."
        )
    params = np.concatenate([np.ravel(leaf) for leaf in leaves]).astype(dtype)
    with jax.enable_x64(np.dtype(dtype) == np.float64):
        return TrainingState.at(params)


def with_parameters(flow: Bijection, vector: np.ndarray) -> Bijection:
    """Return `flow` with the trainable parameters in `vector`, as float64 NumPy arrays.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.bijections import ActNorm
    >>> from skgauss.training_step import with_parameters
    >>> with_parameters(ActNorm.init(2), np.array([5.0, 6.0, 0.0, 0.0])).loc.tolist()
    [5.0, 6.0]
    """
    template, held = partition(flow)
    leaves, structure = jax.tree.flatten(template)
    parts = np.split(np.asarray(vector, np.float64), np.cumsum([np.size(leaf) for leaf in leaves]))
    shaped = [part.reshape(np.shape(leaf)) for part, leaf in zip(parts, leaves, strict=False)]
    return combine(jax.tree.unflatten(structure, shaped), [np.asarray(value) for value in held])
