"""The loop: what it measures on rows held out, when it ends, and that blocks do not matter."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats as st
from sklearn.base import BaseEstimator, clone
from sklearn.decomposition import PCA

from skgauss import table as skgauss_table
from skgauss._threads import Threads
from skgauss.iteration import IterationOptions, add_layers
from skgauss.layers import MapLayer, MarginalColumns, RotationLayer
from skgauss.marginals import SplineMarginal
from skgauss.moments import Moments
from skgauss.rotations import ICARotation, RandomRotation
from skgauss.table import Columns
from skgauss.trace import Trace
from skgauss.weighted import bounded, mean_and_error, root_mean_square
from tests.estimators import two_moons

NOTHING = MarginalColumns(np.arange(0), None)


def columns(Y, weight=None, n_jobs=None):
    Y = np.array(Y, float)
    weight = np.ones(Y.shape[1]) if weight is None else np.asarray(weight, float)
    return Columns(Y, weight, Threads(n_jobs))


def moons(n_rows=2000, seed=0):
    X = two_moons(n_rows, seed)
    return ((X - X.mean(axis=0)) / X.std(axis=0)).T


def grow(Y, weight=None, n_held_out=None, n_jobs=None, seed=0, **options):
    """Iterate on columns, judged by the first of them."""
    rows = columns(Y, weight, n_jobs)
    n_held_out = Y.shape[1] // 4 if n_held_out is None else n_held_out
    held_out, table = rows.split(n_held_out)
    trace = Trace(held_out, table) if n_held_out else None
    options = IterationOptions(**{"max_layers": 30, "n_iter_no_change": 5} | options)
    layers = add_layers(table, trace, options, np.random.default_rng(seed))
    return layers, trace, table


def same_bits(first, second):
    """Whether two lists of layers hold the same bits."""

    def arrays(layers):
        for layer in layers:
            yield from (layer.mean, layer.components, *layer.marginal)

    return len(first) == len(second) and all(
        np.array_equal(mine, its) for mine, its in zip(arrays(first), arrays(second), strict=True)
    )


# Means and their errors


def test_mean_and_error_are_those_of_the_copies():
    rng = np.random.default_rng(0)
    values, weight = rng.normal(size=50), rng.integers(1, 5, 50)
    copies = np.repeat(values, weight)
    mean, error = mean_and_error(values, weight.astype(float))
    assert type(mean) is type(error) is float
    assert mean == pytest.approx(copies.mean())
    assert error == pytest.approx(copies.std(ddof=1) / math.sqrt(len(copies)))


def test_error_of_a_single_row_is_finite():
    assert mean_and_error(np.array([3.0]), np.array([1.0])) == (3.0, 0.0)


# Columns in blocks


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of 256 rows."""
    monkeypatch.setattr(skgauss_table, "BLOCK_VALUES", 1)


def test_blocks_are_visited_once_and_in_order(small_blocks):
    Y, weight = np.arange(2000.0).reshape(2, 1000), np.arange(1, 1001)
    rows = columns(Y, weight)
    seen = rows.map_blocks(lambda Y, w: (None, (Y[0], w)))
    assert len(seen) == 4
    np.testing.assert_array_equal(np.concatenate([y for y, _ in seen]), Y[0])
    np.testing.assert_array_equal(np.concatenate([w for _, w in seen]), weight)
    np.testing.assert_array_equal(rows.Y, Y)
    assert rows.map_blocks(lambda Y, w: (-Y, w.sum())) == [w.sum() for _, w in seen]
    np.testing.assert_array_equal(rows.Y, -Y)


def test_equal_weights_of_one_are_no_weights():
    assert columns(np.ones((2, 5))).map_blocks(lambda Y, w: (None, w)) == [None]
    weighted = columns(np.ones((2, 5)), np.full(5, 2.0))
    assert weighted.map_blocks(lambda Y, w: (None, w.sum())) == [10.0]
    assert weighted.n_rows == 10.0


def test_moments_are_those_of_the_rows(small_blocks):
    Y, weight = moons(1000), np.random.default_rng(0).integers(1, 4, 1000)
    mean, covariance = columns(Y, weight).moments().mean_and_covariance()
    np.testing.assert_allclose(mean, np.average(Y, axis=1, weights=weight))
    np.testing.assert_allclose(covariance, np.cov(Y, fweights=weight, bias=True))


def test_forward_changes_the_rows_and_mapped_a_copy(small_blocks):
    layer = RotationLayer(np.array([1.0, 2.0]), np.array([[1.0, 2.0], [0.0, 3.0]]), NOTHING)
    Y = moons(1000)
    rows = columns(Y)
    copy = rows.mapped(layer)
    np.testing.assert_array_equal(rows.Y, Y)
    log_det = rows.forward(layer)
    expected = layer.components @ (Y - layer.mean[:, None])
    for moved in (rows, copy):
        np.testing.assert_allclose(moved.Y, expected, atol=1e-12)
    np.testing.assert_allclose(log_det, math.log(3))
    density = st.multivariate_normal([1, 2], np.linalg.inv(layer.components.T @ layer.components))
    np.testing.assert_allclose(rows.log_density(log_det), density.logpdf(Y.T))


def test_split_keeps_rows_with_their_weights():
    Y, weight = moons(100), np.arange(1, 101)
    first, rest = columns(Y, weight).split(30)
    np.testing.assert_array_equal(np.hstack([first.Y, rest.Y]), Y)
    assert (first.n_rows, rest.n_rows) == (weight[:30].sum(), weight[30:].sum())


# The trace


def fitted_layers(Y, n_layers=4):
    """A first layer and some rotations, fitted to columns."""
    marginal = SplineMarginal()
    marginal._fit_columns(Y, np.ones(Y.shape[1]))
    first = MapLayer(marginal)
    rows = columns(Y)
    rows.forward(first)
    options = IterationOptions(max_layers=n_layers - 1, stopping=None)
    return [first, *add_layers(rows, None, options, np.random.default_rng(0))]


def test_trace_adds_up_to_the_log_density():
    """Row by row: the base, then gains, against the layers composed from scratch."""
    Y, held_out = moons(1500), moons(300, seed=1)
    layers, weight = fitted_layers(Y), np.random.default_rng(0).integers(1, 4, 300)
    trace = Trace(columns(held_out, weight), columns(Y))
    normal = st.norm(Y.mean(axis=1), Y.std(axis=1))
    expected = [normal.logpdf(held_out.T).sum(axis=1)]
    np.testing.assert_allclose(trace.levels[0], expected[0])
    for k, layer in enumerate(layers):
        trace.add(layer, first=k == 0)
        Z, log_det = held_out.copy(), 0.0
        for earlier in layers[: k + 1]:
            Z, increment = earlier.forward(Z)
            log_det = log_det + increment
        expected.append(st.norm.logpdf(Z).sum(axis=0) + log_det)
    np.testing.assert_allclose(trace.levels, expected, atol=1e-10)
    for gain, (mean, error) in zip(np.diff(expected, axis=0), trace.removed, strict=True):
        copies = np.repeat(gain, weight)
        assert mean == pytest.approx(copies.mean(), abs=1e-10)
        assert error == pytest.approx(copies.std(ddof=1) / math.sqrt(len(copies)), abs=1e-10)
    np.testing.assert_allclose(trace.kept(), expected[trace.best_length()], atol=1e-10)
    assert trace.n_first == 1


def test_what_a_layer_removes_is_the_formula_of_the_issue():
    """delta = sum_j (y_j^2 - psi_j(y_j)^2) / 2 + log psi_j'(y_j), with the mixer's part."""
    Y, held_out = moons(1500), moons(300, seed=1)
    first, layer = fitted_layers(Y, n_layers=2)
    trace = Trace(columns(held_out), columns(Y))
    trace.add(first, first=True)
    before, _ = first.forward(held_out)
    y = layer.rotate(before)
    z, log_slope = layer.marginal.forward(y.copy())
    delta = ((before**2).sum(axis=0) - (z**2).sum(axis=0)) / 2 + log_slope
    delta += np.linalg.slogdet(layer.components)[1]
    trace.add(layer)
    np.testing.assert_allclose(trace.levels[2] - trace.levels[1], delta, atol=1e-10)


def test_constant_columns_have_a_base():
    Y = np.vstack([moons(100), np.full((1, 100), 5.0)])
    trace = Trace(columns(Y[:, :30]), columns(Y[:, 30:]))
    assert np.isfinite(trace.levels).all()


class Gains(Trace):
    """A trace of given gains: mean and standard deviation per layer, over `n_rows`."""

    def __init__(self, *moments, n_first=1, n_rows=400, together=False):
        rng = np.random.default_rng(0)
        shared = st.zscore(rng.normal(size=n_rows))
        self._begin(np.zeros(n_rows), np.ones(n_rows))
        for k, (mean, sd) in enumerate(moments):
            gain = mean + sd * (shared if together else st.zscore(rng.normal(size=n_rows)))
            self._note(self.levels[-1] + gain, first=k < n_first)


# An error of sd / 20 for every mean below.


def test_negentropy_goes_on_while_the_last_layers_remove_something():
    first, clear, nothing = (5.0, 1.0), (0.2, 1.0), (0.0, 1.0)
    assert Gains(first).goes_on("negentropy", 2)  # too early to tell
    assert Gains(first, clear, nothing).goes_on("negentropy", 2)
    assert not Gains(first, clear, nothing, nothing).goes_on("negentropy", 2)
    # The gains are added up before they are compared: together they are clear.
    faint = (0.05, 0.8)
    assert not Gains(first, faint).goes_on("negentropy", 1)
    assert Gains(first, *[faint] * 8).goes_on("negentropy", 8)
    # But not where they all come from the same rows.
    assert not Gains(first, *[faint] * 8, together=True).goes_on("negentropy", 8)


@pytest.mark.parametrize(("mean", "goes_on"), [(1.60, False), (1.70, True)])
def test_negentropy_stops_at_so_many_errors(mean, goes_on):
    error = 1 / math.sqrt(399)
    assert Gains((5.0, 1.0), (mean * error, 1.0)).goes_on("negentropy", 1) is goes_on


def test_rounding_is_no_negentropy():
    assert not Gains((5.0, 1.0), (1e-9, 0.0)).goes_on("negentropy", 1)


def test_likelihood_goes_on_while_the_best_is_recent():
    first, up, down = (5.0, 1.0), (0.01, 5.0), (-0.01, 5.0)
    assert Gains(first, up, up, down, down).goes_on("likelihood", 3)  # two layers ago
    assert not Gains(first, up, up, down, down, down).goes_on("likelihood", 3)
    assert Gains(first, up, down, down, down, (0.04, 1.0)).goes_on("likelihood", 3)


def test_without_a_rule_it_goes_on():
    assert Gains((5.0, 1.0), *[(-1.0, 0.1)] * 50).goes_on(None, 1)


def test_best_length_is_that_of_the_best_total_if_it_is_clear():
    first, clear, loss = (5.0, 1.0), (0.5, 1.0), (-0.5, 1.0)
    assert Gains(first).best_length() == 1
    assert Gains(first, clear, clear, loss).best_length() == 3
    assert Gains(first, clear, loss, loss).best_length() == 2
    assert Gains(first, loss, clear).best_length() == 1  # the total is not above zero
    assert Gains(first, loss, clear, clear).best_length() == 4  # a loss on the way to a gain
    assert Gains((-5.0, 1.0), loss).best_length() == 1  # first layers are always kept
    assert Gains((-5.0, 1.0), (-4.0, 1.0), loss, n_first=2).best_length() == 2


@pytest.mark.parametrize("n_held_out", [8, 400])
@pytest.mark.parametrize("factor", [0.95, 1.05])
def test_more_than_one_rotation_must_be_clearly_better(n_held_out, factor):
    """By the 0.1 % point of Student's t for a few rows; the best of many depths is judged."""
    critical = st.t(n_held_out - 1).isf(0.001) / math.sqrt(n_held_out - 1)
    gain = (factor * critical, 1.0)
    first = (5.0, 1.0)
    assert Gains(first, gain, n_rows=n_held_out).best_length() == 2  # one is always worth trying
    trace = Gains(first, (0.0, 0.0), gain, n_rows=n_held_out)
    assert trace.best_length() == (3 if factor > 1 else 2)


@pytest.mark.parametrize(("n_errors", "length"), [(-1.7, 1), (-1.6, 2), (0.5, 2)])
def test_one_rotation_is_kept_unless_it_is_clearly_worse(n_errors, length):
    mean = n_errors / math.sqrt(399)
    assert Gains((5.0, 1.0), (mean, 1.0)).best_length() == length
    assert Gains((5.0, 1.0), (mean, 1.0), (0.01, 1.0)).best_length() == length


# Adding layers


def test_layers_gaussianize():
    Y, new = moons(3000), moons(3000, seed=1)
    layers, trace, _ = grow(Y, max_layers=60, n_iter_no_change=20)
    for layer in layers[: trace.best_length()]:
        new, _ = layer.forward(new)
    before = moons(3000, seed=1)
    assert max(st.kstest(z, "norm").statistic for z in new) < 0.05
    assert st.kstest((new**2).sum(axis=0), st.chi2(2).cdf).statistic < 0.05
    assert st.kstest((before**2).sum(axis=0), st.chi2(2).cdf).statistic > 0.1


def test_table_is_sent_along():
    """What the table holds at the end is what the layers make of it."""
    Y = moons(1000)
    layers, _, table = grow(Y, n_held_out=0, stopping=None, max_layers=5)
    assert len(layers) == 5
    Z = Y.copy()
    for layer in layers:
        Z, _ = layer.forward(Z)
    np.testing.assert_allclose(table.Y, Z, atol=1e-9)


@pytest.mark.parametrize("rotation", ["auto", "pca", "ica", "random"])
@pytest.mark.parametrize("weighted", [False, True])
def test_jobs_do_not_change_a_bit(small_blocks, rotation, weighted):
    Y = moons(3000)
    weight = np.random.default_rng(0).integers(1, 4, 3000) if weighted else None
    options = {"max_layers": 6, "rotation": rotation}
    (one, first, _), (two, second, _) = (grow(Y, weight, n_jobs=n, **options) for n in (1, 2))
    assert same_bits(one, two)
    np.testing.assert_array_equal(first.levels, second.levels)


def test_blocks_change_rounding_only(monkeypatch):
    """Sums over blocks are sums of sums; what a layer makes of a row has the same bits."""
    Y = moons(3000)
    layers, whole, table = grow(Y, max_layers=4, rotation="pca")
    monkeypatch.setattr(skgauss_table, "BLOCK_VALUES", 1)
    _, parts, _ = grow(Y, max_layers=4, rotation="pca")
    np.testing.assert_allclose(parts.levels, whole.levels, rtol=0, atol=1e-5)
    rows = columns(Y[:, 750:])
    for layer in layers:
        rows.forward(layer)
    np.testing.assert_array_equal(rows.Y, table.Y)


def test_generator_decides():
    one, same, other = (grow(moons(), max_layers=4, seed=seed)[0] for seed in (0, 0, 1))
    assert same_bits(one, same)
    assert not same_bits(one, other)


def test_auto_takes_the_directions_that_look_less_normal():
    """Independent columns, mixed: principal axes look normal, independent components do not."""
    rng = np.random.default_rng(0)
    Y = rng.normal(size=(4, 4)) @ rng.uniform(-1, 1, size=(4, 4000))
    gains = {}
    for rotation in ("auto", "ica", "pca"):
        _, trace, _ = grow(Y, rotation=rotation, max_layers=1)
        gains[rotation] = trace.removed[0][0]
    assert gains["auto"] == pytest.approx(gains["ica"], abs=1e-6)
    assert gains["auto"] > gains["pca"] + 0.05


def test_stops_when_nothing_is_removed_any_more():
    Y = np.random.default_rng(0).normal(size=(3, 2000))
    layers, trace, _ = grow(Y, max_layers=50, n_iter_no_change=4)
    assert len(layers) == 4
    assert trace.best_length() <= 1


@pytest.mark.parametrize("max_layers", [0, 1, 3])
def test_fixed_depth(max_layers):
    assert len(grow(moons(), stopping=None, max_layers=max_layers)[0]) == max_layers


def test_learning_rate_takes_part_of_the_way():
    (_, whole, _), (_, half, _) = (
        grow(moons(), max_layers=1, learning_rate=rate) for rate in (1.0, 0.5)
    )
    assert 0.3 < half.removed[0][0] / whole.removed[0][0] < 1.0


@pytest.mark.parametrize("marginal", ["spline", SplineMarginal(n_knots=8)], ids=str)
def test_marginal_of_ones_own_is_used_where_it_pays(marginal):
    rng = np.random.default_rng(0)
    Y = np.vstack([rng.normal(size=2000), rng.uniform(-1, 1, 2000), rng.normal(size=2000)])
    layers, trace, _ = grow(Y, marginal=marginal, rotation="ica", max_layers=1)
    assert len(layers[0].marginal.columns) == 1
    assert trace.removed[0][0] > 0.05


# Rotations of one's own


class Fixed(BaseEstimator):
    """Components as given."""

    def __init__(self, components=None):
        self.components = components

    def fit(self, X, y=None):
        self.components_ = np.array(self.components)
        return self


@pytest.mark.parametrize(
    "rotation", [PCA(), PCA(whiten=True), ICARotation(), Fixed(np.diag([2.0, -0.1]))], ids=str
)
def test_directions_of_ones_own_are_scaled_to_unit_variance(rotation):
    Y = moons()
    layers, _, _ = grow(Y, rotation=rotation, n_held_out=0, stopping=None, max_layers=2)
    y = layers[0].rotate(Y)
    np.testing.assert_allclose(y.mean(axis=1), 0, atol=1e-9)
    np.testing.assert_allclose(y.std(axis=1), 1, atol=1e-6)
    if isinstance(rotation, Fixed):
        np.testing.assert_allclose(layers[0].components, np.diag([1, -1] / Y.std(axis=1)))


@pytest.mark.parametrize(
    ("rotation", "message"),
    [
        (PCA(n_components=1), r"PCA\(n_components=1\).*shape \(1, 2\).*\(2, 2\)"),
        (Fixed([[1.0, 2.0], [2.0, 4.0]]), r"invertible matrix of shape \(2, 2\)"),
        (Fixed([[1.0, np.nan], [0.0, 1.0]]), r"invertible matrix of shape \(2, 2\)"),
        (SplineMarginal(), r"SplineMarginal\(\).*components_"),
    ],
    ids=str,
)
def test_what_is_no_rotation_is_refused(rotation, message):
    with pytest.raises(ValueError, match=message):
        grow(moons(), rotation=rotation)


def test_a_rotation_that_takes_weights_gets_them():
    Y, weight = moons(500), np.random.default_rng(0).integers(1, 5, 500)
    rotation = ICARotation(random_state=0)
    options = {"rotation": rotation, "n_held_out": 0, "stopping": None, "max_layers": 1}
    (weighted,), _, _ = grow(Y, weight, **options)
    (copied,), _, _ = grow(np.repeat(Y, weight, axis=1), **options)
    (unweighted,), _, _ = grow(Y, **options)
    np.testing.assert_allclose(weighted.components, copied.components, rtol=1e-6)
    assert not np.allclose(weighted.components, unweighted.components, rtol=1e-3)


def test_a_rotation_with_a_random_state_is_drawn_anew_for_every_layer():
    """From the loop's generator: reproducible, though the instance's own state is None."""
    rotation = RandomRotation()
    one, same, other = (
        grow(moons(), rotation=rotation, max_layers=3, seed=seed)[0] for seed in (0, 0, 1)
    )
    assert same_bits(one, same)
    assert not same_bits(one, other)
    assert rotation.random_state is None
    assert not hasattr(rotation, "components_")
    fixed, _, _ = grow(moons(), rotation=clone(rotation).set_params(random_state=0), max_layers=3)
    assert same_bits(fixed, one)


def test_moments_behind_a_layer_are_those_of_the_next():
    """The sums are taken on the way: no second pass, and no other result."""
    Y = moons(1000)
    _, _, table = grow(Y, n_held_out=0, stopping=None, max_layers=3)
    layers, _, _ = grow(Y, n_held_out=0, stopping=None, max_layers=4)
    mean, _ = Moments.of(table.Y, None).whitening()
    np.testing.assert_allclose(layers[3].mean, mean, atol=1e-9)


# A row far beyond all others


def test_few_rows_do_not_decide_how_many_layers_there_are():
    """One of 400 rows loses what all others together never gain."""
    trace = Gains((5.0, 1.0), n_first=1)
    rng = np.random.default_rng(1)
    for _ in range(5):
        gain = 0.2 + 0.5 * rng.normal(size=400)
        gain[7] = -1e5 * rng.uniform()
        trace._note(trace.levels[-1] + gain, first=False)
        assert trace.goes_on("negentropy", 1)
        assert trace.goes_on("likelihood", 1)
    assert trace.best_length() == 6
    assert trace.removed[-1][0] < 0  # that is told as it is


def test_gains_that_most_rows_share_are_not_bounded():
    """A table may have ten nats of dependence, and rows that differ in how much they gain."""
    rng = np.random.default_rng(0)
    gain = 10 + 4 * rng.normal(size=1000)
    np.testing.assert_array_equal(bounded(gain, np.ones(1000)), gain)
    few = np.append(gain, [-1e9, 1e9])
    middle = np.median(gain)
    assert abs(bounded(few, np.ones(1002))[-2:] - middle).max() < 40
    copies = np.ones(1002)
    copies[-1] = 3
    repeated = np.append(few, few[-1:].repeat(2))
    assert bounded(few, copies)[-1] == bounded(repeated, np.ones(1004))[-1]


@pytest.mark.parametrize("share", [0.02, 0.1, 0.3])
def test_what_a_minority_gains_is_no_matter_of_few_rows(share):
    gain = np.zeros(2000)
    gain[: int(share * 2000)] = 30.0
    np.testing.assert_array_equal(bounded(gain, np.ones(2000)), gain)


def test_of_depths_that_differ_by_rounding_the_first_is_kept():
    clear, rounding = (0.5, 1.0), (1e-12, 0.0)
    assert Gains((5.0, 1.0), clear, clear, *[rounding] * 10).best_length() == 3


@pytest.mark.parametrize("scale", [1e-180, 1.0, 1e180])
def test_mean_squares_neither_over_nor_underflow(scale):
    values, weight = np.array([3.0, 4.0]), np.array([1.0, 3.0])
    with np.errstate(all="raise"):
        assert root_mean_square(scale * values, weight) == pytest.approx(scale * 14.25**0.5)
        assert mean_and_error(scale * values, weight)[1] == pytest.approx(scale * 0.25)
