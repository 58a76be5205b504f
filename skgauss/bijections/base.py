"""What every trainable layer is: the `Bijection` contract, `Chain`, and what is held fixed.

A layer is a frozen dataclass registered as a JAX pytree. Its fields are of three kinds:

- *trainable* (the default): arrays or further modules; the leaves of the pytree;
- *fixed* (`fixed`): arrays that no optimiser may touch, such as a permutation; they are not
  leaves, so neither a gradient nor weight decay reaches them;
- *static* (`static`): plain configuration, part of the type as far as JAX is concerned.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import Any, ClassVar, Self, TypeVar, dataclass_transform

import jax
import jax.numpy as jnp
import numpy as np

__all__ = ["Bijection", "Chain", "Module", "combine", "fixed", "partition", "register", "static"]

Array = Any
M = TypeVar("M", bound="Module")


def fixed(**kwargs) -> Any:
    """Dataclass field for arrays that are part of the map but never trained.

    Examples
    --------
    >>> from skgauss.bijections.base import Bijection, fixed, register
    >>> @register
    ... class Shift(Bijection):
    ...     offset: float = fixed()
    >>> import jax
    >>> jax.tree.leaves(Shift(3.0))  # nothing to train
    []
    """
    return dataclasses.field(metadata={"kind": "fixed"}, **kwargs)


def static(**kwargs) -> Any:
    """Dataclass field for hashable configuration.

    Examples
    --------
    >>> from skgauss.bijections.base import Bijection, register, static
    >>> @register
    ... class Power(Bijection):
    ...     exponent: int = static()
    >>> import jax
    >>> jax.tree.structure(Power(2)) == jax.tree.structure(Power(3))  # another type to JAX
    False
    """
    return dataclasses.field(metadata={"kind": "static"}, **kwargs)


class _Fixed:
    """A fixed array as pytree metadata: compared by value, so that ``jit`` can key on it."""

    def __init__(self, value):
        self.value = value

    def __eq__(self, other):
        (mine, structure), (others, other_structure) = self._flat(), other._flat()
        return structure == other_structure and all(map(np.array_equal, mine, others))

    def __hash__(self):
        leaves, structure = self._flat()
        return hash((*(leaf.tobytes() for leaf in leaves), structure))

    def _flat(self):
        """Arrays, of which there are several where a whole module is held fixed."""
        leaves, structure = jax.tree.flatten(self.value)
        return list(map(np.asarray, leaves)), structure


def _fields(module_type: type, kind: str) -> tuple[str, ...]:
    fields: tuple[dataclasses.Field, ...] = dataclasses.fields(module_type)
    return tuple(f.name for f in fields if f.metadata.get("kind", "trainable") == kind)


def _assembled(module_type, values):
    """Make a module of what its fields hold, which its ``__post_init__`` need not accept."""
    module = object.__new__(module_type)
    module.__dict__.update(values)
    return module


@dataclass_transform(frozen_default=True, eq_default=False, field_specifiers=(fixed, static))
def register(module_type: type[M]) -> type[M]:
    """Make a class a frozen dataclass and a JAX pytree (class decorator).

    Examples
    --------
    >>> import jax
    >>> import jax.numpy as jnp
    >>> from skgauss.bijections.base import Bijection, broadcast_channels, register
    >>> @register
    ... class Shift(Bijection):
    ...     offset: jax.Array
    ...
    ...     def _forward(self, x):
    ...         return x + broadcast_channels(self.offset, x), jnp.zeros(x.shape[1:])
    ...
    ...     def _inverse(self, z):
    ...         return z - broadcast_channels(self.offset, z), jnp.zeros(z.shape[1:])
    >>> layer = Shift(jnp.array([1.0, -1.0]))
    >>> jax.grad(lambda layer: layer.transform(jnp.zeros(2)).sum())(layer).offset.tolist()
    [1.0, 1.0]
    """
    module_type = dataclasses.dataclass(frozen=True, eq=False, repr=False)(module_type)
    module_type._registered = module_type
    trainable = _fields(module_type, "trainable")
    held, config = _fields(module_type, "fixed"), _fields(module_type, "static")

    def metadata(module):
        return (
            tuple(_Fixed(getattr(module, name)) for name in held),
            tuple(getattr(module, name) for name in config),
        )

    def flatten(module):
        return tuple(getattr(module, name) for name in trainable), metadata(module)

    def flatten_with_keys(module):
        keys = map(jax.tree_util.GetAttrKey, trainable)
        children = (getattr(module, name) for name in trainable)
        return tuple(zip(keys, children, strict=True)), metadata(module)

    def unflatten(aux, children):
        fixed_values = (f.value for f in aux[0])
        names, values = (*trainable, *held, *config), (*children, *fixed_values, *aux[1])
        return _assembled(module_type, dict(zip(names, values, strict=True)))

    jax.tree_util.register_pytree_with_keys(module_type, flatten_with_keys, unflatten, flatten)
    return module_type


class Module:
    """A node of the parameter tree: a bijection or a part of one.

    Examples
    --------
    >>> from skgauss.bijections import MLP, ActNorm
    >>> from skgauss.bijections.base import Module
    >>> issubclass(MLP, Module), issubclass(ActNorm, Module)
    (True, True)
    >>> ActNorm.init(3)  # arrays by what they are like
    ActNorm(loc=float32[3], log_scale=float32[3])
    """

    _registered: ClassVar[Any] = None  # the class that `register` was told of

    def __repr__(self):
        if self._registered is not type(self):
            return super().__repr__()
        told = (f"{f.name}={_told(getattr(self, f.name))}" for f in dataclasses.fields(self))  # type: ignore[arg-type]
        return f"{type(self).__name__}({', '.join(told)})"


def _told(value):
    """Representation of what a module holds; an array's dtype and shape stand for it."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{value.dtype}{list(value.shape)}"
    if type(value) is tuple:
        return f"({', '.join(map(_told, value))}{',' * (len(value) == 1)})"
    return repr(value)


def _map_fixed(node, function):
    """Rebuild `node` with `function` applied to every fixed array, in a stable order."""
    if not isinstance(node, Module):  # an array, or a container that may hold modules

        def map_inner(leaf):
            return _map_fixed(leaf, function) if isinstance(leaf, Module) else leaf

        return jax.tree.map(map_inner, node, is_leaf=lambda leaf: isinstance(leaf, Module))
    cls = type(node)
    if node._registered is not cls:
        raise TypeError(
            f"{cls.__name__} must be decorated with skgauss.bijections.base.register, which tells "
            "JAX what it holds."
        )
    held = {name: _map_frozen(getattr(node, name), function) for name in _fields(cls, "fixed")}
    config = {name: getattr(node, name) for name in _fields(cls, "static")}
    inner = {name: _map_fixed(getattr(node, name), function) for name in _fields(cls, "trainable")}
    return _assembled(cls, held | config | inner)


def _map_frozen(value, function):
    """Apply `function` to what is held fixed: an array, or every array of a whole module."""
    if not isinstance(value, Module):
        return function(value)
    cls = type(value)
    held = {name: _map_frozen(getattr(value, name), function) for name in _fields(cls, "fixed")}
    config = {name: getattr(value, name) for name in _fields(cls, "static")}
    inner = {
        name: jax.tree.map(
            lambda leaf: _map_frozen(leaf, function),
            getattr(value, name),
            is_leaf=lambda leaf: leaf is None or isinstance(leaf, Module),
        )
        for name in _fields(cls, "trainable")
    }
    return _assembled(cls, held | config | inner)


def partition(module: M) -> tuple[M, list[Array]]:
    """Split a module into its trainable part and its fixed arrays.

    A jitted function that takes the two apart is compiled once for a configuration, whatever
    the values held fixed; `combine` puts them together again.

    Parameters
    ----------
    module : Module
        Any layer.

    Returns
    -------
    params : Module
        The same module with ``None`` in place of every fixed array.
    held : list of arrays
        The fixed arrays.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.bijections import Permutation
    >>> from skgauss.bijections.base import combine, partition
    >>> params, held = partition(Permutation(np.array([1, 0])))
    >>> params.permutation is None, held
    (True, [array([1, 0])])
    >>> combine(params, held).transform(np.array([3.0, 4.0])).tolist()
    [4.0, 3.0]
    """
    held: list[Array] = []

    def take(value):
        held.append(value)

    return _map_fixed(module, take), held


def combine(params: M, held: list[Array]) -> M:
    """Undo `partition`.

    Parameters
    ----------
    params : Module
        A module whose fixed arrays were taken out.
    held : list of arrays
        These arrays, in the order in which `partition` returned them.

    Returns
    -------
    module : Module
        The whole module.

    Raises
    ------
    ValueError
        If there are more or fewer arrays than were taken out.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.bijections import Permutation, combine, partition
    >>> params, held = partition(Permutation(np.array([2, 0, 1])))
    >>> combine(params, held).permutation.tolist()
    [2, 0, 1]
    """
    remaining = list(held)[::-1]

    def give(_):
        if not remaining:
            raise ValueError(
                f"{type(params).__name__} holds more fixed arrays than the {len(held)} given."
            )
        return remaining.pop()

    module = _map_fixed(params, give)
    if remaining:
        raise ValueError(
            f"{type(params).__name__} holds fewer fixed arrays than the {len(held)} given."
        )
    return module


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
        *before, last = self.bijections
        z, log_det = Chain(tuple(before))._forward(x)
        return log_det + last._log_density(z)

    def _inverse(self, z):
        log_det = no_log_det(z)
        for bijection in reversed(self.bijections):
            z, increment = bijection._inverse(z)
            log_det = log_det + increment
        return z, log_det
