"""Ties and grids are found and named; continuous columns and repeated rows are left alone."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from skgauss.exceptions import TiedColumnWarning
from skgauss.resolution import column_resolution, noise_width, spread_copies

RNG = np.random.default_rng(0)
NORMAL = RNG.normal(size=(1000, 2))


@pytest.mark.parametrize("step", [1e-12, 0.25, 1.0, 1e100])
def test_step_of_a_grid_is_found(step):
    X = np.column_stack([NORMAL[:, 0], step * RNG.integers(-20, 20, 1000)])
    np.testing.assert_allclose(column_resolution(X), [0, step], rtol=1e-9)


def test_continuous_columns_have_none():
    assert column_resolution(NORMAL).tolist() == [0, 0]


def test_rows_repeated_whole_tie_no_column():
    bootstrap = NORMAL[RNG.integers(0, 1000, 1000)]
    assert column_resolution(bootstrap).tolist() == [0, 0]


@pytest.mark.parametrize("n_columns", [1, 2])
@pytest.mark.parametrize("n_values", [2, 7, 40])
def test_discrete_columns_by_themselves_are_tied(n_columns, n_values):
    X = 0.1 * RNG.integers(n_values, size=(1000, n_columns))
    np.testing.assert_allclose(column_resolution(X), 0.1)


@pytest.mark.parametrize("n_columns", [1, 2])
def test_rows_repeated_many_times_tie_no_column(n_columns):
    assert not column_resolution(np.repeat(NORMAL[:50, :n_columns], 30, axis=0)).any()


def test_a_far_row_makes_no_grid_of_the_others():
    X = np.append(NORMAL[:200, 0], 1e12)[:, None]
    assert column_resolution(X, np.full(201, 50.0)).tolist() == [0]


def test_a_far_row_hides_no_grid():
    """A sentinel may be of any size."""
    X = np.column_stack([NORMAL[:, 0], RNG.integers(0, 10, 1000)])
    for sentinel in (1e4, 1e10, 1e15):
        X[0, 1] = sentinel
        assert column_resolution(X)[1] == 1


def test_rounding_noise_about_zero_is_no_grid():
    angle = 2 * np.pi * RNG.integers(400, size=1000) / 4
    X = np.column_stack([NORMAL[:, 0], np.cos(angle), np.sin(angle)])
    np.testing.assert_allclose(column_resolution(X), [0, 1, 1])


@pytest.mark.parametrize("values", [[0, 1], [0, 1, 2]])
def test_a_value_that_noise_spreads_is_not_named(values):
    rare = RNG.choice(values, 1000, p=[0.96, *np.full(len(values) - 1, 0.04 / (len(values) - 1))])
    with pytest.warns(TiedColumnWarning, match=r"noise of one step in fit\.$"):
        noise_width(np.column_stack([rare, NORMAL]), ["rare", "a", "b"], dequantize=False)


def test_a_value_that_noise_does_not_spread_is_named():
    amounts = np.where(RNG.random(1000) < 0.6, 0.0, RNG.exponential(size=1000))
    X = np.column_stack([amounts, RNG.integers(0, 10, 1000), NORMAL])
    share = f"{np.mean(amounts == 0):.0%}"
    with pytest.warns(TiedColumnWarning, match=f"in fit, but {share} of amount is 0: such a spike"):
        noise_width(X, ["amount", "age", "a", "b"], dequantize=False)


def test_constant_column_has_none():
    X = np.column_stack([NORMAL[:, 0], np.full(1000, 3.0)])
    assert column_resolution(X).tolist() == [0, 0]


def test_rounding_noise_is_no_grid():
    values = RNG.integers(0, 10, 1000) + RNG.choice([0, 1e-15], 1000)
    X = np.column_stack([NORMAL[:, 0], values])
    assert column_resolution(X)[1] == pytest.approx(1, rel=1e-9)


def test_large_table_is_thinned_to_the_same_answer():
    X = np.column_stack([RNG.normal(size=50_000), RNG.integers(0, 10, 50_000) / 4])
    assert column_resolution(X).tolist() == [0, 0.25]


def test_rows_that_are_looked_at_are_those_of_the_whole_table():
    X = np.column_stack([RNG.normal(size=30_000), np.repeat(np.arange(3.0), 10_000)])
    assert column_resolution(X).tolist() == [0, 1]


def test_a_rare_smaller_gap_is_not_the_step():
    values = RNG.integers(0, 100, 1000).astype(float)
    values[0] += 0.3
    assert column_resolution(np.column_stack([NORMAL[:, 0], values]))[1] == 1


def test_warning_names_the_tied_columns_only():
    X = np.column_stack([NORMAL[:, 0], RNG.integers(0, 10, 1000) / 2])
    with pytest.warns(TiedColumnWarning, match=r"in age \(step 0.5\): ") as caught:
        width = noise_width(X, ["height", "age"], dequantize=False)
    assert "height" not in str(caught[0].message)
    assert width.tolist() == [0, 0]


def test_noise_has_the_width_of_a_step_and_says_nothing():
    X = np.column_stack([NORMAL[:, 0], RNG.integers(0, 10, 1000) / 2])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert noise_width(X, ["height", "age"], dequantize=True).tolist() == [0, 0.5]
        assert noise_width(NORMAL, ["height", "age"], dequantize=False).tolist() == [0, 0]


def test_copies_are_apart_where_noise_parts_them():
    discrete = np.repeat([[0.0, 1.0], [2.0, 2.0]], 100, axis=0)
    X, weight = spread_copies(discrete[::100], np.full(2, 100.0), np.ones(2))
    np.testing.assert_array_equal(np.unique(X, axis=0), discrete[::100])
    assert np.sum(X[:, 0] == 0) == 100
    assert (weight == 1).all()
    X, weight = spread_copies(discrete[::100], np.array([12_345.0, 99_999.0]), np.ones(2))
    assert 20_000 <= len(X) <= 20_002
    assert weight[X[:, 0] == 0].sum() == 12_345
    np.testing.assert_array_equal(weight, np.round(weight))
    for merged, width in ((discrete[::100], np.zeros(2)), (NORMAL[:9], np.ones(2))):
        assert spread_copies(merged, np.full(len(merged), 3.0), width)[0] is merged
