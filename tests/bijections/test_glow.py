"""The stack: data-dependent start, the scan, and a compilation that does not grow."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from skgauss.bijections import (
    AffineCoupling,
    Chain,
    ElementwiseAffine,
    FixedRotation,
    GlowStack,
    GlowStep,
    combine,
    partition,
)
from skgauss.bijections.base import register
from skgauss.bijections.glow import COUPLINGS, MIXERS
from tests.registry import build, quick_jit

SMALL = {"coupling_kwargs": {"hidden_layer_sizes": (4,)}}
RNG = np.random.default_rng(0)
BATCH = (RNG.normal(size=(500, 3)) ** 3 @ RNG.normal(size=(3, 3)) + 100).astype(np.float32)


def steps_of(stack):
    """The steps of a stack, one by one."""
    params, held = partition(stack.steps)
    return [
        combine(jax.tree.map(lambda leaf, i=i: leaf[i], params), [value[i] for value in held])
        for i in range(stack.n_steps)
    ]


def activations(stack, rows):
    """What reaches each mixer: the output of every step's ActNorm, of shape (C, n)."""
    x = jnp.asarray(rows).T
    for step in steps_of(stack):
        x, _ = step.actnorm._forward(x)
        yield np.asarray(x)
        x, _ = step.coupling._forward(step.mixer._forward(x)[0])


@pytest.mark.parametrize(
    ("mixer", "coupling"),
    [
        *((mixer, "affine") for mixer in MIXERS),
        *(pytest.param("lu", c, marks=pytest.mark.slow) for c in ("spline", "mixture")),
    ],
)
def test_every_step_starts_from_standardised_activations(mixer, coupling):
    stack = GlowStack.from_data(
        jax.random.key(0), BATCH, n_steps=4, mixer=mixer, coupling=coupling, **SMALL
    )
    for reached in activations(stack, BATCH):
        np.testing.assert_allclose(reached.mean(axis=1), 0, atol=1e-3)
        np.testing.assert_allclose(reached.std(axis=1), 1, atol=1e-3)


@register
class Elsewhere(AffineCoupling):
    """A subclass that does not start at the identity, as the class that it derives from does."""

    def _forward(self, x):
        z, log_det = super()._forward(x)
        return z + 5, log_det


def test_a_subclass_of_a_coupling_may_start_anywhere():
    stack = GlowStack.from_data(jax.random.key(0), BATCH, n_steps=3, coupling=Elsewhere)
    for reached in activations(stack, BATCH):
        np.testing.assert_allclose(reached.mean(axis=1), 0, atol=1e-3)


def test_rotation_mixers_turn_to_the_principal_axes():
    stack = GlowStack.from_data(
        jax.random.key(0), BATCH, n_steps=2, mixer="rotation", coupling="affine", **SMALL
    )
    first = steps_of(stack)[0]
    assert isinstance(first.mixer, FixedRotation)
    z, _ = first.mixer._forward(next(activations(stack, BATCH)))
    covariance = np.cov(z)
    np.testing.assert_allclose(covariance, np.diag(np.diag(covariance)), atol=1e-3)


def test_start_from_feature_maps_is_that_from_their_pixels():
    maps = BATCH.reshape(20, 5, 5, 3).transpose(0, 3, 1, 2)
    fits = [
        GlowStack.from_data(jax.random.key(0), batch, n_steps=2, coupling="affine", **SMALL)
        for batch in (maps, BATCH)
    ]
    for mine, its in zip(*map(jax.tree.leaves, fits), strict=True):
        np.testing.assert_allclose(mine, its, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("n_channels", [1, 3])
def test_a_stack_tells_what_it_is_made_of(n_channels):
    kwargs = {"hidden_layer_sizes": (5, 4), "n_bins": 6}
    made = {"n_steps": 2, "mixer": "cayley", "coupling": "spline"}
    stack = GlowStack.init(jax.random.key(0), n_channels, **made, coupling_kwargs=kwargs)
    asked = {**made, **kwargs}
    if n_channels == 1:  # there is no network
        del asked["hidden_layer_sizes"]
    assert stack.configuration == asked


def test_a_stack_names_the_classes_of_layers_that_it_does_not_know():
    stack = GlowStack.init(jax.random.key(0), 3, n_steps=2, **SMALL)
    custom = ElementwiseAffine(np.zeros((2, 3)), np.zeros((2, 3)))
    steps = dataclasses.replace(stack.steps, mixer=custom, coupling=custom)
    stack = dataclasses.replace(stack, steps=steps)
    own = {"mixer": ElementwiseAffine, "coupling": ElementwiseAffine}
    assert stack.configuration == {"n_steps": 2, **own}
    assert stack.transform(np.zeros(3)).shape == (3,)


@pytest.mark.parametrize("n_steps", [0, -1])
def test_a_stack_without_steps_is_refused(n_steps):
    with pytest.raises(ValueError, match=f"n_steps must be an integer, at least 1, got {n_steps}"):
        GlowStack.init(jax.random.key(0), 3, n_steps=n_steps)


def test_weight_zero_is_absence_at_the_start():
    weight = (np.arange(500) < 300).astype(np.float32)
    padded = np.where(weight[:, None] > 0, BATCH, 1e4)
    fits = [
        GlowStack.from_data(jax.random.key(0), *rows, n_steps=2, coupling="affine", **SMALL)
        for rows in ((padded, weight), (BATCH[:300],))
    ]
    for mine, its in zip(*map(jax.tree.leaves, fits), strict=True):
        np.testing.assert_allclose(mine, its, rtol=1e-2, atol=1e-3)


def test_scan_is_the_chain_of_the_steps():
    with jax.enable_x64(True):
        stack = build("GlowStack-lu-spline", 3, np.float64)
        chain, x = Chain(tuple(steps_of(stack))), RNG.normal(size=(3, 20))
        for method in ("_forward", "_inverse"):
            outputs = [quick_jit(getattr(layer, method))(x) for layer in (stack, chain)]
            for mine, its in zip(*outputs, strict=True):
                np.testing.assert_allclose(mine, its, rtol=1e-10, atol=1e-10)


def n_equations(jaxpr):
    """Equations of a jaxpr, those of its inner ones included."""
    inner = (p for eqn in jaxpr.eqns for p in jax.tree.leaves(tuple(eqn.params.values())))
    jaxprs = [getattr(p, "jaxpr", p) for p in inner if hasattr(p, "eqns") or hasattr(p, "jaxpr")]
    return len(jaxpr.eqns) + sum(map(n_equations, jaxprs))


def test_compilation_does_not_grow_with_the_number_of_steps():
    def size(n_steps):
        stack = GlowStack.init(jax.random.key(0), 3, n_steps=n_steps, coupling="affine", **SMALL)
        loss = jax.grad(lambda stack, x: jnp.sum(stack.transform(x)))
        return n_equations(jax.make_jaxpr(loss)(stack, jnp.zeros(3)).jaxpr)

    assert size(2) < size(3) == size(32)  # two are not worth a loop that computes twice


def test_rotations_of_white_activations_stay_random():
    """They have no principal axes: what rounding makes of them could be a permutation."""
    white = np.sqrt(3) * np.concatenate([np.eye(3), -np.eye(3)])
    with jax.enable_x64(True):
        stack = GlowStack.from_data(
            np.random.default_rng(0), white, n_steps=3, mixer="rotation", **SMALL
        )
    start = GlowStack.init(np.random.default_rng(0), 3, n_steps=3, mixer="rotation", **SMALL)
    np.testing.assert_allclose(stack.steps.mixer.rotation, start.steps.mixer.rotation, atol=1e-6)


def test_steps_start_differently():
    stack = GlowStack.init(jax.random.key(0), 3, n_steps=2, **SMALL)
    first, second = steps_of(stack)
    assert np.abs(first.mixer.weight - second.mixer.weight).max() > 0.1


@pytest.mark.parametrize("given", [{"mixer": "fft"}, {"coupling": "cubic"}])
def test_unknown_names_are_refused_with_the_known_ones(given):
    (name, value), table = *given.items(), MIXERS if "mixer" in given else COUPLINGS
    with pytest.raises(ValueError, match=f"{name} must be one of .*got '{value}'") as caught:
        GlowStep.init(jax.random.key(0), 3, **given)
    assert all(known in str(caught.value) for known in table)
