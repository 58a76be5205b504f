"""Maximum likelihood for a flow: minibatches, schedule, averaging, early stopping.

The loop knows flows and rows, not estimators. What is compiled depends on the flow's
configuration and the batch size alone, never on the number of rows: batches are padded with
rows of weight zero. On CPUs every batch is cut into two halves whose gradients are computed by
two threads at once, since one small batch does not keep two cores busy; the halves are added in a
fixed order, so threads do not change a bit of the result. Of accelerators each gets its part.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple

import jax
import numpy as np
from tqdm.auto import tqdm

from skgauss.bijections.base import Bijection, on_device, partition
from skgauss.progress import Progress
from skgauss.training_step import (
    Layout,
    TrainingState,
    gradient_and_log_density,
    log_density,
    start_state,
    update,
)
from skgauss.weighted import mean_and_error

__all__ = [
    "MIN_UPDATES",
    "N_THREADS",
    "Rows",
    "TrainingOptions",
    "compiling_ahead",
    "maximize_likelihood",
]

N_THREADS = 2
MIN_UPDATES = 16  # per iteration: small tables are passed several times
_WARMUP = 50  # updates
_FEW = 200  # rows held out
_ROWS_OF_AN_ACCELERATOR = 4096  # of a batch, at least, where there are several
_SCATTER = 3  # of its standard error, that a loss may be above another by chance
_RATE_CUT = 0.3  # of the learning rate, when training goes back to the best


class Rows(NamedTuple):
    """Rows as training reads them.

    Attributes
    ----------
    take : callable
        ``take(indices)`` returns these rows as an array of shape (n, C).
    weight : array of shape (n_rows,)
        Frequencies.
    log_det : float
        Mean log-determinant of the map that led to these rows; added to what is reported.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.training import Rows
    >>> X = np.arange(6.0).reshape(3, 2)
    >>> rows = Rows(lambda indices: X[indices], np.ones(3))
    >>> rows.take(np.array([1])).tolist()
    [[2.0, 3.0]]
    """

    take: Callable[[np.ndarray], np.ndarray]
    weight: np.ndarray
    log_det: float = 0.0


@dataclasses.dataclass(frozen=True)
class TrainingOptions:
    """How to train; see `skgauss.GlowGaussianizer` for the meaning of the parameters.

    Examples
    --------
    >>> from skgauss.training import TrainingOptions
    >>> options = TrainingOptions(
    ...     max_iter=5,
    ...     batch_size=64,
    ...     learning_rate_init=1e-2,
    ...     alpha=0.0,
    ...     ema_decay=0.9,
    ...     tol=1e-4,
    ...     n_iter_no_change=3,
    ...     max_time=None,
    ... )
    >>> options.constant_rate
    False
    """

    max_iter: float  # an int, or infinity: until the time is up
    batch_size: int
    learning_rate_init: float
    alpha: float
    ema_decay: float
    tol: float
    n_iter_no_change: float
    max_time: float | None
    dtype: Any = np.float32
    min_updates: int = MIN_UPDATES
    constant_rate: bool = False
    verbose: int = 0
    stop_after: float = math.inf  # iterations, though the schedule is one of `max_iter`
    min_gain: float = 1.0  # standard errors of the gain over the start, without which that is kept


def _scoring(n_rows):
    """What scores rows held out: few of them do not repay a compilation of their own."""
    return gradient_and_log_density if n_rows <= _FEW else log_density


def _n_shards(batch_size: int) -> int:
    """In how many parts a batch is computed at once; only large ones keep several accelerators."""
    if jax.default_backend() == "cpu":
        return N_THREADS
    return max(1, min(jax.local_device_count(), batch_size // _ROWS_OF_AN_ACCELERATOR))


class _Trainer:
    """The parts of a training run that do not change from batch to batch."""

    def __init__(self, flow: Bijection, rows: Rows, options: TrainingOptions, pool, n_before=0):
        template, held = partition(flow)
        self.x64 = np.dtype(options.dtype) == np.float64
        self.layout, self.held = Layout.of(template), jax.tree.map(on_device, held)
        self.options, self.pool, self.devices = options, pool, jax.local_devices()
        self.n_shards, self.mean_weight = _n_shards(options.batch_size), float(rows.weight.mean())
        self.n_rows, self.n_columns = len(rows.weight), 0
        a_pass = self.iteration(np.arange(len(rows.weight)), np.random.default_rng(0))
        self.total = len(a_pass) * options.max_iter  # updates
        self.rate, self.start = options.learning_rate_init, -n_before  # updates made before

    def on_shards(self, function, vector, x, weight):
        """Apply a compiled function to the parts of a batch, each in a thread."""
        first, several = self.devices[0], len(self.devices) > 1

        def run(shard):
            inputs = (vector, self.held, x[shard], weight[shard])
            with jax.enable_x64(self.x64):
                if several:
                    inputs = jax.device_put(inputs, self.devices[shard % len(self.devices)])
                outputs = function(self.layout, *inputs)
                if first.platform == "cpu":  # an accelerator computes on its own
                    jax.block_until_ready(outputs)
                return jax.device_put(outputs, first) if several else outputs

        return list(self.pool.map(run, range(self.n_shards)))

    def batch(self, rows, indices):
        """Gather rows as S padded parts: x of shape (S, C, part), weight of (S, part)."""
        values, n = rows.take(indices), self.n_shards
        part = -(-self.options.batch_size // n)
        self.n_columns = values.shape[1]
        shares = rows.weight[indices] / self.mean_weight  # before float32 cannot hold them
        x = np.zeros((values.shape[1], n * part), self.options.dtype)
        weight = np.zeros(n * part, self.options.dtype)
        x[:, : len(indices)], weight[: len(indices)] = values.T, shares
        x = x.reshape(len(x), part, n).transpose(2, 0, 1)  # rows dealt in turn
        return np.ascontiguousarray(x), weight.reshape(part, n).T.copy()

    def scatter(self):
        """Standard error of the mean loss of all rows, if they are normal."""
        return math.sqrt(self.n_columns / (2 * self.n_rows))

    def batches(self, order):
        """Cut rows into batches of equal size, none dropped."""
        return np.array_split(order, -(-len(order) // self.options.batch_size))

    def iteration(self, order, rng):
        """Batches of one pass over the rows, or of as many as make enough updates."""
        n_passes = -(-self.options.min_updates // len(self.batches(order)))
        return [b for _ in range(n_passes) for b in self.batches(rng.permutation(order))]

    def update(self, state, rows, indices, done, share):
        """Make one update; return the state, and the batch's mean loss, a summand per part."""
        x, weight = self.batch(rows, indices)
        weight /= len(indices)
        outputs = self.on_shards(gradient_and_log_density, state.params, x, weight)
        _, losses, gradients = zip(*outputs, strict=True)
        rate, averaging = self.schedule(done, share)
        state = update(self.layout, state, gradients, rate, averaging, self.options.alpha)
        return state, losses

    def schedule(self, done, share):
        """Learning rate and averaging after `done` updates, a `share` of all in updates or time."""
        done, constant = done - self.start, self.options.constant_rate
        # At a constant rate this is one of many calls, of few updates each.
        warmup = _WARMUP if constant else int(min(_WARMUP, max(1, self.total / 10)))
        rate = min(1.0, (done + 1) / warmup)
        if not constant:
            rate *= 0.5 * (1 + math.cos(math.pi * min(share, 1)))
        averaging = min(self.options.ema_decay, (1 + done) / (10 + done))
        return np.float32(self.rate * rate), np.float32(averaging)

    def go_back(self, best, done):
        """The state from which training goes on, more slowly, after it went astray."""
        self.rate, self.start = _RATE_CUT * self.rate, done
        return TrainingState.at(best)

    def log_density(self, vector, rows):
        """Log-density of every row, but for what the head adds."""
        found, function = np.empty(len(rows.weight)), _scoring(len(rows.weight))
        for indices in self.batches(np.arange(len(rows.weight))):
            outputs = self.on_shards(function, vector, *self.batch(rows, indices))
            in_order = np.stack([shard for shard, *_ in outputs], axis=1).ravel()
            found[indices] = in_order[: len(indices)]
        return found

    def score(self, vector, rows):
        """Mean log-density per unit of weight."""
        total = rows.weight @ self.log_density(vector, rows)
        return float(total / rows.weight.sum() + rows.log_det)

    def gain(self, vector, other, rows):
        """Mean gain in log-density of one vector over another, and its standard error."""
        with np.errstate(invalid="ignore"):  # where the other is not finite
            gains = self.log_density(vector, rows) - self.log_density(other, rows)
            return mean_and_error(gains, rows.weight)


@contextmanager
def compiling_ahead(
    flow: Bijection, n_channels: int, options: TrainingOptions, n_held_out: int
) -> Iterator[None]:
    """Compile in threads, beside other work, what a training with rows held out will need.

    The block ends when all is compiled; by an exception, at once.

    Parameters
    ----------
    flow : Bijection
        Of the structure that will be trained; its values do not matter.
    n_channels : int
    options : TrainingOptions
    n_held_out : int

    Examples
    --------
    >>> from skgauss.bijections import ActNorm
    >>> from skgauss.training import TrainingOptions, compiling_ahead
    >>> options = TrainingOptions(1, 64, 1e-2, 0.0, 0.9, 1e-4, 1, None)
    >>> with compiling_ahead(ActNorm.init(3), 3, options, n_held_out=20):
    ...     pass  # prepare the rows
    """
    template, held = partition(flow)
    layout, state = Layout.of(template), start_state(flow, options.dtype)
    n_shards, vector = _n_shards(options.batch_size), state.params
    part = -(-options.batch_size // n_shards)
    x, weight = np.zeros((n_channels, part), vector.dtype), np.zeros(part, vector.dtype)
    gradients, zero = (vector,) * n_shards, np.float32(0)
    needed: dict[Any, tuple] = {
        gradient_and_log_density: (vector, held, x, weight),
        _scoring(n_held_out): (vector, held, x, weight),
        update: (state, gradients, zero, zero, options.alpha),
    }

    def run(function):
        with jax.enable_x64(np.dtype(options.dtype) == np.float64):
            function(layout, *needed[function])

    pool = ThreadPoolExecutor(N_THREADS)
    try:
        compiled = [pool.submit(run, function) for function in needed]
        yield
        for function in compiled:
            function.result()
    finally:  # after an error or an interrupt nobody needs what is not compiled yet
        pool.shutdown(wait=False, cancel_futures=True)


def _report(bar, progress, n_rows):
    """Show the losses and the speed of the last iteration."""
    bar.update()
    rate = bar.format_dict["rate"] or 1 / max(bar.format_dict["elapsed"], 1e-9)
    shown = {"loss": f"{progress.loss_curve[-1]:.3f}", "rows/s": f"{n_rows * rate:,.0f}"}
    if progress.validation_scores:
        shown["held-out"] = f"{progress.validation_scores[-1]:.3f}"
    bar.set_postfix(shown)


def maximize_likelihood(
    flow: Bijection,
    state: TrainingState,
    rows: Rows,
    held_out: Rows | None,
    options: TrainingOptions,
    rng: np.random.Generator,
    after_iteration: Callable[[Progress], bool] | None = None,
    *,
    kept: np.ndarray | None = None,
) -> tuple[TrainingState, Progress]:
    """Train a flow by maximum likelihood.

    Parameters
    ----------
    flow : Bijection
        Gives the configuration and the fixed arrays; its trainable ones are not read.
    state : TrainingState
        Where to start.
    rows : Rows
        To train on.
    held_out : Rows or None
        To judge by; None means no early stopping.
    options : TrainingOptions
    rng : numpy.random.Generator
        Shuffles the rows.
    after_iteration : callable, default=None
        Called with the progress so far after every iteration; training ends when it returns
        True.
    kept : array of shape (n_parameters,), default=None
        Parameters that a gain is one over; None is where training starts.

    Returns
    -------
    state : TrainingState
        At the end of training; carry on from here for a warm start.
    progress : Progress
        With the best averaged parameters: by held-out likelihood where rows are held out, or
        those kept before where the gain over them is less than `min_gain` of its standard errors;
        without rows held out, the last finite ones. `with_parameters` puts them into the flow.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.bijections import ActNorm
    >>> from skgauss.training import Rows, TrainingOptions, maximize_likelihood
    >>> from skgauss.training_step import start_state, with_parameters
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(1.0, 0.5, size=(256, 2))
    >>> rows, flow = Rows(lambda indices: X[indices], np.ones(256)), ActNorm.init(2)
    >>> options = TrainingOptions(
    ...     max_iter=20,
    ...     batch_size=256,
    ...     learning_rate_init=0.1,
    ...     alpha=0.0,
    ...     ema_decay=0.9,
    ...     tol=1e-4,
    ...     n_iter_no_change=5,
    ...     max_time=None,
    ... )
    >>> state, progress = maximize_likelihood(flow, start_state(flow), rows, None, options, rng)
    >>> bool(np.allclose(with_parameters(flow, progress.best).loc, X.mean(axis=0), atol=0.05))
    True
    """
    progress = Progress(best=np.array(state.average if kept is None else kept))
    started, max_time = time.monotonic(), options.max_time or np.inf
    with (
        jax.enable_x64(np.dtype(options.dtype) == np.float64),
        ThreadPoolExecutor(max(N_THREADS, _n_shards(options.batch_size))) as pool,
        tqdm(total=options.max_iter, disable=not options.verbose, unit="iter") as bar,
    ):
        n_before = int(state.optimizer[-1].count)
        trainer = _Trainer(flow, rows, options, pool, n_before)
        order = np.arange(len(rows.weight))
        start = progress.best
        done, spent = 0, 0.0  # updates, and the share of the time
        while len(progress.loss_curve) < min(options.max_iter, options.stop_after):
            losses, n_rows = [], 0
            for indices in trainer.iteration(order, rng):
                share = max(done / trainer.total, spent)
                state, summands = trainer.update(state, rows, indices, done, share)
                losses.append(summands)
                jax.block_until_ready(losses[-2:-1])  # rows are gathered one update ahead
                done, n_rows = done + 1, n_rows + len(indices)
                spent = (time.monotonic() - started) / max_time
                if spent > 1:
                    progress.stopped = "max_time"
                    break
            progress.tolerated = max(1.0, _SCATTER * trainer.scatter())
            progress.loss_curve.append(float(np.sum(losses) / len(losses) - rows.log_det))
            if held_out is not None:
                progress.validation_scores.append(trainer.score(state.average, held_out))
            _report(bar, progress, n_rows)
            go_on = (
                progress.judge(state.average, options.tol, options.n_iter_no_change)
                and progress.stopped != "max_time"
            )
            if after_iteration is not None and after_iteration(progress) and go_on:
                progress.stopped, go_on = "callback", False
            if progress.astray:  # at the end as well: a warm start carries on from here
                state = trainer.go_back(progress.best, done)
            if not go_on:
                break
        if held_out is not None:
            gain, error = trainer.gain(progress.best, start, held_out)
            if gain <= options.min_gain * error:
                progress.pending = gain > 0 and np.array_equal(progress.best, state.average)
                progress.best, progress.best_iter = start, 0
                progress.best_score = trainer.score(start, held_out)
    return state, progress
