"""Gaussian mixtures fitted by weighted expectation-maximisation, grown by splitting.

A mixture starts as one Gaussian; its heaviest components are split along an axis and all are
fitted again, until there are as many as asked for, or until rows held out gain nothing. Early
rungs of this ladder see the first rows only.

Where a mixture ends depends on how it was split, and its likelihood on new rows with it. So
several ladders are climbed, which split along other axes and start on other rows, and the mean of
their densities, which is a mixture of all components, is taken: it is likelier on new rows than
any of them, by far where they overfit.

The log-densities of all components are linear in a row's monomials of degree two, and so are
the statistics of the next step: either half of an iteration is one matrix product per block of
rows.

References
----------
Dempster, Laird & Rubin (1977), Maximum likelihood from incomplete data via the EM algorithm,
Journal of the Royal Statistical Society B 39(1); Ueda, Nakano, Ghahramani & Hinton (2000), SMEM
algorithm for mixture models, Neural Computation 12(9), doi:10.1162/089976600300015088, for the
splits; Ormoneit & Tresp (1998), Averaging, maximum penalized likelihood and Bayesian estimation
for improving Gaussian mixture probability density estimates, IEEE Transactions on Neural Networks
9(4), doi:10.1109/72.701177, for the mean of several mixtures.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from joblib import Parallel, cpu_count, delayed, effective_n_jobs
from scipy.special import ndtri

from skgauss.mixture import GaussianMixtureMap

__all__ = ["fit_gaussian_mixture", "held_out_likelihoods", "select_gaussian_mixture"]

_CANDIDATES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_MIN_VARIANCE = 1e-6  # along any axis of a component, in units of the columns' scales squared
_PRIOR_ROWS = 1e-3  # with the moments of the table, that every component has besides its own
_MIN_WEIGHT = 1e-12
_ROWS = 8_192  # that a rung of the ladder sees at least, and
_ROWS_PER_PARAMETER = 10  # in a rung, and
_LAST_ROWS_PER_PARAMETER = 40  # at the end of a ladder
_SPLIT = 0.5  # of a standard deviation, by which the two halves move apart
_FACTORS = (2, 1.4)  # of two ladders to one number of components; neither is always the better
_RUNG_TOL, _RUNG_ITER = 3e-3, 30  # nats per row, and iterations, as the ladder is not the end
MIN_GAIN = 1e-3  # nats per row held out
_NEXT_RUNG = 3  # times what all rungs before it took, and the end of the ladder
_TIMED_ROWS = 256
_PATIENT_BELOW = 16  # components: few may gain nothing where more do
_MONOMIALS = 1 << 17  # of a block of rows, that stay in a core's cache


class _Table(NamedTuple):
    """Rows in units of the columns' scales, columns first, with their moments."""

    columns: np.ndarray
    weight: np.ndarray
    mean: np.ndarray
    covariance: np.ndarray

    def first(self, n_rows):
        """The first rows, of a total weight of about `n_rows`."""
        n_rows = 1 + int(np.searchsorted(np.cumsum(self.weight), n_rows))
        return self._replace(columns=self.columns[:, :n_rows], weight=self.weight[:n_rows])

    def turned(self, share):
        """The rows in the order that starts behind this share of them, and comes round."""
        start = int(np.searchsorted(np.cumsum(self.weight), share * self.weight.sum()))
        columns = np.roll(self.columns, -start, axis=1)
        return self._replace(columns=columns, weight=np.roll(self.weight, -start))


class _Mixture(NamedTuple):
    """Weights, means, and eigenvalues and eigenvectors of the covariances of k components."""

    log_weights: np.ndarray
    means: np.ndarray
    variances: np.ndarray
    axes: np.ndarray

    @classmethod
    def from_covariances(cls, log_weights, means, covariances):
        variances, axes = np.linalg.eigh(covariances)
        return cls(log_weights, means, np.maximum(variances, _MIN_VARIANCE), axes)

    def covariances(self):
        return (self.axes * self.variances[:, None, :]) @ self.axes.transpose(0, 2, 1)


def _standardisation(X, weight):
    """Median and normal-consistent central 90 % of every column, the latter positive."""
    loc, scale = np.empty((2, X.shape[1]))
    for j, column in enumerate(X.T):
        values, index = np.unique(column, return_inverse=True)
        mass = np.bincount(index, weight)
        share = (np.cumsum(mass) - mass / 2) / mass.sum()
        low, loc[j], high = np.interp([0.05, 0.5, 0.95], share, values)
        spread = (high - low) / (2 * ndtri(0.95))
        if spread <= 1e-9 * np.ptp(column):
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


def _expectation(mixture, table, *, likelihood_only=False):
    """Mean log-likelihood, and each component's share of every monomial's sum; shape (k, q)."""
    coefficients = _log_density_coefficients(mixture)
    n_rows = max(32, _MONOMIALS // max(coefficients.shape))
    log_likelihood, sums = 0.0, np.zeros(coefficients.shape)
    for start in range(0, len(table.weight), n_rows):
        monomials = _monomials(table.columns[:, start : start + n_rows])
        weight = table.weight[start : start + n_rows]
        joint = coefficients @ monomials
        largest = joint.max(axis=0)
        joint -= largest
        np.exp(joint, out=joint)
        total = joint.sum(axis=0)
        log_likelihood += weight @ (largest + np.log(total))
        if not likelihood_only:
            joint *= weight / total
            sums += joint @ monomials.T
    return log_likelihood / table.weight.sum(), sums


def _maximisation(sums, table):
    """Mixture of the greatest expected likelihood, given the components' sums of monomials."""
    d = len(table.mean)
    rows, cols = np.triu_indices(d)
    n_rows, first, second = sums[:, 0], sums[:, 1 : d + 1], np.empty((len(sums), d, d))
    second[:, rows, cols] = second[:, cols, rows] = sums[:, d + 1 :]
    shifted = n_rows + _PRIOR_ROWS
    means = (first + _PRIOR_ROWS * table.mean) / shifted[:, None]
    offset = table.mean - means
    prior = table.covariance + offset[:, :, None] * offset[:, None, :]
    cross = first[:, :, None] * means[:, None, :]
    squares = n_rows[:, None, None] * means[:, :, None] * means[:, None, :]
    scatter = second - cross - cross.transpose(0, 2, 1) + squares
    covariances = (scatter + _PRIOR_ROWS * prior) / shifted[:, None, None]
    weights = np.maximum(n_rows / n_rows.sum(), _MIN_WEIGHT)
    return _Mixture.from_covariances(np.log(weights / weights.sum()), means, covariances)


def _converge(mixture, table, tol, max_iter):
    """Iterate until the mean log-likelihood gains less than `tol` nats."""
    last = -math.inf
    for _ in range(max_iter):
        log_likelihood, sums = _expectation(mixture, table)
        if log_likelihood - last < tol:
            break
        mixture, last = _maximisation(sums, table), log_likelihood
    return mixture


def _split(mixture, n_more, rng=None):
    """Split the heaviest components in two along their longest axis, moments kept.

    With a generator, along an axis drawn with the share that it has of the variance.
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
    return _Mixture.from_covariances(
        np.append(log_weights, log_weights[chosen]),
        np.concatenate([means, other]),
        np.concatenate([covariances, covariances[chosen]]),
    )


def _ladder(table, rungs, rng=None, tol=_RUNG_TOL, max_iter=_RUNG_ITER) -> Iterator[_Mixture]:
    """Mixtures of ever more components, each grown from the one before."""
    mixture = _Mixture.from_covariances(np.zeros(1), table.mean[None], table.covariance[None])
    for n_components in rungs:
        while len(mixture.means) < n_components:
            mixture = _split(mixture, n_components - len(mixture.means), rng)
        if n_components > 1:
            rows = _enough(table, n_components, _ROWS_PER_PARAMETER)
            mixture = _converge(mixture, rows, tol, max_iter)
        yield mixture


def _enough(table, n_components, per_parameter):
    """So many rows per parameter of a mixture, and a minimum at least."""
    n_parameters = n_components * math.comb(len(table.mean) + 2, 2)
    return table.first(max(_ROWS, per_parameter * n_parameters))


def _rungs(n_components, factor):
    """Numbers of components up to the one asked for, each about `factor` times the one before."""
    rungs = [n_components]
    while rungs[0] > 1:
        rungs.insert(0, int(rungs[0] / factor))
    return rungs


def _standardised(X, weight, loc, scale):
    """Rows as a `_Table`."""
    columns = np.ascontiguousarray(((X - loc) / scale).T)
    share = weight / weight.sum()
    mean = columns @ share
    centred = columns - mean[:, None]
    return _Table(columns, weight, mean, (centred * share) @ centred.T)


def _as_map(mixture, table, loc, scale):
    """The map of a mixture, in the units of the rows, guarded on twice their range."""
    # The triangular factor of a covariance's root is its Cholesky factor, without the covariance.
    roots = mixture.axes * np.sqrt(mixture.variances)[:, None, :] * scale[:, None]
    factors = np.linalg.qr(roots.transpose(0, 2, 1)).R.transpose(0, 2, 1)
    factors = factors * np.sign(np.diagonal(factors, axis1=1, axis2=2))[:, None, :]
    means = mixture.means * scale + loc
    low, high = table.columns.min(axis=1), table.columns.max(axis=1)
    margin = np.maximum(high - low, 1) / 2
    low, high = (low - margin) * scale + loc, (high + margin) * scale + loc
    weights = np.exp(mixture.log_weights)
    return GaussianMixtureMap.from_cholesky(weights, means, factors, low, high)


def _seconds_to_map(mixtures, table, loc, scale, n_jobs):
    """How long the map of all rows would take, judged by some."""
    some = table.first(_TIMED_ROWS)
    fitted, X = _as_map(_mean(mixtures), table, loc, scale), loc + scale * some.columns.T
    start = time.monotonic()
    fitted.forward(X)
    seconds = time.monotonic() - start
    return seconds * table.columns.shape[1] / len(X) / _n_at_once(n_jobs)


def _n_at_once(n_jobs):
    return min(effective_n_jobs(n_jobs), cpu_count())


class _Climb:
    """Several ladders climbed at once, from other rows and with other splits.

    They are numbered; the first of all splits along the longest axes.
    """

    def __init__(self, table, numbers, rungs, n_jobs):
        self._rungs = rungs
        self._parallel = Parallel(n_jobs=n_jobs, require="sharedmem")
        self._tables = [table.turned(i / numbers.stop) for i in numbers]
        generators = [np.random.default_rng(i) if i else None for i in numbers]
        pairs = zip(self._tables, generators, strict=True)
        self._ladders = [_ladder(table, rungs, rng) for table, rng in pairs]

    def next_rung(self) -> list[_Mixture]:
        """The mixtures with the next number of components."""
        return self._parallel(delayed(next)(ladder) for ladder in self._ladders)

    def scored(self, held_out) -> Iterator[tuple[list[_Mixture], float]]:
        """The rungs, and the mean log-likelihood of rows held out under the mean density."""
        for _ in self._rungs:
            mixtures = self.next_rung()
            yield mixtures, _expectation(_mean(mixtures), held_out, likelihood_only=True)[0]

    def top(self, tol, max_iter) -> list[_Mixture]:
        """The mixtures of the last rung, fitted further and to more rows."""
        mixtures: list[_Mixture] = []
        for _ in self._rungs:
            mixtures = self.next_rung()
        return self.converged(mixtures, tol, max_iter)

    def converged(self, mixtures, tol, max_iter) -> list[_Mixture]:
        """The same mixtures, fitted further and to more rows."""
        return self._parallel(
            delayed(_converge)(
                mixture, _enough(table, len(mixture.means), _LAST_ROWS_PER_PARAMETER), tol, max_iter
            )
            for mixture, table in zip(mixtures, self._tables, strict=True)
        )


def _mean(mixtures):
    """Mixture whose density is the mean of those of several; of single Gaussians, the first."""
    if len(mixtures[0].means) == 1:
        return mixtures[0]
    mean = _Mixture(*map(np.concatenate, zip(*mixtures, strict=True)))
    return mean._replace(log_weights=mean.log_weights - math.log(len(mixtures)))


def _likelier(table, n_components, tol, max_iter):
    """The likelier one of two ladders with other steps."""
    ends = []
    for factor in _FACTORS:
        *_, mixture = _ladder(table, _rungs(n_components, factor), max_iter=max_iter)
        mixture = _converge(mixture, table, tol, max_iter)
        ends.append((_expectation(mixture, table, likelihood_only=True)[0], mixture))
    return max(ends, key=lambda end: end[0])[1]


def fit_gaussian_mixture(
    X: np.ndarray,
    weight: np.ndarray,
    n_components: int,
    *,
    n_ladders: int = 1,
    tol: float = 1e-3,
    max_iter: int = 100,
    n_jobs: int | None = None,
) -> GaussianMixtureMap:
    """Fit the weights, means and full covariances of a Gaussian mixture.

    Deterministic: grown from one component up, on the first rows to begin with; these
    therefore have to be in no particular order.

    Parameters
    ----------
    X : array of shape (n_rows, d)
        Of finite numbers; at least one row.
    weight : array of shape (n_rows,)
        Frequencies, positive.
    n_components : int
        May exceed the number of rows.
    n_ladders : int, default=1
        1 gives the likelier one of two mixtures; more, the mean of so many, which has
        `n_ladders` times `n_components` components unless this is 1.
    tol : float, default=1e-3
        Gain of the mean log-likelihood, in nats, below which the iteration ends.
    max_iter : int, default=100
        Iterations, in the end.
    n_jobs : int or None, default=None
        Threads that share the ladders.

    Returns
    -------
    mixture : GaussianMixtureMap
        With a range twice as wide as that of the rows.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.em import fit_gaussian_mixture
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(2000, 2)) + 4 * rng.integers(2, size=(2000, 1))
    >>> mixture = fit_gaussian_mixture(X, np.ones(len(X)), 2)
    >>> mixture.weights.round(1)
    array([0.5, 0.5])
    """
    loc, scale = _standardisation(X, weight)
    table = _standardised(X, weight, loc, scale)
    if n_ladders == 1:
        mixture = _likelier(table, n_components, tol, max_iter)
    else:
        climb = _Climb(table, range(n_ladders), _rungs(n_components, 2), n_jobs)
        mixture = _mean(climb.top(tol, max_iter))
    return _as_map(mixture, table, loc, scale)


def select_gaussian_mixture(
    X: np.ndarray,
    weight: np.ndarray,
    X_held_out: np.ndarray,
    weight_held_out: np.ndarray,
    *,
    candidates: Sequence[int] | None = None,
    n_ladders: int = 1,
    tol: float = 1e-3,
    max_iter: int = 100,
    max_time: float | None = None,
    n_jobs: int | None = None,
) -> GaussianMixtureMap:
    """Fit a Gaussian mixture with the number of components that is likeliest on rows held out.

    Parameters
    ----------
    X : array of shape (n_rows, d)
        As for `fit_gaussian_mixture`.
    weight : array of shape (n_rows,)
    X_held_out : array of shape (n_held_out, d)
    weight_held_out : array of shape (n_held_out,)
    candidates : sequence of int, default=None
        Numbers of components, increasing; None means powers of two up to 256. The first that is
        at least 16 and gains less than 0.001 nats ends the ladder.
    n_ladders : int, default=1
        Number of mixtures whose mean is taken, with so many times the components.
    tol : float, default=1e-3
        Gain of the mean log-likelihood, in nats, below which the last iteration ends.
    max_iter : int, default=100
        Iterations, in the end.
    max_time : float or None, default=None
        Seconds that the ladders, and the map of all rows after them, should take. The first
        ladder alone chooses the number of components, and begins no rung with which it would
        probably take longer; the others follow if there is time left.
    n_jobs : int or None, default=None
        Threads that share the ladders.

    Returns
    -------
    mixture : GaussianMixtureMap

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.em import select_gaussian_mixture
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(2000, 2)) + 8 * rng.integers(2, size=(2000, 1))
    >>> weight = np.ones(1000)
    >>> mixture = select_gaussian_mixture(X[:1000], weight, X[1000:], weight, candidates=(1, 2))
    >>> mixture.weights.shape
    (2,)
    """
    loc, scale = _standardisation(X, weight)
    table = _standardised(X, weight, loc, scale)
    held_out = _standardised(X_held_out, weight_held_out, loc, scale)
    rungs = list(candidates or _CANDIDATES)
    climb = _Climb(table, range(n_ladders if max_time is None else 1), rungs, n_jobs)
    best, chosen, start = -math.inf, None, time.monotonic()
    for mixtures, log_likelihood in climb.scored(held_out):
        if log_likelihood > best + MIN_GAIN:
            best, chosen = log_likelihood, mixtures
        elif len(mixtures[0].means) >= _PATIENT_BELOW:
            break
        if max_time is not None:
            climbing = _NEXT_RUNG * (time.monotonic() - start)
            mapping = 2 * _seconds_to_map(mixtures, table, loc, scale, n_jobs)
            if climbing + mapping > max_time:
                break
    chosen = climb.converged(chosen, tol, max_iter)
    if max_time is not None:  # for how many more ladders as long as the first?
        mapping = _seconds_to_map(chosen, table, loc, scale, n_jobs)
        spent = time.monotonic() - start
        n_more = int((max_time - spent - mapping) / (spent + mapping)) * _n_at_once(n_jobs)
        rungs = rungs[: rungs.index(len(chosen[0].means)) + 1]
        others = range(1, min(1 + max(n_more, 0), n_ladders))
        chosen += _Climb(table, others, rungs, n_jobs).top(tol, max_iter)
    return _as_map(_mean(chosen), table, loc, scale)


def held_out_likelihoods(
    X: np.ndarray,
    weight: np.ndarray,
    X_held_out: np.ndarray,
    weight_held_out: np.ndarray,
    candidates: Sequence[int],
    *,
    n_ladders: int = 1,
    n_jobs: int | None = None,
) -> np.ndarray:
    """Log-likelihood of rows held out for each number of components.

    Parameters
    ----------
    X : array of shape (n_rows, d)
        As for `fit_gaussian_mixture`.
    weight : array of shape (n_rows,)
    X_held_out : array of shape (n_held_out, d)
    weight_held_out : array of shape (n_held_out,)
    candidates : sequence of int
        Increasing.
    n_ladders : int, default=1
        Number of mixtures whose mean is judged.
    n_jobs : int or None, default=None
        Threads that share the ladders.

    Returns
    -------
    log_likelihood : array of shape (n_candidates,)
        Mean over the rows, in nats, in the units of the columns' scales.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.em import held_out_likelihoods
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(2000, 2)) + 8 * rng.integers(2, size=(2000, 1))
    >>> weight = np.ones(1000)
    >>> one, two = held_out_likelihoods(X[:1000], weight, X[1000:], weight, (1, 2))
    >>> bool(two > one)
    True
    """
    loc, scale = _standardisation(X, weight)
    table = _standardised(X, weight, loc, scale)
    held_out = _standardised(X_held_out, weight_held_out, loc, scale)
    climb = _Climb(table, range(n_ladders), candidates, n_jobs)
    return np.array([log_likelihood for _, log_likelihood in climb.scored(held_out)])
