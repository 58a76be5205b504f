"""Seconds per epoch of GlowGaussianizer, warm: two fits that differ in their epochs, subtracted."""

from __future__ import annotations

import math
import statistics
import time

import numpy as np

from power_laws import slope_record, slope_table
from rbig_speed import made_up_rows
from result_tables import column, table
from skgauss import GlowGaussianizer
from skgauss.training import MIN_UPDATES

BATCH = 512
FIXED = {
    "head": "spline",
    "hidden_layer_sizes": (64, 64),
    "n_bins": 8,
    "batch_size": BATCH,
    "learning_rate_init": 5e-3,
    "early_stopping": False,
    "random_state": 0,
}
BASE = {"rows": 10_000, "columns": 10, "steps": 8}
AXES = {
    "rows": (1_000, 10_000, 100_000, 1_000_000),
    "columns": (2, 5, 10, 20, 50, 100, 200),
    "steps": (1, 2, 4, 8, 16),
}
ASKED = {"rows": 1.05, "columns": 2.0}
ROWS_BETWEEN = 200_000  # that the longer fit passes over more, at least


def records(args):
    """Yield a record for every point of every axis."""
    rows_between = 8_000 if args.quick else ROWS_BETWEEN
    base = {**BASE, "rows": 2_000} if args.quick else BASE
    for axis, values in AXES.items():
        for value in (values[0], values[2]) if args.quick and axis != "rows" else values:
            shape = {**base, axis: value}
            if args.quick and shape["rows"] > 10_000:
                continue
            yield {"axis": axis, **shape, **measure(shape, rows_between, args.runs)}


def measure(shape: dict, rows_between: int, runs: int) -> dict:
    """Seconds per epoch of one shape: the median, least and most of the runs."""
    X = made_up_rows(shape["rows"], shape["columns"])
    passes = passes_per_iteration(len(X), BATCH)
    more = math.ceil(rows_between / (passes * len(X)))
    fitted_for(X, shape["steps"], 1)  # compiles
    seconds = []
    for _ in range(runs):
        (_, short), (fitted, long) = (
            fitted_for(X, shape["steps"], n_iter) for n_iter in (1, 1 + more)
        )
        seconds.append((long - short) / (more * passes))
    median = statistics.median(seconds)
    return {
        "epoch_seconds": median,
        "least": min(seconds),
        "most": max(seconds),
        "rows_per_second": len(X) / median,
        "epochs": more * passes,
        "parameters": fitted.n_parameters_,
        "first_loss": fitted.loss_curve_[0],
        "last_loss": fitted.loss_curve_[-1],
        "not_finite": int(np.count_nonzero(~np.isfinite(fitted.score_samples(X[:10_000])))),
        "runs": runs,
    }


def passes_per_iteration(n_rows: int, batch_size: int) -> int:
    """How often an iteration passes over the rows: until it has made MIN_UPDATES updates."""
    return math.ceil(MIN_UPDATES / math.ceil(n_rows / batch_size))


def fitted_for(X: np.ndarray, n_steps: int, n_iter: int) -> tuple:
    """An estimator that made so many iterations, and its seconds."""
    glow = GlowGaussianizer(n_steps=n_steps, max_iter=n_iter, **FIXED)
    start = time.perf_counter()
    glow.fit(X)
    return glow, time.perf_counter() - start


def tables(found: list[dict]) -> list[dict]:
    """A table per axis, and the slopes."""
    by_axis = {axis: [r for r in found if r["axis"] == axis] for axis in AXES}
    by_axis = {axis: points for axis, points in by_axis.items() if points}
    columns = [
        column("rows", "rows", ",d"),
        column("columns", "columns", "d"),
        column("steps", "steps", "d"),
        column("epoch_seconds", "epoch, s", ".3g"),
        column("least", "least", ".3g"),
        column("most", "most", ".3g"),
        column("rows_per_second", "rows/s", ",.0f"),
        column("epochs", "epochs between", ",d"),
        column("parameters", "parameters", ",d"),
        column("first_loss", "first loss, nats", ".2f"),
        column("last_loss", "last loss, nats", ".2f"),
        column("not_finite", "rows without a finite score", "d"),
        column("runs", "runs", "d"),
    ]
    caption = (
        "GlowGaussianizer by its number of {axis}: a fit of one iteration and one of many more, "
        'subtracted, so that compilation and the head cancel out. head="spline", two hidden '
        "layers of 64, 8 bins, batches of 512, nothing held out; medians of the runs. The losses "
        "are those of the longer fit's first and last iteration, the scores those of at most "
        "10,000 of its rows."
    )
    told = [table(caption.format(axis=axis), columns, points) for axis, points in by_axis.items()]
    slopes = [
        slope_record(points, axis, key, what=what, asked=ASKED.get(axis))
        for axis, points in by_axis.items()
        for key, what in (("epoch_seconds", "median, s"), ("least", "least of the runs, s"))
    ]
    return [*told, slope_table("How the time of an epoch grows.", slopes)]
