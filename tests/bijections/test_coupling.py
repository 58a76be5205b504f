"""Couplings: how they start, what they may read, and the hand-written gradient."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from skgauss.bijections import (
    MLP,
    AffineCoupling,
    MixtureCDFCoupling,
    RationalQuadraticSplineCoupling,
)
from skgauss.bijections.conditioner import weight_decay_mask
from skgauss.bijections.trainable_spline import (
    _evaluate,
    n_spline_parameters,
    spline_forward,
    spline_inverse,
)
from tests.registry import build, quick_jit

COUPLINGS = [AffineCoupling, RationalQuadraticSplineCoupling, MixtureCDFCoupling]
RNG = np.random.default_rng(0)
BOUND = 4.0


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("n_channels", [1, 2, 5])
@pytest.mark.parametrize("cls", COUPLINGS)
def test_start(cls, n_channels):
    """The identity, or for the mixture the same increasing map of every transformed channel."""
    layer = cls.init(jax.random.key(0), n_channels)
    rows = np.tile(np.linspace(-6, 6, 41)[:, None], (1, n_channels))
    z, log_det = quick_jit(jax.vmap(layer.transform_and_log_det))(rows)
    if layer.starts_at_identity:
        np.testing.assert_allclose(z, rows, atol=1e-12)
        np.testing.assert_allclose(log_det, 0, atol=1e-12)
    else:
        np.testing.assert_allclose(z, rows, atol=0.5)
        assert (np.diff(z, axis=0) > 0).all()


@pytest.mark.parametrize("name", [cls.__name__ for cls in COUPLINGS])
def test_jacobian_is_block_triangular(name):
    layer = build(name, 5, np.float64)
    jacobian = np.asarray(quick_jit(jax.jacrev(layer.transform))(RNG.normal(size=5)))
    n_identity = 2
    conditioned, own = jacobian[n_identity:, :n_identity], jacobian[:n_identity]
    assert np.abs(conditioned).min() > 0  # every transformed channel listens
    np.testing.assert_array_equal(own - np.diag(np.diag(own[:, :2]), 0) @ np.eye(2, 5), 0)
    free = jacobian[n_identity:, n_identity:]
    np.testing.assert_array_equal(free, np.diag(np.diag(free)))
    assert (np.diag(jacobian) > 0).all()


@pytest.mark.parametrize("name", [cls.__name__ for cls in COUPLINGS])
def test_slope_stays_sane_for_a_far_conditioner(name):
    """What conditions is squashed: a far row meets the network where it was trained."""
    layer = build(name, 2, np.float64)
    near, far = (quick_jit(layer.transform)(np.array([value, 0.5])) for value in (60.0, 1e12))
    np.testing.assert_allclose(near[1], far[1], rtol=1e-6)


def test_affine_log_scale_is_bounded():
    layer = AffineCoupling.init(jax.random.key(0), 2, log_scale_bound=2.0)
    biases = (*layer.conditioner.biases[:-1], jnp.array([1e6, 0.0]))
    wild = dataclasses.replace(layer.conditioner, biases=biases)
    layer = dataclasses.replace(layer, conditioner=wild)
    _, log_det = layer.transform_and_log_det(np.array([0.3, 1.0]))
    assert float(log_det) == pytest.approx(2.0)


def test_network_starts_at_zero_and_squashes_its_inputs():
    network = MLP.init(jax.random.key(0), 3, 4, hidden_layer_sizes=(8, 8))
    np.testing.assert_array_equal(network(RNG.normal(size=3)), np.zeros(4))
    weights = (*network.weights[:-1], jnp.ones((4, 8)))
    awake = dataclasses.replace(network, weights=weights)
    far, farther = (np.asarray(awake(np.array([x, 0.0, -x]))) for x in (1e3, 1e300))
    assert np.abs(far).max() > 0
    np.testing.assert_allclose(far, farther)


def test_network_without_inputs_is_its_bias():
    network = MLP.init(jax.random.key(0), 0, 3, hidden_layer_sizes=(8,))
    network = dataclasses.replace(network, biases=(jnp.arange(3.0),))
    np.testing.assert_array_equal(network(np.zeros((0, 7))), np.tile(np.arange(3.0)[:, None], 7))


def test_weight_decay_is_for_weights_of_conditioners_only():
    layer = build("GlowStack-lu-spline", 3, np.float64)
    mask = weight_decay_mask(layer)
    conditioner = mask.steps.coupling.conditioner
    assert all(conditioner.weights)
    n_weights = len(conditioner.weights)
    assert sum(jax.tree.leaves(mask)) == n_weights


def spline_inputs(n_bins, n_rows=400):
    """Parameters of one spline per value, and values in every bin, at the knots and outside."""
    params = 1.5 * RNG.normal(size=(n_spline_parameters(n_bins), 2, n_rows))
    x = RNG.uniform(-1.3 * BOUND, 1.3 * BOUND, (2, n_rows))
    x[:, :4] = [-BOUND, BOUND, 1e6, -1e6]
    return params, x


@pytest.mark.parametrize("n_bins", [1, 2, 8])
def test_hand_written_gradient_is_that_of_autodiff(n_bins):
    params, x = spline_inputs(n_bins)
    cotangents = RNG.normal(size=(2, *x.shape))

    def pull_back(function):
        return quick_jit(lambda *args: jax.vjp(function, *args)[1](tuple(cotangents)))(params, x)

    by_hand = pull_back(lambda p, x: spline_forward(p, x, BOUND))
    plain = pull_back(lambda p, x: _evaluate(p, x, BOUND)[0])
    for mine, its in zip(by_hand, plain, strict=True):
        np.testing.assert_allclose(mine, its, rtol=1e-9, atol=1e-10)


def test_hand_written_gradient_adds_up_over_shared_parameters():
    params, x = spline_inputs(4)
    shared = params[:, :, :1]

    def total(function):
        return quick_jit(jax.grad(lambda p: sum(map(jnp.sum, function(p, x)))))(shared)

    by_hand = total(lambda p, x: spline_forward(p, x, BOUND))
    plain = total(lambda p, x: _evaluate(p, x, BOUND)[0])
    np.testing.assert_allclose(by_hand, plain, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("size", [0.0, 1.0, 5.0, 1e3])
def test_spline_increases_and_comes_back_for_any_parameters(size):
    params = np.tile(size * RNG.normal(size=(n_spline_parameters(8), 3, 1)), (1, 1, 300))
    x = np.tile(np.linspace(-1.2 * BOUND, 1.2 * BOUND, 300), (3, 1))
    y, log_slope = spline_forward(params, x, BOUND)
    assert (np.diff(y, axis=1) > 0).all()
    back, inverse_log_slope = spline_inverse(params, y, BOUND)
    conditioning = 1e-13 * (1 + np.exp(-np.asarray(log_slope)))
    assert (np.abs(back - x) < 1e-9 + conditioning).all()
    np.testing.assert_allclose(inverse_log_slope, -log_slope, atol=1e-5)


def mixture(seed):
    """Mixture coupling of one channel, of random components."""
    layer = MixtureCDFCoupling.init(jax.random.key(0), 1, n_components=5)
    bias = 2 * np.random.default_rng(seed).normal(size=15)
    network = dataclasses.replace(layer.conditioner, biases=(bias,))
    return dataclasses.replace(layer, conditioner=network)


@pytest.mark.parametrize("seed", range(5))
def test_mixture_inverse_solves_to_1e_10(seed):
    layer = mixture(seed)
    z = np.concatenate([np.linspace(-30, 30, 201), [-1e6, 1e6]])[None]
    x, _ = layer._inverse(z)
    reached, _ = layer._forward(x)
    np.testing.assert_allclose(reached, z, rtol=1e-10, atol=1e-10)


def test_mixture_inverse_leaves_a_cycle_of_newton():
    """Whose iterates go to and fro between two values that are both in the bracket."""
    biases = 2 * np.random.default_rng(0).standard_normal(24)
    layer = MixtureCDFCoupling(MLP((np.zeros((24, 0)),), (biases,)), 3.0, 8)
    x = jnp.linspace(-1.73, -1.70, 61)[None]
    z, _ = layer._forward(x)
    np.testing.assert_allclose(layer._inverse(z)[0], x, atol=1e-9)


def test_mixture_inverse_keeps_its_digits_in_a_wide_bracket():
    biases = np.random.default_rng(0).standard_normal((3, 8))
    biases[1] *= 1000
    layer = MixtureCDFCoupling(MLP((np.zeros((24, 0)),), (biases.ravel(),)), 3.0, 8)
    z = jnp.linspace(-3, 3, 601)[None]
    x, _ = layer._inverse(z)
    np.testing.assert_allclose(layer._forward(x)[0], z, atol=1e-10)


def test_mixture_inverse_has_the_implicit_gradient():
    layer, z = mixture(1), np.array([0.7])
    inverse, transform = (
        quick_jit(jax.value_and_grad(lambda x, f=f: f(x)[0]))
        for f in (layer.inverse, layer.transform)
    )
    x, slope = inverse(z)
    forward = transform(x[None])[1]
    assert float(slope[0] * forward[0]) == pytest.approx(1, abs=1e-9)


def test_mixture_tails_are_those_of_the_widest_component():
    layer = mixture(2)
    _, _, log_scales = layer._components(layer._params(jnp.zeros((0,)), 1))
    for x in (-1e6, 1e6):
        _, log_det = layer.transform_and_log_det(np.array([x]))
        assert float(log_det) == pytest.approx(-float(log_scales.max()), abs=1e-6)


@pytest.mark.slow
def test_derivatives_of_the_mixture_inverse_are_right_at_every_order():
    layer, step = mixture(1), 1e-4

    def inverse(bias, z):
        network = dataclasses.replace(layer.conditioner, biases=(bias,))
        return dataclasses.replace(layer, conditioner=network).inverse(z[None])[0]

    bias, z = layer.conditioner.biases[0], jnp.array(0.7)
    along, derivative = jnp.zeros_like(bias).at[7].set(1.0), inverse
    for differentiate in (jax.grad, jax.jacfwd, jax.grad):
        lower, derivative = derivative, differentiate(derivative, argnums=1)
        slope = quick_jit(lower)
        expected = (slope(bias, z + step) - slope(bias, z - step)) / (2 * step)
        assert float(quick_jit(derivative)(bias, z)) == pytest.approx(float(expected), rel=1e-6)
    mixed = quick_jit(jax.grad(jax.grad(inverse, argnums=1)))(bias, z) @ along
    slope = quick_jit(jax.grad(inverse, argnums=1))
    expected = (slope(bias + step * along, z) - slope(bias - step * along, z)) / (2 * step)
    assert float(mixed) == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [pytest.param(np.float32, 1e-6, marks=pytest.mark.slow), (np.float64, 1e-14)],
)
def test_mixture_slope_keeps_its_digits_far_out(dtype, tolerance):
    x = np.concatenate([sign * np.logspace(-1, 8, 28) for sign in (-1, 1)])
    with jax.enable_x64(dtype == np.float64):
        layer = mixture(0).astype(dtype)
        slopes = jax.vmap(jax.grad(lambda x: layer.transform(x[None])[0]))(x.astype(dtype))
        _, log_slopes = layer._forward(jnp.asarray(x[None], dtype))
    np.testing.assert_allclose(log_slopes, np.log(slopes), rtol=0, atol=tolerance)


def test_mixture_slope_between_remote_components_does_not_vanish():
    """At 0, where the densities of both are below what single precision holds."""
    layer = MixtureCDFCoupling.init(jax.random.key(0), 1, n_components=2)
    bias = np.array([0.3, 0.0, -30.0, 25.0, -2.0, -2.0])
    network = dataclasses.replace(layer.conditioner, biases=(bias,))
    layer = dataclasses.replace(layer, conditioner=network)
    _, expected = layer.transform_and_log_det(np.zeros(1))
    with jax.enable_x64(False):
        _, log_det = layer.astype(np.float32).transform_and_log_det(np.zeros(1))
    assert float(expected) < -90
    assert float(log_det) == pytest.approx(float(expected), rel=1e-6)
