"""Tables that are refused, with the column or the row named."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from tests.estimators import QUICK_TO_FIT, small_table


@pytest.fixture(params=QUICK_TO_FIT)
def estimator(request):
    return clone(QUICK_TO_FIT[request.param])


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
    with pytest.raises(ValueError, match=r"Columns \[0, 1\] of X do not hold numbers.*Encode"):
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
