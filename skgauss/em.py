"""Weighted expectation-maximisation for Gaussian mixtures.

The log-densities of all components are linear in a row's monomials of degree two, and so are
the statistics of the next step: either half of an iteration is one matrix product per block of
rows.

References
----------
Dempster, Laird & Rubin (1977), Maximum likelihood from incomplete data via the EM algorithm,
Journal of the Royal Statistical Society B 39(1); Ueda, Nakano, Ghahramani & Hinton (2000), SMEM
algorithm for mixture models, Neural Computation 12(9), doi:10.1162/089976600300015088, for the
splits.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Self

import numpy as np
from scipy.special import ndtri

from skgauss.moments import Moments

__all__ = [
    "Components",
    "Sample",
    "converge",
    "expectation",
    "maximisation",
    "split",
    "standardisation",
]

_MIN_VARIANCE = 1e-6  # along any axis of a component, in units of the columns' scales squared
_PRIOR_ROWS = 1e-3  # with the moments of the sample, that every component has besides its own
_MIN_WEIGHT = 1e-12
_SPLIT = 0.5  # of a standard deviation, by which the two halves move apart
_MONOMIALS = 1 << 17  # of a block of rows, that stay in a core's cache


class Sample(NamedTuple):
    """Rows in units of the columns' scales, columns first, with their moments.

    Attributes
    ----------
    columns : array of shape (d, n_rows)
    weight : array of shape (n_rows,)
    mean : array of shape (d,)
    covariance : array of shape (d, d)
        Of few rows, shrunk, see `skgauss.moments.Moments.shrinkage`.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.em import Sample
    >>> X = np.array([[0.0, 1.0], [4.0, 3.0]])
    >>> Sample.standardised(X, np.ones(2), np.zeros(2), np.ones(2)).mean.tolist()
    [2.0, 2.0]
    """

    columns: np.ndarray
    weight: np.ndarray
    mean: np.ndarray
    covariance: np.ndarray

    @classmethod
    def standardised(cls, X: np.ndarray, weight: np.ndarray, loc: Any, scale: Any) -> Self:
        """Take rows of shape (n_rows, d) in units of the scales."""
        columns = np.ascontiguousarray(((X - loc) / scale).T)
        return cls.of(columns, weight, Moments.of(columns, weight).shrinkage())

    @classmethod
    def of(cls, columns: np.ndarray, weight: np.ndarray, shrinkage: float) -> Self:
        """Take rows, as columns, that are in units of the scales."""
        share = weight / weight.sum()
        mean = columns @ share
        centred = columns - mean[:, None]  # moments about 0 would lose the digits of heavy tails
        covariance = (centred * share) @ centred.T
        target = np.mean(np.diag(covariance)) * np.eye(len(mean))
        covariance += shrinkage * (target - covariance)
        return cls(columns, weight, mean, covariance)

    def first(self, n_rows: int) -> Self:
        """The first rows, so many at most, whatever their weights."""
        return self._replace(columns=self.columns[:, :n_rows], weight=self.weight[:n_rows])

    def turned(self, share: float) -> Self:
        """The rows in the order that starts behind this share of them, and comes round."""
        start = int(np.searchsorted(np.cumsum(self.weight), share * self.weight.sum()))
        if not start:
            return self
        columns = np.roll(self.columns, -start, axis=1)
        return self._replace(columns=columns, weight=np.roll(self.weight, -start))


class Components(NamedTuple):
    """A mixture: weights, means, and eigenvalues and eigenvectors of the covariances.

    Attributes
    ----------
    log_weights : array of shape (k,)
    means : array of shape (k, d)
    variances : array of shape (k, d)
        Increasing.
    axes : array of shape (k, d, d)
        Their axes, as columns.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.em import Components
    >>> Components.from_covariances(np.zeros(1), np.zeros((1, 2)), np.eye(2)[None]).variances
    array([[1., 1.]])
    """

    log_weights: np.ndarray
    means: np.ndarray
    variances: np.ndarray
    axes: np.ndarray

    @classmethod
    def from_covariances(cls, log_weights: Any, means: Any, covariances: Any) -> Self:
        """Decompose the covariances, and bound their eigenvalues."""
        variances, axes = np.linalg.eigh(covariances)
        return cls(log_weights, means, np.maximum(variances, _MIN_VARIANCE), axes)

    @classmethod
    def of(cls, sample: Sample) -> Self:
        """One component, with the moments of a sample."""
        return cls.from_covariances(np.zeros(1), sample.mean[None], sample.covariance[None])

    def covariances(self) -> np.ndarray:
        """Covariances of all components, of shape (k, d, d)."""
        return (self.axes * self.variances[:, None, :]) @ self.axes.transpose(0, 2, 1)


def standardisation(X: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Median and normal-consistent central 90 % of every column, the latter positive.

    Parameters
    ----------
    X : array of shape (n_rows, d)
    weight : array of shape (n_rows,)

    Returns
    -------
    loc, scale : array of shape (d,)

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.em import standardisation
    >>> loc, scale = standardisation(np.arange(101.0)[:, None], np.ones(101))
    >>> loc.tolist(), scale.round(1).tolist()
    ([50.0], [27.6])
    """
    loc, scale = np.empty((2, X.shape[1]))
    for j, column in enumerate(X.T):
        values, index = np.unique(column, return_inverse=True)
        mass = np.bincount(index, weight)
        share = (np.cumsum(mass) - mass / 2) / mass.sum()
        low, loc[j], high = np.interp([0.05, 0.5, 0.95], share, values)
        spread = (high - low) / (2 * ndtri(0.95))
        if spread <= 1e-14 * max(abs(low), abs(high)):
            spread = math.sqrt(np.average((column - loc[j]) ** 2, weights=weight))
        scale[j] = spread if spread > 1e-12 * abs(loc[j]) else abs(loc[j]) or 1.0
    return loc, scale


def _monomials(columns):
    """Monomials of degree 0, 1 and 2 of the columns, of shape (q, n)."""
    d, n = columns.shape
    values = np.empty((1 + d + d * (d + 1) // 2, n))
    values[0] = 1
    values[1 : d + 1] = columns
    start = d + 1
    for i in range(d):
        np.multiply(columns[i], columns[i:], out=values[start : start + d - i])
        start += d - i
    return values


def _log_density_coefficients(mixture):
    """Weight times density of every component, in logarithm, as a polynomial; shape (k, q)."""
    d = mixture.means.shape[1]
    rows, cols = np.triu_indices(d)
    precisions = (mixture.axes / mixture.variances[:, None, :]) @ mixture.axes.transpose(0, 2, 1)
    linear = np.einsum("kij,kj->ki", precisions, mixture.means)
    square = np.einsum("ki,ki->k", linear, mixture.means)
    log_det = np.sum(np.log(mixture.variances), axis=1)
    constant = mixture.log_weights - 0.5 * (d * math.log(2 * math.pi) + log_det + square)
    quadratic = -precisions[:, rows, cols] * np.where(rows == cols, 0.5, 1.0)
    return np.concatenate([constant[:, None], linear, quadratic], axis=1)


def expectation(
    mixture: Components, sample: Sample, *, likelihood_only: bool = False
) -> tuple[float, np.ndarray]:
    """Mean log-likelihood, and each component's share of the sum of every monomial.

    Parameters
    ----------
    mixture : Components
    sample : Sample
    likelihood_only : bool, default=False

    Returns
    -------
    log_likelihood : float
        Nats per unit of weight.
    sums : array of shape (k, 1 + d + d (d + 1) / 2)
        Zeros where the likelihood alone is asked for.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.em import Components, Sample, expectation
    >>> sample = Sample.standardised(np.eye(3), np.ones(3), np.zeros(3), np.ones(3))
    >>> whole = Components.of(sample)
    >>> float(expectation(whole, sample)[1][0, 0])  # all three rows are of the one component
    3.0
    """
    coefficients = _log_density_coefficients(mixture)
    n_rows = max(32, _MONOMIALS // max(coefficients.shape))
    log_likelihood, sums = 0.0, np.zeros(coefficients.shape)
    for start in range(0, len(sample.weight), n_rows):
        monomials = _monomials(sample.columns[:, start : start + n_rows])
        weight = sample.weight[start : start + n_rows]
        joint = coefficients @ monomials
        largest = joint.max(axis=0)
        joint -= largest
        np.exp(joint, out=joint)
        total = joint.sum(axis=0)
        log_likelihood += weight @ (largest + np.log(total))
        if not likelihood_only:
            joint *= weight / total
            sums += joint @ monomials.T
    return log_likelihood / sample.weight.sum(), sums


def maximisation(sums: np.ndarray, sample: Sample, prior_rows: float = _PRIOR_ROWS) -> Components:
    """Mixture of the greatest expected likelihood, given the components' sums of monomials.

    Parameters
    ----------
    sums : array of shape (k, 1 + d + d (d + 1) / 2)
    sample : Sample
    prior_rows : float, default=1e-3
        Rows with the moments of the sample that every component has besides its own.

    Returns
    -------
    mixture : Components

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.em import Components, Sample, expectation, maximisation
    >>> sample = Sample.standardised(np.eye(3), np.ones(3), np.zeros(3), np.ones(3))
    >>> whole = Components.of(sample)
    >>> maximisation(expectation(whole, sample)[1], sample).means.round(3)
    array([[0.333, 0.333, 0.333]])
    """
    d = len(sample.mean)
    rows, cols = np.triu_indices(d)
    n_rows, first, second = sums[:, 0], sums[:, 1 : d + 1], np.empty((len(sums), d, d))
    second[:, rows, cols] = second[:, cols, rows] = sums[:, d + 1 :]
    shifted = n_rows + prior_rows
    means = (first + prior_rows * sample.mean) / shifted[:, None]
    offset = sample.mean - means
    prior = sample.covariance + offset[:, :, None] * offset[:, None, :]
    cross = first[:, :, None] * means[:, None, :]
    squares = n_rows[:, None, None] * means[:, :, None] * means[:, None, :]
    scatter = second - cross - cross.transpose(0, 2, 1) + squares
    covariances = (scatter + prior_rows * prior) / shifted[:, None, None]
    weights = np.maximum(n_rows / n_rows.sum(), _MIN_WEIGHT)
    return Components.from_covariances(np.log(weights / weights.sum()), means, covariances)


def converge(
    mixture: Components,
    sample: Sample,
    tol: float,
    max_iter: int,
    prior_rows: float = _PRIOR_ROWS,
) -> Components:
    """Iterate until the mean log-likelihood gains less than `tol` nats.

    Parameters
    ----------
    mixture : Components
        One component has its sample's moments, and stays as it is.
    sample : Sample
    tol : float
    max_iter : int
    prior_rows : float, default=1e-3
        As for `maximisation`.

    Returns
    -------
    mixture : Components

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.em import Components, Sample, converge, split
    >>> sample = Sample.standardised(np.eye(3), np.ones(3), np.zeros(3), np.ones(3))
    >>> whole = Components.of(sample)
    >>> converge(split(whole, 1), sample, 1e-3, 10).means.shape
    (2, 3)
    """
    if len(mixture.means) == 1:
        return mixture
    last = -math.inf
    for _ in range(max_iter):
        log_likelihood, sums = expectation(mixture, sample)
        if log_likelihood - last < tol:
            break
        mixture, last = maximisation(sums, sample, prior_rows), log_likelihood
    return mixture


def split(mixture: Components, n_more: int, rng: np.random.Generator | None = None) -> Components:
    """Split the heaviest components in two along their longest axis, moments kept.

    Parameters
    ----------
    mixture : Components
    n_more : int
    rng : numpy.random.Generator, default=None
        Draws the axis, with the share that it has of the variance.

    Returns
    -------
    mixture : Components

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.em import Components, Sample, split
    >>> sample = Sample.standardised(np.eye(3), np.ones(3), np.zeros(3), np.ones(3))
    >>> whole = Components.of(sample)
    >>> split(whole, 1).means.mean(axis=0).round(3)
    array([0.333, 0.333, 0.333])
    """
    chosen = np.argsort(-mixture.log_weights, kind="stable")[:n_more]
    axis = np.full(len(chosen), mixture.variances.shape[1] - 1)
    if rng is not None:
        shares = np.cumsum(mixture.variances[chosen], axis=1)
        axis = np.sum(shares < rng.random((len(chosen), 1)) * shares[:, -1:], axis=1)
    step = mixture.axes[chosen, :, axis] * np.sqrt(mixture.variances[chosen, axis])[:, None]
    step *= _SPLIT
    log_weights, means = mixture.log_weights.copy(), mixture.means.copy()
    covariances = mixture.covariances()
    log_weights[chosen] -= math.log(2)
    covariances[chosen] -= step[:, :, None] * step[:, None, :]
    other = means[chosen] - step
    means[chosen] += step
    return Components.from_covariances(
        np.append(log_weights, log_weights[chosen]),
        np.concatenate([means, other]),
        np.concatenate([covariances, covariances[chosen]]),
    )
