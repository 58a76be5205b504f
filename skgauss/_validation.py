"""Input validation: scikit-learn's own, with the column named where a column is at fault.

The private parts of scikit-learn that skgauss leans on are imported here and nowhere else.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.utils import check_random_state
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
    "CallbackSupportMixin",
    "HasMethods",
    "Interval",
    "StrOptions",
    "all_or_nothing",
    "column_label",
    "numpy_generator",
    "validate_latents",
    "validate_rows",
    "with_callbacks",
]

_BLOCK = 1 << 16
_LARGEST = 1e200


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


def _text_columns(X: Any) -> list[str]:
    """Names of the columns of a frame that do not convert to numbers."""
    names = []
    for name in getattr(X, "columns", ()):
        try:
            np.asarray(X[name]).astype(float)
        except (TypeError, ValueError):
            names.append(str(name))
    return names


def _check_finite(X: np.ndarray, label: Any) -> None:
    largest = min(_LARGEST, float(np.finfo(X.dtype).max))
    for start in range(0, len(X), _BLOCK):
        accepted = np.abs(X[start : start + _BLOCK]) <= largest
        if accepted.all():
            continue
        i, j = np.argwhere(~accepted)[0]
        value, where = X[start + i, j], f"in {label(j)}, first in row {start + i}"
        if np.isfinite(value):
            raise ValueError(
                f"Input X contains {value:.3g} {where}. Values up to {_LARGEST:.0e} are accepted, "
                "so that differences stay finite: rescale the column."
            )
        raise ValueError(
            f"Input X contains {'NaN' if np.isnan(value) else 'infinity (inf)'} {where}. Only "
            "finite values are accepted: drop or impute such rows (sklearn.impute) first."
        )


def validate_rows(
    estimator: Any, X: Any, sample_weight: Any = None, *, reset: bool
) -> tuple[np.ndarray, np.ndarray | None]:
    """Check a table and its weights.

    Parameters
    ----------
    estimator : estimator
        Whose ``n_features_in_`` and ``feature_names_in_`` are set (`reset`) or compared.
    X : array-like of shape (n_rows, n_features)
    sample_weight : array-like of shape (n_rows,), default=None
    reset : bool
        True at fit: at least two rows are needed then.

    Returns
    -------
    X : array of float64 or float32, not copied if it was one
    sample_weight : array of float64 of shape (n_rows,), or None

    Raises
    ------
    ValueError
        For text, NaN, infinity or more than 1e200, sparse or empty input, another number of
        columns than in fit, negative weights, or weights that are all zero.
    """
    try:
        checked = validate_data(
            estimator,
            X,
            reset=reset,
            dtype=[np.float64, np.float32],
            ensure_all_finite=False,
            ensure_min_samples=2 if reset else 1,
        )
    except (TypeError, ValueError) as error:
        text = _text_columns(X)
        if not text:
            raise
        raise ValueError(
            f"Columns {text} of X do not hold numbers. Encode them first, for example with "
            "make_column_transformer((OrdinalEncoder(), [...]), remainder='passthrough')."
        ) from error
    _check_finite(checked, lambda j: column_label(estimator, j))
    if sample_weight is None:
        return checked, None
    weight = _check_sample_weight(sample_weight, checked, dtype=np.float64)
    if weight.min() < 0:
        raise ValueError(
            f"sample_weight[{int(weight.argmin())}] is {weight.min()}: weights are frequencies "
            "and must not be negative."
        )
    if not weight.any():
        raise ValueError("sample_weight is zero for every row: at least one must be positive.")
    return checked, weight


def validate_latents(Z: Any, n_features: int, names: np.ndarray) -> np.ndarray:
    """Check latents for `inverse_transform`: their number and, for frames, their names.

    Parameters
    ----------
    Z : array-like of shape (n_rows, n_features)
    n_features : int
    names : array of str
        Those of ``get_feature_names_out``.

    Returns
    -------
    Z : array of float64 or float32

    Raises
    ------
    ValueError
        If a number or a name does not match, or a value is not finite.
    """
    columns = getattr(Z, "columns", None)
    if columns is not None and list(columns) != list(names):
        raise ValueError(
            f"inverse_transform takes latents with the columns {list(names)} in this order, "
            f"got {list(columns)}."
        )
    Z = check_array(Z, dtype=[np.float64, np.float32], input_name="Z")
    if Z.shape[1] != n_features:
        raise ValueError(
            f"inverse_transform takes one latent per column of the table, {n_features}; "
            f"Z has {Z.shape[1]} columns."
        )
    return Z
