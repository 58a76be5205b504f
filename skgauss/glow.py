"""GlowGaussianizer: a normalizing flow of Glow steps behind scikit-learn's contract."""

from __future__ import annotations

import dataclasses
import time
from contextlib import nullcontext
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar, Self, cast

import jax
import numpy as np
from sklearn.exceptions import ConvergenceWarning

from skgauss._blas import one_blas_thread
from skgauss._evaluation import block_size, map_rows, unmap_rows, weigh_rows
from skgauss._plan import (
    check_unchanged,
    configured,
    head_kind,
    leaves_steps_alone,
    training_options,
    warn_of_too_few,
    warn_of_untrained,
)
from skgauss._start import compiling_steps, started_flow
from skgauss._validation import (
    CallbackSupportMixin,
    Interval,
    StrOptions,
    all_or_nothing,
    column_label,
    numpy_generator,
    validate_rows,
    with_callbacks,
)
from skgauss._warnings import warn
from skgauss.base import FIT_AGAIN_BELOW, BaseGaussianizer
from skgauss.bijections import Bijection, Chain, GlowStack
from skgauss.bijections.glow import COUPLINGS, MIXERS
from skgauss.head import fitted_kind, has_mixture
from skgauss.ladder import ladder_table
from skgauss.progress import Progress
from skgauss.resolution import column_resolution, noise_width, spread_copies
from skgauss.rows import Table, canonical_rows, split_rows
from skgauss.training import maximize_likelihood
from skgauss.training_step import start_state, with_parameters

__all__ = ["GlowGaussianizer"]

_AUTO = StrOptions({"auto"})
_HEAD_TIME = 0.8  # of `max_time`, that a mixture in the head may take: it is worth more than steps


class GlowGaussianizer(CallbackSupportMixin, BaseGaussianizer):
    """Gaussianize a table by a normalizing flow of Glow steps.

    A head standardises or Gaussianizes every column by itself; then each step normalises
    (ActNorm), mixes the columns (by default an LU-parameterised invertible 1x1 convolution) and
    transforms one half of them in the light of the other (coupling). `fit` initialises every
    ActNorm from the data and maximises the likelihood; raw columns go straight in, no scaler is
    needed.

    Parameters
    ----------
    n_steps : int or "auto", default="auto"
        Number of Glow steps. "auto", here and below, depends on the number of rows; see Notes.
    mixer : {"lu", "rotation", "householder", "cayley", "permutation"} or class, default="lu"
        How a step mixes the columns: trainable linear map, principal axes (behind a mixture, which
        leaves none, a random rotation), trainable reflections, trainable rotation, random
        permutation. The linear map starts as a random rotation behind a mixture, else as a random
        permutation. A layer of your own is given as its class, which derives from
        `skgauss.bijections.Bijection`; ``init(key, n_channels)`` starts one.
    coupling : {"auto", "spline", "affine", "mixture"} or class, default="auto"
        How a step transforms one half of the columns. "auto" takes splines, or, behind a mixture
        that fewer than 100,000 rows were fitted to, affine maps: they are soon trained, and what
        such a mixture leaves is not worth more. A class of your own is not told
        `hidden_layer_sizes` or `n_bins`.
    head : {"auto", "affine", "spline", "mixture", "warped"}, default="auto"
        The fitted map that the steps start from:

        - "affine": robust standardisation of every column,
        - "spline": a monotone spline per column with proper tails,
        - "mixture": splines or straight lines, then the map of a Gaussian mixture, the mean of
          four (fewer where `max_time` leaves no time for them) of up to 256 components each,
        - "warped": splines or straight lines, eight steps of permutations and spline couplings,
          trained before all others, then the map of a mixture of what these make of the rows.

        "auto" takes a mixture, of as many components as rows held out want, or of one where rows
        are few, up to 300,000 training rows and 256 MiB of them in `dtype`: it is far likelier
        where columns depend on each other, but more rows teach the steps as much. From 5,000
        training rows on, with early stopping and if `max_time` is not below 125, a warped one is
        tried too, and the likelier on rows held out is kept; it is "spline" if a mixture finds
        nothing to do behind such couplings. Behind a mixture, every ActNorm starts as the identity:
        rows that a mixture was fitted to look more normal than others. It maps some 14,000 rows
        of 10 columns per second and core at its largest, and scores twice as many where rows held
        out kept nothing of the steps, or they were not trained; "spline" evaluates the more rows.
    hidden_layer_sizes : tuple of int or "auto", default="auto"
        Hidden layers of the networks in the couplings.
    n_bins : int, default=8
        Bins of a spline coupling, components of a mixture coupling.
    max_iter : int or "auto", default="auto"
        Most iterations: passes over the rows, several of them while a pass makes less than 16
        updates.
    batch_size : int or "auto", default="auto"
        Rows per update: at most so many, and never more than the larger of 512 and the number of
        rows, rounded up to a power of two. "auto" is 4,096 on an accelerator from 300,000 rows on.
    learning_rate_init : float or "auto", default="auto"
        Peak of the learning rate, which rises over 50 updates and then falls along a cosine. An
        iteration whose loss is a whole nat above an earlier one's shows that it is too high:
        training goes on from the best parameters at 0.3 of the rate. (Where columns are more than a
        fifth of the rows, a rise by noise alone may be larger, and is let pass.)
    alpha : float or "auto", default="auto"
        Decoupled weight decay of the networks' weights.
    ema_decay : float, default=0.99
        Of the moving average of the parameters that is evaluated and kept, in [0, 1).
    early_stopping : bool, default=True
        Hold out `validation_fraction` of the rows and keep the parameters that are best there, if
        their gain over those before training exceeds its standard error. Below 5,000 rows, head and
        steps are then fitted again, to all rows, for as many iterations as were best (with
        `max_time`, if a quarter of it has sufficed so far). Tables below 100 rows are not split.
        False fits all rows; steps behind a mixture are then trained if `max_iter` says how long.
    validation_fraction : float, default=0.1
        Share of the rows held out, at most 10,000 rows.
    n_iter_no_change : int or "auto", default="auto"
        Iterations without a gain above `tol` on the rows held out after which training stops;
        without such rows it runs for `max_iter`.
    tol : float, default=1e-4
        In nats per row.
    max_time : float or None, default=None
        Seconds that `fit` should take. Below 30, with a mixture in the head ("auto" or "mixture"),
        that gets them all, and the steps, which would have to be compiled and learn less, are not
        trained: they rotate the latents, which leaves their density (but for a mixture coupling,
        whose start is near the identity only). Else it gets at most four
        fifths, and the learning rate falls to zero in what is left; training then ends
        with the best parameters so far. From 300,000 rows on, `max_iter` and `n_iter_no_change` at
        "auto" let it end by time alone.
    dequantize : bool, default=False
        Add, in fit, uniform noise of one step to columns whose values repeat on a grid.
    dtype : {"float32", "float64"}, default="float32"
        Precision of training. Evaluation is always in float64.
    warm_start : bool, default=False
        Let `fit` carry on from the fitted parameters; the head is kept, and so are, with an integer
        `random_state`, the rows held out. From 5,000 rows on any gain on them is kept. Fewer were
        all learned from in the end, so that those held out favour what is there: a gain must then
        be twice its standard error, and there may be none. What is gained in short fits adds up.
        Fewer than 20 rows change nothing.
    n_jobs : int or None, default=None
        Threads that evaluate rows. Training uses two, whatever this says; on an accelerator, where
        JAX has one, a thread for each.
    random_state : int, RandomState instance or None, default=None
        Of the start, the split and the order of the rows.
    verbose : int, default=0
        1 says which head is fitted and how long it took, and shows a progress bar of the training
        with losses and rows per second.

    Attributes
    ----------
    flow_ : skgauss.bijections.Chain
        The whole fitted map, head included, with NumPy arrays: ``flow_.transform(x)`` of one
        row, under ``jax.enable_x64``, is `transform`.
    head_ : {"affine", "spline", "mixture", "warped"}
        The kind of head that was fitted.
    loss_curve_ : list of float
        Mean negative log-likelihood of the training rows per iteration, in nats.
    validation_scores_ : list of float
        Mean log-likelihood of the rows held out, in nats; empty without early stopping. Like the
        losses, of the fit that did without these rows, where few rows are fitted again.
    n_iter_ : int
        Iterations made.
    best_iter_ : int
        The iteration that was kept; 0 where no steps are worth their training on the rows held out,
        or all time went to the head: then the head is the model, and the steps only turn it.
    stopped_by_ : {"max_iter", "early_stopping", "max_time", "diverged", "callback", "untrained"}
        What ended the training; "untrained" where all time went to the head, or
        rows were too few to judge what a warm start gains.
    n_parameters_ : int
        Trained parameters.
    training_noise_ : array of shape (n_features,)
        Standard deviation of the noise added to the training rows behind the head: 1 for a column
        that is constant in 4,096 rows drawn; for the others chosen by cross-validation, 0 for most
        large tables.
    noise_width_ : array of shape (n_features,)
        With `dequantize`, width of the uniform noise that tied columns are read with; else 0. It is
        fixed with the head.
    optimizer_state_ : list of arrays
        What `warm_start` and `partial_fit` carry on from.
    data_min_, data_max_ : array of shape (n_features,)
        Range of the training rows.
    n_features_in_ : int
    feature_names_in_ : array of shape (n_features,)
        Where the table had names.

    See Also
    --------
    skgauss.marginals.SplineMarginal : Each column by itself, no training.
    sklearn.mixture.GaussianMixture : Density as a sum of Gaussians.

    Notes
    -----
    "auto" climbs a ladder by the number of rows (the sum of their weights):

    {ladder}

    The couplings and the learning rate are those behind a mixture; behind maps of single columns
    they are splines, and it is 0.005 at most. A column is Gaussianized, not only scaled, by the
    head; training runs in the coordinates behind it. A table of at most 512 rows is trained on in
    one batch, where a row of weight k is exactly k rows; beyond, weights are frequencies in
    expectation, and copies of rows are merged where more than a twentieth of the rows are copies,
    unless all columns are discrete.

    References
    ----------
    Kingma & Dhariwal (2018), Glow: generative flow with invertible 1x1 convolutions,
    arXiv:1807.03039; Durkan, Bekasov, Murray & Papamakarios (2019), Neural spline flows,
    arXiv:1906.04032.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skgauss import GlowGaussianizer
    >>> X = load_iris().data
    >>> glow = GlowGaussianizer(dequantize=True, random_state=0).fit(X)
    >>> Z = glow.transform(X)
    >>> bool(abs(glow.inverse_transform(Z) - X).max() < 1e-8)
    True
    >>> log_density = glow.score_samples(X)
    >>> glow.sample(3, random_state=0).shape
    (3, 4)
    """

    n_iter_: int

    _parameter_constraints: ClassVar[dict] = {
        "n_steps": [Interval(Integral, 1, None, closed="left"), _AUTO],
        "mixer": [StrOptions(set(MIXERS)), type],
        "coupling": [StrOptions(set(COUPLINGS)), _AUTO, type],
        "head": [StrOptions({"auto", "affine", "spline", "mixture", "warped"})],
        "hidden_layer_sizes": ["array-like", _AUTO],
        "n_bins": [Interval(Integral, 2, 64, closed="both")],
        "max_iter": [Interval(Integral, 1, None, closed="left"), _AUTO],
        "batch_size": [Interval(Integral, 2, None, closed="left"), _AUTO],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither"), _AUTO],
        "alpha": [Interval(Real, 0, None, closed="left"), _AUTO],
        "ema_decay": [Interval(Real, 0, 1, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), _AUTO],
        "tol": [Interval(Real, 0, None, closed="left")],
        "max_time": [Interval(Real, 0, None, closed="neither"), None],
        "dequantize": ["boolean"],
        "dtype": [StrOptions({"float32", "float64"})],
        "warm_start": ["boolean"],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        *,
        n_steps="auto",
        mixer="lu",
        coupling="auto",
        head="auto",
        hidden_layer_sizes="auto",
        n_bins=8,
        max_iter="auto",
        batch_size="auto",
        learning_rate_init="auto",
        alpha="auto",
        ema_decay=0.99,
        early_stopping=True,
        validation_fraction=0.1,
        n_iter_no_change="auto",
        tol=1e-4,
        max_time=None,
        dequantize=False,
        dtype="float32",
        warm_start=False,
        n_jobs=None,
        random_state=None,
        verbose=0,
    ):
        self.n_steps = n_steps
        self.mixer = mixer
        self.coupling = coupling
        self.head = head
        self.hidden_layer_sizes = hidden_layer_sizes
        self.n_bins = n_bins
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.alpha = alpha
        self.ema_decay = ema_decay
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.max_time = max_time
        self.dequantize = dequantize
        self.dtype = dtype
        self.warm_start = warm_start
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Make one pass over the rows given, at a constant learning rate.

        The first call fixes the head and every ActNorm's start, so give it rows that are
        typical of the whole. Give some dozens at a time: row by row, each pulls the map its way.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
        y : None
            Ignored.
        sample_weight : array-like of shape (n_rows,), default=None
            Frequencies.

        Returns
        -------
        self : object
        """
        with all_or_nothing(self):
            self._validate_params()
            started = hasattr(self, "flow_")
            X, sample_weight = validate_rows(self, X, sample_weight, reset=not started)
            self._learn(X, sample_weight, carry_on=started, one_pass=True)
        return self

    def _carries_on(self):
        return self.warm_start and hasattr(self, "flow_")

    def _fit(self, X, sample_weight):
        self._learn(X, sample_weight, carry_on=self._carries_on(), one_pass=False)

    @with_callbacks
    def _learn(self, X, sample_weight, *, carry_on, one_pass):
        """Prepare the rows, start the flow unless it goes on, and train it."""
        started, rng = time.monotonic(), numpy_generator(self.random_state)
        X, weight = canonical_rows(X, sample_weight)
        if not carry_on:
            names = [column_label(self, j) for j in range(X.shape[1])]
            self.noise_width_ = noise_width(X, names, dequantize=self.dequantize, weight=weight)
        X, weight = spread_copies(X, weight, self.noise_width_)
        split = self.early_stopping and not one_pass
        fraction = self.validation_fraction if split else 0.0
        train, held_out = split_rows(len(X), fraction, rng, weight, few_too=carry_on)
        if carry_on:  # the same rows are held out, the others come in another order
            rng = np.random.default_rng([int(rng.integers(2**63)), self.n_iter_])
        table = Table(X, weight, self.noise_width_, rng, np.dtype(self.dtype))
        kind = head_kind(self, table, len(train))
        only_head = not (carry_on or one_pass) and leaves_steps_alone(self, kind)
        expected = configured(self, table, kind in ("auto", "mixture", "warped"))
        self._note_range(X, widen=carry_on)
        if only_head:
            warn_of_untrained(self)
        if carry_on:
            tied = self.dequantize and column_resolution(X, weight).any()
            check_unchanged(self, expected, *self._parts(), tied)
        else:
            ahead = nullcontext()
            if len(held_out) and not only_head:
                ahead = compiling_steps(self, expected, X.shape[1], len(held_out))
            with ahead, one_blas_thread():  # or the threads that fit the head wait for each other
                share = 1.0 if only_head else _HEAD_TIME
                self.flow_, self.training_noise_ = started_flow(
                    self, table, train, held_out, rng, share_of_time=share
                )
        self.head_ = fitted_kind(self._parts()[0])
        config = configured(self, table, has_mixture(self._parts()[0]))
        # The rows are mapped before the clock is read.
        unjudged = carry_on and split and not len(held_out)
        if unjudged:
            warn_of_too_few(len(X))
        rows = None if only_head or unjudged else self._behind_head(table, train, held_out)
        options = training_options(self, config, one_pass, time.monotonic() - started)
        if carry_on:  # one of many short calls may gain less than shows, where rows are many
            few = weight.sum() < FIT_AGAIN_BELOW
            options = dataclasses.replace(options, min_gain=2.0 if few else 0.0)
        task = self._fit_task(X, options.max_iter)
        seed = rng.integers(2**63)
        follow = task and partial(self._following, task, X)
        state, progress = self._train(rows, options, rng, carry_on, follow)
        is_few = len(held_out) and not carry_on and weight.sum() < FIT_AGAIN_BELOW
        # In a quarter of the time, time has not kept the mixture from its size, nor does this.
        in_time = self.max_time is None or time.monotonic() - started < self.max_time / 4
        if is_few and in_time and progress.stopped != "diverged":
            rng = np.random.default_rng(seed)  # however long the training before
            state, progress.best = self._learn_all(table, options, progress.best_iter, rng)
        self._note_training(state, progress, carry_on)
        if task is not None:
            task.call_on_fit_task_end(estimator=self, X=X, reconstruction_attributes={})

    def _learn_all(self, table, options, n_iter, rng):
        """Start the flow again, and train it for so many iterations, on all rows."""
        train, nothing = np.arange(len(table.X)), np.arange(0)
        table = table.drawing_from(rng)
        with one_blas_thread():
            like = self._parts()[0]
            self.flow_, self.training_noise_ = started_flow(
                self, table, train, nothing, rng, like=like
            )
        options = dataclasses.replace(options, stop_after=n_iter)
        rows = self._behind_head(table, train, nothing) if n_iter else None
        state, progress = self._train(rows, options, rng)
        return state, progress.best

    def _behind_head(self, table, train, held_out):
        """Rows to train on, and those held out to judge by if there are any, behind the head."""
        head, _ = self._parts()
        judges = table.rows(held_out, head) if len(held_out) else None
        return table.rows(train, head, self.training_noise_), judges

    def _train(self, rows, options, rng, carry_on=False, follow=None):
        """Train the steps behind the head; what training carries on from, and what it gave.

        Without rows, they stay what they are.
        """
        head, stack = self._parts()
        start = start_state(stack, np.dtype(self.dtype))
        state = self._carried_on(start) if carry_on else start
        if rows is None:
            return state, Progress(best=np.array(state.average), stopped="untrained")
        follow = follow and follow(head, stack)
        of_train, judges = rows
        state, progress = maximize_likelihood(
            stack, state, of_train, judges, options, rng, follow, kept=np.asarray(start.average)
        )
        if progress.stopped == "diverged":
            warn(
                f"Training diverged in iteration {len(progress.loss_curve)}: a likelihood was not "
                "finite. The best parameters before that are kept. A smaller learning_rate_init "
                f"or dtype='float64' may help, or columns that are less extreme.",
                ConvergenceWarning,
            )
        return state, progress

    def _parts(self) -> tuple[Chain, GlowStack]:
        """The head and the steps of the fitted flow."""
        head, stack = self.flow_.bijections
        return cast(Chain, head), cast(GlowStack, stack)

    def _carried_on(self, start):
        """Where the last training ended, in the form of a state where one starts."""
        leaves = [
            np.array(leaf, np.asarray(was).dtype)
            for leaf, was in zip(self.optimizer_state_, jax.tree.leaves(start), strict=True)
        ]
        return jax.tree.unflatten(jax.tree.structure(start), leaves)

    def _fit_task(self, X, max_iter):
        """The task of fitting, where scikit-learn's callbacks follow it; else None."""
        n_tasks = None if max_iter == np.inf else max_iter
        task = self._init_callback_context(max_subtasks=n_tasks)
        if task is None or not hasattr(self, "_skl_callbacks"):
            return None
        return task.call_on_fit_task_begin(estimator=self, X=X)

    def _following(self, task, X, head, stack):
        """Let callbacks follow every iteration, and stop training."""

        def after_iteration(progress):
            iteration = task.subcontext(task_name="iteration")
            iteration.call_on_fit_task_begin(estimator=self, X=X)
            fitted = {"flow_": Chain((head, with_parameters(stack, progress.best)))}
            return iteration.call_on_fit_task_end(
                estimator=self, X=X, reconstruction_attributes=fitted
            )

        return after_iteration

    def _note_training(self, state, progress, carry_on):
        """Turn what training gave into fitted attributes."""
        head, stack = self._parts()
        # Training may have gone on to what is not kept, nor likelier.
        if not (progress.pending or np.array_equal(state.average, progress.best)):
            state = start_state(with_parameters(stack, progress.best), np.dtype(self.dtype))
        steps: Bijection = stack  # in full precision, where nothing of the training is kept
        if not np.array_equal(progress.best, start_state(stack, np.dtype(self.dtype)).params):
            steps = with_parameters(stack, progress.best)
        self.flow_ = Chain((head, steps))
        self.optimizer_state_ = [np.asarray(leaf) for leaf in jax.tree.leaves(state)]
        before = vars(self) if carry_on else {}
        self.loss_curve_ = [*before.get("loss_curve_", []), *progress.loss_curve]
        scores = [*before.get("validation_scores_", []), *progress.validation_scores]
        self.validation_scores_ = scores
        self.n_iter_ = len(self.loss_curve_)
        made = self.n_iter_ - len(progress.loss_curve)
        kept = progress.best_iter
        self.best_iter_ = made + kept if kept else before.get("best_iter_", 0)
        self.stopped_by_ = progress.stopped
        self.n_parameters_ = int(progress.best.size)

    def _rows_at_once(self):
        return block_size(self._block_size)

    def _forward(self, X):
        return map_rows(self.flow_, X)

    def _weigh(self, X):
        log_density = weigh_rows(self.flow_, X)
        return super()._weigh(X) if log_density is None else log_density

    def _inverse(self, Z):
        return unmap_rows(self.flow_, Z)


GlowGaussianizer.__doc__ = str(GlowGaussianizer.__doc__).replace("{ladder}", ladder_table())
