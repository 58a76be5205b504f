"""How long the first fit takes in a fresh process on iris, beside flowjax: import and compilation.

Both fit the same 150 standardised rows for the same number of passes over them: ours runs as it
likes (or for ``--epochs``), and flowjax is given ``n_iter_ * --passes-per-iter`` epochs. The runs
alternate, the wall time is that of the whole process from its start to its end.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from sklearn.datasets import load_iris

from cold_start_child import MODELS
from provenance import cold_environment
from result_parts import ResultFile, measured_now
from result_tables import column, table

HERE = Path(__file__).resolve().parent
TITLES = {"iris": "First fit of a process"}
SECONDS = ("process_seconds", "import_seconds", "fit_seconds")


def arguments() -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5, help="per model, alternating")
    parser.add_argument("--epochs", type=int, default=0, help="max_iter of ours (0: its default)")
    parser.add_argument(
        "--passes-per-iter", type=int, default=1, help="passes over the rows in one of n_iter_"
    )
    parser.add_argument("--models", nargs="+", default=["skgauss", "flowjax"], choices=MODELS)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "cold_start.json")
    parser.add_argument(
        "--print", action="store_true", help="make the tables anew, measure nothing"
    )
    return parser.parse_args()


def first_fit(model: str, rows_path: Path, epochs: int) -> dict:
    """Seconds of one fresh process: all of it, the imports in it, the fit in it."""
    command = [
        sys.executable,
        str(HERE / "cold_start_child.py"),
        model,
        str(rows_path),
        str(epochs),
    ]
    environment = cold_environment()
    start = time.perf_counter()
    child = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    seconds = time.perf_counter() - start
    return {"model": model, "process_seconds": seconds, **json.loads(child.stdout.splitlines()[-1])}


def run_all(args: argparse.Namespace, rows_path: Path) -> list[dict]:
    """Alternating runs; the peers make the passes that ours was seen to make."""
    passes = args.epochs * args.passes_per_iter
    if "skgauss" in args.models and args.models[0] != "skgauss":
        raise ValueError("--models must name skgauss first: its n_iter_ sets the peers' epochs")
    if "skgauss" not in args.models and not passes:
        raise ValueError("--epochs is needed where skgauss is not among --models")
    records = []
    for run in range(args.runs):
        for model in args.models:
            epochs = args.epochs if model == "skgauss" else passes
            record = first_fit(model, rows_path, epochs)
            if model == "skgauss":
                passes = record["epochs"] * args.passes_per_iter
                record["passes"] = passes
            else:
                record["passes"] = record["epochs"]
            records.append({"run": run, **record})
            print(records[-1], file=sys.stderr, flush=True)
    return records


def tables(part: str, records: list[dict]) -> list[dict]:
    """Medians per model, and each peer's as a multiple of the first model's."""
    groups: dict = {}
    for record in records:
        groups.setdefault(record["model"], []).append(record)
    rows = [
        {
            "model": model,
            **{key: statistics.median(r[key] for r in group) for key in SECONDS},
            "passes": group[-1]["passes"],
            "runs": len(group),
        }
        for model, group in groups.items()
    ]
    for row in rows:
        row["ratio"] = row["process_seconds"] / rows[0]["process_seconds"]
    caption = (
        "The 150 rows of iris, fitted in fresh processes by turns, for the same number of passes "
        "over them; nothing is compiled before. Medians of the runs, in seconds."
    )
    columns = [
        column("model", "model"),
        column("process_seconds", "whole process, s", ".2f"),
        column("ratio", "over ours", ".2f"),
        column("import_seconds", "imports, s", ".2f"),
        column("fit_seconds", "fit, s", ".2f"),
        column("passes", "passes", "d"),
        column("runs", "runs", "d"),
    ]
    return [table(caption, columns, rows)]


def main() -> None:
    """Run, keep, print."""
    args = arguments()
    results = ResultFile(args.out, TITLES)
    if args.print:
        results.retable(tables)
    else:
        raw = load_iris().data
        rows = ((raw - raw.mean(axis=0)) / raw.std(axis=0)).astype(np.float32)
        provenance = measured_now(())
        with tempfile.TemporaryDirectory() as scratch:
            rows_path = Path(scratch) / "rows.npy"
            np.save(rows_path, rows)
            records = run_all(args, rows_path)
        results.keep("iris", provenance, tables("iris", records), records)
    results.show(TITLES)


if __name__ == "__main__":
    main()
