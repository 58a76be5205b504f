"""Seconds and memory of fit by rows and columns, each in a fresh process.

The child, ``python scaling_fits.py ROWS.npy RUNS``, fits the rows of a file again and again.
"""

from __future__ import annotations

import json
import statistics
import sys

import numpy as np

from power_laws import slope_record, slope_table
from rbig_speed import made_up_rows, resident_mib
from result_tables import column, table
from scaling_scores import in_fresh_process
from worker import peak_mib, timed

ROWS = (1_000, 10_000, 100_000, 1_000_000)
COLUMNS = (2, 10, 50, 200)
BASE = {"rows": 10_000, "columns": 10}
#: What is asked of the slopes of the seconds.
ASKED = {"rows": 1.05, "columns": 2.0}
MODEL = 'GlowGaussianizer, head="spline"'
FITTED = {"head": "spline", "max_iter": 1, "random_state": 0}


def records(args):
    """Yield a record for every point of both axes."""
    axes = {"rows": ROWS[:2], "columns": COLUMNS[:2]} if args.quick else {}
    for axis, values in {"rows": ROWS, "columns": COLUMNS, **axes}.items():
        for value in values:
            shape = {**BASE, axis: value}
            X = made_up_rows(shape["rows"], shape["columns"])
            yield {"axis": axis, **shape, **in_fresh_process(__file__, X, args.runs)}


def measure(rows_path: str, runs: int) -> dict:
    """In the child: memory above the imports, and the seconds of the first fit and of others."""
    from skgauss import GlowGaussianizer

    fitted = GlowGaussianizer(**FITTED)
    before = resident_mib()
    X = np.load(rows_path)
    _, first_seconds = timed(fitted.fit, X)
    peak, held = peak_mib() - before, X.nbytes / 2**20
    return {
        "first_seconds": first_seconds,
        "seconds": statistics.median(timed(fitted.fit, X)[1] for _ in range(runs)),
        "peak_mib": peak,
        "held_mib": held,
        "working_mib": peak - held,
        "working_bytes_per_value": (peak - held) * 2**20 / X.size,
        "parameters": int(fitted.n_parameters_),
        "finite": "yes" if np.isfinite(fitted.score_samples(X[:1000])).all() else "no",
        "runs": runs,
    }


def tables(found: list[dict]) -> list[dict]:
    """A table per axis, and the slopes."""
    columns = [
        column("rows", "rows", ",d"),
        column("columns", "columns", "d"),
        column("first_seconds", "first fit, s", ".2f"),
        column("seconds", "another, s", ".3g"),
        column("peak_mib", "peak, MiB", ",.0f"),
        column("held_mib", "of it rows, MiB", ",.0f"),
        column("working_mib", "the rest, MiB", ",.0f"),
        column("working_bytes_per_value", "the rest, bytes per value", ",.0f"),
        column("parameters", "parameters", ",d"),
        column("finite", "scores finite"),
        column("runs", "runs", "d"),
    ]
    caption = (
        'GlowGaussianizer(head="spline", max_iter=1) by the number of {axis}: one iteration, which '
        "passes over few rows more than once, in fresh processes; the first fit pays for "
        "compilation, others are medians of the runs. The peak is above what the imports hold. "
        "Depth, width and batch follow the number of rows, as they do by default."
    )
    told, slopes = [], []
    for axis, asked in ASKED.items():
        points = [{**r, "model": MODEL} for r in found if r["axis"] == axis]
        if not points:
            continue
        told.append(table(caption.format(axis=axis), columns, points))
        for key, what, most in (
            ("seconds", "another fit, s", asked),
            ("working_mib", "peak less rows, MiB", None),
        ):
            slopes.append(slope_record(points, axis, key, model=MODEL, what=what, asked=most))
    return [*told, slope_table("How a fit grows.", slopes)]


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
