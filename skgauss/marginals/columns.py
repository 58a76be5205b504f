"""What the marginals make of one column: its standardisation, its spline and tails, and how fine.

A column is given as its values in sorted order, each once, and the mass of each: `distinct` makes
these. The mass of a value is spread evenly over the way to its neighbours, so that ties make the
distribution function steep there, and never a step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Self

import numpy as np
from scipy.special import ndtri

from skgauss.spline import TailedSpline, tailed_forward
from skgauss.tails import LOG, POWER, tail_forward
from skgauss.weighted import LARGEST_GAIN, is_heavy, root_mean_square

__all__ = [
    "ColumnSpline",
    "assembled",
    "bulk",
    "distinct",
    "likeliest",
    "log_densities",
    "standardisation",
    "tail_law",
]

CONSTANT = 1e-200  # a smaller spread is none
_AFFINE_REACH = 4.0  # standard deviations, of the straight part of an affine column
_FOLDS_BELOW = 2_000  # rows
_N_FOLDS = 5
_TAIL_FRACTION = 0.005
# The first, nearly linear, is taken unless another is clearly likelier: within ten standard
# deviations it is as good as Gaussian, and a million of them still give a latent below 300, which
# float64 rotates and brings back.
_TAIL_CANDIDATES = (
    *((LOG, a) for a in (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)),
    *((POWER, a) for a in (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 10.0, 30.0, 1000.0)),
)
_MIN_GAIN = 0.5  # nats over the rows of a tail, for it not to be nearly Gaussian
_PRIOR = 2.0  # nats that a power law of index 1 has to be likelier by, half of it for index 2,
_ENOUGH = 20  # rows in a tail, from which on they alone tell


def distinct(column: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sort the values of a column, each once, with the total weight of each.

    Parameters
    ----------
    column, weight : array of shape (n_rows,)

    Returns
    -------
    values, mass : array of shape (n_distinct,)

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.marginals.columns import distinct
    >>> values, mass = distinct(np.array([3.0, 1.0, 3.0]), np.ones(3))
    >>> values.tolist(), mass.tolist()
    ([1.0, 3.0], [1.0, 2.0])
    """
    if np.all(weight == weight[0]):  # a sort alone is several times as fast as that of an index
        values = np.sort(column)
    else:
        order = np.argsort(column)
        values, weight = column[order], weight[order]
    first = np.flatnonzero(np.append(True, values[1:] != values[:-1]))
    return values[first], np.add.reduceat(weight, first)


def _cdf(mass):
    """Distribution function at the values that have these masses."""
    return (np.cumsum(mass) - mass / 2) / mass.sum()


def standardisation(column: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    """Median and normal-consistent interquartile range of a column, robustly positive.

    A column whose interquartile range is zero is scaled by its mean absolute deviation, and a
    constant one by its absolute value, or 1 if that is 0.

    Parameters
    ----------
    column, weight : array of shape (n_rows,)

    Returns
    -------
    loc, scale : float

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.marginals.columns import standardisation
    >>> standardisation(np.full(3, 7.0), np.ones(3))
    (7.0, 7.0)
    """
    values, mass = distinct(column, weight)
    quartiles = np.interp([0.25, 0.5, 0.75], _cdf(mass), values)
    low, loc, high = (float(value) for value in quartiles)
    scale = (high - low) / (2 * float(ndtri(0.75)))
    if scale <= 1e-14 * max(abs(low), abs(high)):
        scale = float(np.average(np.abs(values - loc), weights=mass))
    if scale <= max(1e-15 * max(abs(low), abs(high)), CONSTANT):
        size = float(max(abs(values[0]), abs(values[-1])))
        scale = size if size > CONSTANT else 1.0
    return loc, max(scale, 1e-200 * float(np.ptp(values)))  # keeps the quotient finite


def bulk(cdf: np.ndarray, total: float) -> tuple[float, float]:
    """Probabilities between which a column is not a tail.

    Each tail holds 0.5 % of the mass, or that of four rows where they are more, up to 10 %; it
    starts at the outermost value at the latest.

    Parameters
    ----------
    cdf : array of shape (n_distinct,)
        Distribution function at the values.
    total : float
        Mass of all of them.

    Returns
    -------
    low, high : float

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.marginals.columns import bulk
    >>> bulk(np.linspace(0.0005, 0.9995, 1000), 1000.0)
    (0.005, 0.995)
    """
    beyond = max(_TAIL_FRACTION, min(0.1, 4 / total))
    return max(beyond, float(cdf[0])), min(1 - beyond, float(cdf[-1]))


def tail_law(excess: np.ndarray, mass: np.ndarray, z_edge: float) -> tuple[int, float]:
    """Choose the law of a tail by the likelihood of the rows in it, and a prior where they are few.

    Five rows, as a table of a thousand has in a tail, often look like a power law of index 1; with
    one in four lognormal columns so, samples would lie far out. New rows of eleven laws, tables of
    300 to 2,000 rows, lose 2e-4 to 9e-4 nats by it in the mean.

    Parameters
    ----------
    excess : array of shape (n_beyond,)
        Distances from the last knot, times the slope there; not negative.
    mass : array of shape (n_beyond,)
    z_edge : float
        Latent at the knot, with the sign that makes it grow outwards.

    Returns
    -------
    law : int
    parameter : float
        See `skgauss.tails`.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.marginals.columns import tail_law
    >>> from skgauss.tails import POWER
    >>> law, _ = tail_law(np.random.default_rng(0).pareto(2, 1000), np.ones(1000), 2.0)
    >>> law == POWER
    True
    """
    candidates = [c for c in _TAIL_CANDIDATES if z_edge > 0.5 or c[0] != POWER]
    law, parameter = (np.array(column)[:, None] for column in zip(*candidates, strict=True))
    growth, log_slope = tail_forward(excess, law, parameter, z_edge)
    likelihoods = (log_slope - (z_edge + growth) ** 2 / 2) @ mass
    if mass.sum() < _ENOUGH:
        likelihoods -= np.where(law == POWER, _PRIOR / parameter, 0.0)[:, 0]
    best = int(np.argmax(likelihoods))
    return candidates[best if likelihoods[best] > likelihoods[0] + _MIN_GAIN else 0]


def _knot_slopes(x, z):
    """Slopes at the knots by the weighted harmonic mean of the neighbouring secants.

    Fritsch & Butland (1984), A method for constructing local monotone piecewise cubic
    interpolants, SIAM J. Sci. Stat. Comput. 5(2), equation 5.
    """
    width, secant = np.diff(x), np.diff(z) / np.diff(x)
    share = (width[:-1] + 2 * width[1:]) / (3 * (width[:-1] + width[1:]))
    inner = 1 / (share / secant[:-1] + (1 - share) / secant[1:])
    return np.concatenate([secant[:1], inner, secant[-1:]])


class ColumnSpline(NamedTuple):
    """Monotone rational-quadratic spline of one column, with a tail on either side.

    Attributes
    ----------
    x, z, slope : array of shape (n_knots,)
        Knots, images and derivatives.
    tails : sequence of two pairs (law, parameter)

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.marginals.columns import ColumnSpline
    >>> line = ColumnSpline.affine(np.array([1.0, 3.0]), np.ones(2))
    >>> line.log_density(np.array([2.0])).tolist()  # beside the normal's constant
    [0.0]
    """

    x: np.ndarray
    z: np.ndarray
    slope: np.ndarray
    tails: Sequence[tuple[int, float]]

    @classmethod
    def affine(cls, values: np.ndarray, mass: np.ndarray) -> Self:
        """Straight line by mean and standard deviation, of values within reach of the bulk.

        Those beyond twice the bulk's width, which no normal has, are brought there: a sentinel
        would flatten the line for all others.
        """
        low, high = np.interp(bulk(_cdf(mass), mass.sum()), _cdf(mass), values)
        within = np.clip(values, low - (high - low), high + (high - low))
        loc = np.average(within, weights=mass)
        scale = root_mean_square(within - loc, mass)
        if scale <= CONSTANT:
            loc, scale = values[0], 1.0
        z = np.array([-_AFFINE_REACH, _AFFINE_REACH])
        return cls._with_tails(loc + scale * z, z, np.full(2, 1 / scale), values, mass)

    @classmethod
    def through(cls, x: np.ndarray, z: np.ndarray, values: np.ndarray, mass: np.ndarray) -> Self:
        """Spline through increasing knots and images; the tails are those of the values beyond."""
        return cls._with_tails(x, z, _knot_slopes(x, z), values, mass)

    @classmethod
    def _with_tails(cls, x, z, slope, values, mass):
        tails = []
        for end, sign in ((0, -1), (-1, 1)):
            excess = slope[end] * sign * (values - x[end])
            out = excess > 0
            tails.append(tail_law(excess[out], mass[out], sign * z[end]))
        return cls(x, z, slope, tails)

    def log_density(self, values: np.ndarray) -> np.ndarray:
        """Log-density of values, less the normal's constant."""
        return log_densities([self], values)[0]


def assembled(columns: Sequence[ColumnSpline]) -> TailedSpline:
    """Put columns side by side; shorter ones repeat their first knot, whose bins stay empty.

    Parameters
    ----------
    columns : sequence of ColumnSpline

    Returns
    -------
    spline : TailedSpline

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.marginals.columns import ColumnSpline, assembled
    >>> line = ColumnSpline.affine(np.array([-1.0, 1.0]), np.ones(2))
    >>> assembled([line, line]).x.tolist()
    [[-4.0, 4.0], [-4.0, 4.0]]
    """
    n_knots = max(len(column.x) for column in columns)

    def padded(arrays):
        rows = np.empty((len(arrays), n_knots))
        for row, knots in zip(rows, arrays, strict=True):
            row[: n_knots - len(knots)] = knots[0]
            row[n_knots - len(knots) :] = knots
        return rows

    laws = np.array([column.tails for column in columns])
    return TailedSpline(
        padded([column.x for column in columns]),
        padded([column.z for column in columns]),
        padded([column.slope for column in columns]),
        laws[..., 0].astype(np.int8),
        laws[..., 1],
    )


def log_densities(columns: Sequence[ColumnSpline], values: np.ndarray) -> np.ndarray:
    """Log-densities of the same values under several columns, less the normal's constant.

    Parameters
    ----------
    columns : sequence of ColumnSpline
    values : array of shape (n_values,)

    Returns
    -------
    log_densities : array of shape (n_columns, n_values)

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.marginals.columns import ColumnSpline, log_densities
    >>> line = ColumnSpline.affine(np.array([1.0, 3.0]), np.ones(2))
    >>> log_densities([line, line], np.array([2.0, 3.0])).tolist()
    [[0.0, -0.5], [0.0, -0.5]]
    """
    z, log_slope = tailed_forward(assembled(columns), np.tile(values, (len(columns), 1)))
    return log_slope - 0.5 * z**2


def likeliest(
    column: np.ndarray,
    weight: np.ndarray,
    tried: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray],
    n_errors: float = 2.58,
    folds_below: int = _FOLDS_BELOW,
) -> int | None:
    """Choose among maps of a column the likeliest on rows held out.

    In a small table each fifth of the rows is held out once, else only the first. The rows come in
    an order that is as good as random, so consecutive ones make a fold. A row counts at most five
    nats, for a candidate or against it: the few rows far out neither decide alone, nor drown what
    all others say.

    Parameters
    ----------
    column, weight : array of shape (n_rows,)
    tried : callable
        Called with the distinct values to be fitted, their masses, and the values held out; returns
        the log-densities of these under every candidate, of shape (n_candidates, n_held_out).
    n_errors : float, default=2.58
        Standard errors by which a candidate has to beat the straight line.
    folds_below : int, default=2_000
        Rows of a table that is small.

    Returns
    -------
    index : int or None
        None where no candidate is clearly likelier than the straight line.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.stats import laplace
    >>> from skgauss.marginals.columns import likeliest
    >>> rng, weight = np.random.default_rng(0), np.ones(500)
    >>> def tried(values, mass, held_out):
    ...     return laplace.logpdf(held_out[None]) + np.log(2 * np.pi) / 2
    >>> likeliest(rng.laplace(size=500), weight, tried)
    0
    >>> likeliest(rng.normal(size=500), weight, tried) is None
    True
    """
    n_rows = weight.sum()
    place = np.cumsum(weight) - weight / 2
    fold = np.minimum((place * (_N_FOLDS / n_rows)).astype(int), _N_FOLDS - 1)
    gains, weights = [], []
    for k in range(_N_FOLDS if n_rows < folds_below else 1):
        out = (fold == k) & ~is_heavy(weight)
        if not out.any() or out.all():
            continue
        held_out, train = column[out], distinct(column[~out], weight[~out])
        base = ColumnSpline.affine(*train).log_density(held_out)
        gains.append(np.clip(tried(*train, held_out) - base, -LARGEST_GAIN, LARGEST_GAIN))
        weights.append(weight[out])
    if not gains:
        return None
    gain, seen = np.concatenate(gains, axis=1), np.concatenate(weights)
    mean = np.average(gain, axis=1, weights=seen)
    best = int(np.argmax(mean))
    spread = np.average((gain[best] - mean[best]) ** 2, weights=seen)
    return best if mean[best] > n_errors * np.sqrt(spread / seen.sum()) else None
