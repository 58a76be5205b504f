"""From a table to training rows: canonical form, head, noise, split, and reading in blocks."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from skgauss import rows
from skgauss.head import head_forward
from skgauss.head_selection import fit_head
from skgauss.noise import _held_out_likelihood, fixed_columns, noise_scale
from skgauss.rows import FULL_BATCH, Table, canonical_rows, pad_rows, split_rows

RNG = np.random.default_rng(0)
X = np.column_stack([RNG.normal(5, 3, 3000), RNG.exponential(size=3000)])
ONES = np.ones(3000)
HEAD = fit_head("spline", X, ONES)


def same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_weights_copies_order_and_zeros_give_the_same_bits():
    small, weight = np.round(X[:100], 1), RNG.integers(0, 4, 100)
    expected = canonical_rows(small, weight)
    copies = np.repeat(small, weight, axis=0)
    order = RNG.permutation(100)
    assert same(canonical_rows(copies, None), expected)
    assert same(canonical_rows(small[order], weight[order]), expected)
    assert same(canonical_rows(small[weight > 0], weight[weight > 0]), expected)
    assert expected[1].sum() == weight.sum()


def test_signs_of_zero_are_one_value():
    merged, weight = canonical_rows(np.array([[0.0], [-0.0]]), None)
    assert (merged.tolist(), weight.tolist()) == ([[0.0]], [2.0])


def test_large_table_keeps_its_rows_in_order():
    weight = RNG.integers(0, 3, 3000).astype(float)
    kept, kept_weight = canonical_rows(X, weight)
    np.testing.assert_array_equal(kept, X[weight > 0])
    np.testing.assert_array_equal(kept_weight, weight[weight > 0])
    assert canonical_rows(X, None)[0] is X


def test_copies_in_a_large_table_are_weights():
    copies = np.repeat(X, 2, axis=0)
    merged, weight = canonical_rows(copies, None)
    np.testing.assert_array_equal(merged, X)
    assert set(weight) == {2.0}
    discrete = np.random.default_rng(0).integers(0, 9, size=(3000, 2))
    assert canonical_rows(discrete, None)[0] is discrete  # equal by accident


@pytest.mark.parametrize("kind", ["affine", "spline"])
def test_head_in_numpy_is_the_layer(kind):
    head = fit_head(kind, X, ONES)
    Z, log_det = head_forward(head, X[:50])
    with jax.enable_x64(True):
        z, its_log_det = jax.vmap(head.transform_and_log_det)(X[:50])
    np.testing.assert_allclose(Z, z, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(log_det, its_log_det, rtol=1e-10)


def test_head_gaussianizes_every_column():
    Z, _ = head_forward(HEAD, X)
    np.testing.assert_allclose(Z.mean(axis=0), 0, atol=0.02)
    np.testing.assert_allclose(Z.std(axis=0), 1, atol=0.02)


def noise_of(Z):
    return noise_scale(Z, np.ones(len(Z)), np.random.default_rng(0))


def test_constant_column_is_trained_as_standard_normal_noise():
    Z = RNG.normal(size=(3000, 3))
    Z[:, 1] = 0.4
    assert noise_of(Z)[1] == 1
    np.testing.assert_array_equal(noise_of(Z[:, 1:2]), [1])


def test_a_column_that_a_mixture_leaves_hardly_any_spread_is_trained_as_noise():
    Z, weight = RNG.normal(size=(3000, 3)), RNG.integers(1, 4, 3000)
    Z[:, 2] *= 0.05
    assert noise_of(Z)[2] == 1
    fixed = fixed_columns(Z, weight)
    np.testing.assert_array_equal(fixed, [False, False, True])
    Z[0] = 1e3  # a row of weight zero
    weight[0] = 0
    np.testing.assert_array_equal(fixed_columns(Z, weight), fixed)


def test_many_independent_rows_need_next_to_no_noise():
    assert (noise_of(RNG.normal(size=(3000, 3))) < 0.1).all()


@pytest.mark.parametrize("n_rows", [100, 3000])
def test_dependent_columns_get_noise(n_rows):
    Z = RNG.normal(size=(n_rows, 2))
    noise = noise_of(np.column_stack([Z, Z[:, 0]]))
    assert (noise > 0).all()
    assert (noise < 0.5).all()


def test_fewer_rows_than_columns_get_a_lot_of_noise():
    assert (noise_of(RNG.normal(size=(10, 30))) > 0.3).all()


@pytest.mark.parametrize("n_columns", [2, 10])
def test_noise_is_the_least_within_two_nats_of_the_likeliest(n_columns):
    """Against densities of SciPy, fold by fold; the folds are drawn as they are there."""
    Z = np.random.default_rng(1).normal(size=(40, n_columns))
    folds = np.random.default_rng(0).permutation(40) % 5
    variances = np.logspace(-6, 0, 25)
    likelihoods = np.zeros(25)
    for k in range(5):
        train, test = Z[folds != k], Z[folds == k]
        covariance = np.cov(train.T, bias=True)
        for i, variance in enumerate(variances):
            normal = multivariate_normal(
                train.mean(axis=0), covariance + variance * np.eye(n_columns)
            )
            likelihoods[i] += normal.logpdf(test).sum()
    near = variances[likelihoods >= likelihoods.max() - 2]
    assert 0 < len(near) < 25
    expected = 0 if near[0] == variances[0] else np.sqrt(near[0])
    np.testing.assert_allclose(noise_of(Z), expected)


@pytest.mark.parametrize("n_rows", [2, 3])
def test_smallest_tables_have_finite_noise(n_rows):
    assert np.isfinite(noise_of(RNG.normal(size=(n_rows, 2)))).all()


@pytest.mark.parametrize(("n_rows", "n_held_out"), [(99, 0), (100, 10), (3000, 300)])
def test_split_is_a_partition_of_the_rows(n_rows, n_held_out):
    train, held_out = split_rows(n_rows, 0.1, np.random.default_rng(0))
    assert len(held_out) == n_held_out
    np.testing.assert_array_equal(np.sort(np.concatenate([train, held_out])), np.arange(n_rows))


def test_split_is_bounded_seeded_and_optional():
    assert len(split_rows(500_000, 0.1, np.random.default_rng(0))[1]) == 10_000
    first, again, other = (split_rows(1000, 0.1, np.random.default_rng(k))[1] for k in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert len(split_rows(1000, 0.0, np.random.default_rng(0))[1]) == 0


@pytest.mark.parametrize("n_rows", [3, FULL_BATCH, FULL_BATCH + 1])
def test_padding_adds_rows_of_weight_zero(n_rows):
    Z, weight = pad_rows(X[:n_rows], ONES[:n_rows])
    np.testing.assert_array_equal(Z[:n_rows], X[:n_rows])
    assert len(Z) == len(weight) in {FULL_BATCH, rows.INIT_ROWS}
    assert (weight.sum(), weight[n_rows:].sum()) == (n_rows, 0)


def table(width=0.0, seed=0):
    weight = 1 + np.arange(3000) % 3
    return Table(X, weight, np.full(2, width), np.random.default_rng(seed))


INDICES = np.sort(RNG.choice(3000, 1000, replace=False))


def test_rows_are_those_behind_the_head():
    ready = table().rows(INDICES, HEAD)
    Z, log_det = head_forward(HEAD, X[INDICES])
    part = np.array([5, 0, 999])
    np.testing.assert_allclose(ready.take(part), Z[part], rtol=1e-6)
    np.testing.assert_array_equal(ready.weight, table().weight[INDICES])
    assert ready.log_det == pytest.approx(np.average(log_det, weights=ready.weight))


def test_caching_and_blocks_change_nothing(monkeypatch):
    cached = table().rows(INDICES, HEAD)
    monkeypatch.setattr(rows, "_CACHE_BYTES", 0)
    monkeypatch.setattr(rows, "_BLOCK", 7)
    uncached = table().rows(INDICES, HEAD)
    part = RNG.permutation(1000)
    np.testing.assert_array_equal(cached.take(part), uncached.take(part).astype(np.float32))
    assert cached.log_det == pytest.approx(uncached.log_det, rel=1e-12)


def test_memory_mapped_tables_are_read_alike(tmp_path):
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    weight = np.ones(3000)
    read = [
        Table(source, weight, np.zeros(2), RNG).rows(INDICES, HEAD).take(np.arange(1000))
        for source in (X, mapped)
    ]
    np.testing.assert_array_equal(*read)


def test_noise_is_drawn_anew_with_its_scale():
    scale = np.array([0.0, 0.5])
    ready = table().rows(INDICES, HEAD, scale)
    first, second = (ready.take(np.arange(1000)) for _ in range(2))
    np.testing.assert_array_equal(first[:, 0], second[:, 0])
    assert np.std(first[:, 1] - second[:, 1]) == pytest.approx(0.5 * np.sqrt(2), rel=0.1)


def test_dequantisation_stays_within_one_step():
    jitter = table(width=0.5).load(INDICES) - X[INDICES]
    assert np.abs(jitter).max() <= 0.25
    assert np.std(jitter) == pytest.approx(0.5 / np.sqrt(12), rel=0.05)


def test_copies_beyond_an_accident_are_merged():
    for n_copies, n_rows in ((60, 3060), (300, 3000)):
        assert len(canonical_rows(np.vstack([X, X[:n_copies]]), None)[0]) == n_rows


def test_noise_is_chosen_with_weights_as_copies():
    Z, fold, weight = RNG.normal(size=(60, 3)), np.arange(60) % 5, RNG.integers(1, 5, 60)
    copies = np.repeat(np.arange(60), weight)
    weighted = _held_out_likelihood(Z, weight, fold)
    copied = _held_out_likelihood(Z[copies], np.ones(len(copies)), fold[copies])
    np.testing.assert_allclose(weighted, copied)


def test_a_row_that_stands_for_many_is_never_held_out():
    """It alone would judge, and nothing would be learned of it."""
    weight = np.ones(1000)
    weight[7] = 600.0
    for seed in range(30):
        train, held_out = split_rows(1000, 0.1, np.random.default_rng(seed), weight)
        assert 7 in train
        assert len(held_out) == 100
    plain = split_rows(1000, 0.1, np.random.default_rng(0))
    even = split_rows(1000, 0.1, np.random.default_rng(0), np.full(1000, 2.0))
    np.testing.assert_array_equal(even[1], plain[1])
