"""One order for one table: what a fit sees depends on what the rows hold, on nothing else."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skgauss import canonical
from skgauss.canonical import canonical_columns

RNG = np.random.default_rng(0)
X = RNG.normal(size=(400, 3)) * [1.0, 1e-3, 1e5] + [0.0, 4.0, 7.0]
COPIES = RNG.integers(1, 5, size=400)
cells = st.sampled_from([0.0, -0.0, 1.0, -1.0, 3.5, 1e-300, 1e200, 5e-324])
tables = st.lists(st.tuples(cells, cells, st.integers(0, 3)), min_size=1, max_size=12)


def both(table, weight=None, salt=7):
    return canonical_columns(table, weight, salt)


def assert_same_bits(first, second):
    for mine, its in zip(first, second, strict=True):
        assert mine.dtype == its.dtype == np.float64
        np.testing.assert_array_equal(mine, its)
        np.testing.assert_array_equal(np.signbit(mine), np.signbit(its))


def counted(Y, weight):
    """The table as a multiset of rows, the slow and obvious way."""
    counts = Counter()
    for row, w in zip(Y.T, weight, strict=True):
        counts[tuple(row + 0.0)] += w
    return counts


@pytest.mark.parametrize("weight", [None, COPIES.astype(float)])
def test_rows_and_weights_are_kept(weight):
    Y, merged = both(X, weight)
    assert Y.shape == (3, 400)
    assert counted(Y, merged) == counted(X.T, np.ones(400) if weight is None else weight)


def test_weight_k_is_k_copies():
    copied = np.repeat(X, COPIES, axis=0)
    assert_same_bits(both(X, COPIES.astype(float)), both(copied))
    assert both(copied)[0].shape == (3, 400)


def test_rows_of_weight_zero_are_absent_whatever_they_hold():
    far = np.vstack([X, np.full((3, 3), 1e150)])
    assert_same_bits(both(far, np.repeat([1.0, 0.0], [400, 3])), both(X, np.ones(400)))


def test_order_of_rows_is_irrelevant():
    shuffle = np.random.default_rng(1).permutation(400)
    weight = COPIES + 0.25
    assert_same_bits(both(X[shuffle], weight[shuffle]), both(X, weight))
    assert_same_bits(both(np.repeat(X, 2, axis=0)[::-1]), both(np.repeat(X, 2, axis=0)))


@given(tables)
def test_any_table_is_the_same_in_any_order_and_by_weights_or_copies(rows):
    table, copies = np.array([row[:2] for row in rows]), np.array([row[2] for row in rows])
    if not copies.any():
        copies += 1
    Y, weight = both(table, copies.astype(float))
    repeated = np.repeat(table, copies, axis=0)
    assert counted(Y, weight) == counted(repeated.T, np.ones(len(repeated)))
    assert Y.shape[1] == len(counted(Y, weight))  # merged, every one
    assert_same_bits((Y, weight), both(repeated))
    assert_same_bits((Y, weight), both(repeated[::-1]))


def test_rescaling_columns_by_powers_of_two_keeps_the_order():
    factors = np.array([2.0**-40, 4.0, 2.0**90])
    Y, weight = both(X)
    assert_same_bits(both(X * factors), (Y * factors[:, None], weight))


def test_zeros_have_no_sign():
    table = np.array([[0.0, 1.0], [-0.0, 1.0], [2.0, -0.0]])
    Y, weight = both(table)
    assert_same_bits((Y, weight), both(table + 0.0))
    assert sorted(weight) == [1, 2]
    assert not np.signbit(Y).any()


def test_salt_draws_another_order_of_the_same_rows():
    orders = [both(X, salt=salt)[0] for salt in (0, 1, 2**62 + 5)]
    rows = [{tuple(row) for row in Y.T} for Y in orders]
    assert rows[0] == rows[1] == rows[2]
    for i, j in ((0, 1), (0, 2), (1, 2)):
        moved = np.any(orders[i] != orders[j], axis=0)
        assert moved.mean() > 0.95


@pytest.mark.parametrize("kind", ["sorted", "grid", "counts"])
def test_order_is_as_good_as_random(kind):
    """First halves of 50 orders: means normal about the whole's, ranks without correlation."""
    n_rows = 2000
    column = {
        "sorted": np.sort(np.random.default_rng(3).normal(size=n_rows)),
        "grid": np.linspace(0, 1, n_rows),
        "counts": np.arange(n_rows, dtype=float),
    }[kind]
    halves, correlations = [], []
    for salt in range(50):
        y = both(column[:, None], salt=salt)[0][0]
        halves.append(y[: n_rows // 2].mean())
        correlations.append(np.corrcoef(y, np.arange(n_rows))[0, 1])
    # Half of a finite table: its mean varies by s / sqrt(n), whatever is left in the other.
    errors = (np.array(halves) - column.mean()) / (column.std() / np.sqrt(n_rows))
    scores = np.array(correlations) * np.sqrt(n_rows)
    for standard in (errors, scores):
        assert abs(standard.mean()) < 3 / np.sqrt(50)
        assert 0.7 < standard.std() < 1.3
        assert np.abs(standard).max() < 4


def test_neighbours_in_the_order_are_unrelated():
    y = both(np.linspace(0, 1, 5000)[:, None])[0][0]
    assert abs(np.corrcoef(y[:-1], y[1:])[0, 1]) * np.sqrt(5000) < 3.5


def test_float32_is_that_of_its_float64_values():
    single = X.astype(np.float32)
    assert_same_bits(both(single), both(single.astype(np.float64)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_memory_mapped_and_strided_tables_give_the_same_bits(dtype, tmp_path):
    table = X.astype(dtype)
    np.save(tmp_path / "X.npy", table)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    strided = np.repeat(np.repeat(table, 2, axis=0), 3, axis=1)[::2, ::3]
    for other in (mapped, np.asfortranarray(table), strided):
        assert_same_bits(both(other), both(table))


def test_result_is_a_copy():
    table = X.copy()
    Y, weight = both(table, COPIES.astype(float))
    Y += 1.0
    weight += 1.0
    np.testing.assert_array_equal(table, X)


def test_block_boundaries_change_nothing(monkeypatch):
    expected = both(X, COPIES.astype(float))
    monkeypatch.setattr(canonical, "_BLOCK", 7)
    assert_same_bits(both(X, COPIES.astype(float)), expected)


def test_rows_whose_hashes_collide_are_told_apart(monkeypatch):
    """A hash that says nothing: equal rows are merged, distinct ones are not, in any order."""
    monkeypatch.setattr(canonical, "_row_hashes", lambda X, salt: np.zeros(len(X), np.uint64))
    table = np.repeat(X[:20], COPIES[:20], axis=0)
    table = table[np.random.default_rng(2).permutation(len(table))]
    Y, weight = both(table)
    assert counted(Y, weight) == counted(X[:20].T, COPIES[:20])
    assert Y.shape[1] == 20
    assert_same_bits(both(table[::-1]), (Y, weight))


def test_values_too_far_apart_for_the_hash_are_told_apart():
    """A column that spans more than float64's range: its small values have one hash."""
    table = np.array([[1e-150], [2e-150], [1e200], [1e-150]])
    Y, weight = both(table)
    assert Y.shape[1] == 3
    assert counted(Y, weight) == {(1e-150,): 2, (2e-150,): 1, (1e200,): 1}
    assert_same_bits(both(table[::-1]), (Y, weight))
