"""Gaussianize every column by the distribution function of a one-dimensional Gaussian mixture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral
from typing import ClassVar, NamedTuple

import numpy as np
from scipy.special import ndtri

from skgauss._validation import Interval, StrOptions
from skgauss.marginals.base import BaseMarginal
from skgauss.marginals.columns import (
    ColumnSpline,
    bulk,
    distinct,
    likeliest,
    tail_law,
)
from skgauss.mixture import GaussianMixtureMap
from skgauss.mixture_growth import fit_gaussian_mixture
from skgauss.tails import tail_forward, tail_inverse

__all__ = ["MixtureMarginal"]

_N_COMPONENTS = (1, 2, 5, 10, 20, 50)  # that "auto" chooses from
_ROWS_PER_COMPONENT = 40  # at least
_FOLDS_BELOW = 500  # rows
_N_POINTS = 1_000  # quantiles that stand for a column
_TRIED = {"tol": 1e-3, "max_iter": 50}  # how well a mixture is fitted that is tried
_KEPT = {"tol": 1e-5, "max_iter": 300}  # and the one that is kept
_MIN_RANGE = 1e-9  # of the bulk, relative to the size of its ends
_GOLDEN = 0.6180339887498949
_SIDES = ((0, -1), (1, 1))


class _Edges(NamedTuple):
    """Where the mixtures end, and what holds beyond.

    Every field has the shape (n_features, 2): place, latent and slope of the lower and of the
    upper edge, law and parameter of the tail.
    """

    x: np.ndarray
    z: np.ndarray
    slope: np.ndarray
    law: np.ndarray
    parameter: np.ndarray


class _Column(NamedTuple):
    """The map of one column."""

    mixture: GaussianMixtureMap
    edges: _Edges

    @classmethod
    def between(cls, mixture, x, values, mass):
        """Mixture between two edges; the tails are those of the values beyond."""
        z, log_slope = mixture.forward(x[:, None])
        z, slope = z[:, 0], np.exp(log_slope)
        tails = []
        for k, sign in _SIDES:
            excess = slope[k] * sign * (values - x[k])
            out = excess > 0
            tails.append(tail_law(excess[out], mass[out], sign * z[k]))
        law, parameter = zip(*tails, strict=True)
        fields = x, z, slope, np.array(law, np.int8), np.array(parameter)
        return cls(mixture, _Edges(*(field[None] for field in fields)))

    @classmethod
    def affine(cls, values, mass):
        """One normal, whose map is a straight line."""
        line = ColumnSpline.affine(values, mass)
        loc, scale = line.x.mean(), 1 / line.slope[0]
        low, high = (np.atleast_1d(2 * x - loc) for x in line.x)
        mixture = GaussianMixtureMap.from_cholesky([1.0], [[loc]], [[[scale]]], low, high, 0.0)
        return cls.between(mixture, line.x, values, mass)

    def log_density(self, values):
        z, log_slope = _forward([self.mixture], self.edges, values[None])
        return (log_slope - 0.5 * z**2)[0]


def _forward(mixtures: Sequence[GaussianMixtureMap], edges: _Edges, Y: np.ndarray):
    """Map columns by their mixtures, each between its edges, and by the tails beyond."""
    Z, log_slope = np.empty(Y.shape), np.empty(Y.shape)
    inside = np.clip(Y, edges.x[:, :1], edges.x[:, 1:])
    for mixture, column, z, log in zip(mixtures, inside, Z, log_slope, strict=True):
        latents, log[:] = mixture.forward(column[:, None])
        z[:] = latents[:, 0]
    for k, sign in _SIDES:
        z_edge, law, parameter = _tail(edges, k)
        excess = np.maximum(sign * (Y - edges.x[:, k, None]), 0) * edges.slope[:, k, None]
        growth, increment = tail_forward(excess, law, parameter, z_edge)
        Z += sign * growth
        log_slope += increment
    return Z, log_slope


def _inverse(mixtures: Sequence[GaussianMixtureMap], edges: _Edges, Z: np.ndarray):
    """Map latents back."""
    inside = np.clip(Z, edges.z[:, :1], edges.z[:, 1:])
    Y = [m.inverse(z[:, None])[:, 0] for m, z in zip(mixtures, inside, strict=True)]
    Y = np.clip(Y, edges.x[:, :1], edges.x[:, 1:])
    for k, sign in _SIDES:
        z_edge, law, parameter = _tail(edges, k)
        growth = np.maximum(sign * (Z - edges.z[:, k, None]), 0)
        Y += sign * tail_inverse(growth, law, parameter, z_edge) / edges.slope[:, k, None]
    return Y


def _tail(edges, k):
    """Absolute latent, law and parameter of one side, as columns."""
    return np.abs(edges.z[:, k, None]), edges.law[:, k, None], edges.parameter[:, k, None]


def _points(values, mass, cdf, low, high):
    """Quantiles that stand for a column, spread evenly over their order.

    Beyond the bulk they lie where a normal's tail would have them, or nearer: what is farther out
    is the tails' matter, and should not widen a component. The outer half of the mass of the
    outermost value lies there too, for it to be no spike.
    """
    total = mass.sum()
    n_points = int(min(_N_POINTS, max(2, math.ceil(total))))
    share = (np.arange(n_points) + 0.5) / n_points
    x, z = np.interp(share, cdf, values, -np.inf, np.inf), ndtri(share)
    for edge, sign in ((low, -1), (high, 1)):
        beyond = edge if sign < 0 else 1 - edge
        inner = edge - sign * min(2 * beyond, 0.25)
        x_edge, x_inner = np.interp([edge, inner], cdf, values)
        z_edge, z_inner = ndtri([edge, inner])
        limit = x_edge + (z - z_edge) * (x_edge - x_inner) / (z_edge - z_inner)
        x = np.where(sign * (z - z_edge) > 0, sign * np.minimum(sign * x, sign * limit), x)
    return x[np.argsort(np.arange(n_points) * _GOLDEN % 1)], total / n_points


def _mixture_columns(values, mass, numbers, accuracy):
    """Maps of a column with several numbers of components."""
    total = mass.sum()
    cdf = (np.cumsum(mass) - mass / 2) / total
    low, high = bulk(cdf, total)
    x = np.interp([low, high], cdf, values)
    if x[1] - x[0] <= _MIN_RANGE * np.abs(x).max():
        return [_Column.affine(values, mass)] * len(numbers)
    points, weight = _points(values, mass, cdf, low, high)
    weights = np.full(len(points), weight)
    mixtures = (fit_gaussian_mixture(points[:, None], weights, k, **accuracy) for k in numbers)
    return [_Column.between(mixture, x, values, mass) for mixture in mixtures]


class MixtureMarginal(BaseMarginal):
    """Gaussianize every column by itself, through the distribution function of a mixture.

    Between the 0.5 % and the 99.5 % quantile of a column,
    ``z = Phi^-1( sum_c w_c Phi((x - mean_c) / scale_c) )`` with weights, means and standard
    deviations by maximum likelihood; beyond, a tail whose law (nearly Gaussian, log-normal or power
    law) is chosen per side by the likelihood of the rows there. The map is strictly increasing and
    once continuously differentiable everywhere. Between the edges its inverse is a root, found by a
    Newton iteration inside a bracket to rounding; beyond them it has a closed form. In gaps between
    components a broad normal of weight 3e-5 keeps the map from being flat.

    Likelihood is maximised on 1,000 quantiles of a column, O(1) per row. Tied values share the mass
    between their neighbours evenly, and no component is narrower than a thousandth of the column's
    central 90 %: a column of two values becomes nearly a line through them. A constant column is
    divided by its absolute value.

    Parameters
    ----------
    n_components : int or "auto", default="auto"
        Components per column. "auto" takes, column by column, that of 1, 2, 5, 10, 20, 50 whose
        map is likeliest on rows held out, or a straight line where none is clearly likelier.
    subsample : int or None, default=200_000
        Rows that the quantiles are taken from; more are subsampled at random.
    n_jobs : int or None, default=None
        Threads for `fit`, `transform` and their kin; None means 1 unless in a joblib context.
    random_state : int, RandomState instance or None, default=None
        Of the subsample, and of the rows held out.

    Attributes
    ----------
    mixtures_ : list of skgauss.mixture.GaussianMixtureMap
        One per column, in one dimension, of the standardised columns.
    edges_ : tuple of arrays of shape (n_features, 2)
        Where the mixtures end: place, latent and slope at the edges, law and parameter of the tails
        (see `skgauss.tails`).
    loc_, scale_ : array of shape (n_features,)
        Robust standardisation: median, and interquartile range over 1.349.
    data_min_, data_max_ : array of shape (n_features,)
        Range of the training rows.
    n_features_in_ : int
    feature_names_in_ : array of shape (n_features,)
        Where the table had names.

    See Also
    --------
    skgauss.mixture.GaussianMixtureMap : The map of a mixture in several dimensions.
    SplineMarginal : Faster to map back, and free of a mixture's idea of shape.

    References
    ----------
    Chen & Gopinath (2000), Gaussianization, Advances in Neural Information Processing Systems 13:
    marginal Gaussianization by the distribution functions of mixtures.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.marginals import MixtureMarginal
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(2000, 1)) + 8 * rng.integers(2, size=(2000, 1))
    >>> marginal = MixtureMarginal(n_components=2).fit(X)
    >>> marginal.mixtures_[0].weights.round(1).tolist()
    [0.5, 0.5]
    >>> bool(np.allclose(marginal.inverse_transform(marginal.transform(X)), X))
    True
    """

    _parameter_constraints: ClassVar[dict] = {
        "n_components": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "subsample": [Interval(Integral, 10, None, closed="left"), None],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    }

    def __init__(self, *, n_components="auto", subsample=200_000, n_jobs=None, random_state=None):
        self.n_components = n_components
        self.subsample = subsample
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _fit_column(self, column, weight, resolution, n_errors):
        number = self.n_components
        if number == "auto":
            number = _chosen_number(column, weight, n_errors)
        values, mass = distinct(column, weight)
        if number is None:
            return _Column.affine(values, mass)
        return _mixture_columns(values, mass, [number], _KEPT)[0]

    def _keep(self, fitted):
        self.mixtures_ = [column.mixture for column in fitted]
        fields = zip(*(column.edges for column in fitted), strict=True)
        self.edges_ = _Edges(*(np.concatenate(field) for field in fields))

    def _columns_forward(self, Y):
        return _forward(self.mixtures_, self.edges_, Y)

    def _columns_inverse(self, Z):
        return _inverse(self.mixtures_, self.edges_, Z)


def _chosen_number(column, weight, n_errors):
    """Number of components that is likeliest on rows held out, None for a straight line."""
    ladder = [k for k in _N_COMPONENTS if k * _ROWS_PER_COMPONENT <= weight.sum()]
    if not ladder:
        return None

    def tried(values, mass, held_out):
        columns = _mixture_columns(values, mass, ladder, _TRIED)
        return np.array([column.log_density(held_out) for column in columns])

    best = likeliest(column, weight, tried, n_errors, _FOLDS_BELOW)
    return None if best is None else ladder[best]
