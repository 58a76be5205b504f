"""Means over weighted rows, of values that may be far apart."""

from __future__ import annotations

import math

import numpy as np

__all__ = [
    "LARGEST_GAIN",
    "ROUNDING",
    "bounded",
    "exceeds",
    "is_heavy",
    "mean_and_error",
    "root_mean_square",
]

LARGEST_GAIN = 5.0  # nats that a row counts at most, for one of two maps or against it
ROUNDING = 1e-7  # nats; a smaller gain is none
_SPREADS = 10.0  # median distances from the median; of a normal, nearly seven standard deviations
_HEAVY, _HEAVIER = 0.01, 10.0  # of the weight of all rows; times the mean weight
_FEW = 0.005  # of the rows, or four where these are more, up to a quarter


def is_heavy(weight: np.ndarray) -> np.ndarray:
    """Tell which rows stand for so many that they are not to be held out: copies that were merged.

    Without such a row nothing would be learned of a hundredth of the table, or more; and it alone
    would judge.

    Parameters
    ----------
    weight : array of shape (n,)

    Returns
    -------
    heavy : array of bool of shape (n,)

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.weighted import is_heavy
    >>> np.flatnonzero(is_heavy(np.append(np.ones(400), 600.0))).tolist()
    [400]
    """
    return weight > max(_HEAVY * weight.sum(), _HEAVIER * weight.mean())


def root_mean_square(values: np.ndarray, weight: np.ndarray) -> float:
    """Root of the weighted mean square, which neither over- nor underflows on the way.

    Parameters
    ----------
    values, weight : array of shape (n,)

    Returns
    -------
    root : float

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.weighted import root_mean_square
    >>> root_mean_square(np.array([3e180, 4e180]), np.array([1.0, 3.0]))
    3.77...e+180
    """
    _, exponent = np.frexp(np.abs(values).max())
    squares = np.ldexp(values, -exponent) ** 2  # a power of two: no digit is lost
    return float(np.ldexp(np.sqrt(np.average(squares, weights=weight)), exponent))


def mean_and_error(values: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    """Weighted mean over rows, and its standard error.

    Parameters
    ----------
    values, weight : array of shape (n_rows,)
        Weights are frequencies.

    Returns
    -------
    mean, error : float

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.weighted import mean_and_error
    >>> mean_and_error(np.array([0.0, 2.0]), np.array([2.0, 2.0]))
    (1.0, 0.57...)
    """
    mean = float(np.average(values, weights=weight))
    spread = root_mean_square(values - mean, weight)
    return mean, spread / math.sqrt(max(weight.sum() - 1, 1))


def exceeds(gain: np.ndarray, weight: np.ndarray, n_errors: float) -> bool:
    """Whether a mean gain is so many standard errors above zero, and more than rounding.

    Parameters
    ----------
    gain, weight : array of shape (n_rows,)
    n_errors : float

    Returns
    -------
    exceeds : bool

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.weighted import exceeds
    >>> gain = np.array([0.0, 2.0, 0.0, 2.0])  # 1.0 +- 0.58
    >>> exceeds(gain, np.ones(4), 1.64), exceeds(gain, np.ones(4), 2.58)
    (True, False)
    """
    mean, error = mean_and_error(gain, weight)
    return mean > max(n_errors * error, ROUNDING)


def _in_order(values, weight):
    """Values in increasing order, and the share of the rows up to each."""
    order = np.argsort(values)
    mass = np.cumsum(weight[order])
    return values[order], mass / mass[-1]


def bounded(gain: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Bring what rows gained within reach of their median, so that no few rows decide alone.

    A row far beyond all others may win or lose thousands of nats by what says nothing of them. A
    minority of more than a few rows is no such thing: what it gains, it gains.

    Parameters
    ----------
    gain : array of shape (n_rows,)
        In nats.
    weight : array of shape (n_rows,)
        Frequencies.

    Returns
    -------
    gain : array of shape (n_rows,)
        Within 5 nats of the median, or ten median distances from it, or as far as all but a few
        rows are, where these are more. A few are 0.5 % of the rows, or four of them, or a
        quarter if these are less.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.weighted import bounded
    >>> bounded(np.array([0.1, 0.2, -1e9]), np.ones(3)).round(1).tolist()
    [0.1, 0.2, -4.9]
    """
    gains, share = _in_order(gain, weight)
    middle = gains[np.searchsorted(share, 0.5)]
    distances, share = _in_order(np.abs(gain - middle), weight)
    few = max(_FEW, min(0.25, 4 / weight.sum()))
    last = max(np.searchsorted(share, 1 - few, side="right") - 1, 0)
    reach = max(LARGEST_GAIN, _SPREADS * distances[np.searchsorted(share, 0.5)], distances[last])
    return np.clip(gain, middle - reach, middle + reach)
