"""Which fitted map a flow's steps start from: candidates, and what rows held out say of them."""

from __future__ import annotations

import math
import time
from contextlib import nullcontext
from typing import NamedTuple

import numpy as np

from skgauss._threads import Threads
from skgauss.bijections import Bijection, Chain, FixedAffine, FixedMixture, FixedSpline
from skgauss.canonical import canonical_columns
from skgauss.em import standardisation
from skgauss.head import CompiledLayer, head_forward
from skgauss.layers import MapLayer
from skgauss.marginals import SplineMarginal
from skgauss.mixture_growth import held_out_likelihoods
from skgauss.mixture_head import (
    fit_marginal,
    follows,
    mixture_of,
    mixture_size,
    select_mixture,
    spread_ties,
    what_a_mixture_follows,
)
from skgauss.noise import noise_scale
from skgauss.table import Columns
from skgauss.warp import fit_warp, warp_compiled_ahead

__all__ = ["fit_head"]

# Below so many rows, that many knots: what is compiled depends on the rung, not on the columns.
_HEAD_KNOTS = ((100, 16), (500, 64), (2_000, 256), (np.inf, 512))
_NOISE_ROWS = 4096
_WARPED_FROM = 5_000  # rows: fewer do not train couplings from scratch
_TIME_FOR_ALL = 100.0  # seconds
# Of the time: for a warp that is tried, and until when there is a warp, and a plain mixture.
_TRIAL_TIME, _WARP_UNTIL, _PLAIN_UNTIL = 0.08, 0.4, 0.8
_START_UNTIL = 0.5  # of the time: for what a mixture follows
_TRAINING_GAIN = 0.3  # nats that iterations after the trial may add
_FEW = (1, 2, 4, 8, 16, 32, 64)  # components, and
_MORE_RUNGS = 2  # doublings to the most that a mixture may have
_DECAY = 0.9  # of what a doubling gains to what the one before did
_STEPS_GAIN = 0.05  # nats that steps add behind a mixture that is not warped, or in its place


def fit_head(
    kind: str,
    X: np.ndarray,
    weight: np.ndarray,
    X_held_out: np.ndarray | None = None,
    weight_held_out: np.ndarray | None = None,
    *,
    like: Chain | None = None,
    max_time: float | None = None,
    n_jobs: int | None = None,
    rng: np.random.Generator | None = None,
) -> Chain:
    """Fit the map that the steps start from.

    Parameters
    ----------
    kind : {"affine", "spline", "mixture", "warped", "auto"}
        "mixture" follows the splines, or straight lines, by the mean of several Gaussian
        mixtures; "warped" has couplings, trained from scratch, between these and the mixture.
        "auto" takes a mixture where there are several columns, of one component where there are
        too few rows for two; from 5,000 rows on, if there is time for both, it decides between
        "mixture", "warped", and "spline", as rows held out do.
    X : array of shape (n_rows, n_features)
    weight : array of shape (n_rows,)
    X_held_out : array of shape (n_held_out, n_features), default=None
        Rows that judge a mixture; without them, or where there are few, parts of `X` do.
    weight_held_out : array of shape (n_held_out,), default=None
    like : Chain, default=None
        A head of this kind that was fitted before: its mixture's size is taken, what it follows,
        and trained couplings as they are.
    max_time : float or None, default=None
        Seconds that this and the map of all rows, with a mixture, should take.
    n_jobs : int or None, default=None
        Threads.
    rng : numpy.random.Generator, default=None
        Of the training of couplings; None is a fixed one.

    Returns
    -------
    head : Chain
        With NumPy arrays.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.head_selection import fit_head
    >>> X = np.random.default_rng(0).exponential(size=(200, 2))
    >>> head = fit_head("spline", X, np.ones(200))
    >>> [type(bijection).__name__ for bijection in head.bijections]
    ['FixedAffine', 'FixedSpline']
    """
    clock = _Clock(max_time, time.monotonic())
    table = Columns(*canonical_columns(X, weight, 0), Threads(n_jobs))
    if len(table.weight) == 1:
        table = table.with_rows(np.repeat(table.Y, 2, axis=1), np.repeat(table.weight / 2, 2))
    if kind in ("affine", "spline") or (kind == "auto" and len(table.Y) == 1):
        return _columns_head(kind, fit_marginal(_spline(), table), table.n_rows)
    if like is not None:
        return _like(like, table)
    held_out = table.split(0)[0]
    if X_held_out is not None and len(X_held_out):
        held_out = table.with_rows(*canonical_columns(X_held_out, weight_held_out, 0))
    rng = np.random.default_rng(0) if rng is None else rng
    if kind == "warped":
        return _warped(table, held_out, rng, clock)
    sizes = _sizes(kind, table)
    enough_rows = len(held_out.weight) and table.n_rows >= _WARPED_FROM
    decides = kind == "auto" and enough_rows and clock.max_time >= _TIME_FOR_ALL
    ahead = warp_compiled_ahead(len(table.Y), len(held_out.weight)) if decides else nullcontext()
    with ahead:
        seconds = clock.left(_START_UNTIL)
        marginal = what_a_mixture_follows(_spline(), table, held_out, sizes, seconds)
    plain = _Front.of(marginal, table, held_out)
    if not decides:
        return plain.head(sizes, clock.left())
    return _likeliest(plain, sizes, table, held_out, rng, clock)


class _Clock(NamedTuple):
    """How much time there is, if there is an end to it."""

    limit: float | None
    start: float

    @property
    def max_time(self):
        return self.limit or math.inf

    def left(self, until=1.0):
        """Seconds until a share of the time has passed."""
        if self.limit is None:
            return None
        return max(until * self.limit - (time.monotonic() - self.start), 1e-3)


def _likeliest(plain, sizes, table, held_out, rng, clock):
    """The plain mixture or a warped one; where couplings need no mixture, what they start from.

    What many components would be worth is guessed from a few, rather too high: so the plain
    mixture is fitted unless less is promised of it, and the warped one if more is then.
    """
    start, tried = _tried(table, held_out, rng, clock)
    hoped = plain.promise(clock.left(_WARP_UNTIL))
    if tried + _TRAINING_GAIN <= hoped:
        return plain.head(sizes, clock.left())
    warped = start.warped(rng, clock.left(_WARP_UNTIL))
    promised, least = warped.promise(clock.left(_PLAIN_UNTIL)), -math.inf
    if promised <= hoped:
        head = plain.head(sizes, clock.left(_PLAIN_UNTIL))
        least = plain.log_likelihood(head) + _STEPS_GAIN
        if promised <= least:
            return head
    candidate = warped.head(None, clock.left())
    if warped.log_likelihood(candidate) <= least:
        return head
    is_one = len(candidate.bijections[-1].weights) == 1  # or there was no time for more
    if is_one and promised < warped.log_likelihood(Chain(warped.layers)) + _STEPS_GAIN:
        return Chain(warped.layers[:2])
    return candidate


def _warped(table, held_out, rng, clock):
    """Couplings and a mixture; where no rows are held out, some are while couplings train."""
    if not len(held_out.weight) and len(table.weight) > 1:
        judges, rest = table.split(-(-len(table.weight) // 10))
        return _like(_warped(rest, judges, rng, clock), table)
    start, _ = _tried(table, held_out, rng, clock)
    return start.warped(rng, clock.left(_WARP_UNTIL)).head(None, clock.left())


def _spline():
    return SplineMarginal(subsample=None)


def _sizes(kind, table):
    """Numbers of components to choose from: None is all, "auto" wants rows for two covariances."""
    n_parameters = 2 * math.comb(len(table.Y) + 2, 2)
    return (1,) if kind == "auto" and table.n_rows < n_parameters else None


class _Front(NamedTuple):
    """What a mixture follows, the rows behind it, and rows before it that judge."""

    layers: tuple[Bijection, ...]
    table: Columns
    held_out: Columns
    judges: Columns

    @classmethod
    def of(cls, marginal, table, held_out):
        """Maps of the columns."""
        layers = _columns_head("mixture", marginal, table.n_rows).bijections
        rows, rows_out = _behind(table, marginal), held_out.mapped(MapLayer(marginal))
        some, _ = table.split(-(-len(table.weight) // 10))
        return cls(layers, rows, rows_out, held_out if len(held_out.weight) else some)

    def warped(self, rng, max_time=None, *, trial=False):
        """The same with couplings at its end, trained on the rows."""
        some = slice(_NOISE_ROWS)
        noise = noise_scale(self.table.Y[:, some].T, self.table.weight[some], rng)
        Z, _ = head_forward(Chain(self.layers), self.judges.Y.T)
        judges = self.judges.with_rows(Z.T, self.judges.weight)
        warp = fit_warp(self.table, judges, noise, rng, max_time, trial=trial)
        rows, rows_out = (c.mapped(CompiledLayer(warp)) for c in (self.table, self.held_out))
        return _Front((*self.layers, warp), rows, rows_out, self.judges)

    def head(self, sizes=None, max_time=None) -> Chain:
        """With the likeliest mixture."""
        mixture = select_mixture(self.table, self.held_out, sizes, max_time)
        return Chain((*self.layers, FixedMixture.from_map(mixture)))

    def log_likelihood(self, head) -> float:
        """Mean log-density of the judges."""
        Z, log_det = head_forward(head, self.judges.Y.T, self._n_jobs, compiled=True)
        log_density = log_det - 0.5 * np.sum(Z**2 + math.log(2 * math.pi), axis=1)
        return np.average(log_density, weights=self.judges.weight)

    def promise(self, max_time=None) -> float:
        """Log-likelihood to expect of many components, by what few give and gain, in one ladder."""
        rows, weight = self.table.Y.T, self.table.weight
        Z, log_det = head_forward(Chain(self.layers), self.judges.Y.T, self._n_jobs)
        n_parameters = math.comb(rows.shape[1] + 2, 2)
        sizes = [k for k in _FEW if k == 1 or k * n_parameters <= len(rows)]
        judges = Z, self.judges.weight
        limits = {"max_time": max_time, "n_jobs": self._n_jobs}
        found = held_out_likelihoods(rows, weight, *judges, sizes, **limits)
        gain = found.max() - found[:-1].max(initial=found[0])
        doublings = sum(_DECAY**i for i in range(1, _MORE_RUNGS + 1))
        _, scale = standardisation(rows, weight)
        log_det = np.average(log_det, weights=self.judges.weight) - np.sum(np.log(scale))
        return log_det + found.max() + doublings * gain

    @property
    def _n_jobs(self):
        return self.table.threads.n_jobs


def _tried(table, held_out, rng, clock):
    """Maps of columns, or straight lines: where couplings promise more after a trial, and what."""
    fronts = [_Front.of(fit_marginal(m, table), table, held_out) for m in follows(_spline())]
    seconds = clock.limit and _TRIAL_TIME * clock.limit
    promises = [
        front.warped(rng, seconds, trial=True).promise(clock.left(_WARP_UNTIL)) for front in fronts
    ]
    best = int(np.argmax(promises))
    return fronts[best], promises[best]


def _like(head, table):
    """Maps of the same kind, and, if there is one, a mixture of the size of one fitted before."""
    _, columns, *clusters = head.bijections
    which = int(np.all(columns.spline.x[:, 0] == columns.spline.x[:, -2]))
    marginal = fit_marginal(follows(_spline())[which], table)
    front, behind = _columns_head("mixture", marginal, table.n_rows), _behind(table, marginal)
    if not clusters:
        return front
    *warp, mixture = clusters
    for trained in warp:  # which stays as it is
        behind.forward(CompiledLayer(trained))
    again = mixture_of(behind, mixture_size(mixture.map))
    return Chain((*front.bijections, *warp, FixedMixture.from_map(again)))


def _behind(table, marginal):
    """A copy of a table, ties spread, behind maps of its columns."""
    behind = spread_ties(table)
    behind.forward(MapLayer(marginal))
    return behind


def _columns_head(kind, marginal, n_rows):
    """The maps of the columns as layers."""
    affine = FixedAffine(marginal.loc_, marginal.scale_)
    if kind == "affine":
        return Chain((affine,))
    n_knots = next(knots for limit, knots in _HEAD_KNOTS if n_rows < limit)
    return Chain((affine, FixedSpline(*marginal.spline_.widened(n_knots))))
