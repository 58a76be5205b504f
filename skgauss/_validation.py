"""Input validation: scikit-learn's own, with the column named where a column is at fault.

The private parts of scikit-learn that skgauss leans on are imported here and nowhere else.
"""

from __future__ import annotations

import contextlib
import datetime
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import check_random_state
from sklearn.utils._metadata_requests import _routing_enabled as routing_enabled
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import _check_sample_weight, check_array, validate_data

try:  # scikit-learn 1.9 and later
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Stand-in without callbacks."""

        def _init_callback_context(self, **kwargs: Any) -> None:
            """Return no context: there are no callbacks to call."""

    def with_callbacks(method):
        """Return the method as it is."""
        return method


__all__ = [
    "LARGEST",
    "CallbackSupportMixin",
    "HasMethods",
    "Interval",
    "StrOptions",
    "all_or_nothing",
    "column_label",
    "numpy_generator",
    "routing_enabled",
    "validate_latents",
    "validate_rows",
    "validate_table",
    "with_callbacks",
]

_BLOCK = 1 << 16
LARGEST = 1e200
_TIMES = ("date", "duration", "period", "time")  # dtypes, in pandas, polars and Arrow
_TIME_CELLS = (datetime.date, datetime.time, datetime.timedelta, np.datetime64, np.timedelta64)
_MAX_NAMED = 10  # columns in a message


@contextlib.contextmanager
def all_or_nothing(estimator: Any) -> Iterator[None]:
    """Give an estimator its attributes back if the block fails, an interrupt included."""
    before = vars(estimator).copy()
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise


def numpy_generator(random_state: Any) -> np.random.Generator:
    """Derive a generator from a `random_state`; None draws fresh entropy, touching no global."""
    if random_state is None:
        return np.random.default_rng()
    return np.random.default_rng(check_random_state(random_state).randint(2**31 - 1))


def column_label(estimator: Any, j: int) -> str:
    """Name of a column for a message: that of the frame, else its number."""
    names = getattr(estimator, "feature_names_in_", None)
    return f"column {j}" if names is None else f"column {names[j]!r}"


def _cells(column: Any) -> np.ndarray:
    """Cells of a frame's column as Python objects, so that nothing is converted on the way."""
    return np.array(column, dtype=object)


def _is_missing(cells: np.ndarray) -> np.ndarray:
    """Which cells are None, NaN, NaT or NA: what is not equal to itself, or cannot tell."""
    return np.array([c is None or str(c) in ("nan", "NaT", "<NA>") for c in cells], dtype=bool)


def _is_number(cell: Any) -> bool:
    try:
        float(cell)
    except (TypeError, ValueError):
        return False
    return True


def _check_unmasked(X: Any, table: str) -> None:
    """Refuse masked cells: what stands under a mask would be taken for data."""
    if isinstance(X, np.ma.MaskedArray) and X.mask.any():
        first = ", ".join(map(str, np.argwhere(X.mask)[0]))
        raise ValueError(
            f"{table} has {int(X.mask.sum())} masked cells, the first of them {table}[{first}]. "
            "Arrays without any are accepted: drop the rows that have them, or fill them, for "
            f"example {table}.astype(float).filled(np.nan) with sklearn.impute after it."
        )


def _check_container(X: Any, table: str) -> None:
    """Refuse what holds no table, or none yet."""
    if type(X).__name__ == "LazyFrame":
        raise TypeError(f"{table} is a LazyFrame, which has no rows yet: give {table}.collect().")
    if isinstance(X, Mapping | Iterator) and not issparse(X):  # some are mappings
        raise TypeError(
            f"{table} must be an array, a frame or a list of rows, got {type(X).__name__}: give "
            + (f"pandas.DataFrame({table})." if isinstance(X, Mapping) else f"list({table}).")
        )


def _check_columns(X: Any, table: str = "X") -> None:
    """Refuse masked cells, columns of one name, and dates, which NumPy would take for numbers."""
    _check_container(X, table)
    _check_unmasked(X, table)
    is_frame = hasattr(X, "columns") and hasattr(X, "dtypes")
    names = list(X.columns) if is_frame else []
    if is_frame and not names:
        raise ValueError(f"{table} has 0 feature(s), no columns: a minimum of 1 is required.")
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise ValueError(f"{table} has more than one column called {twice}: rename them.")
    dates = [
        name
        for name, dtype in zip(names, X.dtypes if is_frame else (), strict=False)
        if str(dtype).lower().startswith(_TIMES)
    ]
    if dates or _kind(X) in ("m", "M"):
        raise ValueError(_dates_message(dates, table))


def _dates_message(names: list, table: str) -> str:
    """Say which columns hold dates, or that all of them do, and what to do about it."""
    where = f"Columns {names} of {table} hold" if names else f"{table} holds"
    return (
        f"{where} dates or durations, not numbers. Turn them into numbers that mean something "
        "first: days since a start, the hour, the day of the week."
    )


def _kind(X: Any) -> str | None:
    """Kind of the dtype of an array, or of the one that a list would make."""
    if isinstance(X, (list, tuple)):
        with contextlib.suppress(ValueError):  # rows of unequal length
            X = np.asarray(X)
    return getattr(getattr(X, "dtype", None), "kind", None)


def _columns(X: Any) -> dict[Any, Any]:
    """Columns of a frame by name; by number those of an array, or list, of text or objects."""
    if hasattr(X, "columns"):
        return {name: X[name] for name in X.columns}
    cells = np.asarray(X, dtype=object) if _kind(X) in ("O", "S", "T", "U") else np.empty(0)
    return dict(enumerate(cells.T)) if cells.ndim == 2 else {}


def _text_columns(X: Any) -> dict[Any, tuple[Any, bool]]:
    """Columns of a table that do not convert to numbers.

    By name, the first cell that is none, and whether most of the others are.
    """
    found: dict[Any, tuple[Any, bool]] = {}
    for name, column in _columns(X).items():
        if np.asarray(column).dtype.kind in "biuf":
            continue
        cells = _cells(column)
        cells = cells[~_is_missing(cells)]
        numbers = np.array([_is_number(cell) for cell in cells], dtype=bool)
        if numbers.all():
            continue
        cell = cells[np.argmin(numbers)]
        if isinstance(cell, Hashable):  # no encoder takes others
            found[name] = cell, bool(numbers.mean() > 0.5)
    return found


def _text_message(X: Any, text: dict[Any, tuple[Any, bool]], table: str = "X") -> str:
    """Say which columns of a table hold text, and the line that encodes them."""
    names, columns = list(text), _columns(X)
    shown = ", ".join(f"{str(cell)[:40]!r}" for cell, _ in text.values())
    missing = [name for name, column in columns.items() if _is_missing(_cells(column)).any()]
    if not all(isinstance(name, str) for name in columns):  # then columns are told by place
        names = [place for place, name in enumerate(columns) if name in text]
    message = f"Columns {list(text)} of {table} do not hold numbers (but {shown})"
    if missing:
        message += (
            f", and cells are missing in {missing}. Encode and impute first: "
            "make_column_transformer((make_pipeline(OrdinalEncoder(), "
            f"SimpleImputer(strategy='most_frequent')), {names}), "
            "remainder=SimpleImputer(strategy='median'))."
        )
    else:
        message += (
            ". Encode them first, for example with "
            f"make_column_transformer((OrdinalEncoder(), {names}), remainder='passthrough')."
        )
    for name, (cell, mostly_numbers) in text.items():
        if mostly_numbers:
            message += (
                f" Most of {name!r} is numbers: if {cell!r} stands for a missing cell, read it as "
                f"one, read_csv(..., na_values=[{cell!r}])."
            )
    return message


def _not_numbers(X: Any, table: str = "X") -> str:
    """Say which columns of a table do not convert to numbers, and what helps; empty for none."""
    text, columns = _text_columns(X), _columns(X)
    if dates := [name for name, (cell, _) in text.items() if isinstance(cell, _TIME_CELLS)]:
        return _dates_message(dates, table)
    if text:
        return _text_message(X, text, table)
    objects = [name for name, column in columns.items() if np.asarray(column).dtype == object]
    names = [name for name in objects if _is_missing(_cells(columns[name])).any()]
    if not names:
        return ""
    frame = table if hasattr(X, "columns") else f"pandas.DataFrame({table})"
    return (
        f"Columns {names} of {table} have missing cells among Python objects. Give them a dtype of "
        f"numbers and impute: make_pipeline(SimpleImputer(strategy='median'), ...) takes "
        f"{frame}.convert_dtypes()."
    )


def _more_missing(X: np.ndarray, label: Any) -> str:
    """Name the columns that hold NaN, with counts, when there are several."""
    counts = np.zeros(X.shape[1], dtype=int)
    for start in range(0, len(X), _BLOCK):
        counts += np.isnan(X[start : start + _BLOCK]).sum(axis=0)
    columns = np.flatnonzero(counts)
    if len(columns) < 2:
        return ""
    named = [f"{label(j)} ({counts[j]})" for j in columns[:_MAX_NAMED]]
    more = ["..."] * (len(columns) > _MAX_NAMED)
    return f" NaN per column: {', '.join([*named, *more])}."


def _check_finite(X: np.ndarray, label: Any, table: str = "X") -> None:
    largest = min(LARGEST, float(np.finfo(X.dtype).max))
    for start in range(0, len(X), _BLOCK):
        accepted = np.abs(X[start : start + _BLOCK]) <= largest
        if accepted.all():
            continue
        i, j = np.argwhere(~accepted)[0]
        value, where = X[start + i, j], f"in {label(j)}, first in row {start + i}"
        if np.isfinite(value):
            raise ValueError(
                f"Input {table} contains {value:.3g} {where}. Values up to {LARGEST:.0e} are "
                "accepted, so that differences stay finite: rescale the column."
            )
        if np.isnan(value):
            raise ValueError(
                f"Input {table} contains NaN {where}.{_more_missing(X, label)} Only finite values "
                "are accepted: drop such rows, or impute them (sklearn.impute), for example "
                "make_pipeline(SimpleImputer(strategy='median'), ...)."
            )
        raise ValueError(
            f"Input {table} contains infinity (inf) {where}. Only finite values are accepted: drop "
            "such rows, or turn infinity into NaN and impute it (sklearn.impute) first."
        )


def _check_not_tiny(X: np.ndarray, label: Any, table: str = "X") -> None:
    """Refuse columns whose differences would be taken for none."""
    low, high = X.min(axis=0), X.max(axis=0)
    largest = np.maximum(np.abs(low), np.abs(high))
    tiny = np.flatnonzero((low < high) & (largest < 1 / LARGEST))
    if len(tiny):
        raise ValueError(
            f"Input {table} contains no value beyond {largest[tiny[0]]:.3g} in {label(tiny[0])}. "
            f"Columns that reach {1 / LARGEST:.0e} are accepted: rescale the column."
        )


def validate_rows(
    estimator: Any,
    X: Any,
    sample_weight: Any = None,
    *,
    reset: bool,
    min_rows: int | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Check a table and its weights.

    Parameters
    ----------
    estimator : estimator
        Whose ``n_features_in_`` and ``feature_names_in_`` are set (`reset`) or compared.
    X : array-like of shape (n_rows, n_features)
    sample_weight : array-like of shape (n_rows,), default=None
    reset : bool
        True at fit.
    min_rows : int or None, default=None
        Rows of positive weight that are needed; None means two at fit, else one.

    Returns
    -------
    X : array of float64 or float32, not copied if it was one
    sample_weight : array of float64 of shape (n_rows,), or None

    Raises
    ------
    ValueError
        For text, dates, columns of one name, masked cells, NaN, infinity or more than 1e200,
        columns that vary below 1e-200 only, sparse or empty input, another number of columns than
        in fit, negative weights, or weights that leave too few rows.
    """
    min_rows = min_rows or (2 if reset else 1)
    _check_columns(X)
    try:
        checked = validate_data(
            estimator,
            X,
            reset=reset,
            dtype=[np.float64, np.float32],
            ensure_all_finite=False,
            ensure_min_samples=min_rows,
        )
    except (TypeError, ValueError) as error:
        message = _not_numbers(X)
        if not message:
            raise
        raise ValueError(message) from error
    _check_finite(checked, lambda j: column_label(estimator, j))
    if reset:
        _check_not_tiny(checked, lambda j: column_label(estimator, j))
    weight = _checked_weight(sample_weight, checked)
    if weight is not None and weight.sum() < min_rows:
        raise ValueError(
            f"sample_weight leaves one row alone: at least {min_rows} are needed, and one of "
            "weight k counts as k."
        )
    return checked, weight


def _checked_weight(sample_weight: Any, X: np.ndarray) -> np.ndarray | None:
    """Weights as an array, one per row, none negative and not all zero.

    Those that sum to less than the number of rows are proportions, and are made to sum to it. What
    no sum of all can tell from zero is zero.
    """
    if sample_weight is None:
        return None
    _check_unmasked(sample_weight, "sample_weight")
    given = np.asarray(sample_weight)
    if given.dtype.kind == "f" and not np.isfinite(given).all():
        i = int(np.argmin(np.isfinite(given)))
        told = "NaN" if np.isnan(given.flat[i]) else "infinity"
        raise ValueError(f"Input sample_weight contains {told} in row {i}: give finite weights.")
    weight = _check_sample_weight(sample_weight, X, dtype=np.float64)
    if weight.min() < 0:
        raise ValueError(
            f"sample_weight[{int(weight.argmin())}] is {weight.min()}: weights are frequencies "
            "and must not be negative."
        )
    if not weight.any():
        raise ValueError("sample_weight is zero for every row: at least one must be positive.")
    with np.errstate(over="ignore"):
        total = weight.sum()
    if not np.isfinite(total):
        raise ValueError(f"sample_weight sums to {total}: give smaller weights.")
    weight = np.where(weight < 0.5 * np.finfo(float).eps * total, 0.0, weight)
    n_rows = np.count_nonzero(weight)
    if total >= n_rows:
        return weight
    share = weight / weight.max()  # so that no quotient overflows
    return share * (n_rows / share.sum())


def validate_table(
    X: Any, name: str, sample_weight: Any = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Check a table that a function takes, and its weights.

    Parameters
    ----------
    X : array-like of shape (n_rows, n_features) or (n_rows,)
        An array of one dimension is one column.
    name : str
        What the function calls it.
    sample_weight : array-like of shape (n_rows,), default=None

    Returns
    -------
    X : array of float64 of shape (n_rows, n_features)
    sample_weight : array of float64 of shape (n_rows,), or None

    Raises
    ------
    ValueError
        As `validate_rows`; the message names the table and the column.
    """
    if not hasattr(X, "columns") and np.ndim(X) == 1:
        X = np.reshape(X, (-1, 1))
    _check_columns(X, name)
    try:
        checked = check_array(X, dtype=np.float64, ensure_all_finite=False, input_name=name)
    except (TypeError, ValueError) as error:
        message = _not_numbers(X, name)
        if not message:
            raise type(error)(f"{name}: {error}") from error
        raise ValueError(message) from error
    names = getattr(X, "columns", range(checked.shape[1]))
    _check_finite(checked, lambda j: f"column {names[j]!r}", name)
    _check_not_tiny(checked, lambda j: f"column {names[j]!r}", name)
    return checked, _checked_weight(sample_weight, checked)


def validate_latents(X: Any, n_features: int, names: np.ndarray) -> np.ndarray:
    """Check latents for `inverse_transform`: their number and, for frames, their names.

    Parameters
    ----------
    X : array-like of shape (n_rows, n_features)
    n_features : int
    names : array of str
        Those of ``get_feature_names_out``.

    Returns
    -------
    X : array of float64 or float32

    Raises
    ------
    ValueError
        If a number or a name does not match, or a value is not finite.
    """
    columns = list(getattr(X, "columns", ()))
    if any(isinstance(name, str) for name in columns) and columns != list(names):
        raise ValueError(
            f"inverse_transform takes latents with the columns {list(names)} in this order, "
            f"got {columns}."
        )
    _check_unmasked(X, "X")
    X = check_array(X, dtype=[np.float64, np.float32], input_name="X", ensure_all_finite=False)
    if X.shape[1] != n_features:
        raise ValueError(
            f"inverse_transform takes one latent per column of the table, {n_features}; "
            f"X has {X.shape[1]} columns."
        )
    _check_finite(X, lambda j: f"column {names[j]!r}")
    return X
