"""A density made to rank rows: what many small subsamples see, in two systems of coordinates.

The log-density of a row is the mean of two. The first takes it apart, as Sklar's theorem allows,
into the columns' own log-densities and the logarithm of their dependence, and estimates each where
it is seen best:

    log p(x) = sum_j log p_j(x_j)  +  mean_m log c_m(z),    c_m(z) = k_m(z) / prod_j phi(z_j),

with ``p_j`` the mean of two densities of the central rows, a `SplineMarginal` as fine as the rows
allow and one of four knots: a detail that is not there costs a row log 2 at most; ``z`` the latents
of a coarse one, of four knots and of all rows, which takes scale and skewness out of a column and
leaves its gaps and modes in; and ``k_m`` a kernel density of member m, a subsample of some hundred
central rows in these latents. Past the latent that a row exceeds in one table of a thousand,
nothing is known of a dependence: it stays what it is there, and the columns alone tell how far out
a row is. (A kernel wider than a normal would make the quotient grow without bound.) A cluster of
anomalies thins out in a small subsample, the bulk does not. The second is the mean of the
logarithms of other such kernel densities, of subsamples half as large and of all rows, where the
columns are divided by their scale and no more: there what is far is far. One of them is of central
rows alone. It finds what it has not seen so strange that its single vote tells a cluster of
anomalies, and the tail of a normal column loses little by one vote among many. Of a column that
varies in other rows, and less than half as often in the central ones, these show too little: it
borrows its values from all.

Every kernel has a width of its own, the geometric mean of the distance to the nearest row that is
not its copy and the median of these; its square is multiplied by ``1 + (800 / n)^2`` in a table
of n rows, by 5.5 at most. Few rows are thus fitted stiffly: they cannot tell a small mode from a
few anomalies. Among the latents, whose own variance is one, it is made two at most: wider kernels
would take a row that is far out in its columns for a dependence of these, and so for likely. Where
no row is trimmed, all are said to be normal, and the kernels are as narrow as they come.

Removing columns from a kernel density of products is exact, so that of any subset of columns the
log-density costs what that of all does: what `skgauss.shapley` needs.

References
----------
Sklar (1959), Fonctions de repartition a n dimensions et leurs marges, Publ. Inst. Statist. Univ.
Paris 8; Breiman, Meisel & Purcell (1977), Variable kernel estimates of multivariate densities,
Technometrics 19(2), doi:10.1080/00401706.1977.10489521; Sugiyama & Borgwardt (2013), Rapid
distance-based outlier detection via sampling, NeurIPS 26, for the small subsamples.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Self

import numpy as np
from scipy.spatial.distance import cdist
from scipy.special import ndtri

from skgauss._margin import central_columns, coarse_margin, lost_columns, smooth_margin
from skgauss.content import draw_rows, n_weighted, row_keys, told_apart_in_single
from skgauss.robust import central_rows

__all__ = ["KernelEnsemble", "KernelMember"]

_MARGIN_ROWS = 10_000  # that the margins are fitted to
_FLOOR = 0.05  # standard deviations, added to a distance between neighbours
_SHARE = 0.8  # of the rows, at most, in one member
_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
_WIDEST = 2.0  # variance of a stiff kernel among latents of variance 1
_STIFF_ROWS = 800  # a table of so many rows has kernels of twice the variance
_STIFFEST = 5.5  # times the variance
_UNSEEN = 1e-3  # rows that are expected to exceed the farthest latent
_FAR = 100.0  # a square distance, as a sum of products, loses digits where coordinates are larger


class KernelMember(NamedTuple):
    """A kernel density of a subsample, the kernels of different width.

    Attributes
    ----------
    centres : array of shape (n_centres, n_features)
    variance : array of shape (n_centres,)
        Squared widths.
    counts : array of shape (n_centres,)
        Rows that each centre stands for.
    keys : array of uint64 of shape (n_centres,)
        Sorted keys of the rows, see `skgauss.content.row_keys`: a row that is one of the centres
        is scored by the others.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.kernel_ensemble import KernelMember
    >>> Z = np.random.default_rng(0).normal(size=(100, 1))
    >>> member = KernelMember.of(Z, np.ones(100), np.arange(100, dtype=np.uint64))
    >>> grid = np.linspace(-30, 30, 6001)[:, None]
    >>> density = np.exp(member.log_density(member.exponents(grid), 1, np.full(6001, -1)))
    >>> round(float(density.sum() * 0.01), 2)
    1.0
    """

    centres: np.ndarray
    variance: np.ndarray
    counts: np.ndarray
    keys: np.ndarray

    @classmethod
    def of(
        cls,
        Z: np.ndarray,
        counts: np.ndarray,
        keys: np.ndarray,
        stiffness: float = 1.0,
        widest: float = math.inf,
    ) -> Self:
        """Put a kernel on every row; `stiffness` multiplies the squared widths, up to `widest`."""
        order = np.argsort(keys)
        Z, counts, keys = Z[order], counts[order].astype(np.float64), keys[order]
        squares = _squares(Z)
        np.fill_diagonal(squares, np.inf)
        nearest = np.sqrt(squares.min(axis=1))
        nearest = _FLOOR + np.where(np.isfinite(nearest), nearest, 1.0)
        variance = nearest * np.median(nearest) / Z.shape[1]
        variance = np.maximum(variance, np.minimum(stiffness * variance, widest))
        return cls(Z, variance, counts, keys)

    def own(self, keys: np.ndarray) -> np.ndarray:
        """Which centre a row is, by its key; -1 for none."""
        place = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[place] == keys, place, -1)

    def exponents(self, Z: np.ndarray) -> np.ndarray:
        """Logarithm of every kernel at every row, up to a constant, by one matrix product."""
        n_features = Z.shape[1]
        precision = 1 / self.variance
        left = np.column_stack([Z, np.einsum("ij,ij->i", Z, Z), np.ones(len(Z))])
        right = np.empty((n_features + 2, len(precision)))
        right[:n_features] = (self.centres * precision[:, None]).T
        right[-2] = -0.5 * precision
        right[-1] = -0.5 * precision * np.einsum("ij,ij->i", self.centres, self.centres)
        constant = self.start() + n_features * self.per_column()
        right[-1] += constant
        exponents = left @ right
        far = _far(Z)
        exponents[far] = constant - 0.5 * precision * cdist(Z[far], self.centres, "sqeuclidean")
        return exponents

    def start(self) -> np.ndarray:
        """Exponents of no columns: the logarithm of the rows that each centre stands for."""
        return np.log(self.counts)

    def per_column(self) -> np.ndarray:
        """What every column adds to the exponents besides its distance."""
        return -0.5 * np.log(self.variance)

    def log_density(self, exponents: np.ndarray, n_features: int, own: np.ndarray) -> np.ndarray:
        """Log-density of rows in so many columns, from the exponents (overwritten)."""
        total = self._left_to_others(exponents, own)
        largest = exponents.max(axis=1)
        exponents -= largest[:, None]
        np.exp(exponents, out=exponents)
        return largest + np.log(exponents.sum(axis=1) / total) - n_features * _HALF_LOG_2PI

    def along(self, Z: np.ndarray, order: np.ndarray, own: np.ndarray) -> np.ndarray:
        """Log-density of rows in the first columns of an order, for every number of them."""
        centres, precision = np.ascontiguousarray(self.centres.T), 0.5 / self.variance
        per_column, exponents = self.per_column(), np.tile(self.start(), (len(Z), 1))
        total = self._left_to_others(exponents, own)
        found, scratch = np.empty((len(order), len(Z))), np.empty_like(exponents)
        for k, j in enumerate(order):
            np.subtract(Z[:, j, None], centres[j], out=scratch)
            scratch *= scratch
            scratch *= precision
            exponents += per_column
            exponents -= scratch
            largest = exponents.max(axis=1)
            np.exp(np.subtract(exponents, largest[:, None], out=scratch), out=scratch)
            found[k] = largest + np.log(scratch.sum(axis=1))
        n_features = np.arange(1, len(order) + 1)[:, None]
        return found - np.log(total) - n_features * _HALF_LOG_2PI

    def _left_to_others(self, exponents, own):
        """Take a row's own weight out of its exponents; the rows that are left, for each."""
        total = np.full(len(exponents), self.counts.sum())
        mine = np.flatnonzero(own >= 0)
        if mine.size and total[0] > 1:
            with np.errstate(
                divide="ignore"
            ):  # of a centre that stands for one row nothing is left
                left = np.log((self.counts - 1) / self.counts)
            exponents[mine, own[mine]] += left[own[mine]]
            total[mine] -= 1
        return total


def _far(Z):
    """Rows whose squared distances are summed up from differences."""
    return np.flatnonzero(np.abs(Z).max(axis=1) > _FAR)


def _squares(Z):
    """Squared distances between all rows."""
    norms, far = np.einsum("ij,ij->i", Z, Z), _far(Z)
    squares = np.maximum(norms + norms[:, None] - 2 * Z @ Z.T, 0)
    squares[far] = cdist(Z[far], Z, "sqeuclidean")
    squares[:, far] = squares[far].T
    return squares


def _borrowed(Y, weight, n_rows, rng):
    """Rows drawn evenly, every value as often as it is expected to be, up to rounding."""
    order = np.lexsort(Y)
    upto = np.cumsum(weight[order])
    places = (rng.uniform() + np.arange(n_rows)) * (upto[-1] / n_rows)
    drawn = np.minimum(np.searchsorted(upto, places, side="right"), len(order) - 1)
    return Y[:, rng.permutation(order[drawn])]


class KernelEnsemble:
    """Kernel densities of small subsamples, behind robust margins and without; see the module.

    Parameters
    ----------
    Y : array of shape (n_features, n_distinct)
        Rows to learn from, as columns, in an order that is as good as random and given by their
        content (`skgauss.content.ranked_columns`).
    weight : array of shape (n_distinct,)
        Frequencies.
    n_members, max_samples : int
        Number of subsamples in either system of coordinates, and rows in each of the first, twice
        those of the second; at most 80 % of those that they are drawn from: all, or where some are
        trimmed the central ones of 10,000.
    rng : numpy.random.Generator
    trim : float or "auto", default="auto"
        Rows that the margins and the members do without, see `skgauss.robust.central_rows`; of
        those in the second system of coordinates only one does, if there are several. With 0, none,
        and the kernels are not widened for a table of few rows.

    Attributes
    ----------
    single : bool
        Whether rows are known by what they are in single precision, where that tells them apart.
    stiffness : float
        What the kernels' variance was multiplied by; log-densities of rows are the closer together.
    farthest : float
        Latents beyond it count as this one.
    members : list of KernelMember
        Of the latents.
    scaled_members : list of KernelMember
        Of the columns in their `units`.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.content import ranked_columns
    >>> from skgauss.kernel_ensemble import KernelEnsemble
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(500, 2))
    >>> ensemble = KernelEnsemble(*ranked_columns(X, None, 0), 10, 256, rng)
    >>> far, near = ensemble.log_density(np.array([[4.0, 4.0], [0.0, 0.0]]))
    >>> bool(far < near - 5)
    True
    """

    def __init__(self, Y, weight, n_members, max_samples, rng, trim="auto"):
        Y_few, few = Y[:, :_MARGIN_ROWS], weight[:_MARGIN_ROWS]
        self.coarse = coarse_margin(Y_few, few)
        central = central_rows(Y_few, few, trim, self.coarse)
        lost = lost_columns(Y_few, few, central)
        self.single = told_apart_in_single(Y_few.T)
        Y_kept, kept = central_columns(Y_few, few, central, lost)
        self.fine, self.stiff = smooth_margin(Y_kept, kept, "auto"), coarse_margin(Y_kept, kept)
        stiffness = min(_STIFFEST, 1 + (_STIFF_ROWS / n_weighted(weight)) ** 2) if trim else 1.0
        self.stiffness = stiffness
        self.farthest = -float(ndtri(_UNSEEN / (1 + n_weighted(weight))))

        def member(weight, lost, size, coordinates, widest=math.inf):
            most = max(1, math.ceil(_SHARE * n_weighted(weight)))
            counts = draw_rows(weight, min(size, most), rng)
            rows = np.flatnonzero(counts)
            X = np.ascontiguousarray(Y[:, rows].T)
            keys = row_keys(X, single=self.single)
            if lost.size:
                X[:, lost] = _borrowed(Y_few[lost], few, len(X), rng).T
            return KernelMember.of(coordinates(X), counts[rows], keys, stiffness, widest)

        of_central = of_all = weight, lost[:0]
        if not central.all():
            alone = np.zeros(len(weight))
            alone[: len(few)] = np.where(central, few, 0)
            of_central = alone, lost

        def members(drawn_from, *args):
            return [member(rows, lost, *args) for rows, lost in drawn_from]

        self.members = members([of_central] * n_members, max_samples, self._latents, _WIDEST)
        self.units, size = self.coarse.units.beside_atoms(Y_few, few), max(1, max_samples // 2)
        one = min(1, n_members - 1)
        drawn_from = [of_central] * one + [of_all] * (n_members - one)
        self.scaled_members = members(drawn_from, size, self.units.of)

    def _latents(self, X):
        """Coarse latents, as far as rows are expected."""
        return np.clip(self.coarse.forward(X)[0], -self.farthest, self.farthest)

    def _margins(self, X):
        """Coarse latents, and of every column what it adds besides its dependence."""
        z = self._latents(X)
        pooled = np.logaddexp(self.fine.log_density(X), self.stiff.log_density(X)) - math.log(2)
        return z, pooled + 0.5 * z**2

    def log_density(self, X: np.ndarray) -> np.ndarray:
        """Mean over the members of the log-density of rows.

        Parameters
        ----------
        X : array of float64 of shape (n_rows, n_features)
            A block: it is compared with all centres of a member at once.

        Returns
        -------
        log_density : array of shape (n_rows,)
        """
        z, margins = self._margins(X)
        keys, n_features = row_keys(X, single=self.single), X.shape[1]

        def mean(members, z):
            total = np.zeros(len(X))
            for member in members:
                total += member.log_density(member.exponents(z), n_features, member.own(keys))
            return total / len(members)

        scaled = mean(self.scaled_members, self.units.of(X)) - np.log(self.units.scale).sum()
        return (margins.sum(axis=1) + mean(self.members, z) + scaled) / 2

    def along(self, X: np.ndarray, order: np.ndarray) -> np.ndarray:
        """Log-density of the first columns of an order, for every number of them.

        Parameters
        ----------
        X : array of float64 of shape (n_rows, n_features)
        order : array of int of shape (n_features,)

        Returns
        -------
        log_density : array of shape (n_features, n_rows)
            Of the first one, the first two, ..., all columns.
        """
        z, margins = self._margins(X)
        keys = row_keys(X, single=self.single)

        def mean(members, z):
            total = np.zeros((len(order), len(X)))
            for member in members:
                total += member.along(z, order, member.own(keys))
            return total / len(members)

        of_margins = np.cumsum(margins[:, order], axis=1).T
        of_scales = np.cumsum(np.log(self.units.scale[order]))[:, None]
        scaled = mean(self.scaled_members, self.units.of(X)) - of_scales
        return (of_margins + mean(self.members, z) + scaled) / 2
