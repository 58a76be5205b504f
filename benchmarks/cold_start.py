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
from provenance import cold_environment, describe

HERE = Path(__file__).resolve().parent
COLUMNS = ("process_seconds", "import_seconds", "fit_seconds")


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


def table(records: list[dict]) -> str:
    """Medians per model, and each peer's as a multiple of the first model's."""
    groups: dict = {}
    for record in records:
        groups.setdefault(record["model"], []).append(record)
    medians = {
        model: [statistics.median(r[column] for r in group) for column in COLUMNS]
        for model, group in groups.items()
    }
    reference = next(iter(medians.values()))
    lines = [
        "| model | process s | import s | fit s | passes | process, ratio to the first |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for model, (process, imported, fit) in medians.items():
        passes = groups[model][-1]["passes"]
        ratio = process / reference[0]
        lines.append(
            f"| {model} | {process:.2f} | {imported:.2f} | {fit:.2f} | {passes} | {ratio:.2f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Run, keep, print."""
    args = arguments()
    raw = load_iris().data
    rows = ((raw - raw.mean(axis=0)) / raw.std(axis=0)).astype(np.float32)
    provenance = describe()
    with tempfile.TemporaryDirectory() as scratch:
        rows_path = Path(scratch) / "rows.npy"
        np.save(rows_path, rows)
        records = run_all(args, rows_path)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    told = json.dumps({"provenance": provenance, "records": records}, indent=1)
    args.out.write_text(told + "\n", encoding="utf-8")
    print(table(records))
    versions = ", ".join(f"{k} {v}" for k, v in provenance["versions"].items())
    print(f"\nMedians of {args.runs} alternating fresh processes; {versions}.")


if __name__ == "__main__":
    main()
