"""Splines on an even grid: the formula of `skgauss.spline`, its slope, and exactly back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skgauss.grid_spline import GridSpline
from skgauss.spline import Bin, rational_quadratic


def random_spline(n_columns=3, n_knots=9, reach=4.0, seed=0, columns=None):
    rng = np.random.default_rng(seed)
    height = np.exp(rng.normal(size=(n_columns, n_knots - 1)))
    z = np.cumsum(np.hstack([-np.sum(height, axis=1, keepdims=True) / 2, height]), axis=1)
    slope = np.exp(rng.normal(size=z.shape))
    columns = np.arange(n_columns) if columns is None else np.array(columns)
    return GridSpline(columns, z.astype(np.float32), slope.astype(np.float32), reach)


def knots_of(spline):
    return np.linspace(-spline.reach, spline.reach, spline.z.shape[1])


def reference(spline, Y):
    """Value by value: find the bin by comparing, then the formula; a line beyond the knots."""
    x, Z, log_slope = knots_of(spline), Y.copy(), np.zeros(Y.shape)
    for row, z, slope in zip(
        spline.columns, spline.z.astype(float), spline.slope.astype(float), strict=True
    ):
        for i, y in enumerate(Y[row]):
            if y < x[0]:
                Z[row, i], log_slope[row, i] = z[0] + slope[0] * (y - x[0]), np.log(slope[0])
            elif y > x[-1]:
                Z[row, i], log_slope[row, i] = z[-1] + slope[-1] * (y - x[-1]), np.log(slope[-1])
            else:
                k = max(k for k in range(len(x) - 1) if x[k] <= y)
                bin_ = Bin(x[k], z[k], x[k + 1] - x[k], z[k + 1] - z[k], slope[k], slope[k + 1])
                Z[row, i], log_slope[row, i] = rational_quadratic(y, bin_)
    return Z, log_slope.sum(axis=0)


def values(n_columns=3, n_rows=400, spread=3.0, seed=1):
    return spread * np.random.default_rng(seed).normal(size=(n_columns, n_rows))


@pytest.mark.parametrize("n_columns", [1, 3, 8, 9, 30])
def test_map_and_log_det_are_those_of_the_formula_bin_by_bin(n_columns):
    spline, Y = random_spline(n_columns), values(n_columns, n_rows=60)
    expected_Z, expected_log_det = reference(spline, Y)
    Z, log_det = spline.forward(Y.copy())
    np.testing.assert_allclose(Z, expected_Z, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(log_det, expected_log_det, rtol=0, atol=1e-11)


def test_log_det_is_the_numerical_derivative():
    spline, Y, step = random_spline(), values(), 1e-6
    nearest = np.abs(Y[:, :, None] - knots_of(spline)).min(axis=(0, 2))
    Y = Y[:, nearest > 1e-4]  # the second derivative jumps at a knot
    assert Y.shape[1] > 300
    above, below = (spline.forward(Y + d, log_det=False)[0] for d in (step, -step))
    expected = np.log((above - below) / (2 * step)).sum(axis=0)
    np.testing.assert_allclose(spline.forward(Y)[1], expected, rtol=0, atol=1e-7)


def test_log_det_can_be_left_out():
    spline, Y = random_spline(), values()
    Z, log_det = spline.forward(Y.copy(), log_det=False)
    assert log_det is None
    np.testing.assert_array_equal(Z, spline.forward(Y.copy())[0])


def test_forward_overwrites_its_input_and_inverse_does_not():
    spline, Y = random_spline(), values()
    before = Y.copy()
    Z, _ = spline.forward(Y)
    assert Z is Y
    kept = Z.copy()
    np.testing.assert_allclose(spline.inverse(Z), before, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(Z, kept)


@pytest.mark.parametrize("spread", [1.0, 6.0, 1e3, 1e8, 1e150])
def test_inverse_undoes_forward_however_far(spread):
    spline, Y = random_spline(), values(spread=spread)
    Z, log_det = spline.forward(Y.copy())
    assert np.isfinite(Z).all()
    assert np.isfinite(log_det).all()
    # Where the map is flat, the rounding of its images counts more.
    tolerance = 1e-13 * (1 + np.abs(Z).max()) / spline.slope.min()
    np.testing.assert_allclose(spline.inverse(Z), Y, rtol=1e-10, atol=min(tolerance, 1e-9 * spread))


def test_knots_go_to_their_images_and_back():
    spline = random_spline()
    Y = np.tile(knots_of(spline), (3, 1))
    Z, log_det = spline.forward(Y.copy())
    np.testing.assert_allclose(Z, spline.z, rtol=1e-12, atol=1e-12)
    expected = np.log(spline.slope.astype(float)).sum(axis=0)
    np.testing.assert_allclose(log_det, expected, rtol=0, atol=1e-11)
    np.testing.assert_allclose(spline.inverse(spline.z.astype(float)), Y, rtol=0, atol=1e-12)


def test_value_and_slope_are_continuous_at_every_knot_and_edge():
    spline = random_spline(n_columns=1)
    x, near = knots_of(spline), 1e-10
    (left, slope_left), (right, slope_right) = (
        spline.forward((x + step)[None]) for step in (-near, near)
    )
    np.testing.assert_allclose(left, right, rtol=0, atol=10 * near * spline.slope.max())
    np.testing.assert_allclose(slope_left, slope_right, rtol=0, atol=1e-7)


def test_beyond_the_knots_it_is_a_line():
    spline = random_spline(n_columns=1)
    y = np.array([[-1e9, -50.0, -4.0, 4.0, 50.0, 1e9]])
    z, log_det = spline.forward(y.copy())
    first, last = spline.slope.astype(float)[0, [0, -1]]
    np.testing.assert_allclose(log_det, np.log(np.repeat([first, last], 3)), atol=1e-12)
    np.testing.assert_allclose(np.diff(z[0, :3]), first * np.diff(y[0, :3]), rtol=1e-12)
    np.testing.assert_allclose(np.diff(z[0, 3:]), last * np.diff(y[0, 3:]), rtol=1e-12)


@pytest.mark.parametrize("columns", [[0], [1], [4, 1], [0, 2, 4], []])
def test_only_the_columns_named_are_moved(columns):
    spline, Y = random_spline(len(columns), columns=np.array(columns, int)), values(5)
    Z, log_det = spline.forward(Y.copy())
    others = np.setdiff1d(np.arange(5), columns)
    np.testing.assert_array_equal(Z[others], Y[others])
    expected_Z, expected_log_det = reference(spline, Y)
    np.testing.assert_allclose(Z, expected_Z, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(log_det, expected_log_det, rtol=0, atol=1e-11)
    np.testing.assert_allclose(spline.inverse(Z), Y, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(spline.inverse(Z)[others], Y[others])
    if not columns:
        assert spline.forward(Y.copy(), log_det=False)[1] is None


def test_columns_in_another_order_are_mapped_by_their_own_knots():
    """All columns named, but not in the table's order."""
    spline, Y = random_spline(3, columns=[2, 0, 1]), values(3)
    expected_Z, expected_log_det = reference(spline, Y)
    Z, log_det = spline.forward(Y.copy())
    np.testing.assert_allclose(Z, expected_Z, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(log_det, expected_log_det, rtol=0, atol=1e-11)


def test_identity_knots_are_the_identity():
    knots = np.linspace(-4, 4, 17, dtype=np.float32)
    spline = GridSpline(np.arange(2), np.tile(knots, (2, 1)), np.ones((2, 17), np.float32), 4.0)
    Y = values(2, spread=4)
    Z, log_det = spline.forward(Y.copy())
    np.testing.assert_allclose(Z, Y, rtol=0, atol=1e-14 * np.abs(Y).max())
    np.testing.assert_allclose(log_det, 0, atol=1e-13)


def test_extreme_slopes_of_many_columns_neither_over_nor_underflow():
    """Slopes are multiplied before their logarithm is taken: not so many that it matters."""
    knots = np.linspace(-4, 4, 5, dtype=np.float32)
    for exponent in (-35, 35):
        z = np.tile(knots, (40, 1)) * np.float32(10.0**exponent)
        spline = GridSpline(np.arange(40), z, np.full(z.shape, 10.0**exponent, np.float32), 4.0)
        _, log_det = spline.forward(values(40, n_rows=20))
        np.testing.assert_allclose(log_det, 40 * exponent * np.log(10), rtol=1e-6)


steps = st.floats(2**-7, 2**7, width=32)
places = st.lists(st.floats(-12, 12), min_size=2, max_size=20, unique=True)


@given(st.lists(st.tuples(steps, steps), min_size=2, max_size=12), steps, st.floats(0.5, 8), places)
def test_any_increasing_knots_give_an_increasing_map_that_comes_back(bins, slope, reach, y):
    z = np.cumsum([-3.0] + [height for height, _ in bins])
    slopes = np.array([slope] + [s for _, s in bins])
    spline = GridSpline(
        np.arange(1), z[None].astype(np.float32), slopes[None].astype(np.float32), reach
    )
    Y = np.sort(np.array([y]))
    Z, log_det = spline.forward(Y.copy())
    assert np.isfinite(log_det).all()
    rounding = 1e-13 * (np.abs(Z).max() + np.abs(z).max())
    assert (np.diff(Z) >= -rounding).all()
    apart = np.diff(Y[0]) > 1e-6
    assert (np.diff(Z[0])[apart] > 0).all()
    np.testing.assert_allclose(np.sort(reference(spline, Y)[0]), np.sort(Z), rtol=1e-9, atol=1e-9)
    back = spline.inverse(Z)
    assert np.all(np.abs(back - Y) <= 1e-10 + 100 * rounding * np.exp(-np.minimum(log_det, 0)))


def test_integers_are_values_like_any_other():
    spline, Y = random_spline(), np.arange(-6, 6).reshape(3, 4)
    expected = spline.forward(Y.astype(float))
    for mine, its in zip(spline.forward(Y), expected, strict=True):
        np.testing.assert_array_equal(mine, its)
    np.testing.assert_array_equal(spline.forward_by_column(Y)[0], expected[0])
    np.testing.assert_array_equal(spline.inverse(Y), spline.inverse(Y.astype(float)))
    assert random_spline(1, columns=[]).forward(Y)[0].dtype == np.float64
