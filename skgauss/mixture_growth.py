"""Gaussian mixtures grown by splitting, to a number of components or as far as rows held out gain.

A mixture starts as one Gaussian; its heaviest components are split along an axis and all are
fitted again, until there are as many as asked for, or until rows held out gain nothing. Early
rungs of this ladder see the first rows only.

Where a mixture ends depends on how it was split, and its likelihood on new rows with it. So
several ladders are climbed, which split along other axes and start on other rows, and the mean of
their densities, which is a mixture of all components, is taken: it is likelier on new rows than
any of them, by far where they overfit.

References
----------
Ormoneit & Tresp (1998), Averaging, maximum penalized likelihood and Bayesian estimation for
improving Gaussian mixture probability density estimates, IEEE Transactions on Neural Networks
9(4), doi:10.1109/72.701177, for the mean of several mixtures.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence

import numpy as np

from skgauss._threads import Threads
from skgauss.em import Components, Sample, converge, expectation, split, standardisation
from skgauss.mixture import GaussianMixtureMap

__all__ = ["fit_gaussian_mixture", "held_out_likelihoods", "select_gaussian_mixture"]

_CANDIDATES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_ROWS = 8_192  # that a rung of the ladder sees at least, and
_ROWS_PER_PARAMETER = 10  # in a rung, and
_LAST_ROWS_PER_PARAMETER = 40  # at the end of a ladder
_FACTORS = (2, 1.4)  # of two ladders to one number of components; neither is always the better
_RUNG_TOL, _RUNG_ITER = 3e-3, 30  # nats per row, and iterations, as the ladder is not the end
MIN_GAIN = 1e-3  # nats per row held out
_NEXT_RUNG = 3  # times what all rungs before it took, and the end of the ladder
_TIMED_ROWS = 256
_PATIENT_BELOW = 16  # components: few may gain nothing where more do


def _ladder(sample, rungs, rng=None, tol=_RUNG_TOL, max_iter=_RUNG_ITER) -> Iterator[Components]:
    """Mixtures of ever more components, each grown from the one before."""
    mixture = Components.of(sample)
    for n_components in rungs:
        while len(mixture.means) < n_components:
            mixture = split(mixture, n_components - len(mixture.means), rng)
        if n_components > 1:
            rows = _enough(sample, n_components, _ROWS_PER_PARAMETER)
            mixture = converge(mixture, rows, tol, max_iter)
        yield mixture


def _enough(sample, n_components, per_parameter):
    """So many rows per parameter of a mixture, and a minimum at least."""
    n_parameters = n_components * math.comb(len(sample.mean) + 2, 2)
    return sample.first(max(_ROWS, per_parameter * n_parameters))


def _rungs(n_components, factor):
    """Numbers of components up to the one asked for, each about `factor` times the one before."""
    rungs = [n_components]
    while rungs[0] > 1:
        rungs.insert(0, int(rungs[0] / factor))
    return rungs


def _as_map(mixture, sample, loc, scale):
    """The map of a mixture, in the units of the rows, guarded on twice their range."""
    # The triangular factor of a covariance's root is its Cholesky factor, without the covariance.
    roots = mixture.axes * np.sqrt(mixture.variances)[:, None, :] * scale[:, None]
    factors = np.linalg.qr(roots.transpose(0, 2, 1)).R.transpose(0, 2, 1)
    factors = factors * np.sign(np.diagonal(factors, axis1=1, axis2=2))[:, None, :]
    means = mixture.means * scale + loc
    low, high = sample.columns.min(axis=1), sample.columns.max(axis=1)
    margin = np.maximum(high - low, 1) / 2
    low, high = (low - margin) * scale + loc, (high + margin) * scale + loc
    weights = np.exp(mixture.log_weights)
    return GaussianMixtureMap.from_cholesky(weights, means, factors, low, high)


def _seconds_to_map(mixtures, sample, loc, scale, n_jobs):
    """How long the map of all rows would take, judged by some."""
    some = sample.first(_TIMED_ROWS)
    fitted, X = _as_map(_mean(mixtures), sample, loc, scale), loc + scale * some.columns.T
    start = time.monotonic()
    fitted.forward(X)
    seconds = time.monotonic() - start
    return seconds * sample.columns.shape[1] / len(X) / Threads(n_jobs).count


class _Ladder:
    """Mixtures of ever more components, each fitted when it is first asked for."""

    def __init__(self, sample, rungs, rng=None):
        self.sample = sample
        self._rest, self._reached, self._ends = _ladder(sample, rungs, rng), [], {}

    def rung(self, i) -> Components:
        """The mixture with the number of components of rung i."""
        while len(self._reached) <= i:
            self._reached.append(next(self._rest))
        return self._reached[i]

    def converged(self, mixture, tol, max_iter) -> Components:
        """One of the mixtures, fitted further and to more rows."""
        size = len(mixture.means)
        if size not in self._ends:
            rows = _enough(self.sample, size, _LAST_ROWS_PER_PARAMETER)
            self._ends[size] = converge(mixture, rows, tol, max_iter)
        return self._ends[size]


class _Climb:
    """Several ladders climbed at once."""

    def __init__(self, ladders, rungs, n_jobs):
        self._ladders, self._rungs, self._threads = ladders, rungs, Threads(n_jobs)

    @classmethod
    def of(cls, sample, numbers, rungs, n_jobs):
        """From other rows and with other splits; number 0 splits along the longest axes."""
        ladders = [
            _Ladder(sample.turned(i / numbers.stop), rungs, np.random.default_rng(i) if i else None)
            for i in numbers
        ]
        return cls(ladders, rungs, n_jobs)

    def joined_by(self, other):
        """The ladders of both."""
        return _Climb([*self._ladders, *other._ladders], self._rungs, self._threads.n_jobs)

    def rung(self, i) -> list[Components]:
        """The mixtures with the number of components of rung i."""
        return self._threads.map(lambda ladder: ladder.rung(i), self._ladders)

    def likeliest(self, held_out, stop) -> list[Components]:
        """The rung whose mean density is likeliest on rows held out.

        None follows the first that gains nothing, though few components may gain nothing where
        more do, or that after which to `stop`.
        """
        best, chosen = -math.inf, []
        for mixtures, log_likelihood in self.scored(held_out):
            if log_likelihood > best + MIN_GAIN:
                best, chosen = log_likelihood, mixtures
            elif len(mixtures[0].means) >= _PATIENT_BELOW:
                break
            if stop(mixtures):
                break
        return chosen

    def scored(self, held_out) -> Iterator[tuple[list[Components], float]]:
        """The rungs, and the mean log-likelihood of rows held out under the mean density."""
        for i in range(len(self._rungs)):
            mixtures = self.rung(i)
            yield mixtures, expectation(_mean(mixtures), held_out, likelihood_only=True)[0]

    def top(self, tol, max_iter) -> list[Components]:
        """The mixtures of the last rung, fitted further and to more rows."""
        return self.converged(self.rung(len(self._rungs) - 1), tol, max_iter)

    def converged(self, mixtures, tol, max_iter) -> list[Components]:
        """The same mixtures, fitted further and to more rows."""
        return self._threads.map(
            lambda pair: pair[0].converged(pair[1], tol, max_iter),
            zip(self._ladders, mixtures, strict=True),
        )


def _mean(mixtures):
    """Mixture whose density is the mean of those of several; of single Gaussians, the first."""
    if len(mixtures[0].means) == 1:
        return mixtures[0]
    mean = Components(*map(np.concatenate, zip(*mixtures, strict=True)))
    return mean._replace(log_weights=mean.log_weights - math.log(len(mixtures)))


def _likelier(sample, n_components, tol, max_iter):
    """The likelier one of two ladders with other steps."""
    ends = []
    for factor in _FACTORS:
        *_, mixture = _ladder(sample, _rungs(n_components, factor), max_iter=max_iter)
        mixture = converge(mixture, sample, tol, max_iter)
        ends.append((expectation(mixture, sample, likelihood_only=True)[0], mixture))
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
    >>> from skgauss.mixture_growth import fit_gaussian_mixture
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(2000, 2)) + 4 * rng.integers(2, size=(2000, 1))
    >>> mixture = fit_gaussian_mixture(X, np.ones(len(X)), 2)
    >>> mixture.weights.round(1)
    array([0.5, 0.5])
    """
    loc, scale = standardisation(X, weight)
    sample = Sample.standardised(X, weight, loc, scale)
    if n_ladders == 1:
        mixture = _likelier(sample, n_components, tol, max_iter)
    else:
        climb = _Climb.of(sample, range(n_ladders), _rungs(n_components, 2), n_jobs)
        mixture = _mean(climb.top(tol, max_iter))
    return _as_map(mixture, sample, loc, scale)


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
        probably take longer; the others follow if there is time left. If it has chosen fewer than
        16 components, by which it may lose where the mean of several gains, that mean chooses
        again.
    n_jobs : int or None, default=None
        Threads that share the ladders.

    Returns
    -------
    mixture : GaussianMixtureMap

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.mixture_growth import select_gaussian_mixture
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(2000, 2)) + 8 * rng.integers(2, size=(2000, 1))
    >>> weight = np.ones(1000)
    >>> mixture = select_gaussian_mixture(X[:1000], weight, X[1000:], weight, candidates=(1, 2))
    >>> mixture.weights.shape
    (2,)
    """
    loc, scale = standardisation(X, weight)
    sample = Sample.standardised(X, weight, loc, scale)
    held_out = Sample.standardised(X_held_out, weight_held_out, loc, scale)
    rungs = list(candidates or _CANDIDATES)
    if max_time is None:
        climb = _Climb.of(sample, range(n_ladders), rungs, n_jobs)
        chosen = climb.likeliest(held_out, lambda mixtures: False)
        return _as_map(_mean(climb.converged(chosen, tol, max_iter)), sample, loc, scale)
    start = begun = time.monotonic()

    def mapping(mixtures):
        return _seconds_to_map(mixtures, sample, loc, scale, n_jobs)

    def is_late(mixtures):
        """Whether one more rung, and the map of all rows after it, would probably be too much."""
        now, left = time.monotonic(), max_time - (begun - start)
        return _NEXT_RUNG * (now - begun) + 2 * mapping(mixtures) > left

    climb = _Climb.of(sample, range(1), rungs, n_jobs)
    chosen = climb.likeliest(held_out, is_late)
    ends = climb.converged(chosen, tol, max_iter)
    mapped, spent = mapping(ends), time.monotonic() - start
    n_more = int((max_time - spent - mapped) / (spent + mapped)) * Threads(n_jobs).count
    numbers = range(1, min(1 + n_more, n_ladders))
    n_components = len(chosen[0].means)
    if n_components >= _PATIENT_BELOW or not numbers:
        rungs = rungs[: rungs.index(n_components) + 1]
        ends += _Climb.of(sample, numbers, rungs, n_jobs).top(tol, max_iter)
    else:  # the mean of several can gain by components by which one of them loses
        begun, climb = time.monotonic(), climb.joined_by(_Climb.of(sample, numbers, rungs, n_jobs))
        chosen = climb.likeliest(
            held_out, lambda mixtures: len(mixtures[0].means) >= n_components and is_late(mixtures)
        )
        ends = climb.converged(chosen, tol, max_iter)
    return _as_map(_mean(ends), sample, loc, scale)


def held_out_likelihoods(
    X: np.ndarray,
    weight: np.ndarray,
    X_held_out: np.ndarray,
    weight_held_out: np.ndarray,
    candidates: Sequence[int],
    *,
    n_ladders: int = 1,
    max_time: float | None = None,
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
    max_time : float or None, default=None
        Seconds: no number of components is begun that would probably take longer.
    n_jobs : int or None, default=None
        Threads that share the ladders.

    Returns
    -------
    log_likelihood : array of shape (n_candidates,)
        Mean over the rows, in nats, in the units of the columns' scales; of fewer candidates where
        there was no time for all.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.mixture_growth import held_out_likelihoods
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(2000, 2)) + 8 * rng.integers(2, size=(2000, 1))
    >>> weight = np.ones(1000)
    >>> one, two = held_out_likelihoods(X[:1000], weight, X[1000:], weight, (1, 2))
    >>> bool(two > one)
    True
    """
    loc, scale = standardisation(X, weight)
    sample = Sample.standardised(X, weight, loc, scale)
    held_out = Sample.standardised(X_held_out, weight_held_out, loc, scale)
    climb = _Climb.of(sample, range(n_ladders), candidates, n_jobs)
    found, start = [], time.monotonic()
    for _, log_likelihood in climb.scored(held_out):
        found.append(log_likelihood)
        if max_time is not None and _NEXT_RUNG * (time.monotonic() - start) > max_time:
            break
    return np.array(found)
