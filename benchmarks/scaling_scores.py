"""Seconds and memory of score_samples by rows and columns, each in a fresh process.

The models are fitted to few rows and kept in files; a child process,
``python scaling_scores.py MODEL.pkl ROWS.npy RUNS``, loads one and scores.
"""

from __future__ import annotations

import json
import pickle
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from power_laws import slope_record, slope_table
from provenance import cold_environment
from rbig_speed import made_up_rows, resident_mib
from result_tables import column, table
from worker import peak_mib, timed

MODELS = {
    "glow_spline": 'GlowGaussianizer, head="spline"',
    "glow": "GlowGaussianizer",
    "rbig": "RBIGTransformer, 20 layers",
}
N_FITTED = 20_000
MIN_TIMED = 50_000  # rows: fewer are scored again and again, to be timed
ROWS = (1_000, 10_000, 100_000, 1_000_000)
COLUMNS = (2, 5, 10, 20, 50, 100, 200)
MAX_COLUMNS = {"glow": 50}  # beyond, a mixture takes many minutes to fit
BASE = {"rows": 10_000, "columns": 10}
ASKED = {"rows": 1.05, "columns": 2.0}


def records(args):
    """Yield a record for every model and point of every axis; a model is fitted once per width."""
    n_fitted = 1_000 if args.quick else N_FITTED
    widths = (2, 10) if args.quick else COLUMNS
    with tempfile.TemporaryDirectory() as scratch:
        for model in MODELS:
            for n_columns in (w for w in widths if w <= MAX_COLUMNS.get(model, w)):
                path = Path(scratch, "model.pkl")
                told = keep_fitted(model, n_columns, n_fitted, path)
                axes = {"columns": (BASE["rows"],)}
                if n_columns == BASE["columns"]:
                    axes["rows"] = ROWS[:2] if args.quick else ROWS
                for axis, numbers in axes.items():
                    for n_rows in numbers:
                        shape = {"axis": axis, "rows": n_rows, "columns": n_columns}
                        found = scored(path, n_rows, n_columns, args.runs)
                        yield {"model": model, **shape, **told, **found}


def keep_fitted(model: str, n_columns: int, n_rows: int, path: Path) -> dict:
    """Fit a model and write it to a file; says how many components its head has."""
    from skgauss import GlowGaussianizer, RBIGTransformer

    estimators = {
        "glow_spline": GlowGaussianizer(head="spline", max_iter=1, random_state=0),
        "glow": GlowGaussianizer(max_iter=1, random_state=0),
        "rbig": RBIGTransformer(max_layers=20, stopping=None, random_state=0),
    }
    fitted, seconds = timed(estimators[model].fit, made_up_rows(n_rows, n_columns))
    path.write_bytes(pickle.dumps(fitted))
    return {"fit_seconds": seconds, "components": n_components(fitted)}


def n_components(fitted) -> int | None:
    """Components of the mixture in the head of a Glow, None where there is no mixture."""
    from skgauss.bijections import FixedMixture

    flow = getattr(fitted, "flow_", None)
    layers = flow.bijections[0].bijections if flow is not None else ()
    mixtures = [layer for layer in layers if isinstance(layer, FixedMixture)]
    return int(np.size(mixtures[0].map.weights)) if mixtures else None


def scored(model_path: Path, n_rows: int, n_columns: int, runs: int) -> dict:
    """What a fresh process says of scoring so many new rows."""
    rows = made_up_rows(n_rows, n_columns, seed=1)
    return in_fresh_process(__file__, rows, runs, str(model_path))


def in_fresh_process(script: str, rows: np.ndarray, runs: int, *first: str) -> dict:
    """What ``python SCRIPT [FIRST ...] ROWS.npy RUNS`` prints on its last line."""
    with tempfile.TemporaryDirectory() as scratch:
        rows_path = Path(scratch, "rows.npy")
        np.save(rows_path, rows)
        command = [sys.executable, script, *first, str(rows_path), str(runs)]
        child = subprocess.run(
            command, stdout=subprocess.PIPE, text=True, check=True, env=cold_environment()
        )
    return json.loads(child.stdout.splitlines()[-1])


def measure(model_path: str, rows_path: str, runs: int) -> dict:
    """In the child: memory above the imports, of a first block and of all rows; median seconds."""
    fitted = pickle.loads(Path(model_path).read_bytes())  # imports what it needs
    before = resident_mib()
    X = np.load(rows_path)
    _, first_seconds = timed(fitted.score_samples, X[:1])  # a block is filled up, and compiled
    block_mib = peak_mib() - before
    seconds, repeats = [], -(-MIN_TIMED // len(X))
    for _ in range(runs):
        start = time.perf_counter()
        for _ in range(repeats):
            scores = fitted.score_samples(X)
        seconds.append((time.perf_counter() - start) / repeats)
    peak, held = peak_mib() - before, (X.nbytes + scores.nbytes) / 2**20
    return {
        "seconds": statistics.median(seconds),
        "rows_per_second": len(X) / statistics.median(seconds),
        "first_seconds": first_seconds,
        "peak_mib": peak,
        "held_mib": held,
        "block_mib": block_mib - X.nbytes / 2**20,
        "working_mib": peak - held,
        "finite": "yes" if np.isfinite(scores).all() else "no",
        "runs": runs,
    }


def tables(found: list[dict]) -> list[dict]:
    """A table per axis, and the slopes."""
    columns = [
        column("model", "model"),
        column("components", "components", ",d"),
        column("rows", "rows", ",d"),
        column("columns", "columns", "d"),
        column("seconds", "score all, s", ".3g"),
        column("rows_per_second", "rows/s", ",.0f"),
        column("first_seconds", "first row, s", ".2f"),
        column("peak_mib", "peak, MiB", ",.0f"),
        column("held_mib", "of it rows and scores, MiB", ",.0f"),
        column("working_mib", "the rest, MiB", ",.0f"),
        column("block_mib", "after the first row, MiB", ",.0f"),
        column("finite", "all finite"),
        column("runs", "runs", "d"),
    ]
    caption = (
        "score_samples by the number of {axis}, in fresh processes, medians of the runs; the first "
        "row pays for compilation. The peak is above what the imports and the model hold; less "
        "the rows and their scores, it should not grow with the rows beyond a block: 1,024 rows of "
        "a GlowGaussianizer, to which the first row is filled up, 131,072 values of an "
        "RBIGTransformer. Models are fitted to 20,000 rows; how many components a mixture has, in "
        "the head of a default GlowGaussianizer, is chosen by rows held out: wider tables get "
        "fewer."
    )
    told, slopes = [], []
    for axis in ASKED:
        points = [{**r, "name": r["model"], "model": MODELS[r["model"]]} for r in found]
        points = [p for p in points if p["axis"] == axis]
        if points:
            told.append(table(caption.format(axis=axis), columns, points))
        for name, model in MODELS.items():
            of_model = [p for p in points if p["name"] == name]
            if of_model:
                asked = {"seconds": ASKED[axis], "working_mib": None}
                slopes += [
                    slope_record(of_model, axis, key, model=model, what=what, asked=asked[key])
                    for key, what in (
                        ("seconds", "score all, s"),
                        ("working_mib", "peak less rows and scores, MiB"),
                    )
                ]
    return [*told, slope_table("How scoring grows.", slopes)]


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
