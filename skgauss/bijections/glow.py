"""The Glow step and a stack of them."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from skgauss.bijections._arguments import is_own, whole
from skgauss.bijections._batch import positions_and_weight
from skgauss.bijections.actnorm import ActNorm
from skgauss.bijections.base import (
    Array,
    Bijection,
    Chain,
    combine,
    common_channels,
    on_device,
    partition,
    register,
    static,
)
from skgauss.bijections.conditioner import MLP
from skgauss.bijections.conv1x1 import Invertible1x1Conv
from skgauss.bijections.coupling import (
    AffineCoupling,
    MixtureCDFCoupling,
    RationalQuadraticSplineCoupling,
)
from skgauss.bijections.random import generator
from skgauss.bijections.rotation import (
    CayleyRotation,
    FixedRotation,
    HouseholderRotation,
    Permutation,
)

__all__ = ["COUPLINGS", "MIXERS", "GlowStack", "GlowStep"]

_FEW_STEPS = 2  # are compiled one after the other: sooner than as a loop

MIXERS: Mapping[str, Any] = {
    "lu": Invertible1x1Conv,
    "rotation": FixedRotation,
    "householder": HouseholderRotation,
    "cayley": CayleyRotation,
    "permutation": Permutation,
}
COUPLINGS: Mapping[str, Any] = {
    "spline": RationalQuadraticSplineCoupling,
    "affine": AffineCoupling,
    "mixture": MixtureCDFCoupling,
}


def _starts_from_key(cls, kwargs):
    try:
        inspect.signature(cls.init).bind(None, 1, **kwargs)
    except (AttributeError, TypeError):
        return False
    return True


def _made(table, name, what, rng, n_channels, kwargs):
    """A layer of the class of that name, or of the class that is given instead of one."""
    kwargs = kwargs or {}
    layer = _lookup(table, name, what, kwargs).init(rng, n_channels, **kwargs)
    if is_own(name):
        _check_own(layer, n_channels)
    return layer


def _check_own(layer, n_channels):
    """Refuse a layer that would be trained in what is no number, or to a density that is none."""
    params, _ = partition(layer)
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        dtype = jnp.result_type(leaf)
        if not jnp.issubdtype(dtype, jnp.inexact):
            raise ValueError(
                f"{type(layer).__name__}{jax.tree_util.keystr(path)} holds {dtype}: training moves "
                "all that is not declared as fixed()."
            )
    rows = jax.ShapeDtypeStruct((n_channels, 3), jnp.result_type(float))
    jax.eval_shape(lambda x: layer._summed(layer._forward(x)[1], x), rows)


def _lookup(table, name, what, kwargs):
    """The class of that name, or the class that is given instead of one."""
    if is_own(name):
        for known, cls in table.items():
            if name is cls:
                raise ValueError(f"{what}={name!r} goes by its name, {known!r}.")
        if not (issubclass(name, Bijection) and _starts_from_key(name, kwargs)):
            further = "".join(f", {argument}" for argument in kwargs)
            raise ValueError(
                f"{what}={name!r} must derive from Bijection and have a class method "
                f"init(key, n_channels{further})."
            )
        return name
    if name not in table:
        raise ValueError(
            f"{what} must be one of {sorted(table)} or a class derived from Bijection, "
            f"got {name!r}."
        )
    return table[name]


def _name(table, layer):
    """What a table calls the class of a layer; the class itself if it is not in it."""
    return next((name for name, cls in table.items() if type(layer) is cls), type(layer))


@register
class GlowStep(Bijection):
    """ActNorm, then a mixer of the channels, then a coupling.

    Cost and invertibility are those of the parts.

    Parameters
    ----------
    actnorm : ActNorm
    mixer : Bijection
        For example `Invertible1x1Conv`; anything that mixes channels fits.
    coupling : Bijection

    References
    ----------
    Kingma & Dhariwal (2018), Glow, section 3 and figure 2a, arXiv:1807.03039.

    Examples
    --------
    >>> import jax
    >>> from skgauss.bijections import GlowStep
    >>> step = GlowStep.init(jax.random.key(0), 4)
    >>> x = jax.numpy.arange(4.0)
    >>> bool(jax.numpy.allclose(step.inverse(step.transform(x)), x, atol=1e-5))
    True
    """

    actnorm: ActNorm
    mixer: Bijection
    coupling: Bijection

    @classmethod
    def init(
        cls,
        key: Array,
        n_channels: int,
        *,
        actnorm: ActNorm | None = None,
        mixer: str | type[Bijection] = "lu",
        mixer_kwargs: Mapping[str, Any] | None = None,
        coupling: str | type[Bijection] = "spline",
        coupling_kwargs: Mapping[str, Any] | None = None,
    ) -> GlowStep:
        """Start without data.

        Parameters
        ----------
        key : JAX random key or numpy.random.Generator
        n_channels : int
        actnorm : ActNorm, default=None
            None means ``ActNorm.init``.
        mixer : {"lu", "rotation", "householder", "cayley", "permutation"} or class, default="lu"
            A class of your own derives from `Bijection` and has a class method
            ``init(key, n_channels)``; its key is a numpy.random.Generator.
        mixer_kwargs : mapping, default=None
            Further arguments of the mixer's ``init``.
        coupling : {"spline", "affine", "mixture"} or class, default="spline"
        coupling_kwargs : mapping, default=None
            Further arguments of the coupling's ``init``.

        Returns
        -------
        step : GlowStep

        Raises
        ------
        ValueError
            If `mixer` or `coupling` is neither one of the names above nor such a class, or if its
            layers train what is no floating-point number, or have a log_det of another shape.
        """
        rng = generator(key)
        return cls(
            actnorm or ActNorm.init(n_channels),
            _made(MIXERS, mixer, "mixer", rng, n_channels, mixer_kwargs),
            _made(COUPLINGS, coupling, "coupling", rng, n_channels, coupling_kwargs),
        )

    @property
    def _chain(self):
        return Chain((self.actnorm, self.mixer, self.coupling))

    @property
    def _n_channels(self):
        return common_channels(self, self.actnorm, self.mixer, self.coupling)

    def _forward(self, x):
        return self._chain._forward(x)

    def _inverse(self, z):
        return self._chain._inverse(z)

    def _fitted_to(self, x, weight):
        """Return this step with what depends on data taken from the activations `x`."""
        step = dataclasses.replace(self, actnorm=ActNorm._from_positions(x, weight))
        if isinstance(self.mixer, FixedRotation):
            normalised, _ = step.actnorm._forward(x)
            step = dataclasses.replace(step, mixer=self.mixer._turned_to(normalised, weight))
        return step


@jax.jit
def _fit_steps(params, held, x, weight):
    """Fit stacked steps, given in two parts, to `x` of shape (C, *positions), one by one."""

    def fit_step(x, step_parts):
        step = combine(*step_parts)._fitted_to(x, weight)
        x, _ = Chain((step.actnorm, step.mixer))._forward(x)
        ours = type(step.coupling) in COUPLINGS.values()  # a subclass may start otherwise
        if not (ours and step.coupling.starts_at_identity):
            x, _ = step.coupling._forward(x)
        return x, partition(step)

    return jax.lax.scan(fit_step, x, (params, held))[1]


@functools.cache  # JAX compiles a scan once for a function, not for what one does
def _applied(method, *, stored):
    """One step's method as a scan takes it; with all stored that its gradient needs, or not."""

    def apply(carry, step_parts):
        x, log_det = carry
        x, increment = getattr(combine(*step_parts), method)(x)
        return (x, log_det + increment), None

    if stored:
        return apply
    # To store all of every step costs more than it saves.
    products = jax.checkpoint_policies.dots_with_no_batch_dims_saveable
    return jax.checkpoint(apply, policy=products)


@register
class GlowStack(Bijection):
    """K Glow steps, run by a scan, so that compile time does not grow with K.

    Cost and invertibility are those of the steps.

    Parameters
    ----------
    steps : GlowStep
        One step whose every array has a leading axis of length `n_steps`.
    n_steps : int
        Static.

    References
    ----------
    Kingma & Dhariwal (2018), Glow, section 3.1 for the data-dependent initialisation,
    arXiv:1807.03039.

    Examples
    --------
    >>> import jax
    >>> from skgauss.bijections import GlowStack
    >>> batch = 100 + jax.random.normal(jax.random.key(1), (500, 3))
    >>> stack = GlowStack.from_data(jax.random.key(0), batch, n_steps=4)
    >>> z = jax.vmap(stack.transform)(batch)
    >>> bool(abs(z.mean()) < 1e-3), bool(abs(z.std() - 1) < 1e-3)
    (True, True)
    """

    steps: GlowStep
    n_steps: int = static()

    @classmethod
    def init(cls, key: Array, n_channels: int, *, n_steps: int, **step_kwargs: Any) -> GlowStack:
        """Start without data.

        Parameters
        ----------
        key : JAX random key or numpy.random.Generator
        n_channels, n_steps : int
        **step_kwargs
            Further arguments of `GlowStep.init`.

        Returns
        -------
        stack : GlowStack

        Raises
        ------
        ValueError
            If `n_steps` is no positive integer.
        """
        rng, n_steps = generator(key), whole("n_steps", n_steps)
        steps = [GlowStep.init(rng, n_channels, **step_kwargs) for _ in range(n_steps)]
        params, held = zip(*map(partition, steps), strict=True)
        stacked = jax.tree.map(lambda *leaves: on_device(np.stack(leaves)), *params)
        return cls(
            combine(stacked, [np.stack(values) for values in zip(*held, strict=True)]), n_steps
        )

    @classmethod
    def from_data(
        cls,
        key: Array,
        batch: Array,
        sample_weight: Array | None = None,
        *,
        n_steps: int,
        **step_kwargs: Any,
    ) -> GlowStack:
        """Initialise every step from the activations that reach it.

        Every ActNorm standardises them, and every `FixedRotation` turns to their principal
        axes, or stays as random as it is where they have none.

        Parameters
        ----------
        key : JAX random key or numpy.random.Generator
        batch : array of shape (n, C) or (n, C, H, W)
        sample_weight : array of shape (n,), default=None
            Not negative, some of them positive.
        n_steps : int
        **step_kwargs
            Further arguments of `GlowStep.init`.

        Returns
        -------
        stack : GlowStack

        Raises
        ------
        ValueError
            If the batch is empty or not finite, `sample_weight` is not as above, or `n_steps` is no
            positive integer.
        """
        # In NumPy: nothing is compiled for what is done once.
        x, weight = positions_and_weight(np.asarray(batch), sample_weight)
        stack = cls.init(key, len(x), n_steps=n_steps, **step_kwargs)
        return stack._fitted_to(x, np.broadcast_to(weight, x.shape[1:]))

    @property
    def configuration(self) -> dict[str, Any]:
        """What the steps are made of, by the names that `skgauss.GlowGaussianizer` gives it."""
        coupling: Any = self.steps.coupling
        found = {
            "n_steps": self.n_steps,
            "mixer": _name(MIXERS, self.steps.mixer),
            "coupling": _name(COUPLINGS, coupling),
        }
        if is_own(found["coupling"]):
            return found
        if found["coupling"] == "spline":
            found["n_bins"] = (coupling.identity_spline.params.shape[1] + 1) // 3
        conditioner = getattr(coupling, "conditioner", None)
        if not isinstance(conditioner, MLP):
            return found
        if found["coupling"] == "mixture":
            n_channels = self.steps.actnorm.loc.shape[-1]
            n_transformed = n_channels - n_channels // 2
            found["n_bins"] = conditioner.n_outputs // (3 * n_transformed)
        if conditioner.n_inputs:  # a single channel asks no network
            found["hidden_layer_sizes"] = tuple(bias.shape[1] for bias in conditioner.biases[:-1])
        return found

    @property
    def _n_channels(self):
        return self.steps.actnorm._n_channels

    def _dtype(self, x):
        """What the steps promote `x` to."""
        return jnp.result_type(x, *jax.tree.leaves(self.steps))

    def _fitted_to(self, x, weight):
        """Return this stack with every step fitted to the activations that reach it."""
        x = x.astype(self._dtype(x))  # that of what every step makes of it
        params, held = _fit_steps(*partition(self.steps), x, weight.astype(x.dtype))
        return GlowStack(combine(params, held), self.n_steps)

    def _scan(self, x, method, *, reverse):
        params, held = partition(self.steps)
        arrays = jax.tree.map(jnp.asarray, (params, held))
        x = x.astype(self._dtype(x))
        start = (x, jnp.zeros(x.shape[1:], x.dtype))
        few = self.n_steps <= _FEW_STEPS and not reverse
        apply = _applied(method, stored=few)
        length = self.n_steps
        return jax.lax.scan(apply, start, arrays, length, reverse=reverse, unroll=few)[0]

    def _forward(self, x):
        return self._scan(x, "_forward", reverse=False)

    def _inverse(self, z):
        return self._scan(z, "_inverse", reverse=True)
