"""What a layer is to JAX: a frozen dataclass that is a node of a pytree, and what it holds.

Its fields are of three kinds:

- *trainable* (the default): arrays or further modules; the leaves of the pytree;
- *fixed* (`fixed`): arrays, or whole modules, that no optimiser may touch, such as a permutation;
  they are not leaves, so neither a gradient nor weight decay reaches them;
- *static* (`static`): plain configuration, part of the type as far as JAX is concerned.
"""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, TypeVar, dataclass_transform

import jax
import numpy as np

__all__ = ["Module", "combine", "fixed", "partition", "register", "static"]

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


def _map_fixed(node, function, *, frozen=False):
    """Rebuild `node` with `function` applied to every fixed array, in a stable order.

    An array is fixed by its own field, or by that of a module which holds it: `frozen`.
    """
    if not isinstance(node, Module):  # an array, or a container that may hold modules

        def map_inner(leaf):
            if isinstance(leaf, Module):
                return _map_fixed(leaf, function, frozen=frozen)
            return function(leaf) if frozen else leaf

        def is_leaf(inner):  # None stands for a fixed array that was taken out
            return isinstance(inner, Module) or (frozen and inner is None)

        return jax.tree.map(map_inner, node, is_leaf=is_leaf)
    cls = type(node)
    if node._registered is not cls:
        raise TypeError(
            f"{cls.__name__} must be decorated with skgauss.bijections.base.register, which tells "
            "JAX what it holds."
        )
    values = {name: getattr(node, name) for name in _fields(cls, "static")}
    for kind, of_kind in (("fixed", True), ("trainable", frozen)):
        for name in _fields(cls, kind):
            values[name] = _map_fixed(getattr(node, name), function, frozen=of_kind)
    return _assembled(cls, values)


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
