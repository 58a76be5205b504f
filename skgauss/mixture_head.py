"""A start from clusters: maps of the columns, then the map of an averaged Gaussian mixture."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from sklearn.base import clone

from skgauss.layers import MapLayer
from skgauss.marginals import SplineMarginal
from skgauss.marginals.base import BaseMarginal
from skgauss.mixture import GaussianMixtureMap
from skgauss.mixture_growth import (
    MIN_GAIN,
    fit_gaussian_mixture,
    held_out_likelihoods,
    select_gaussian_mixture,
)
from skgauss.resolution import column_resolution
from skgauss.table import Columns
from skgauss.weighted import is_heavy

__all__ = [
    "fit_marginal",
    "follows",
    "mixture_of",
    "mixture_size",
    "select_mixture",
    "spread_ties",
    "what_a_mixture_follows",
]

MAX_MIXTURE_ROWS = 300_000
_N_LADDERS = 4  # mixtures that are averaged
_RACE = (1, 2, 4, 8, 16)  # components with which it is seen what a mixture should follow
_RACE_ROWS = 20_000
_FOLDS_BELOW = 2_000  # distinct rows
_N_FOLDS = 5
_FEW = (1, 2, 4, 8, 16, 32, 64)  # components, for few rows


def fit_marginal(marginal: BaseMarginal, table: Columns) -> BaseMarginal:
    """Fit one-dimensional maps to canonical columns.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.table import Columns
    >>> from skgauss.marginals import SplineMarginal
    >>> from skgauss.mixture_head import fit_marginal
    >>> table = Columns(np.random.default_rng(0).exponential(size=(2, 500)), np.ones(500))
    >>> fit_marginal(SplineMarginal(), table).loc_.shape
    (2,)
    """
    marginal.set_params(n_jobs=table.threads.n_jobs)
    marginal._fit_columns(table.Y, table.weight)
    return marginal


def spread_ties(table: Columns) -> Columns:
    """Copy a table, with uniform noise of one step added to columns whose values repeat.

    A component can then not be narrower than a step.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.table import Columns
    >>> from skgauss.mixture_head import spread_ties
    >>> columns = np.array([np.repeat([30.0, 31.0, 32.0], 50), np.arange(150.0)])
    >>> spread = spread_ties(Columns(columns, np.ones(150)))
    >>> len(np.unique(spread.Y[0])), bool(abs(spread.Y - columns).max() <= 0.5)
    (150, True)
    """
    step = column_resolution(table.Y.T, table.weight)[:, None]
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, table.Y.shape) if step.any() else 0.0
    return table.with_rows(table.Y + step * noise, table.weight)


def mixture_of(
    table: Columns, n_components: int, n_ladders: int = _N_LADDERS
) -> GaussianMixtureMap:
    """Fit the mean of several Gaussian mixtures of so many components each.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.table import Columns
    >>> from skgauss.mixture_head import mixture_of
    >>> table = Columns(np.random.default_rng(0).normal(size=(2, 500)), np.ones(500))
    >>> len(mixture_of(table, 2).weights)
    8
    """
    return fit_gaussian_mixture(
        table.Y.T, table.weight, n_components, n_ladders=n_ladders, n_jobs=table.threads.n_jobs
    )


def mixture_size(mixture: GaussianMixtureMap, n_ladders: int = _N_LADDERS) -> int:
    """Number of components of each of the averaged mixtures.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.table import Columns
    >>> from skgauss.mixture_head import mixture_of, mixture_size
    >>> table = Columns(np.random.default_rng(0).normal(size=(2, 500)), np.ones(500))
    >>> mixture_size(mixture_of(table, 2))
    2
    """
    return max(1, len(mixture.weights) // n_ladders)


def select_mixture(
    table: Columns,
    held_out: Columns,
    candidates: Sequence[int] | None = None,
    max_time: float | None = None,
    n_ladders: int = _N_LADDERS,
) -> GaussianMixtureMap:
    """Fit the mean of several mixtures, of the size that is likeliest on rows held out.

    Of a table below 2,000 distinct rows, each fifth is held out once; of a larger one, other
    rows, or a tenth where there are none.

    Parameters
    ----------
    table, held_out : skgauss.table.Columns
    candidates : sequence of int, default=None
        Sizes; None means powers of two up to 256, or 64 for few rows.
    max_time : float or None, default=None
        Seconds that the ladders, and the map of all rows, should take, if the rows are not few.
    n_ladders : int, default=4
        Mixtures that are averaged; fewer where `max_time` has no more.

    Returns
    -------
    mixture : GaussianMixtureMap

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.table import Columns
    >>> from skgauss.mixture_head import mixture_size, select_mixture
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(1000, 2)) + 8 * rng.integers(2, size=(1000, 1))
    >>> held_out, table = Columns(X.T, np.ones(len(X))).split(0)
    >>> mixture_size(select_mixture(table, held_out)) > 1
    True
    """
    n_rows = len(table.weight)
    if n_rows < _FOLDS_BELOW:
        size = _size_by_folds(table, candidates or _FEW, n_ladders) if n_rows > 1 else 1
        return mixture_of(table, size, n_ladders)
    if not len(held_out.weight):
        held_out, rest = table.split(n_rows // 10)
        of_rest = select_mixture(rest, held_out, candidates, max_time, n_ladders)
        if max_time is not None:  # no time is left to fit all rows
            return of_rest
        return mixture_of(table, mixture_size(of_rest, n_ladders), n_ladders)
    return select_gaussian_mixture(
        table.Y.T,
        table.weight,
        held_out.Y.T,
        held_out.weight,
        candidates=candidates,
        n_ladders=n_ladders,
        max_time=max_time,
        n_jobs=table.threads.n_jobs,
    )


def _size_by_folds(table, candidates, n_ladders):
    """Number of components that is likeliest, each fifth of the rows held out once."""
    n_rows = len(table.weight)
    n_parameters = math.comb(len(table.Y) + 2, 2)
    candidates = [k for k in candidates if k == 1 or k * n_parameters <= n_rows]
    if len(candidates) == 1:
        return candidates[0]
    fold = np.arange(n_rows) * _N_FOLDS // n_rows
    total = np.zeros(len(candidates))
    for k in np.unique(fold):
        out = (fold == k) & ~is_heavy(table.weight)
        if not out.any():
            continue
        gain = held_out_likelihoods(
            table.Y.T[~out],
            table.weight[~out],
            table.Y.T[out],
            table.weight[out],
            candidates,
            n_ladders=n_ladders,
            n_jobs=table.threads.n_jobs,
        )
        total += (gain - gain[0]) * table.weight[out].sum()
    mean = total / table.n_rows
    return candidates[int(np.argmax(mean >= mean.max() - MIN_GAIN))]


def what_a_mixture_follows(
    marginal: BaseMarginal,
    table: Columns,
    held_out: Columns,
    candidates: Sequence[int] | None = None,
    max_time: float | None = None,
) -> BaseMarginal:
    """Fit the maps behind which a mixture is plainer: marginal maps, or straight lines.

    Clusters can be plainer in the columns as they are: a small mixture is tried behind both, on
    some rows, and the likelier pair on rows held out tells.

    Parameters
    ----------
    marginal : BaseMarginal
        Template of the maps.
    table, held_out : skgauss.table.Columns
    candidates : sequence of int, default=None
        Sizes of the small mixture; None means powers of two up to 16.
    max_time : float or None, default=None
        Seconds that both mixtures should take; less time gives them fewer components.

    Returns
    -------
    marginal : BaseMarginal
        One of `follows`, fitted to the table.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.table import Columns
    >>> from skgauss.marginals import SplineMarginal
    >>> from skgauss.mixture_head import what_a_mixture_follows
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(3000, 2)) + 8 * rng.integers(2, size=(3000, 1))
    >>> held_out, table = Columns(X.T, np.ones(len(X))).split(500)
    >>> what_a_mixture_follows(SplineMarginal(), table, held_out)  # two round clusters
    SplineMarginal(n_knots=2)
    """
    some, _ = table.split(_RACE_ROWS)
    seconds = None if max_time is None else max_time / 2
    judges = held_out if len(held_out.weight) else some

    def log_likelihood(fitted):
        layer = MapLayer(fitted)
        behind = spread_ties(some)
        behind.forward(layer)
        judged = held_out.mapped(layer)
        mixture = select_mixture(behind, judged, candidates or _RACE, seconds, n_ladders=1)
        Z, log_det = fitted._forward(judges.Y.T)
        return judges.weight @ (log_det + mixture.log_density(Z))

    best = max((fit_marginal(maps, some) for maps in follows(marginal)), key=log_likelihood)
    return best if len(some.weight) == len(table.weight) else fit_marginal(clone(best), table)


def follows(marginal: BaseMarginal) -> list[BaseMarginal]:
    """Templates of what a mixture may follow: the marginal maps, or straight lines.

    Examples
    --------
    >>> from skgauss.marginals import SplineMarginal
    >>> from skgauss.mixture_head import follows
    >>> follows(SplineMarginal())
    [SplineMarginal(), SplineMarginal(n_knots=2)]
    """
    return [clone(marginal), SplineMarginal(n_knots=2)]
