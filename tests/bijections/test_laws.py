"""The laws that every layer obeys, over the registry."""

from __future__ import annotations

import dataclasses
import functools
import pickle
import re
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import skops.io
from scipy.stats import norm

import skgauss.bijections
from skgauss.bijections import (
    ActNorm,
    Bijection,
    Chain,
    FixedRotation,
    GlowStack,
    GlowStep,
    Permutation,
    combine,
    partition,
)
from skgauss.bijections.base import fixed, register
from tests.registry import BIJECTIONS, BOUND, CASES, build, quick_jit

FAR = 1e6
TOLERANCE = {np.float64: 1e-9, np.float32: 2e-3}

COVERED_BY_THE_OTHER_STACK = {name for name in BIJECTIONS if name.startswith("GlowStack")} - {
    "GlowStack-lu-spline"
}
ONE_EACH = [case for case in CASES if case[1] == 3 and case[0] not in COVERED_BY_THE_OTHER_STACK]


def _quick(cases):
    """Cases as parameters; a mixture compiles long, and has tests of its own."""
    slow = {"FixedMixture": pytest.mark.slow}
    return [pytest.param(case, id=_name(case), marks=slow.get(case[0], [])) for case in cases]


def _name(case):
    return f"{case[0]}-C{case[1]}"


every_case = pytest.mark.parametrize("case", _quick(CASES))
every_case_in_both_dtypes = pytest.mark.parametrize(
    ("case", "dtype"),
    [
        pytest.param(*p.values, dtype, id=f"{p.id}-{dtype.__name__}", marks=p.marks)
        for dtype in (np.float32, np.float64)
        for p in _quick(CASES)
    ],
)
every_layer = pytest.mark.parametrize("case", _quick(ONE_EACH))


def ordinary_rows(n_channels):
    """Six standard normal rows, half of them stretched."""
    rows = np.random.default_rng(n_channels).standard_normal((6, n_channels))
    return rows * np.array([1, 1, 1, 3, 3, 3])[:, None]


def extreme_rows(n_channels):
    """Six rows on knots, on the edge of the box, or far outside of it in one or all channels."""
    rows = np.zeros((6, n_channels))
    rows[0], rows[1], rows[2, 0], rows[3, -1], rows[4] = BOUND, -BOUND, FAR, -FAR, FAR
    rows[5] = np.where(np.arange(n_channels) % 2, FAR, 1.0)
    return rows


@functools.cache
def layer_of(case, dtype=np.float64):
    with jax.enable_x64(True):
        return build(*case, dtype)


class Evaluation(NamedTuple):
    z: np.ndarray
    log_det: np.ndarray
    back: np.ndarray
    inverse_log_det: np.ndarray
    log_density: np.ndarray
    jacobian: np.ndarray


def evaluation(layer, x):
    z, log_det = layer.transform_and_log_det(x)
    jacobian = jax.jacrev(layer.transform)(x)
    back, inverse_log_det = layer.inverse_and_log_det(z)
    return Evaluation(z, log_det, back, inverse_log_det, layer.log_density(x), jacobian)


@functools.cache
def compiled(case, dtype):
    """Evaluation of six rows, compiled once for all the laws."""
    return quick_jit(jax.vmap(functools.partial(evaluation, layer_of(case, dtype))))


def evaluate(case, rows, dtype=np.float64):
    with jax.enable_x64(dtype == np.float64):
        return Evaluation(*map(np.asarray, compiled(case, dtype)(rows.astype(dtype))))


@functools.cache
def evaluate_map(case):
    """Evaluate the ordinary rows as one feature map of 3 x 2 positions."""
    with jax.enable_x64(True):
        event = ordinary_rows(case[1]).T.reshape(-1, 3, 2)
        outputs = quick_jit(functools.partial(evaluation, layer_of(case)))(event)
        return event, Evaluation(*map(np.asarray, outputs))


@functools.cache
def compiled_gradient(method):
    """Gradient, for parameters and rows, of something that reads both outputs of a method."""

    def energy(layer, rows):
        outputs, log_det = jax.vmap(getattr(layer, method))(rows)
        return jnp.sum(jnp.tanh(outputs)) + jnp.sum(log_det)

    return quick_jit(jax.grad(energy, argnums=(0, 1)))


def gradient(case, rows, dtype=np.float64, method="transform_and_log_det"):
    with jax.enable_x64(dtype == np.float64):
        layer, rows = layer_of(case, dtype), jnp.asarray(rows, dtype)
        return compiled_gradient(method)(layer, rows)


def test_registry_holds_every_layer():
    public = {getattr(skgauss.bijections, name) for name in skgauss.bijections.__all__}
    layers = {cls for cls in public if isinstance(cls, type) and issubclass(cls, Bijection)}
    assert layers - {Bijection} == {type(layer_of((name, 3))) for name in BIJECTIONS}


@every_case_in_both_dtypes
def test_inverse_undoes_transform(case, dtype):
    rows = ordinary_rows(case[1])
    back = evaluate(case, rows, dtype).back
    np.testing.assert_allclose(back, rows, rtol=0, atol=TOLERANCE[dtype])


@every_case_in_both_dtypes
def test_inverse_log_det_is_minus_that_of_the_map(case, dtype):
    result = evaluate(case, ordinary_rows(case[1]), dtype)
    np.testing.assert_allclose(
        result.inverse_log_det, -result.log_det, rtol=0, atol=TOLERANCE[dtype]
    )


@every_case_in_both_dtypes
def test_log_density_is_that_of_normal_latents(case, dtype):
    result = evaluate(case, ordinary_rows(case[1]), dtype)
    expected = result.log_det + norm.logpdf(result.z).sum(axis=1)
    np.testing.assert_allclose(result.log_density, expected, rtol=0, atol=TOLERANCE[dtype])


@every_case_in_both_dtypes
def test_log_det_is_that_of_the_jacobian(case, dtype):
    result = evaluate(case, ordinary_rows(case[1]), dtype)
    expected = np.linalg.slogdet(result.jacobian.astype(np.float64))[1]
    np.testing.assert_allclose(result.log_det, expected, rtol=0, atol=TOLERANCE[dtype])


@every_case_in_both_dtypes
def test_outputs_have_the_dtype_of_the_event(case, dtype):
    for output in evaluate(case, ordinary_rows(case[1]), dtype):
        assert output.dtype == dtype


@every_case
def test_single_precision_is_the_same_map(case):
    rows = ordinary_rows(case[1])
    single, double = evaluate(case, rows, np.float32), evaluate(case, rows)
    np.testing.assert_allclose(single.z, double.z, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(single.log_det, double.log_det, rtol=1e-4, atol=1e-3)


@every_layer
def test_feature_map_has_the_log_det_of_its_jacobian(case):
    event, result = evaluate_map(case)
    dense = result.jacobian.reshape(event.size, event.size)
    assert float(result.log_det) == pytest.approx(np.linalg.slogdet(dense)[1], abs=1e-8)


@every_layer
def test_feature_map_is_the_vector_layer_at_every_position(case):
    event, of_map = evaluate_map(case)
    of_rows = evaluate(case, ordinary_rows(case[1]))
    np.testing.assert_allclose(of_map.z.reshape(-1, 6).T, of_rows.z, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(of_map.back, event, rtol=0, atol=1e-9)
    for total, parts in (
        (of_map.log_det, of_rows.log_det),
        (of_map.inverse_log_det, of_rows.inverse_log_det),
        (of_map.log_density, of_rows.log_density),
    ):
        assert total.shape == ()
        assert total == pytest.approx(parts.sum(), abs=1e-9)


@every_layer
def test_jit_and_vmap_change_nothing(case):
    rows = ordinary_rows(case[1])
    result = evaluate(case, rows)
    with jax.enable_x64(True):
        layer = layer_of(case)
        z, log_det = layer.transform_and_log_det(rows[0])
        back = layer.inverse(z)
        np.testing.assert_array_equal(layer.transform(rows[0]), z)
    np.testing.assert_allclose(result.z[0], z, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(result.log_det[0], log_det, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(result.back[0], back, rtol=1e-8, atol=1e-9)


@every_case_in_both_dtypes
def test_far_rows_and_edges_come_back(case, dtype):
    rows = extreme_rows(case[1])
    result = evaluate(case, rows, dtype)
    assert all(np.isfinite(output).all() for output in result)
    error = np.abs(result.back - rows).max(axis=1) / np.abs(rows).max(axis=1)
    assert error.max() < (1e-8 if dtype == np.float64 else 1e-2)


@every_case
def test_log_det_is_that_of_the_jacobian_on_edges(case):
    edges = extreme_rows(case[1])
    edges[2:] = 0
    result = evaluate(case, edges)
    expected = np.linalg.slogdet(result.jacobian)[1]
    np.testing.assert_allclose(result.log_det, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("rows", [ordinary_rows, extreme_rows])
@every_case
def test_gradients_are_finite(case, rows):
    for leaf in jax.tree.leaves(gradient(case, rows(case[1]))):
        assert np.isfinite(leaf).all()


@pytest.mark.parametrize("method", ["transform_and_log_det", "inverse_and_log_det"])
@pytest.mark.parametrize("rows", [ordinary_rows, extreme_rows])
@every_layer
def test_gradients_are_finite_in_single_precision(case, rows, method):
    for leaf in jax.tree.leaves(gradient(case, rows(case[1]), np.float32, method)):
        assert leaf.dtype == np.float32
        assert np.isfinite(leaf).all()


@every_case
def test_training_with_weight_decay_leaves_fixed_arrays_alone(case):
    layer = layer_of(case)
    with jax.enable_x64(True):
        gradients, _ = gradient(case, ordinary_rows(case[1]))
        trained = adamw_step(layer, gradients)
    for before, after in zip(partition(layer)[1], partition(trained)[1], strict=True):
        np.testing.assert_array_equal(before, after)
    for before, after in zip(jax.tree.leaves(layer), jax.tree.leaves(trained), strict=True):
        assert not before.size or (before != np.asarray(after)).any()


@quick_jit
def adamw_step(layer, gradients):
    optimizer = optax.adamw(0.1, weight_decay=0.5)
    updates, _ = optimizer.update(gradients, optimizer.init(layer), layer)
    return optax.apply_updates(layer, updates)


def copies(layer):
    leaves, structure = jax.tree.flatten(layer)
    yield jax.tree.unflatten(structure, leaves)
    yield pickle.loads(pickle.dumps(layer))
    saved = skops.io.dumps(jax.tree.map(np.asarray, layer))
    yield skops.io.loads(saved, trusted=skops.io.get_untrusted_types(data=saved))
    yield dataclasses.replace(layer)
    yield combine(*partition(layer))


@every_case
def test_copies_are_the_same_layer(case):
    layer = layer_of(case)
    params, held = partition(layer)
    for copy in copies(layer):
        assert type(copy) is type(layer)
        assert jax.tree.structure(copy) == jax.tree.structure(layer)
        for mine, its in zip(jax.tree.leaves(layer), jax.tree.leaves(copy), strict=True):
            np.testing.assert_array_equal(mine, its)
        for mine, its in zip(held, partition(copy)[1], strict=True):
            np.testing.assert_array_equal(mine, its)
    assert all(value is None for value in partition(params)[1])


METHODS = ["transform", "transform_and_log_det", "inverse", "inverse_and_log_det"]


@pytest.mark.parametrize("method", METHODS)
@every_case
def test_an_event_of_other_channels_is_refused(case, method):
    layer, (_, n) = layer_of(case), case
    method = getattr(layer, method)
    for shape in [(), (n - 1,), (n + 1,), (2 * n,), (n + 1, n, n)]:
        accepted = f"with C = {n} takes an event of shape ({n},) or ({n}, H, W)"
        expected = re.escape(f"{type(layer).__name__} {accepted}, got shape {shape}.")
        for call in (method, jax.jit(method), lambda x: jax.vmap(method)(x[None])):
            with pytest.raises(ValueError, match=expected):
                call(np.ones(shape))


def test_parts_of_other_channels_are_refused():
    acting, keeping = ActNorm.init(2), Permutation(np.arange(3))
    coupling = layer_of(("AffineCoupling", 3))
    for layer in (Chain((acting, keeping)), GlowStep(acting, keeping, coupling)):
        with pytest.raises(ValueError, match=rf"parts of {type(layer).__name__}.*\[2, 3"):
            layer.transform(np.ones(2))
    with pytest.raises(ValueError, match=r"parts of ActNorm .*\[3, 1\]"):
        ActNorm(np.zeros(3), np.zeros(1)).transform(np.ones(3))


def test_a_layer_that_tells_no_number_of_channels_takes_any():
    class Doubling(Bijection):
        def _forward(self, x):
            return 2 * x, jnp.zeros(x.shape[1:])

    for n in (1, 5):
        assert Chain((Doubling(),)).transform(np.ones(n)).tolist() == [2] * n


@every_layer
def test_a_feature_map_without_positions_is_mapped_to_itself(case):
    empty = jax.ShapeDtypeStruct((3, 0, 4), np.float64)
    with jax.enable_x64(True):
        for method in ("transform_and_log_det", "inverse_and_log_det"):
            event, log_det = jax.eval_shape(getattr(layer_of(case), method), empty)
            assert (event.shape, log_det.shape) == ((3, 0, 4), ())


class Pair(NamedTuple):
    first: Bijection
    second: Bijection


@register
class Swapping(Bijection):
    """A layer that minds what it is made of."""

    permutation: np.ndarray = fixed()

    def __post_init__(self):
        if self.permutation is None:
            raise TypeError("a permutation is needed")


@register
class Holding(Bijection):
    inner: object


@pytest.mark.parametrize(
    "container",
    [
        lambda *layers: list(layers),
        lambda *layers: dict(zip("ab", layers, strict=True)),
        lambda *layers: Pair(*layers),
        lambda *layers: Holding([{"deep": layers}]),
    ],
    ids=["list", "dict", "namedtuple", "nested"],
)
def test_containers_of_layers_are_parts_of_a_layer(container):
    order, matrix = np.array([1, 0]), np.eye(2)
    layer = Holding(container(Swapping(order), FixedRotation(matrix)))
    params, held = partition(layer)
    assert [value.tolist() for value in held] == [order.tolist(), matrix.tolist()]
    assert jax.tree.structure(combine(params, held)) == jax.tree.structure(layer)
    assert [value.dtype for value in partition(layer.astype(np.float32))[1]] == [int, np.float32]


def test_a_chain_of_a_list_is_that_of_a_tuple():
    layers = [Permutation(np.array([1, 0])), ActNorm.identity(2)]
    chains = [Chain(layers), Chain(tuple(layers)), combine(*partition(Chain(layers)))]
    assert len({tuple(chain.transform(np.arange(2.0)).tolist()) for chain in chains}) == 1


FROM_DATA = {
    "ActNorm": ActNorm.from_data,
    "FixedRotation": FixedRotation.from_data,
    "GlowStack": lambda *rows: GlowStack.from_data(
        np.random.default_rng(0), *rows, n_steps=2, coupling="affine"
    ),
}
from_data = pytest.mark.parametrize("start", FROM_DATA.values(), ids=list(FROM_DATA))


@from_data
def test_a_start_takes_a_list_of_weights(start):
    rows, weight = ordinary_rows(3), [1.0, 0.0, 2.0, 1.0, 1.0, 3.0]
    for mine, its in zip(
        jax.tree.leaves(start(rows, weight)),
        jax.tree.leaves(start(rows, np.array(weight))),
        strict=True,
    ):
        np.testing.assert_array_equal(mine, its)


@pytest.mark.parametrize(
    ("n_rows", "weight", "message"),
    [
        (0, None, r"batch must have rows, .* got shape \(0, 3\)"),
        (6, np.zeros(6), "positive sum, got .* a sum of 0"),
        (6, np.array([-1.0, 1, 1, 1, 1, 1]), "not negative, .* got a minimum of -1"),
        (6, np.array([np.nan, 1, 1, 1, 1, 1]), "finite"),
        (6, np.array([np.inf, 1, 1, 1, 1, 1]), "finite"),
        (6, np.ones(5), r"must have shape \(6,\), one weight a row, got \(5,\)"),
        (6, np.ones((6, 1)), r"must have shape \(6,\), one weight a row, got \(6, 1\)"),
    ],
)
@from_data
def test_a_start_refuses_no_rows_and_what_are_no_weights(start, n_rows, weight, message):
    with pytest.raises(ValueError, match=message):
        start(ordinary_rows(3)[:n_rows], weight)


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.float16, np.float32])
@pytest.mark.parametrize("x64", [False, True])
@from_data
def test_a_start_promotes_its_batch(start, dtype, x64):
    rows = np.round(100 + 20 * np.random.default_rng(0).standard_normal((300, 3)))
    with jax.enable_x64(x64):
        of_dtype, of_floats = (
            jax.tree.leaves(partition(start(batch))) for batch in (rows.astype(dtype), rows)
        )
    for mine, its in zip(of_dtype, of_floats, strict=True):
        np.testing.assert_allclose(mine, its, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("key", [0, None, np.random.RandomState(0), np.array([0.5])])
@pytest.mark.parametrize("name", ["Permutation", "AffineCoupling", "GlowStack-lu-spline"])
def test_what_is_no_key_is_refused(name, key):
    with pytest.raises(TypeError, match=r"jax.random.key.* or a numpy.random.Generator, got"):
        BIJECTIONS[name](key, 3)


def test_random_starts_under_jit_are_refused():
    start = jax.jit(lambda key: Permutation.init(key, 3))
    with pytest.raises(TypeError, match="on the host"):
        start(jax.random.key(0))


def test_layers_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        layer_of(("ActNorm", 3)).loc = np.zeros(3)


@pytest.mark.parametrize("name", ["Permutation", "FixedRotation", "GlowStep"])
def test_one_compilation_serves_every_value_of_the_fixed_arrays(name):
    @jax.jit
    def transform(params, held, x):
        return combine(params, held).transform(x)

    for seed in range(3):
        layer = BIJECTIONS[name](jax.random.key(seed), 5)
        z = transform(*partition(layer), np.arange(5.0, dtype=np.float32))
        np.testing.assert_allclose(layer.inverse(z), np.arange(5.0), atol=1e-4)
    assert transform._cache_size() == 1


def test_fixed_arrays_are_compared_by_value_under_jit():
    swap, keep = (skgauss.bijections.Permutation(np.array(p)) for p in ([1, 0], [0, 1]))
    transform = jax.jit(lambda layer, x: layer.transform(x))
    x = np.array([3.0, 4.0], np.float32)
    assert transform(swap, x).tolist() == [4.0, 3.0]
    assert transform(keep, x).tolist() == [3.0, 4.0]
    assert transform(skgauss.bijections.Permutation(jnp.array([1, 0])), x).tolist() == [4.0, 3.0]
