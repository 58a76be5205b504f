"""The laws that every layer obeys, over the registry."""

from __future__ import annotations

import dataclasses
import functools
import pickle
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import skops.io

import skgauss.bijections
from skgauss.bijections import Bijection, combine, partition
from tests.registry import BIJECTIONS, BOUND, CASES, build, quick_jit

FAR = 1e6
TOLERANCE = {np.float64: 1e-9, np.float32: 2e-3}

COVERED_BY_THE_OTHER_STACK = {name for name in BIJECTIONS if name.startswith("GlowStack")} - {
    "GlowStack-lu-spline"
}
ONE_EACH = [case for case in CASES if case[1] == 3 and case[0] not in COVERED_BY_THE_OTHER_STACK]


def in_single_precision(cases):
    """Cases as parameters; a head is evaluated in double precision, and a mixture compiles long."""
    slow = {"FixedMixture": pytest.mark.slow}
    return [pytest.param(case, id=_name(case), marks=slow.get(case[0], [])) for case in cases]


def _name(case):
    return f"{case[0]}-C{case[1]}"


every_case = pytest.mark.parametrize("case", CASES, ids=_name)
every_case_in_single_precision = pytest.mark.parametrize("case", in_single_precision(CASES))
every_case_in_both_dtypes = pytest.mark.parametrize(
    ("case", "dtype"),
    [
        *(
            pytest.param(*p.values, np.float32, id=f"{p.id}-float32", marks=p.marks)
            for p in in_single_precision(CASES)
        ),
        *(pytest.param(case, np.float64, id=f"{_name(case)}-float64") for case in CASES),
    ],
)
every_layer = pytest.mark.parametrize("case", ONE_EACH, ids=_name)
every_layer_in_single_precision = pytest.mark.parametrize("case", in_single_precision(ONE_EACH))


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
    jacobian: np.ndarray


def evaluation(layer, x):
    z, log_det = layer.transform_and_log_det(x)
    jacobian = jax.jacrev(layer.transform)(x)
    return Evaluation(z, log_det, *layer.inverse_and_log_det(z), jacobian)


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
def test_log_det_is_that_of_the_jacobian(case, dtype):
    result = evaluate(case, ordinary_rows(case[1]), dtype)
    expected = np.linalg.slogdet(result.jacobian.astype(np.float64))[1]
    np.testing.assert_allclose(result.log_det, expected, rtol=0, atol=TOLERANCE[dtype])


@every_case_in_both_dtypes
def test_outputs_have_the_dtype_of_the_event(case, dtype):
    for output in evaluate(case, ordinary_rows(case[1]), dtype):
        assert output.dtype == dtype


@every_case_in_single_precision
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
@every_layer_in_single_precision
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
