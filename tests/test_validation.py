"""What a table from a file is told: which columns are at fault, and the line that mends them."""

from __future__ import annotations

import datetime
import io

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from skgauss.information import entropy
from skgauss.marginals import SplineMarginal

# The advice in a message is code: the tests run it, with these names imported.
LINE = {
    function.__name__: function
    for function in (make_column_transformer, make_pipeline, SimpleImputer, OrdinalEncoder)
}
CSV = "colour,age,weight\nred,30,1.5\nblue,?,2.5\n,41,\nred,25,1.0\n"


def refusal(table):
    with pytest.raises(ValueError, match="X") as error:
        SplineMarginal().fit(table)
    return str(error.value)


@pytest.mark.parametrize("read", [pd.read_csv, pl.read_csv])
def test_text_and_missing_cells_are_named_with_the_line_that_mends_them(read):
    message = refusal(read(io.StringIO(CSV)))
    assert "Columns ['colour', 'age'] of X do not hold numbers (but 'red', '?')" in message
    assert "missing in ['colour', 'weight']" in message
    assert "if '?' stands for a missing cell" in message
    assert "'colour' is numbers" not in message
    line = message[message.index("make_column_transformer") : message.index("). Most") + 1]
    prepared = eval(line, LINE).fit_transform(pd.read_csv(io.StringIO(CSV)))
    assert SplineMarginal().fit(prepared).n_features_in_ == 3


def test_the_line_for_text_without_missing_cells_works():
    table = pd.DataFrame({"shape": pd.Categorical(["a", "b", "a", "c"]), "x": [1.0, 2.0, 4.0, 3.0]})
    message = refusal(table)
    line = message[message.index("make_column_transformer") : -1]
    assert SplineMarginal().fit(eval(line, LINE).fit_transform(table)).n_features_in_ == 2


TEXT = [["a", 1.0], ["b", 2.0], ["c", 4.0], ["a", 3.0]]
TEXT_WITHOUT_NAMES = {
    "read with header=None": pd.DataFrame(TEXT),
    "numbered from 10": pd.DataFrame(TEXT, columns=[10, 20]),
    "names of two levels": pd.DataFrame(
        TEXT, columns=pd.MultiIndex.from_product([["x"], ["a", "b"]])
    ),
    "array of objects": np.array(TEXT, dtype=object),
    "array of strings": np.array(TEXT),
    "list": TEXT,
    "missing cells": np.array([*TEXT, [None, 5.0], ["b", np.nan]], dtype=object),
}


@pytest.mark.parametrize("name", TEXT_WITHOUT_NAMES)
def test_the_line_for_columns_without_a_name_tells_them_by_place(name):
    table = TEXT_WITHOUT_NAMES[name]
    message = refusal(table)
    first = next(iter(getattr(table, "columns", [0])))
    assert f"Columns {[first]} of X do not hold numbers (but 'a')" in message
    line = message[message.index("make_column_transformer") : -1]
    table = np.array(table, dtype=object) if isinstance(table, list) else table
    assert SplineMarginal().fit(eval(line, LINE).fit_transform(table)).n_features_in_ == 2


def test_several_columns_with_missing_cells_are_counted():
    table = pd.DataFrame({"a": [1.0, None, None], "b": [1.0, 2.0, 3.0], "c": [None, 2.0, 3.0]})
    message = refusal(table)
    assert "NaN in column 'c', first in row 0" in message
    assert "column 'a' (2), column 'c' (1)." in message
    assert "NaN per column" not in refusal(table[["a", "b"]])
    wide = pd.DataFrame({f"x{j}": [1.0, None] for j in range(12)})
    assert "column 'x9' (1), ...." in refusal(wide)


def test_objects_that_are_numbers_are_taken():
    table = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": ["1", "2", "4"]}, dtype=object)
    assert SplineMarginal().fit(table).n_features_in_ == 2
    assert "NaN in column 'b', first in row 1" in refusal(table.assign(b=[1, None, 2]))


def test_objects_that_are_missing_get_a_dtype_and_are_imputed():
    table = pd.DataFrame({"a": [1.0, 2.0, 4.0], "b": [True, pd.NA, False]})
    message = refusal(table)
    assert "Columns ['b'] of X have missing cells" in message
    assert "X.convert_dtypes()" in message
    filled = SimpleImputer(strategy="median").fit_transform(table.convert_dtypes())
    assert SplineMarginal().fit(filled).n_features_in_ == 2


@pytest.mark.parametrize("beside", [{}, {"height": [1.0, 2.0, 3.0]}])
@pytest.mark.parametrize("unit", ["D", "datetime", "duration"])
def test_dates_are_no_numbers(unit, beside):
    days = np.array(["2020-01-01", "2020-01-02", "2020-01-05"], dtype="datetime64[ns]")
    times = days - days[0] if unit == "duration" else days
    frames = [pd.DataFrame({"when": times, **beside}), pl.DataFrame({"when": times, **beside})]
    if unit == "D":
        array = times.astype("datetime64[D]")[:, None]
        frames = [array, list(array)]
    for table in frames:
        named = "X holds" if unit == "D" else r"Columns \['when'\] of X hold"
        with pytest.raises(ValueError, match=f"{named} dates or durations, not numbers"):
            SplineMarginal().fit(table)
    with pytest.raises(ValueError, match="dates or durations"):
        entropy(frames[0])


@pytest.mark.parametrize("cell", [datetime.date, datetime.datetime, pd.Timestamp])
@pytest.mark.parametrize("container", [pd.DataFrame, np.array, list])
def test_dates_among_objects_are_no_text(cell, container):
    rows = [[1.0, cell(2020, 1, 1)], [2.0, cell(2020, 1, 2)], [4.0, cell(2020, 1, 5)]]
    table = rows if container is list else container(rows, dtype=object)
    message = refusal(table)
    assert message.startswith("Columns [1] of X hold dates or durations, not numbers")
    assert "OrdinalEncoder" not in message


def test_missing_objects_of_an_array_are_named():
    array = np.array([[1.0, True], [2.0, pd.NA], [3.0, False]], dtype=object)
    message = refusal(array)
    assert "Columns [1] of X have missing cells" in message
    assert "pandas.DataFrame(X).convert_dtypes()" in message
    frame = pd.DataFrame(array).convert_dtypes()
    filled = SimpleImputer(strategy="median").fit_transform(frame)
    assert SplineMarginal().fit(filled).n_features_in_ == 2


def test_masked_cells_are_refused():
    X = np.random.default_rng(0).normal(size=(20, 2))
    masked = np.ma.masked_array(X)
    marginal = SplineMarginal().fit(masked)
    masked[3, 1] = np.ma.masked
    for function in (SplineMarginal().fit, marginal.score_samples, entropy):
        with pytest.raises(ValueError, match=r"X has 1 masked cells, .* X\[3, 1\]"):
            function(masked)
    with pytest.raises(ValueError, match=r"X has 1 masked cells"):
        marginal.inverse_transform(masked)
    weight = np.ma.masked_less(np.arange(20.0), 2)
    with pytest.raises(ValueError, match=r"sample_weight has 2 masked cells, .*\[0\]"):
        SplineMarginal().fit(X, sample_weight=weight)


def test_columns_of_one_name_are_named():
    table = pd.DataFrame(np.ones((3, 3)), columns=["a", "b", "a"])
    with pytest.raises(ValueError, match=r"more than one column called \['a'\]"):
        SplineMarginal().fit(table)


@pytest.mark.parametrize(
    ("table", "error", "message"),
    [
        (pl.LazyFrame({"a": [1.0, 2.0]}), TypeError, r"X is a LazyFrame.*give X.collect\(\)"),
        ({"a": [1.0, 2.0]}, TypeError, r"got dict: give pandas.DataFrame\(X\)"),
        (iter([[1.0], [2.0]]), TypeError, r"got list_iterator: give list\(X\)"),
        (pd.DataFrame(), ValueError, r"X has 0 feature\(s\), no columns"),
        (pl.DataFrame(), ValueError, r"X has 0 feature\(s\), no columns"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_what_holds_no_table(table, error, message):
    with pytest.raises(error, match=message):
        SplineMarginal().fit(table)


def test_latents_and_weights_that_are_not_finite_are_told_by_place():
    X = np.random.default_rng(0).normal(size=(50, 2))
    model = SplineMarginal().fit(X)
    with pytest.raises(ValueError, match=r"NaN in column 'x1', first in row 0"):
        model.inverse_transform([[0.0, np.nan]])
    with pytest.raises(ValueError, match="sample_weight contains NaN in row 49"):
        model.fit(X, sample_weight=np.r_[np.ones(49), np.nan])


def test_the_cure_of_masked_whole_numbers_works():
    X = np.ma.masked_equal([[1, 2], [3, -999], [5, 6]], -999)
    with pytest.raises(ValueError, match=r"X.astype\(float\).filled\(np.nan\)"):
        SplineMarginal().fit(X)
    assert np.isnan(X.astype(float).filled(np.nan)).sum() == 1
