"""Laws of every estimator: one map gives the features, the way back, the density and samples."""

from __future__ import annotations

import copy

import jax
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.base import clone

import skgauss.warp
from skgauss.exceptions import TiedColumnWarning
from skgauss.marginals import SplineMarginal
from tests.estimators import (
    ESTIMATORS,
    KINDS,
    MARGINALS,
    OTHER_COUPLINGS,
    OTHER_PARTS,
    fitted,
    rbig,
    robust_scale,
    small_table,
    table,
    with_slow,
)

GLOWS = [name for name in ESTIMATORS if name.startswith("glow")]
ON_SMALL = [(name, "small") for name in ESTIMATORS]
ON_REAL = [
    (name, data)
    for data in ("breast_cancer", "wine", "diabetes", "heavy_tailed", "digits")
    for name in ("glow", "rbig", "rbig-mixture", *MARGINALS)
] + [("glow-rotation", "heavy_tailed")]  # couplings that are splines, too


@pytest.fixture(autouse=True)
def short_warps(monkeypatch):
    """Couplings before a mixture are trained little: laws do not hang on how well."""
    monkeypatch.setattr(skgauss.warp, "_FEWER_ITER", 4)


def _is_slow(name, data):
    """Whether others show the same: digits, the widest table, take the longest."""
    return (
        (name in OTHER_PARTS and data == "small")
        or (name == "glow-rotation" and data == "heavy_tailed")
        or (name == "glow" and data in ("wine", "diabetes", "breast_cancer", "heavy_tailed"))
        or data == "digits"
    )


every_fit = pytest.mark.parametrize(
    ("name", "data"),
    [
        pytest.param(*fit, marks=[pytest.mark.slow] if _is_slow(*fit) else [])
        for fit in ON_SMALL + ON_REAL
    ],
)
every_estimator = pytest.mark.parametrize("name", with_slow(ESTIMATORS, OTHER_PARTS))
every_kind = pytest.mark.parametrize("name", with_slow(KINDS, OTHER_COUPLINGS))


def _standardised_size(X, of):
    """Absolute entries in robust standard deviations from the median of the table `of`."""
    return np.abs(X - np.median(of, axis=0)) / robust_scale(of)


# The way back


@every_fit
def test_inverse_undoes_transform_on_training_rows(name, data):
    estimator, X = fitted(name, data), table(data)
    error = np.abs(estimator.inverse_transform(estimator.transform(X)) - X)
    assert np.all(error <= 1e-9 * (np.abs(X) + robust_scale(X)))


@every_fit
def test_inverse_undoes_transform_far_away(name, data):
    """Any columns 1e6 robust sds out: back to where the latents are the same to rounding.

    In the values, to 1e-6 of the row's largest standardised entry: where hardly a row is, as
    between a mixture's components, the map is so flat that its last digits decide.
    """
    estimator, X = fitted(name, data), table(data)
    rng = np.random.default_rng(0)
    far = X[rng.integers(len(X), size=300)].copy()
    sign = rng.choice([-1, 0, 1], p=[0.25, 0.5, 0.25], size=far.shape)
    far += 1e6 * robust_scale(X) * sign
    Z = estimator.transform(far)
    back = estimator.inverse_transform(Z)
    largest = np.maximum(1, _standardised_size(far, X).max(axis=1, keepdims=True))
    assert np.isfinite(Z).all()
    assert np.isfinite(estimator.score_samples(far)).all()
    assert np.all(np.abs(back - far) <= 1e-6 * robust_scale(X) * largest)
    farthest = np.maximum(1, np.abs(Z).max(axis=1, keepdims=True))
    assert np.all(np.abs(estimator.transform(back) - Z) <= 1e-12 * farthest)


@every_estimator
def test_transform_undoes_inverse(name):
    estimator = fitted(name, "small")
    Z = np.random.default_rng(1).normal(size=(500, 3))
    np.testing.assert_allclose(estimator.transform(estimator.inverse_transform(Z)), Z, atol=1e-8)


@every_estimator
def test_far_rows_are_less_likely_the_farther(name):
    estimator, X = fitted(name, "small"), table("small")
    direction = robust_scale(X) * np.array([1.0, -1.0, 1.0])
    steps = np.logspace(1, 6, 6)[:, None]
    assert np.all(np.diff(estimator.score_samples(np.median(X, axis=0) + steps * direction)) < 0)


# The density is that of the map


def _central_differences(estimator, X, step):
    """Jacobians of `transform`."""
    n_rows, n_features = X.shape
    moves = np.eye(n_features) * step
    up, down = X[:, None, :] + moves, X[:, None, :] - moves
    rise = [estimator.transform(side.reshape(-1, n_features)) for side in (up, down)]
    width = np.diagonal(up - down, axis1=1, axis2=2)  # as rounded
    return (rise[0] - rise[1]).reshape(n_rows, n_features, n_features) / width[:, :, None]


def _numerical_log_det(estimator, X, step):
    """log|det| of the Jacobian of `transform`, by Richardson's extrapolation of differences."""
    jacobian = 4 * _central_differences(estimator, X, step)
    jacobian -= _central_differences(estimator, X, 2 * step)
    return np.linalg.slogdet(jacobian / 3)[1]


@every_fit
def test_density_is_that_of_the_map(name, data):
    """To 1e-6 of the numerical Jacobian, rows astride a knot left out.

    A row counts as astride a knot where central differences of step h and of step 2h, which
    do not know the density, disagree by more than 5e-7; they are few.
    """
    estimator = fitted(name, data)
    X = table(data)[:60]
    # A component of a mixture can be a thousand times narrower than its column.
    step = (1e-7 if name == "rbig-mixture" else 1e-6) * robust_scale(table(data))
    log_det = _numerical_log_det(estimator, X, step)
    smooth = np.abs(log_det - _numerical_log_det(estimator, X, 2 * step)) < 5e-7
    log_normal = stats.norm.logpdf(estimator.transform(X)).sum(axis=1)
    error = np.abs(estimator.score_samples(X) - log_normal - log_det)
    assert smooth.mean() > 0.7
    assert error[smooth].max() < 1e-6


@every_kind
def test_density_integrates_to_one_in_one_dimension(name):
    estimator, X = fitted(name, "one_column"), table("one_column")
    u = np.linspace(-40, 40, 400_001)
    x = np.median(X) + robust_scale(X) * np.sinh(u)
    density = np.exp(estimator.score_samples(x[:, None]))
    assert np.trapezoid(density * robust_scale(X) * np.cosh(u), u) == pytest.approx(1, abs=1e-3)


@every_kind
def test_density_integrates_to_one_in_two_dimensions(name):
    """On a grid that is as fine as the columns are dense, and reaches beyond all tails."""
    estimator, X = fitted(name, "two_columns"), table("two_columns")
    even = np.linspace(-9, 9, 901)
    dense = SplineMarginal(n_knots=8).fit(X).inverse_transform(np.column_stack([even, even]))
    wide = np.median(X, axis=0) + robust_scale(X) * np.sinh(np.linspace(-12, 12, 201))[:, None]
    x = np.sort(np.vstack([dense, wide]), axis=0)
    grid = np.stack(np.meshgrid(*x.T, indexing="ij"), axis=-1).reshape(-1, 2)
    density = np.exp(estimator.score_samples(grid)).reshape(len(x), len(x))
    integral = np.trapezoid(np.trapezoid(density, x[:, 1]), x[:, 0])
    assert integral == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("name", with_slow(GLOWS, OTHER_PARTS))
def test_flow_holds_the_whole_map(name):
    estimator, X = fitted(name, "small"), table("small")[:5]
    with jax.enable_x64(True):
        transform_and_log_det = jax.jit(estimator.flow_.transform_and_log_det)
        Z, log_det = zip(*map(transform_and_log_det, X), strict=True)
        Z, log_det = np.array(Z), np.array(log_det)
    assert Z.dtype == np.float64
    np.testing.assert_allclose(Z, estimator.transform(X), rtol=1e-10, atol=1e-10)
    log_normal = stats.norm.logpdf(Z).sum(axis=1)
    np.testing.assert_allclose(log_normal + log_det, estimator.score_samples(X), rtol=1e-10)
    leaves = jax.tree.leaves(vars(estimator)["flow_"])
    assert leaves
    assert all(type(leaf) is np.ndarray for leaf in leaves)


# Units


@every_estimator
def test_rescaling_columns_shifts_the_log_density(name):
    """By -log|c|, exactly up to rounding where c is a power of two: the fit sees equal bits."""
    X, factors = small_table(), np.array([4.0, 0.125, 1024.0])
    rescaled = clone(ESTIMATORS[name]).fit(X * factors)
    expected = fitted(name, "small").score_samples(X) - np.log(factors).sum()
    np.testing.assert_allclose(rescaled.score_samples(X * factors), expected, rtol=0, atol=1e-9)


@every_estimator
def test_other_units_and_origins_shift_the_log_density(name):
    """On average, for any factor and offset: training amplifies other last bits.

    They also put the rows in another order, and on few rows the number of components that are
    warped is a matter of luck.
    """
    X, factors, offset = small_table(), np.array([0.3, 9.1, 1e-4]), np.array([7.0, -1e3, 0.1])
    estimator = fitted(name, "small")
    if name == "glow-warped-head":
        X = small_table(1_500)
        estimator = clone(estimator).fit(X)
    rescaled = clone(estimator).fit(X * factors + offset)
    difference = rescaled.score_samples(X * factors + offset) + np.log(factors).sum()
    difference -= estimator.score_samples(X)
    assert abs(difference.mean()) < 0.1


# Types and shapes


@every_estimator
def test_float32_rows_give_float32_latents_and_float64_scores(name):
    estimator, X = fitted(name, "small"), table("small").astype(np.float32)
    Z = estimator.transform(X)
    assert Z.dtype == np.float32
    assert estimator.inverse_transform(Z).dtype == np.float32
    assert estimator.score_samples(X).dtype == np.float64
    np.testing.assert_array_equal(Z, estimator.transform(X.astype(np.float64)).astype(np.float32))
    np.testing.assert_array_equal(
        estimator.score_samples(X), estimator.score_samples(X.astype(np.float64))
    )


@every_estimator
def test_float32_fit_keeps_every_row_finite(name):
    X = table("small").astype(np.float32)
    estimator = clone(ESTIMATORS[name]).fit(X)
    assert estimator.transform(X).dtype == np.float32
    assert np.isfinite(estimator.score_samples(X)).all()


@every_estimator
def test_float32_latents_far_out_come_back_finite(name):
    estimator = fitted(name, "small")
    Z = np.full((2, estimator.n_features_in_), 200, np.float32) * np.array([[1], [-1]], np.float32)
    assert np.isfinite(estimator.inverse_transform(Z)).all()


@every_estimator
def test_score_is_the_weighted_mean_log_density(name):
    estimator, X = fitted(name, "small"), table("small")
    log_density = estimator.score_samples(X)
    weight = np.random.default_rng(0).uniform(size=len(X))
    assert type(estimator.score(X)) is float
    assert estimator.score(X) == pytest.approx(log_density.mean(), rel=1e-12)
    assert estimator.score(X, sample_weight=weight) == pytest.approx(
        np.average(log_density, weights=weight), rel=1e-12
    )


@every_estimator
def test_sample_has_the_shape_and_obeys_the_seed(name):
    estimator = fitted(name, "small")
    assert estimator.sample().shape == (1, 3)
    rows = estimator.sample(50, random_state=1)
    assert rows.shape == (50, 3)
    assert np.isfinite(estimator.score_samples(rows)).all()
    np.testing.assert_array_equal(rows, estimator.sample(50, random_state=1))
    assert not np.array_equal(rows, estimator.sample(50, random_state=2))
    assert not np.array_equal(estimator.sample(50), estimator.sample(50))


@every_estimator
def test_samples_have_the_latents_of_a_normal(name):
    estimator = fitted(name, "small")
    Z = estimator.transform(estimator.sample(2000, random_state=0))
    p_values = [stats.kstest(z, "norm").pvalue for z in Z.T]
    assert min(p_values) > 1e-4


def test_rows_that_come_back_can_be_scored(monkeypatch):
    """However far a tail's law throws them."""
    model = SplineMarginal().fit(small_table())
    monkeypatch.setattr(model, "_inverse", lambda z: np.full(z.shape, -1e250))
    rows = model.sample(3, random_state=0)
    assert (rows == -1e200).all()
    assert (model.score_samples(rows) < 0).all()


def test_rows_far_beyond_the_table_are_drawn_again(monkeypatch):
    """In any column that varies; what stays where it was drawn stays the same."""
    X = small_table()
    X[:, 1] = 7.0
    model = SplineMarginal().fit(X)
    plain, inverse = model.sample(500, random_state=0), model._inverse

    def thrown(Z):
        rows = inverse(Z)
        rows[Z[:, 2] > 1, 2] = 1e50
        rows[:, 1] += 1e6  # far out in a column that was constant: nowhere else to be
        return rows

    monkeypatch.setattr(model, "_inverse", thrown)
    rows = model.sample(500, random_state=0)
    beyond = np.maximum(model.data_min_ - rows, rows - model.data_max_)[:, [0, 2]]
    assert (beyond <= 10 * np.ptp(X, axis=0)[[0, 2]]).all()
    same = (rows[:, [0, 2]] == plain[:, [0, 2]]).all(axis=1)
    assert 0.8 < same.mean() < 0.88  # a normal exceeds 1 in 16 cases of 100
    np.testing.assert_array_equal(rows, model.sample(500, random_state=0))


@pytest.mark.parametrize("n_samples", [0, -1, 1.5, "two"])
def test_sample_refuses_a_number_that_is_none(n_samples):
    with pytest.raises((TypeError, ValueError), match="n_samples"):
        fitted("spline-marginal", "small").sample(n_samples)


@every_estimator
def test_score_of_a_frame_needs_no_warning(name):
    X = pd.DataFrame(table("small"), columns=["a", "b", "c"])
    estimator = clone(ESTIMATORS[name]).fit(X)
    np.testing.assert_array_equal(estimator.feature_names_in_, ["a", "b", "c"])
    assert estimator.score(X) == fitted(name, "small").score(table("small"))
    assert estimator.diagnose(X).round_trip_error < 1e-8


@every_estimator
def test_inverse_transform_takes_latents_not_columns(name):
    X = pd.DataFrame(table("small"), columns=["a", "b", "c"])
    estimator = clone(ESTIMATORS[name]).fit(X).set_output(transform="pandas")
    Z = estimator.transform(X)
    np.testing.assert_array_equal(Z.columns, estimator.get_feature_names_out())
    np.testing.assert_allclose(estimator.inverse_transform(Z), X, rtol=1e-7)
    with pytest.raises(ValueError, match="in this order"):
        estimator.inverse_transform(Z[Z.columns[::-1]])
    with pytest.raises(ValueError, match="in this order"):
        estimator.inverse_transform(Z.rename(columns={Z.columns[0]: "other"}))
    numbered = estimator.inverse_transform(X=pd.DataFrame(np.asarray(Z)))
    np.testing.assert_allclose(numbered, X, rtol=1e-7)
    assert not hasattr(estimator, "set_inverse_transform_request")
    with pytest.raises(ValueError, match=r"one latent per column of the table, 3;.* 2 columns"):
        estimator.inverse_transform(np.asarray(Z)[:, :2])
    with pytest.raises(ValueError, match="NaN"):
        estimator.inverse_transform(np.full((1, 3), np.nan))


@every_estimator
def test_diagnose_tells_whether_the_map_is_good(name):
    estimator = fitted(name, "small")
    diagnosis = estimator.diagnose(small_table(seed=0)[::2])
    assert diagnosis.round_trip_error < 1e-8
    assert diagnosis.outside_range == 0
    assert diagnosis.n_rows == 150
    far = estimator.diagnose(1e3 + 2 * table("small"))
    assert far.outside_range == 1
    assert far.normality_p_value.max() < 1e-6
    assert "150 rows" in str(diagnosis)
    with pytest.raises(ValueError, match="minimum of 2"):
        estimator.diagnose(table("small")[:1])
    assert "round-trip" in str(diagnosis)


@every_estimator
def test_diagnose_works_with_frames_out(name):
    estimator = copy.deepcopy(fitted(name, "small")).set_output(transform="pandas")
    assert str(estimator.diagnose(table("small"))) == str(
        fitted(name, "small").diagnose(table("small"))
    )


# The same results, whatever the blocks and the threads


@every_estimator
def test_rows_do_not_depend_on_their_neighbours(name):
    """Bit by bit: one row, seven, or all, over several blocks and tasks."""
    estimator = fitted(name, "small")
    X = small_table(20_000, seed=1)
    Z, log_density = estimator.transform(X), estimator.score_samples(X)
    for part in (slice(0, 1), slice(1020, 1027), slice(16_380, 16_390), slice(5, 5000)):
        np.testing.assert_array_equal(estimator.transform(X[part]), Z[part])
        np.testing.assert_array_equal(estimator.score_samples(X[part]), log_density[part])


@every_kind
def test_block_size_changes_nothing(name, monkeypatch):
    estimator, X = fitted(name, "small"), small_table(3000, seed=1)
    Z, log_density = estimator.transform(X), estimator.score_samples(X)
    monkeypatch.setattr(type(estimator), "_block_size", 200)
    np.testing.assert_allclose(estimator.transform(X), Z, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(estimator.score_samples(X), log_density, rtol=1e-11, atol=1e-12)


@every_estimator
def test_n_jobs_changes_nothing(name):
    estimator, X = fitted(name, "small"), small_table(40_000, seed=1)
    parallel = copy.deepcopy(estimator).set_params(n_jobs=2)
    Z = estimator.transform(X)
    np.testing.assert_allclose(parallel.transform(X), Z, rtol=1e-12)
    np.testing.assert_allclose(parallel.inverse_transform(Z), estimator.inverse_transform(Z))
    np.testing.assert_allclose(parallel.score_samples(X), estimator.score_samples(X), rtol=1e-12)


@every_estimator
def test_same_random_state_same_bits(name):
    again = clone(ESTIMATORS[name]).fit(table("small"))
    np.testing.assert_array_equal(
        again.score_samples(table("small")), fitted(name, "small").score_samples(table("small"))
    )


@pytest.mark.parametrize("name", GLOWS[:1])
def test_random_state_matters(name):
    other = clone(ESTIMATORS[name]).set_params(random_state=1).fit(table("small"))
    fresh = [
        clone(ESTIMATORS[name]).set_params(random_state=None).fit(table("small")) for _ in "ab"
    ]
    latents = [e.transform(table("small"))[0, 0] for e in (fitted(name, "small"), other, *fresh)]
    assert len(set(latents)) == 4


# Weights are frequencies


@every_estimator
def test_weight_k_is_k_copies_and_weight_zero_is_absent(name):
    """Bit by bit on a table that fits one batch, in whatever order the rows come."""
    rng = np.random.default_rng(0)
    X, weight = small_table(90), rng.integers(0, 4, size=90)
    copies = rng.permutation(np.repeat(X, weight, axis=0))
    by_weight = clone(ESTIMATORS[name]).fit(X, sample_weight=weight)
    by_copies = clone(ESTIMATORS[name]).fit(copies)
    np.testing.assert_array_equal(by_weight.score_samples(X), by_copies.score_samples(X))
    np.testing.assert_array_equal(by_weight.data_min_, by_copies.data_min_)
    np.testing.assert_array_equal(by_weight.data_max_, by_copies.data_max_)


@every_kind
def test_weights_that_sum_to_little_are_proportions(name):
    """One row in ten weighs nothing, the others the same: a power of two less changes no bit."""
    X, weight = small_table(200), np.repeat([1.0, 0.0], [180, 20])
    models = [clone(ESTIMATORS[name]).fit(X, sample_weight=w) for w in (weight, 2.0**-9 * weight)]
    np.testing.assert_array_equal(*[model.score_samples(X) for model in models])


@every_kind
def test_zero_weight_rows_are_absent_whatever_they_hold(name):
    """On a table above one batch too: the rest is in the same order, hence the same bits."""
    X, far = small_table(700), np.full((5, 3), 1e9)
    weight = np.repeat([1.0, 0.0], [700, 5])
    absent = clone(ESTIMATORS[name]).fit(X)
    zero = clone(ESTIMATORS[name]).fit(np.vstack([X, far]), sample_weight=weight)
    np.testing.assert_array_equal(absent.score_samples(X), zero.score_samples(X))
    np.testing.assert_array_equal(absent.data_max_, zero.data_max_)


@every_estimator
@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.repeat([1.0, -1.0], [299, 1]), r"sample_weight\[299\] is -1.0"),
        (np.zeros(300), "zero"),
        (np.repeat([1.0, 0.0], [1, 299]), "leaves one row alone: at least 2"),
        (np.full(300, np.nan), "sample_weight.*NaN"),
        (np.full(300, np.inf), "sample_weight.*infinity"),
        (np.ones(299), "sample_weight"),
        (np.ones((300, 2)), "[Ss]ample weights"),
    ],
)
def test_weights_that_are_no_frequencies_are_refused(name, weight, message):
    with pytest.raises(ValueError, match=message):
        clone(ESTIMATORS[name]).fit(table("small"), sample_weight=weight)


def test_ties_are_named_with_their_step():
    X = small_table().copy()
    X[:, 1] = np.round(X[:, 1] / 50) * 0.5
    with pytest.warns(TiedColumnWarning, match=r"column 1 \(step 0\.5\)") as told:
        clone(ESTIMATORS["glow"]).fit(X)
    assert told[0].filename == __file__  # not a line of the library


def test_a_row_by_itself_has_the_bits_that_it_has_beside_others():
    X = np.random.default_rng(0).normal(size=(60, 12))
    model = rbig(max_layers=3).fit(X)
    together = model.score_samples(X)
    alone = np.array([model.score_samples(row[None])[0] for row in X])
    np.testing.assert_array_equal(alone, together)
