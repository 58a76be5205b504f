"""Tables that break things: each either works to spec or is refused with what to do."""

from __future__ import annotations

import pickle
import tracemalloc
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError

import skgauss.glow
import skgauss.rows
import skgauss.training
from skgauss import GlowGaussianizer
from skgauss.exceptions import TiedColumnWarning
from skgauss.marginals import (
    HistogramMarginal,
    KDEMarginal,
    MixtureMarginal,
    SplineMarginal,
)
from tests.estimators import glow, small_table

# Affine couplings compile fastest; what is hostile meets the head and the loop, not these.
ESTIMATORS = {
    "glow": glow(coupling="affine"),
    "spline-marginal": SplineMarginal(random_state=0),
    "histogram-marginal": HistogramMarginal(random_state=0),
    "kde-marginal": KDEMarginal(random_state=0),
    "mixture-marginal": MixtureMarginal(random_state=0),
}

ties_allowed = pytest.mark.filterwarnings("ignore::skgauss.exceptions.TiedColumnWarning")


@pytest.fixture(params=ESTIMATORS)
def estimator(request):
    return clone(ESTIMATORS[request.param])


def assert_works(estimator, X, tolerance=1e-8):
    """Fit; everything is finite and comes back, to a share of the column's largest value."""
    X = np.asarray(X)
    estimator.fit(X)
    Z = estimator.transform(X)
    assert Z.shape == X.shape
    assert np.isfinite(Z).all()
    assert np.isfinite(estimator.score_samples(X)).all()
    assert np.isfinite(estimator.sample(20, random_state=0)).all()
    wide = X.astype(np.float64)
    back = estimator.inverse_transform(estimator.transform(wide))
    largest = np.abs(wide).max(axis=0)
    constant = wide.min(axis=0) == wide.max(axis=0)  # is standardised with a scale of 1
    assert np.all(np.abs(back - wide) <= tolerance * np.maximum(largest, constant))


# Refused, with the column named


@pytest.mark.parametrize(("value", "name"), [(np.nan, "NaN"), (np.inf, "inf"), (-np.inf, "inf")])
def test_a_value_that_is_not_finite_is_named_by_column_and_row(estimator, value, name):
    X = small_table().copy()
    X[7, 1] = value
    with pytest.raises(ValueError, match=rf"{name}.* in column 1, first in row 7.*impute"):
        estimator.fit(X)
    frame = pd.DataFrame(X, columns=["a", "width", "c"])
    with pytest.raises(ValueError, match=rf"{name}.* in column 'width', first in row 7"):
        estimator.fit(frame)
    estimator.fit(small_table())
    for method in (estimator.transform, estimator.score_samples, estimator.score):
        with pytest.raises(ValueError, match=rf"{name}.* in column 1"):
            method(X)


def test_nan_beyond_the_first_block_of_rows_is_found(estimator):
    X = small_table(70_000).copy()
    X[69_999, 2] = np.nan
    with pytest.raises(ValueError, match="NaN in column 2, first in row 69999"):
        estimator.fit(X)


def test_missing_values_of_pandas_are_named(estimator):
    frame = pd.DataFrame(small_table(), columns=list("abc"))
    frame["b"] = frame["b"].astype("Float64")
    frame.loc[3, "b"] = pd.NA
    with pytest.raises(ValueError, match="NaN in column 'b'"):
        estimator.fit(frame)


def test_text_columns_are_named(estimator):
    frame = pd.DataFrame(small_table(20), columns=list("abc"))
    frame["colour"], frame["shape"] = "red", "round"
    with pytest.raises(ValueError, match=r"\['colour', 'shape'\].*Encode"):
        estimator.fit(frame)
    with pytest.raises(ValueError, match="could not convert string"):
        estimator.fit([["red", "round"], ["blue", "square"]])


def test_complex_is_refused(estimator):
    with pytest.raises(ValueError, match="Complex data not supported"):
        estimator.fit(small_table() + 1j)


@pytest.mark.parametrize("container", [scipy.sparse.csr_matrix, scipy.sparse.csc_array])
def test_sparse_is_refused(estimator, container):
    with pytest.raises(TypeError, match="dense data is required"):
        estimator.fit(container(small_table()))


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.empty((0, 3)), r"0 sample\(s\)"),
        (np.empty((5, 0)), r"0 feature\(s\)"),
        (np.ones((1, 3)), r"1 sample|n_samples = 1|n_samples=1"),
        (np.ones(5), "Reshape your data"),
        (np.ones((2, 3, 4)), "dim 3"),
        ([], "Reshape|Expected 2D"),
        (5.0, "Reshape|Expected 2D"),
    ],
)
def test_a_table_that_is_none_is_refused(estimator, X, message):
    with pytest.raises(ValueError, match=message):
        estimator.fit(X)


def test_a_single_row_can_be_scored_but_not_learned_from(estimator):
    estimator.fit(small_table())
    assert estimator.transform(small_table()[:1]).shape == (1, 3)
    with pytest.raises(ValueError, match="minimum of 2"):
        estimator.fit(small_table()[:1])


def test_another_number_of_columns_is_refused(estimator):
    estimator.fit(small_table())
    for method in (estimator.transform, estimator.score_samples, estimator.score):
        with pytest.raises(ValueError, match=r"4 features.*expecting 3"):
            method(np.ones((5, 4)))
    with pytest.raises(ValueError, match="one latent per column of the table, 3"):
        estimator.inverse_transform(np.ones((5, 4)))
    with pytest.raises(ValueError, match=r"4 features.*expecting 3"):
        estimator.diagnose(np.ones((5, 4)))


def test_nothing_works_before_fit(estimator):
    for method in (
        estimator.transform,
        estimator.inverse_transform,
        estimator.score_samples,
        estimator.score,
        estimator.diagnose,
    ):
        with pytest.raises(NotFittedError, match="not fitted"):
            method(small_table())
    with pytest.raises(NotFittedError, match="not fitted"):
        estimator.sample()


# Works to spec


def test_two_rows(estimator):
    assert_works(estimator, small_table(2))


def test_three_equal_rows(estimator):
    assert_works(estimator, np.repeat(small_table(1), 3, axis=0))


def test_one_column(estimator):
    assert_works(estimator, small_table(n_features=1))


def test_one_column_of_two_rows(estimator):
    assert_works(estimator, np.array([[1.0], [2.0]]))


def test_more_columns_than_rows(estimator):
    assert_works(estimator, small_table(10, 25))


def test_constant_columns(estimator):
    """They are only shifted: other values get finite results and come back."""
    X = np.column_stack([small_table(), np.full(300, 5.0), np.zeros(300)])
    assert_works(estimator, X)
    other = X[:5] + np.array([0, 0, 0, 1e3, -1e3])
    back = estimator.inverse_transform(estimator.transform(other))
    np.testing.assert_allclose(back, other, rtol=1e-8)
    assert np.all(estimator.score_samples(other) < estimator.score_samples(X[:5]))


@pytest.mark.parametrize("value", [0.0, 1e-200, -7.0, 1e200])
def test_all_columns_constant(estimator, value):
    assert_works(estimator, np.full((30, 3), value))


def test_duplicated_columns_have_a_bounded_density(estimator):
    """A singular covariance: the density does not grow without bound."""
    X = small_table()
    single = clone(estimator).fit(X).score(X)
    X = np.column_stack([X, X[:, 0], -3 * X[:, 1]])
    assert_works(estimator, X)
    assert estimator.score(X) < single + 2 * 12


@ties_allowed
@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.uint16, bool])
def test_integers_and_booleans(estimator, dtype):
    X = np.random.default_rng(0).integers(0, 2 if dtype is bool else 100, (300, 3)).astype(dtype)
    assert_works(estimator, X)
    assert estimator.transform(X).dtype == np.float64


@ties_allowed
def test_float16(estimator):
    X = np.random.default_rng(0).normal(size=(300, 3)).astype(np.float16)
    assert_works(estimator, X)
    assert np.isfinite(estimator.transform(X)).all()


@pytest.mark.parametrize("factor", [1e150, 1e-150])
def test_scale(estimator, factor):
    X = small_table()
    expected = clone(estimator).fit(X).score_samples(X) - 3 * np.log(factor)
    assert_works(estimator, X * factor)
    np.testing.assert_allclose(estimator.score_samples(X * factor), expected, rtol=0, atol=0.05)


def test_columns_of_very_different_scales(estimator):
    assert_works(estimator, small_table() * [1e-150, 1.0, 1e150])


def test_large_offset(estimator):
    """Mean 1e8 and sd 1: standardised in float64 before training in float32."""
    assert_works(estimator, 1e8 + np.random.default_rng(0).normal(size=(300, 2)))


def test_one_outlier(estimator):
    X = small_table().copy()
    X[17, 0] = 1e12
    reference = clone(estimator).fit(np.delete(X, 17, axis=0))
    assert_works(estimator, X)
    rest = np.delete(X, 17, axis=0)
    assert estimator.score_samples(X).argmin() == 17
    assert abs(estimator.score(rest) - reference.score(rest)) < 0.5
    errors = np.abs(estimator.inverse_transform(estimator.transform(rest)) - rest)
    assert np.all(errors <= 1e-8 * np.abs(rest).max(axis=0))


def test_tied_and_gridded_columns_are_named_with_their_step():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=300), rng.integers(9, size=300) / 4, rng.normal(size=300)])
    X[:, 2] = np.where(X[:, 2] < 0.5, 0.0, X[:, 2])
    frame = pd.DataFrame(X, columns=["smooth", "grid", "censored"])
    with pytest.warns(TiedColumnWarning, match=r"'grid' \(step 0\.25\)") as record:
        glow(coupling="affine").fit(frame)
    message = str(record[0].message)
    assert "censored" in message
    assert "smooth" not in message
    assert "dequantize=True" in message
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        glow(coupling="affine", dequantize=True).fit(frame)


@ties_allowed
def test_tied_columns_work(estimator):
    rng = np.random.default_rng(0)
    columns = [rng.normal(size=300), rng.integers(9, size=300), rng.integers(2, size=300)]
    X = np.column_stack(columns)
    assert_works(estimator, X)


def test_read_only_fortran_and_strided_arrays_give_the_same_bits(estimator):
    X = small_table()
    expected = clone(estimator).fit(X).score_samples(X)
    read_only = X.copy()
    read_only.flags.writeable = False
    strided = np.repeat(np.repeat(X, 2, axis=0), 3, axis=1)[::2, ::3]
    for other in (read_only, np.asfortranarray(X), strided, X.tolist(), pd.DataFrame(X).values):
        scores = clone(estimator).fit(other).score_samples(other)
        np.testing.assert_array_equal(scores, expected)


def test_fit_and_score_leave_the_input_alone(estimator):
    X, weight = small_table().copy(), np.arange(300.0)
    estimator.fit(X, sample_weight=weight)
    estimator.inverse_transform(estimator.transform(X))
    estimator.score(X, sample_weight=weight)
    np.testing.assert_array_equal(X, small_table())
    np.testing.assert_array_equal(weight, np.arange(300.0))


def _memmap(path, X):
    np.save(path, X)
    return np.load(path, mmap_mode="r")


def test_memmap_gives_the_same_bits(estimator, tmp_path):
    X = small_table(700)
    mapped = _memmap(tmp_path / "X.npy", X)
    assert isinstance(mapped, np.memmap)
    expected = clone(estimator).fit(X).score_samples(X)
    np.testing.assert_array_equal(clone(estimator).fit(mapped).score_samples(mapped), expected)


def test_memmap_is_not_copied_whole(tmp_path, monkeypatch):
    """What NumPy allocates at its peak grows by the rows' weights and numbers, not their columns.

    The cache and the head's sample are made small, so that a table of 50 MB is a large one.
    """
    monkeypatch.setattr(skgauss.rows, "_CACHE_BYTES", 1 << 16)
    monkeypatch.setattr(skgauss.glow, "MAX_MIXTURE_ROWS", 5_000)
    whole = _memmap(tmp_path / "X.npy", np.random.default_rng(0).normal(size=(160_000, 40)))
    model = glow(coupling="affine", n_steps=1, max_iter=1, batch_size=4096)
    model.fit(whole[:6000]).score_samples(whole[:10])  # compile, which allocates too
    peaks = {}
    tracemalloc.start()
    try:
        for X in (whole[:80_000], whole):
            for method in (model.fit, model.score_samples):
                tracemalloc.reset_peak()
                before = tracemalloc.get_traced_memory()[0]
                method(X)
                peak = tracemalloc.get_traced_memory()[1] - before
                peaks[method.__name__, len(X)] = peak
    finally:
        tracemalloc.stop()
    for name in ("fit", "score_samples"):
        assert peaks[name, 160_000] - peaks[name, 80_000] < whole.nbytes / 2 / 4


# Whatever fails leaves what was


def _state(estimator):
    return pickle.dumps(vars(estimator))


@pytest.mark.parametrize("warm_start", [False, True])
@pytest.mark.parametrize("n_updates", [0, 5, 40])
def test_an_interrupt_leaves_the_fitted_state(monkeypatch, warm_start, n_updates):
    model = glow(coupling="affine", warm_start=warm_start).fit(small_table())
    before, scores = _state(model), model.score_samples(small_table())
    update, done = skgauss.training._Trainer.update, []

    def interrupted(*args, **kwargs):
        if len(done) == n_updates:
            raise KeyboardInterrupt
        done.append(None)
        return update(*args, **kwargs)

    monkeypatch.setattr(skgauss.training._Trainer, "update", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.fit(small_table(n_features=3, seed=5))
    with pytest.raises(KeyboardInterrupt):
        model.partial_fit(small_table(n_features=3, seed=5))
    monkeypatch.undo()
    assert _state(model) == before
    np.testing.assert_array_equal(model.score_samples(small_table()), scores)


def test_an_interrupted_first_fit_leaves_it_unfitted(monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(skgauss.training._Trainer, "update", interrupted)
    model = glow(coupling="affine")
    before = _state(model)
    with pytest.raises(KeyboardInterrupt):
        model.fit(small_table())
    assert _state(model) == before


@pytest.mark.parametrize(
    "spoil",
    [
        lambda X: np.where(np.arange(len(X))[:, None] == 3, np.nan, X),
        lambda X: X[:1],
        lambda X: pd.DataFrame({"a": ["x", "y"], "b": [1, 2]}),
        lambda X: scipy.sparse.csr_array(X),
    ],
    ids=["nan", "one row", "text", "sparse"],
)
def test_a_failed_refit_leaves_the_fitted_state(estimator, spoil):
    estimator.fit(pd.DataFrame(small_table(), columns=list("abc")))
    before = _state(estimator)
    with pytest.raises((TypeError, ValueError)):
        estimator.fit(spoil(small_table(n_features=4)))
    assert _state(estimator) == before


# Parameters

BAD_GLOW_PARAMETERS = [
    ("n_steps", 0),
    ("n_steps", 1.5),
    ("n_steps", "many"),
    ("mixer", "conv"),
    ("mixer", None),
    ("coupling", "rqs"),
    ("head", "gaussian"),
    ("hidden_layer_sizes", (0,)),
    ("hidden_layer_sizes", (8, -1)),
    ("hidden_layer_sizes", (1.5,)),
    ("hidden_layer_sizes", 8),
    ("hidden_layer_sizes", "large"),
    ("n_bins", 1),
    ("n_bins", 65),
    ("n_bins", 8.0),
    ("max_iter", 0),
    ("max_iter", None),
    ("batch_size", 1),
    ("batch_size", 0),
    ("learning_rate_init", 0),
    ("learning_rate_init", -1e-3),
    ("learning_rate_init", np.nan),
    ("alpha", -1e-9),
    ("alpha", "none"),
    ("ema_decay", 1.0),
    ("ema_decay", -0.1),
    ("early_stopping", "yes"),
    ("validation_fraction", 0.0),
    ("validation_fraction", 1.0),
    ("n_iter_no_change", 0),
    ("tol", -1.0),
    ("max_time", 0),
    ("max_time", -5),
    ("dequantize", 2),
    ("dtype", "float16"),
    ("dtype", np.float32),
    ("warm_start", None),
    ("n_jobs", 1.5),
    ("n_jobs", "all"),
    ("random_state", -1),
    ("random_state", "seed"),
    ("verbose", -1),
]
BAD_MARGINAL_PARAMETERS = [
    ("subsample", 9),
    ("subsample", 0.5),
    ("n_jobs", "all"),
    ("random_state", "seed"),
]
FINENESS = {
    SplineMarginal: [("n_knots", 1), ("n_knots", "many")],
    HistogramMarginal: [("n_bins", 0), ("n_bins", 2.5)],
    KDEMarginal: [("bandwidth", 0), ("bandwidth", "narrow"), ("n_knots", 3)],
    MixtureMarginal: [("n_components", 0), ("n_components", "many")],
}
BAD_PARAMETERS = [(GlowGaussianizer, *bad) for bad in BAD_GLOW_PARAMETERS] + [
    (cls, *bad) for cls, own in FINENESS.items() for bad in (*own, *BAD_MARGINAL_PARAMETERS)
]


@pytest.mark.parametrize(("cls", "name", "value"), BAD_PARAMETERS)
def test_a_parameter_out_of_range_is_named_with_its_value(cls, name, value):
    model = cls().set_params(**{name: value})
    with pytest.raises(ValueError, match=name) as error:
        model.fit(small_table())
    assert str(value) in str(error.value)


@pytest.mark.parametrize("cls", [GlowGaussianizer, *FINENESS])
def test_no_parameter_is_left_out_above(cls):
    tried = {name for owner, name, _ in BAD_PARAMETERS if owner is cls}
    assert tried == set(cls().get_params())


def test_divergence_warns_and_keeps_a_map_that_works():
    X = small_table()
    model = glow(coupling="affine", learning_rate_init=1e8, early_stopping=False)
    with pytest.warns(ConvergenceWarning, match="learning_rate_init"):
        model.fit(X)
    Z = model.transform(X)
    assert np.isfinite(Z).all()
    assert np.isfinite(model.score_samples(X)).all()
    np.testing.assert_allclose(model.inverse_transform(Z), X, rtol=1e-6)


# Whatever else

EXTREMES = [0.0, -0.0, 1.0, 1.0 + 1e-12, -3.5, 1e12, 1e-12, 1e150, -1e150, 1e-150, 1e200, 5e-324]
values = st.one_of(st.sampled_from(EXTREMES), st.floats(-10, 10), st.floats(allow_nan=True))
tables = st.integers(1, 2).flatmap(
    lambda d: st.lists(st.lists(values, min_size=d, max_size=d), min_size=1, max_size=12)
)


@ties_allowed
@settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(rows=tables)
def test_any_table_works_or_is_refused_with_a_reason(estimator, rows):
    X = np.array(rows)
    model = clone(estimator)
    if "max_iter" in model.get_params():
        model.set_params(max_iter=1)
    if len(X) < 2 or not np.all(np.abs(X) <= 1e200):
        with pytest.raises(ValueError, match=r"sample|NaN|inf|rescale"):
            model.fit(X)
    else:
        assert_works(model, X, tolerance=1e-6)
