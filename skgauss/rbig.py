"""RBIGTransformer: rotation-based iterative Gaussianization, without gradient or compilation."""

from __future__ import annotations

from numbers import Integral, Real
from typing import ClassVar, NamedTuple

import numpy as np
from sklearn.base import clone

from skgauss._blas import one_blas_thread
from skgauss._threads import Threads
from skgauss._validation import (
    HasMethods,
    Interval,
    StrOptions,
    column_label,
    numpy_generator,
)
from skgauss.base import FIT_AGAIN_BELOW, BaseGaussianizer
from skgauss.canonical import canonical_columns
from skgauss.iteration import IterationOptions, add_layers
from skgauss.layers import MapLayer
from skgauss.marginals import MARGINALS
from skgauss.marginals.base import BaseMarginal
from skgauss.mixture_head import (
    MAX_MIXTURE_ROWS,
    fit_marginal,
    mixture_of,
    mixture_size,
    select_mixture,
    spread_ties,
    what_a_mixture_follows,
)
from skgauss.noise import fixed_columns
from skgauss.resolution import noise_width, spread_copies
from skgauss.rotations import ROTATIONS
from skgauss.table import BLOCK_VALUES, Columns
from skgauss.trace import Trace
from skgauss.weighted import bounded, is_heavy, mean_and_error

__all__ = ["RBIGTransformer"]

_MAX_HELD_OUT = 10_000
_MIN_HELD_OUT = 750  # or a quarter of the rows, if that is less
_MIN_ROWS_TO_SPLIT = 40
_REGISTER = 16  # rows that a matrix product takes at a time, or a multiple of it


def _padded(X):
    """Columns of rows, filled up to whole registers: then a row's bits do not depend on others."""
    return np.pad(X.T, ((0, 0), (0, -len(X) % _REGISTER)))


def _mean_gain(level, over, weight):
    """Mean gain in log-density over another, with what few rows far out gain within bounds."""
    return mean_and_error(bounded(level - over, weight), weight)[0]


class _Plan(NamedTuple):
    """Whether a mixture follows the marginals, and what an earlier fit found to be best.

    The marginal maps before the mixture, its number of components, and how many layers follow.
    """

    with_mixture: bool
    marginal: BaseMarginal | None = None
    n_components: int | None = None
    depth: int | None = None


class _Fit(NamedTuple):
    """One Gaussianization: its layers, and what was seen on rows held out."""

    layers: list
    trace: Trace | None


def _likelier(fit, *others):
    """The fit behind which the rows held out, the same for all, are likeliest."""
    for other in others:
        if _mean_gain(other.trace.kept(), fit.trace.kept(), fit.trace.weight) > 0:
            fit = other
    return fit


class RBIGTransformer(BaseGaussianizer):
    """Gaussianize a table layer by layer: marginals, rotation, marginals, rotation.

    Every column is mapped to a normal by itself; then the table is rotated, every direction is
    mapped to a normal by itself, and so on, until what a layer removes on rows held out (its
    negentropy, which is the log-likelihood gained) is no longer distinguishable from zero. There
    is no gradient and nothing is compiled. The map is exact, and so is its density.

    Parameters
    ----------
    max_layers : int, default=500
        Most layers, the first one included; a mixture in the head is a layer of its own, and there
        in any case.
    learning_rate : float, default=0.5
        Share of the way to its normal that a direction is moved in the layers beyond the first,
        in (0, 1], where `marginal` is "spline". Less needs more layers, and generalises better.
    head : {None, "mixture", "auto"}, default=None
        What the first layer is: one map per column (None), or these followed by the map of a
        Gaussian mixture ("mixture"): the mean of four with up to 256 components each, fitted to
        at most 300,000 rows, as the layers behind it are. "auto" fits both and keeps the one
        that is likelier on the rows held out; without such rows, the columns' maps. A mixture is
        far likelier on large tables, and takes up to 1,024 components' time in all that follows.
    marginal : {"spline", "histogram", "kde", "mixture"} or estimator, default="spline"
        The one-dimensional maps. "spline" is `SplineMarginal` in the first layer and, in the
        others, a spline of kernel densities shrunk towards the normal, for all directions at
        once. Another name, or an instance from `skgauss.marginals`, is used in every layer, for
        the directions where it pays on rows held out.
    rotation : {"auto", "pca", "ica", "random"} or estimator, default="auto"
        Directions of a layer: principal axes, independent components, or random ones, all of
        whitened columns; "auto" takes those of the first two that look less normal. An instance
        is one from `skgauss.rotations`, or any estimator with `fit` and a square `components_`;
        it gets the weights if its `fit` takes them, and a `random_state` of its own per layer.
    stopping : {"negentropy", "likelihood", None}, default="negentropy"
        "negentropy": stop when what the last `n_iter_no_change` layers removed together is
        within 1.64 standard errors of zero. "likelihood": stop when the held-out likelihood was
        best `n_iter_no_change` layers ago. None: make `max_layers` layers, and hold out nothing.
        Of few rows held out, what they gain or lose by the rotations counts within bounds, so that
        a sentinel does not end it (`skgauss.weighted.bounded`).
    n_iter_no_change : int, default=20
    validation_fraction : float, default=0.1
        Share of the rows held out: at least 750 rows or a quarter, at most 10,000. Tables
        below 40 rows are not split, and get one rotation, unless `stopping` is None: more could
        not be judged. Tables below 5,000 rows are fitted again, to all rows, once
        the number of layers is known.
    dequantize : bool, default=False
        Add, in fit, uniform noise of one step to columns whose values repeat on a grid.
    n_jobs : int or None, default=None
        Threads, in `fit` and afterwards; None means 1 unless in a joblib context.
    random_state : int, RandomState instance or None, default=None
        Chooses the rows held out and the starts of the rotations.
    verbose : int, default=0
        1 shows a progress bar.

    Attributes
    ----------
    layers_ : list
        The fitted map: a first layer, then rotations with their marginal maps; compact arrays,
        independent of the number of rows.
    n_layers_ : int
    negentropy_ : array of shape (n_layers_tried,)
        What every layer removed on the rows held out, in nats: the log-likelihood gained; of the
        first one, over independent normals. Layers beyond `n_layers_` were tried and dropped.
        Empty without rows held out, like the two below.
    negentropy_stderr_ : array of shape (n_layers_tried,)
        Standard errors.
    log_likelihood_ : array of shape (n_layers_tried,)
        Mean held-out log-likelihood behind each layer, in nats.
    total_correlation_ : float
        Held-out log-likelihood over that of the columns by themselves: their dependence, in
        nats, as far as it was found, within the bounds of `stopping`; nan without rows held out.
    data_min_, data_max_ : array of shape (n_features,)
        Range of the training rows.
    n_features_in_ : int
    feature_names_in_ : array of shape (n_features,)
        Where the table had names.

    See Also
    --------
    GlowGaussianizer : Slower, and often likelier: trained by gradient.
    skgauss.marginals.SplineMarginal : The first layer alone.

    Notes
    -----
    Rows enter by content: equal rows are merged, and the rest are ordered by a hash of their
    bytes, so that a row of weight k is exactly k rows and the order of rows is irrelevant.

    References
    ----------
    Laparra, Camps-Valls & Malo (2011), Iterative Gaussianization: from ICA to random rotations,
    IEEE Transactions on Neural Networks 22(4), arXiv:1602.00229.

    Examples
    --------
    >>> from sklearn.datasets import make_moons
    >>> from skgauss import RBIGTransformer
    >>> X, _ = make_moons(2000, noise=0.1, random_state=0)
    >>> rbig = RBIGTransformer(random_state=0).fit(X)
    >>> Z = rbig.transform(X)
    >>> bool(abs(rbig.inverse_transform(Z) - X).max() < 1e-9)
    True
    >>> rbig.sample(3, random_state=0).shape
    (3, 2)
    """

    @property
    def _block_size(self) -> int:  # type: ignore[override]
        """Rows of a block: as many values as threads need to rarely wait for each other."""
        return max(_REGISTER, BLOCK_VALUES // self.n_features_in_ // _REGISTER * _REGISTER)

    _parameter_constraints: ClassVar[dict] = {
        "max_layers": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, 1, closed="right")],
        "head": [StrOptions({"mixture", "auto"}), None],
        "marginal": [StrOptions(set(MARGINALS)), BaseMarginal],
        "rotation": [StrOptions({"auto", *ROTATIONS}), HasMethods("fit")],
        "stopping": [StrOptions({"negentropy", "likelihood"}), None],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "dequantize": ["boolean"],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        *,
        max_layers=500,
        learning_rate=0.5,
        head=None,
        marginal="spline",
        rotation="auto",
        stopping="negentropy",
        n_iter_no_change=20,
        validation_fraction=0.1,
        dequantize=False,
        n_jobs=None,
        random_state=None,
        verbose=0,
    ):
        self.max_layers = max_layers
        self.learning_rate = learning_rate
        self.head = head
        self.marginal = marginal
        self.rotation = rotation
        self.stopping = stopping
        self.n_iter_no_change = n_iter_no_change
        self.validation_fraction = validation_fraction
        self.dequantize = dequantize
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def _fit(self, X, sample_weight):
        rng = numpy_generator(self.random_state)
        self._note_range(X, sample_weight)
        names = [column_label(self, j) for j in range(X.shape[1])]
        Y, weight = canonical_columns(X, sample_weight, int(rng.integers(2**63)))
        width = noise_width(Y.T, names, dequantize=self.dequantize, weight=weight)
        if width.any():
            X, weight = spread_copies(Y.T, weight, width)
            Y = np.ascontiguousarray((X + width * rng.uniform(-0.5, 0.5, X.shape)).T)
        with one_blas_thread():
            fit = self._gaussianize(Y, weight, int(rng.integers(2**63)))
        self.layers_, self.n_layers_ = fit.layers, len(fit.layers)
        self._note_trace(fit.trace)

    def _gaussianize(self, Y, weight, seed):
        """Fit with rows held out where there are enough, and again to all if they are few."""
        if (heavy := is_heavy(weight)).any():  # the last to be held out
            order = np.argsort(heavy, kind="stable")
            Y, weight = np.ascontiguousarray(Y[:, order]), weight[order]
        n_held_out = self._n_held_out(weight)
        heads = {None: [False], "mixture": [True], "auto": [False, True]}[self.head]
        if not n_held_out:
            return self._iterate(Y, weight, 0, _Plan(self.head == "mixture"), seed)
        few = weight.sum() < FIT_AGAIN_BELOW
        fits = []
        for with_mixture in heads:
            rows = Y.copy() if few or len(heads) > 1 else Y
            fits.append(self._iterate(rows, weight, n_held_out, _Plan(with_mixture), seed))
        fit = _likelier(*fits)
        if not few:
            return fit
        depth = len(fit.layers) - fit.trace.n_first
        plan = _Plan(False, depth=depth)
        if fit.trace.n_first == 2:
            marginal, mixture = (layer.map for layer in fit.layers[:2])
            plan = _Plan(True, marginal, mixture_size(mixture), depth)
        return _Fit(self._iterate(Y, weight, 0, plan, seed).layers, fit.trace)

    def _n_held_out(self, weight):
        """Number of distinct rows, first in the canonical order, that are held out."""
        n_rows = weight[~is_heavy(weight)].sum()
        if self.stopping is None or n_rows < _MIN_ROWS_TO_SPLIT or len(weight) < 4:
            return 0
        least = min(_MIN_HELD_OUT, n_rows / 4)
        wanted = min(max(self.validation_fraction * n_rows, least), _MAX_HELD_OUT)
        return int(np.clip(np.searchsorted(np.cumsum(weight), wanted), 1, len(weight) - 2))

    def _iterate(self, Y, weight, n_held_out, plan, seed):
        """Fit the first layers to the rows that are not held out, and iterate from there."""
        held_out, table = Columns(Y, weight, Threads(self.n_jobs)).split(n_held_out)
        trace = Trace(held_out, table) if n_held_out else None
        first = self._first_layers(table, held_out, plan)
        if trace is not None:
            trace.tell_columns(self._columns_layer(table, first[0]))
        if plan.with_mixture:
            table, _ = table.split(MAX_MIXTURE_ROWS)
        for layer in first:
            table.forward(layer)
            if trace is not None:
                trace.add(layer, first=True)
        rng = np.random.default_rng(seed)
        if plan.with_mixture:
            fixed = fixed_columns(table.Y.T, table.weight)  # layers are to leave them alone
            table.Y[fixed] += rng.standard_normal((fixed.sum(), table.Y.shape[1]))
        options = self._options(n_held_out, plan.depth, len(first))
        layers = [*first, *add_layers(table, trace, options, rng)]
        return _Fit(layers if trace is None else layers[: trace.best_length()], trace)

    def _options(self, n_held_out, depth, n_first):
        """How to iterate: judged by rows held out, or to a depth that is known."""
        judged = depth is None and self.stopping is not None
        if judged and not n_held_out:
            depth = 1  # rows that nobody judges: whitened, and no more
        most = max(self.max_layers - n_first, 0)
        return IterationOptions(
            max_layers=most if depth is None else min(depth, most),
            learning_rate=self.learning_rate,
            rotation=self.rotation,
            marginal=self.marginal,
            stopping=self.stopping if n_held_out else None,
            n_iter_no_change=self.n_iter_no_change,
            white=n_first == 2,
            verbose=self.verbose,
        )

    @property
    def _marginal(self):
        return MARGINALS[self.marginal]() if isinstance(self.marginal, str) else self.marginal

    def _columns_layer(self, table, first):
        """The maps that Gaussianize every column; what a mixture follows may be straight lines."""
        n_knots = first.map.get_params().get("n_knots")
        if n_knots == self._marginal.get_params().get("n_knots"):
            return first
        return MapLayer(fit_marginal(clone(self._marginal), table))

    def _first_layers(self, table, held_out, plan):
        """Fit the maps of the columns and, if it is wanted, the mixture behind them."""
        marginal = self._marginal
        if not plan.with_mixture:
            return [MapLayer(fit_marginal(clone(marginal), table))]
        if plan.marginal is None:
            fitted = what_a_mixture_follows(marginal, table, held_out)
        else:
            fitted = fit_marginal(clone(plan.marginal), table)
        layer = MapLayer(fitted)
        some, _ = table.split(MAX_MIXTURE_ROWS)
        some = spread_ties(some)
        some.forward(layer)
        if plan.n_components is None:
            mixture = select_mixture(some, held_out.mapped(layer))
        else:
            mixture = mixture_of(some, plan.n_components)
        return [layer, MapLayer(mixture)]

    def _note_trace(self, trace):
        """Turn what was seen on the rows held out into fitted attributes."""
        removed = [] if trace is None else trace.removed
        self.negentropy_, self.negentropy_stderr_ = np.array(removed, float).reshape(-1, 2).T
        self.log_likelihood_ = self.negentropy_.cumsum()
        self.total_correlation_ = float("nan")
        if trace is not None:
            self.log_likelihood_ += mean_and_error(trace.levels[0], trace.weight)[0]
            self.total_correlation_ = _mean_gain(trace.kept(), trace.by_columns, trace.weight)

    def _forward(self, X):
        Y = _padded(X)
        log_det = np.zeros(Y.shape[1])
        for layer in self.layers_:
            Y, increment = layer.forward(Y)
            log_det = log_det + increment
        return Y.T[: len(X)], log_det[: len(X)]

    def _inverse(self, Z):
        Y = _padded(Z)
        for layer in reversed(self.layers_):
            Y = layer.inverse(Y)
        return Y.T[: len(Z)]
