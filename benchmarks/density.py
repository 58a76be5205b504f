"""Held-out nats, seconds and memory of the default GlowGaussianizer beside its peers.

``python benchmarks/density.py`` prepares each set, fits every model on the same rows, each in a
fresh process, one after the other, and writes a JSON file under ``benchmarks/results/`` after every
fit. The table is printed at the end, and again by ``report.py`` from the file.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from datasets import SETS, default_data_dir, load
from provenance import cold_environment, describe
from report import markdown, mean_and_error
from worker import MODELS

HERE = Path(__file__).resolve().parent
DEFAULT_MODELS = ("gaussian", "gmm", "flowjax", "flowjax_tuned", "skgauss")


def arguments() -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", default=SETS, choices=SETS)
    parser.add_argument("--models", nargs="+", default=DEFAULT_MODELS, choices=MODELS)
    parser.add_argument("--ours", default="skgauss", choices=MODELS, help="paired against others")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--budget", type=float, default=60.0, help="seconds for the flow peers")
    parser.add_argument("--timeout", type=float, default=3600.0, help="seconds before giving up")
    parser.add_argument("--data", type=Path, default=default_data_dir(), help="the .npz files")
    parser.add_argument("--out", type=Path, default=None, help="result file (default: dated)")
    return parser.parse_args()


def run_set(
    name: str, seed: int, args: argparse.Namespace, options: dict | None = None
) -> list[dict]:
    """Every model on one split; the records carry paired differences to ``args.ours``.

    `options` maps models to parameters beyond their defaults.
    """
    options = options or {}
    split = load(name, seed=seed, data_dir=args.data)
    shared = {
        "set": name,
        "seed": seed,
        "n_train": len(split.train),
        "n_validation": len(split.validation),
        "n_test": len(split.test),
        "n_features": split.train.shape[1],
        "preparation": split.preparation,
        "data_sha256": split.sha256,
    }
    records, scores = [], {}
    with tempfile.TemporaryDirectory() as scratch:
        parts = save_parts(split, Path(scratch))
        for model in args.models:
            measured, scores[model] = run_model(model, parts, seed, args, options.get(model))
            records.append({**shared, "model": model, **measured})
            print(told(records[-1]), file=sys.stderr, flush=True)
    add_paired_differences(records, scores, args.ours)
    return records


def save_parts(split, folder: Path) -> Path:
    """Write the three parts where a worker reads them."""
    parts = folder / "split.npz"
    np.savez(parts, train=split.train, validation=split.validation, test=split.test)
    return parts


def run_model(
    model: str, parts: Path, seed: int, args, options: dict | None = None
) -> tuple[dict, np.ndarray | None]:
    """One model in a fresh process; an ``error`` entry in place of figures where it fails."""
    scores_path = parts.with_name(f"{model}.npy")
    command = [sys.executable, str(HERE / "worker.py"), model, str(parts), str(scores_path)]
    command += [str(seed), str(args.budget), json.dumps(options or {})]
    try:
        child = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            env=cold_environment(),
            timeout=args.timeout,
        )
    except subprocess.TimeoutExpired:
        return {"error": f"no result after {args.timeout:g} s"}, None
    if child.returncode:
        print(child.stderr, file=sys.stderr)
        last = (child.stderr.strip().splitlines() or [""])[-1]
        return {"error": last or f"exit status {child.returncode}"}, None
    measured = json.loads(child.stdout.splitlines()[-1])
    scores = np.load(scores_path)
    nats, error = mean_and_error(scores)
    n_not_finite = int(np.count_nonzero(~np.isfinite(scores)))
    return {"nats": nats, "nats_error": error, "n_not_finite": n_not_finite, **measured}, scores


def add_paired_differences(records: list[dict], scores: dict, ours: str) -> None:
    """Mean over test rows of ours minus the peer's log-density, with its standard error."""
    if scores.get(ours) is None:
        return
    for record in records:
        peer = scores[record["model"]]
        if peer is not None and record["model"] != ours:
            mean, error = mean_and_error(scores[ours] - peer)
            record.update(ours_minus_peer=mean, ours_minus_peer_error=error)


def told(record: dict) -> str:
    """One line of progress."""
    start = f"{record['set']} seed {record['seed']} {record['model']}:"
    if "error" in record:
        return f"{start} failed: {record['error']}"
    return f"{start} {record['nats']:.3f} nats, fit {record['fit_seconds']:.1f} s"


def main() -> None:
    """Run, keep, print."""
    args = arguments()
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    out = args.out or HERE / "results" / f"density-{stamp}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    results = {
        "provenance": describe(),
        "budget": args.budget,
        "ours": args.ours,
        "records": [],
    }
    for name in args.sets:
        for seed in args.seeds:
            results["records"] += run_set(name, seed, args)
            out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(markdown(results))
    print(f"\nWritten to {out}", file=sys.stderr)


if __name__ == "__main__":
    main()
