"""Gaussianize every column by a monotone spline through its smoothed quantiles."""

from __future__ import annotations

from numbers import Integral
from typing import ClassVar, NamedTuple

import numpy as np
from joblib import Parallel, delayed
from scipy.special import ndtri
from sklearn.base import OneToOneFeatureMixin

from skgauss._validation import Interval, StrOptions, numpy_generator
from skgauss.base import BaseGaussianizer
from skgauss.canonical import canonical_columns
from skgauss.resolution import column_resolution
from skgauss.spline import TailedSpline, tailed_forward, tailed_inverse
from skgauss.tails import LOG, POWER, tail_forward

__all__ = ["SplineMarginal"]

_N_KNOTS = (4, 8, 16, 32, 64, 128, 256, 512)  # that "auto" chooses from
_ROWS_PER_KNOT = 4  # at least
_AFFINE_REACH = 4.0  # standard deviations, of the straight part of an affine column
_FOLDS_BELOW = 2_000  # rows; above, one fifth of them is held out once
_N_FOLDS = 5
_CLEARLY = 2.58  # standard errors by which a spline has to beat the straight line
_TAIL_FRACTION = 0.005
# The first, nearly linear, is taken unless another is clearly likelier: within ten standard
# deviations it is as good as Gaussian, and a million of them still give a latent below 300, which
# float64 rotates and brings back.
_TAIL_CANDIDATES = (
    *((LOG, a) for a in (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)),
    *((POWER, a) for a in (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 10.0, 30.0, 1000.0)),
)
_MIN_GAP = 1e-12  # of neighbouring knots, relative to their size
_CONSTANT = 1e-200  # a smaller spread is none
_MIN_GAIN = 0.5  # nats over the rows of a tail, for it not to be nearly Gaussian


def _distinct(column, weight):
    """Sorted distinct values and the total weight of each."""
    order = np.argsort(column, kind="stable")
    values = column[order]
    first = np.concatenate([[0], np.flatnonzero(np.diff(values)) + 1])
    return values[first], np.add.reduceat(weight[order], first)


def _spread(x):
    """Push knots apart, where values a rounding error apart hold the mass of several knots."""
    for k in range(1, len(x)):
        x[k] = max(x[k], x[k - 1] + _MIN_GAP * max(abs(x[k - 1]), _MIN_GAP))
    return x


def _knot_slopes(x, z):
    """Slopes at the knots by the weighted harmonic mean of the neighbouring secants.

    Fritsch & Butland (1984), A method for constructing local monotone piecewise cubic
    interpolants, SIAM J. Sci. Stat. Comput. 5(2), equation 5.
    """
    width, secant = np.diff(x), np.diff(z) / np.diff(x)
    share = (width[:-1] + 2 * width[1:]) / (3 * (width[:-1] + width[1:]))
    inner = 1 / (share / secant[:-1] + (1 - share) / secant[1:])
    return np.concatenate([secant[:1], inner, secant[-1:]])


def _tail_law(excess, weight, z_edge):
    """Choose the law of a tail by the likelihood of the rows in it.

    `excess` holds their distances from the last knot, times the slope there.
    """
    candidates = [c for c in _TAIL_CANDIDATES if z_edge > 0.5 or c[0] != POWER]
    law, parameter = (np.array(column)[:, None] for column in zip(*candidates, strict=True))
    growth, log_slope = tail_forward(excess, law, parameter, z_edge)
    likelihoods = (log_slope - (z_edge + growth) ** 2 / 2) @ weight
    best = int(np.argmax(likelihoods))
    return candidates[best if likelihoods[best] > likelihoods[0] + _MIN_GAIN else 0]


class _Column(NamedTuple):
    """Spline of one column: knots, images, slopes, and (law, parameter) of both tails."""

    x: np.ndarray
    z: np.ndarray
    slope: np.ndarray
    tails: list

    def log_density(self, values):
        laws = np.array([self.tails])
        parts = (part[None] for part in self[:3])
        z, log_slope = tailed_forward(
            TailedSpline(*parts, laws[..., 0], laws[..., 1]), values[None]
        )
        return (log_slope - 0.5 * z**2)[0]


def _affine_column(values, mass):
    """Straight line by mean and standard deviation."""
    loc = np.average(values, weights=mass)
    scale = np.sqrt(np.average((values - loc) ** 2, weights=mass))
    if scale <= _CONSTANT:
        loc, scale = values[0], 1.0
    z = np.array([-_AFFINE_REACH, _AFFINE_REACH])
    return _Column(loc + scale * z, z, np.full(2, 1 / scale), [_TAIL_CANDIDATES[0]] * 2)


def _thinned(x, resolution):
    """Which knots to keep, so that none lie closer together than the values of their column."""
    kept = [0]
    for k in range(1, len(x) - 1):
        if x[k] - x[kept[-1]] >= resolution and x[-1] - x[k] >= resolution:
            kept.append(k)
    return [*kept, len(x) - 1]


def _quantile_column(values, mass, n_knots, resolution):
    """Spline through smoothed quantiles at even steps of the normal scale."""
    if values[-1] - values[0] < _CONSTANT:
        return _affine_column(values, mass)
    total = mass.sum()
    cdf = (np.cumsum(mass) - mass / 2) / total
    beyond = max(_TAIL_FRACTION, min(0.1, 4 / total))
    first, last = ndtri([max(beyond, cdf[0]), min(1 - beyond, cdf[-1])])
    z = np.linspace(first, last, n_knots)
    x = _spread(np.interp(z, ndtri(cdf), values))
    if resolution:
        kept = _thinned(x, resolution)
        x, z = x[kept], z[kept]
    slope = _knot_slopes(x, z)
    tails = []
    for end, sign in ((0, -1), (-1, 1)):
        excess = slope[end] * sign * (values - x[end])
        out = excess > 0
        tails.append(_tail_law(excess[out], mass[out], sign * z[end]))
    return _Column(x, z, slope, tails)


def _select_column(column, weight, resolution):
    """Number of knots whose spline is likeliest on rows held out, or the straight line.

    The rows come in an order that is as good as random, so consecutive ones make a fold.
    """
    n_rows = weight.sum()
    ladder = [k for k in _N_KNOTS if k * _ROWS_PER_KNOT <= n_rows]
    if not ladder:
        return _affine_column(*_distinct(column, weight))
    place = np.cumsum(weight) - weight / 2
    fold = np.minimum((place * (_N_FOLDS / n_rows)).astype(int), _N_FOLDS - 1)
    gains, seen = [], []
    for k in range(_N_FOLDS if n_rows < _FOLDS_BELOW else 1):
        out = fold == k
        if not out.any() or out.all():
            continue
        held_out, train = column[out], _distinct(column[~out], weight[~out])
        base = _affine_column(*train).log_density(held_out)
        tried = [_quantile_column(*train, n, resolution).log_density(held_out) for n in ladder]
        gains.append(np.array(tried) - base)
        seen.append(weight[out])
    values = _distinct(column, weight)
    if gains:
        gain, seen = np.concatenate(gains, axis=1), np.concatenate(seen)
        mean = np.average(gain, axis=1, weights=seen)
        best = int(np.argmax(mean))
        spread = np.average((gain[best] - mean[best]) ** 2, weights=seen)
        if mean[best] > _CLEARLY * np.sqrt(spread / seen.sum()):
            return _quantile_column(*values, ladder[best], resolution)
    return _affine_column(*values)


def _assembled(columns: list[_Column]) -> TailedSpline:
    """Put columns side by side; shorter ones repeat their first knot, whose bins stay empty."""
    n_knots = max(len(column.x) for column in columns)

    def padded(arrays):
        return np.array([np.pad(a, (n_knots - len(a), 0), mode="edge") for a in arrays])

    x, z, slope, tails = zip(*columns, strict=True)
    laws = np.array(tails)
    arrays = map(padded, (x, z, slope))
    return TailedSpline(*arrays, laws[..., 0].astype(np.int8), laws[..., 1])


def _standardisation(column, weight):
    """Median and normal-consistent interquartile range of a column, robustly positive.

    A column whose interquartile range is zero is scaled by its mean absolute deviation, and a
    constant one by its absolute value, or 1 if that is 0.
    """
    values, mass = _distinct(column, weight)
    cdf = (np.cumsum(mass) - mass / 2) / mass.sum()
    low, loc, high = np.interp([0.25, 0.5, 0.75], cdf, values)
    scale = (high - low) / (2 * ndtri(0.75))
    if scale <= 1e-9 * max(abs(low), abs(high)):
        scale = np.average(np.abs(values - loc), weights=mass)
    size = max(abs(values[0]), abs(values[-1]))
    if scale <= max(1e-15 * size, _CONSTANT):
        scale = size if size > _CONSTANT else 1.0
    return loc, max(scale, 1e-200 * np.ptp(values))  # keeps the quotient finite


class SplineMarginal(BaseGaussianizer):
    """Gaussianize every column by itself, through a monotone spline of its quantiles.

    The knots are smoothed quantiles at equal steps of the normal scale; between them runs a
    monotone rational-quadratic spline, beyond them a tail whose law (nearly Gaussian, log-normal
    or power law) is chosen per side by the likelihood of the rows there. The map is strictly
    increasing and once continuously differentiable everywhere, so that nothing clips outside
    the training range, and the inverse is exact, in closed form.

    Tied values share the mass between their neighbours evenly; a column of two values becomes
    a line through them; a constant column is divided by its absolute value.

    Parameters
    ----------
    n_knots : int or "auto", default="auto"
        Knots per column, at least 2; 2 is the straight line of mean and standard deviation.
        "auto" chooses for every column between that and 4, 8, ... 512 knots, of at least 4 rows
        each, by the likelihood of rows held out: in five folds below 2,000 rows, else on a
        fifth. A spline that does not clearly beat the line (by 2.58 standard errors) is not
        taken.
    subsample : int or None, default=200_000
        Rows that the quantiles are taken from; more are subsampled at random.
    n_jobs : int or None, default=None
        Threads for `transform` and its kin; None means 1 unless in a joblib context.
    random_state : int, RandomState instance or None, default=None
        Of the subsample.

    Attributes
    ----------
    spline_ : skgauss.spline.TailedSpline
        Knots and tails, arrays of shape (n_features, n_knots) and (n_features, 2), of the
        standardised columns.
    loc_, scale_ : array of shape (n_features,)
        Robust standardisation: median, and interquartile range over 1.349.
    data_min_, data_max_ : array of shape (n_features,)
        Range of the training rows.
    n_features_in_ : int
    feature_names_in_ : array of shape (n_features,)
        Where the table had names.

    See Also
    --------
    sklearn.preprocessing.QuantileTransformer : The same idea with a step function; clips.

    References
    ----------
    Gregory & Delbourgo (1982), Piecewise rational quadratic interpolation to monotonic data,
    IMA Journal of Numerical Analysis 2(2), equations 2.3 to 2.6.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.marginals import SplineMarginal
    >>> X = np.random.default_rng(0).exponential(size=(2000, 1))
    >>> marginal = SplineMarginal().fit(X)
    >>> Z = marginal.transform(X)
    >>> round(abs(float(Z.mean())), 1), round(float(Z.std()), 1)
    (0.0, 1.0)
    >>> bool(np.allclose(marginal.inverse_transform(Z), X))
    True
    """

    _parameter_constraints: ClassVar[dict] = {
        "n_knots": [Interval(Integral, 2, None, closed="left"), StrOptions({"auto"})],
        "subsample": [Interval(Integral, 10, None, closed="left"), None],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    }

    def __init__(self, *, n_knots="auto", subsample=200_000, n_jobs=None, random_state=None):
        self.n_knots = n_knots
        self.subsample = subsample
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _fit(self, X, sample_weight):
        self._note_range(X, sample_weight)
        salt = int(numpy_generator(self.random_state).integers(2**63))
        self._fit_columns(*canonical_columns(X, sample_weight, salt))

    def _fit_columns(self, Y: np.ndarray, weight: np.ndarray) -> None:
        """Fit to canonical columns of shape (n_features, n_rows)."""
        if self.subsample is not None:
            Y, weight = Y[:, : self.subsample], weight[: self.subsample]
        steps = column_resolution(Y.T)

        def fit(column, step):
            loc, scale = _standardisation(column, weight)
            column, step = (column - loc) / scale, step / scale
            if self.n_knots == "auto":
                return loc, scale, _select_column(column, weight, step)
            values, mass = _distinct(column, weight)
            if self.n_knots == 2:
                return loc, scale, _affine_column(values, mass)
            return loc, scale, _quantile_column(values, mass, self.n_knots, step)

        parallel = Parallel(n_jobs=self.n_jobs, prefer="threads")
        fitted = parallel(delayed(fit)(*pair) for pair in zip(Y, steps, strict=True))
        loc, scale, columns = zip(*fitted, strict=True)
        self.loc_, self.scale_, self.spline_ = np.array(loc), np.array(scale), _assembled(columns)

    def _forward(self, X):
        Z, log_slope = tailed_forward(self.spline_, ((X - self.loc_) / self.scale_).T)
        return Z.T, np.sum(log_slope, axis=0) - np.sum(np.log(self.scale_))

    def _inverse(self, Z):
        return tailed_inverse(self.spline_, Z.T).T * self.scale_ + self.loc_

    def get_feature_names_out(self, input_features=None):
        """Names of the latents: those of the columns, which keep their meaning.

        Parameters
        ----------
        input_features : array-like of str or None, default=None

        Returns
        -------
        feature_names_out : array of str of shape (n_features,)
        """
        return OneToOneFeatureMixin.get_feature_names_out(self, input_features)
