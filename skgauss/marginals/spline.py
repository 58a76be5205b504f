"""Gaussianize every column by a monotone spline through its smoothed quantiles."""

from __future__ import annotations

from numbers import Integral
from typing import ClassVar

import numpy as np
from scipy.special import ndtri
from sklearn.base import OneToOneFeatureMixin

from skgauss._validation import Interval, StrOptions, numpy_generator
from skgauss.base import BaseGaussianizer
from skgauss.spline import TailedSpline, tailed_forward, tailed_inverse
from skgauss.tails import LOG, POWER, tail_forward

__all__ = ["SplineMarginal"]

_N_KNOTS = ((100, 8), (1_000, 16), (10_000, 32), (50_000, 64), (np.inf, 96))
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
    values, first = np.unique(column[order], return_index=True)
    return values, np.add.reduceat(weight[order], first)


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
    likelihoods = []
    for law, parameter in candidates:
        growth, log_slope = tail_forward(excess, law, parameter, z_edge)
        likelihoods.append(np.sum(weight * (log_slope - (z_edge + growth) ** 2 / 2)))
    best = int(np.argmax(likelihoods))
    return candidates[best if likelihoods[best] > likelihoods[0] + _MIN_GAIN else 0]


def _fit_column(column, weight, n_knots):
    """Knots, images, slopes and tails of one standardised column."""
    values, mass = _distinct(column, weight)
    if values[-1] - values[0] < _CONSTANT:
        z = np.linspace(-1, 1, n_knots)
        return values[0] + z, z, np.ones(n_knots), [_TAIL_CANDIDATES[0]] * 2
    total = mass.sum()
    cdf = (np.cumsum(mass) - mass / 2) / total
    beyond = max(_TAIL_FRACTION, min(0.1, 4 / total))
    first, last = ndtri([max(beyond, cdf[0]), min(1 - beyond, cdf[-1])])
    z = np.linspace(first, last, n_knots)
    x = _spread(np.interp(z, ndtri(cdf), values))
    slope = _knot_slopes(x, z)
    tails = []
    for end, sign in ((0, -1), (-1, 1)):
        excess = slope[end] * sign * (values - x[end])
        out = excess > 0
        tails.append(_tail_law(excess[out], mass[out], sign * z[end]))
    return x, z, slope, tails


def _standardisation(X, weight):
    """Median and normal-consistent interquartile range per column, robustly positive.

    A column whose interquartile range is zero is scaled by its mean absolute deviation, and a
    constant one by its absolute value, or 1 if that is 0.
    """
    loc, scale = np.empty(X.shape[1]), np.empty(X.shape[1])
    for j, column in enumerate(X.T):
        values, mass = _distinct(column, weight)
        cdf = (np.cumsum(mass) - mass / 2) / mass.sum()
        low, loc[j], high = np.interp([0.25, 0.5, 0.75], cdf, values)
        scale[j] = (high - low) / (2 * ndtri(0.75))
        if scale[j] <= 1e-9 * max(abs(low), abs(high)):
            scale[j] = np.average(np.abs(values - loc[j]), weights=mass)
        size = max(abs(values[0]), abs(values[-1]))
        if scale[j] <= max(1e-15 * size, _CONSTANT):
            scale[j] = size if size > _CONSTANT else 1.0
        scale[j] = max(scale[j], 1e-200 * np.ptp(values))  # keeps the quotient finite
    return loc, scale


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
        Knots per column. "auto" takes 8 below 100 rows, 16 below 1,000, 32 below 10,000, 64
        below 50,000, else 96.
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
        "n_knots": [Interval(Integral, 4, None, closed="left"), StrOptions({"auto"})],
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
        weight = np.ones(len(X)) if sample_weight is None else sample_weight
        kept = np.flatnonzero(weight)
        if self.subsample is not None and len(kept) > self.subsample:
            rng = numpy_generator(self.random_state)
            kept = np.sort(rng.choice(kept, self.subsample, replace=False))
        n_rows = weight.sum()
        X, weight = np.asarray(X[kept], np.float64), weight[kept]
        self.loc_, self.scale_ = _standardisation(X, weight)
        n_knots = self.n_knots
        if n_knots == "auto":
            n_knots = next(knots for limit, knots in _N_KNOTS if n_rows < limit)
        columns = ((X - self.loc_) / self.scale_).T
        x, z, slope, tails = zip(*(_fit_column(c, weight, n_knots) for c in columns), strict=True)
        laws = np.array(tails)
        self.spline_ = TailedSpline(
            np.array(x), np.array(z), np.array(slope), laws[..., 0].astype(np.int8), laws[..., 1]
        )

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
