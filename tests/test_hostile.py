"""Tables that break things, and work to spec; and whatever fails leaves what was."""

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
from sklearn.exceptions import ConvergenceWarning

import skgauss._plan
import skgauss.rows
import skgauss.training
from skgauss.exceptions import TiedColumnWarning
from tests.estimators import QUICK_TO_FIT, glow, small_table, ties_allowed


@pytest.fixture(params=QUICK_TO_FIT)
def estimator(request):
    return clone(QUICK_TO_FIT[request.param])


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


@pytest.mark.parametrize("factor", [2.0**498, 2.0**-498])
def test_scale(estimator, factor):
    """About 1e150; another factor would draw other rows to choose by."""
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
        glow().fit(frame)
    message = str(record[0].message)
    assert "censored" in message
    assert "smooth" not in message
    assert "dequantize=True" in message
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        glow(dequantize=True).fit(frame)


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
    monkeypatch.setattr(skgauss._plan, "MAX_MIXTURE_ROWS", 5_000)
    whole = _memmap(tmp_path / "X.npy", np.random.default_rng(0).normal(size=(160_000, 40)))
    model = glow(n_steps=1, max_iter=1, batch_size=4096)
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
    model = glow(warm_start=warm_start).fit(small_table())
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
    model = glow()
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


def test_divergence_warns_and_keeps_a_map_that_works():
    X = small_table()
    model = glow(learning_rate_init=1e8, early_stopping=False)
    with pytest.warns(ConvergenceWarning, match="learning_rate_init"):
        model.fit(X)
    assert model.stopped_by_ == "diverged"
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
    largest = np.abs(X).max(axis=0)
    is_tiny = (largest < 1e-200) & (X.min(axis=0) < X.max(axis=0))
    if len(X) < 2 or not np.all(largest <= 1e200) or is_tiny.any():
        with pytest.raises(ValueError, match=r"sample|NaN|inf|rescale"):
            model.fit(X)
    else:
        assert_works(model, X, tolerance=1e-6)
