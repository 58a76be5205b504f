"""Held-out nats, seconds and memory of GlowGaussianizer beside its peers.

``python benchmarks/density.py`` prepares each set, fits every model on the same rows, each in a
fresh process, one after the other, and writes a JSON file under ``benchmarks/results/`` after every
fit. Models that stop at a budget are fitted once for each of ``--budgets``; with ``--rows`` all are
fitted to so many rows of each set. The log-density of every test row is kept in a folder beside the
file, so that ``--resume FILE`` pairs new models with those already there, and that
``density_merge.py`` makes one file of several. The table is printed at the end, and again by
``report.py`` from the file.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from datasets import OWN, SETS, WHOLE, default_data_dir, first_rows, load
from provenance import cold_environment, describe, told_when
from report import markdown, mean_and_error
from worker import MODELS, WITHIN_BUDGET

HERE = Path(__file__).resolve().parent
#: Those for hours, for an accelerator, and what another benchmark compares.
LEFT_OUT = ("nflows_rqnsf_c_paper", "skgauss_long", "skgauss_accelerated")
LEFT_OUT += ("flowjax_accelerated", "zuko_nsf_accelerated", "nflows_rqnsf_c_accelerated")
LEFT_OUT += ("rbig", "rbig_mixture", "rbig_auto")
DEFAULT_MODELS = tuple(name for name in MODELS if name not in LEFT_OUT)


def arguments() -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", default=SETS, choices=(*SETS, *WHOLE, *OWN))
    parser.add_argument("--models", nargs="+", default=DEFAULT_MODELS, choices=MODELS)
    parser.add_argument(
        "--ours",
        default="skgauss",
        choices=MODELS,
        help="paired against others; with --resume, as the file has it",
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument(
        "--budgets",
        nargs="+",
        type=float,
        default=[60.0],
        metavar="SECONDS",
        help=f"one fit for each by {', '.join(sorted(WITHIN_BUDGET))}",
    )
    parser.add_argument(
        "--rows",
        nargs="+",
        type=int,
        default=[None],
        help="training rows, the first of each set, and a quarter as many for validation; "
        "whole sets without it",
    )
    parser.add_argument("--timeout", type=float, default=3600.0, help="seconds beyond the budget")
    parser.add_argument("--data", type=Path, default=default_data_dir(), help="the .npz files")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--out", type=Path, default=None, help="result file (default: dated)")
    where.add_argument("--resume", type=Path, default=None, help="go on with this result file")
    return parser.parse_args()


def run_set(
    name: str,
    seed: int,
    args: argparse.Namespace,
    options: dict | None = None,
    *,
    rows: int | None = None,
    done: list[dict] | None = None,
    scores_folder: Path | None = None,
) -> Iterator[list[dict]]:
    """Every model on one split, after each of them the records so far.

    The records carry paired differences to `args.ours`. `options` maps models to parameters beyond
    their defaults; what is in `done` is not run again, and its test scores are read from
    `scores_folder`, where those of the new records are left. Of the training rows the first `rows`
    are used, if that is given and there are as many.
    """
    records = [r for r in done or () if place(r) == (name, seed, rows)]
    planned = [(model, budget) for model in args.models for budget in budgets_of(model, args)]
    missing = [pair for pair in planned if pair not in {key(record) for record in records}]
    if not missing:
        return
    split = load(name, seed=seed, data_dir=args.data)
    if rows is not None:
        if rows > len(split.train):
            print(f"{name} has {len(split.train)} training rows, not {rows}", file=sys.stderr)
            return
        split = first_rows(split, rows)
    if any(record["data_sha256"] != split.sha256 for record in records):
        raise SystemExit(f"{name}, seed {seed}: the stored records are of other rows than these")
    shared = {
        "set": name,
        "seed": seed,
        "n_train": len(split.train),
        "n_validation": len(split.validation),
        "n_test": len(split.test),
        "n_features": split.train.shape[1],
        "preparation": split.preparation,
        "data_sha256": split.sha256,
        **({} if rows is None else {"rows": rows}),
    }
    with tempfile.TemporaryDirectory() as scratch:
        folder = scores_folder or Path(scratch)
        scores = {key(record): stored_scores(folder, record) for record in records}
        parts = save_parts(split, Path(scratch))
        for model, budget in missing:
            beyond = (options or {}).get(model)
            limit = args.timeout + (budget or 0)
            measured, found = run_model(model, parts, seed, budget, limit, beyond)
            records.append({**shared, "model": model, "budget": budget, **measured})
            records[-1]["measured"] = told_when()
            scores[model, budget] = found
            if found is not None:
                np.save(scores_path(folder, records[-1]), found)
            print(told(records[-1]), file=sys.stderr, flush=True)
            add_paired_differences(records, scores, args.ours)
            yield records


def budgets_of(model: str, args) -> list:
    """The budgets that a model is fitted with; None for one that stops where it likes."""
    return args.budgets if model in WITHIN_BUDGET else [None]


def place(record: dict) -> tuple:
    """Which rows a record is of."""
    return record["set"], record["seed"], record.get("rows")


def key(record: dict) -> tuple:
    """What tells the records of one split apart."""
    return record["model"], record["budget"]


def scores_path(folder: Path, record: dict) -> Path:
    """Where the log-densities of the test rows are."""
    told = [record["set"], f"seed{record['seed']}", record["model"]]
    if record["budget"] is not None:
        told.append(f"{record['budget']:g}s")
    if "rows" in record:
        told.append(f"{record['rows']}rows")
    return folder / ("-".join(told) + ".npy")


def stored_scores(folder: Path, record: dict) -> np.ndarray | None:
    """The log-densities of an earlier record, None where they are not at hand."""
    path = scores_path(folder, record)
    if "error" in record or not path.exists():
        return None
    return np.load(path)


def save_parts(split, folder: Path) -> Path:
    """Write the three parts where a worker reads them."""
    parts = folder / "split.npz"
    np.savez(parts, train=split.train, validation=split.validation, test=split.test)
    return parts


def run_model(
    model: str,
    parts: Path,
    seed: int,
    budget: float | None,
    timeout: float,
    options: dict | None = None,
) -> tuple[dict, np.ndarray | None]:
    """One model in a fresh process; an ``error`` entry in place of figures where it fails."""
    scores_file = parts.with_name(f"{model}.npy")
    command = [sys.executable, str(HERE / "worker.py"), model, str(parts), str(scores_file)]
    command += [str(seed), str(budget or 0.0), json.dumps(options or {})]
    try:
        child = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            env=cold_environment(),
            timeout=timeout,
        )
    except subprocess.TimeoutExpired:
        return {"error": f"no result after {timeout:g} s"}, None
    if child.returncode:
        print(child.stderr, file=sys.stderr)
        last = (child.stderr.strip().splitlines() or [""])[-1]
        return {"error": last or f"exit status {child.returncode}"}, None
    measured = json.loads(child.stdout.splitlines()[-1])
    scores = np.load(scores_file)
    n_not_finite = int(np.count_nonzero(~np.isfinite(scores)))
    if n_not_finite:
        said = f"{n_not_finite} of {len(scores)} log-densities are not finite"
        return {"error": said, "n_not_finite": n_not_finite, **measured}, None
    nats, error = mean_and_error(scores)
    return {"nats": nats, "nats_error": error, "n_not_finite": 0, **measured}, scores


def add_paired_differences(records: list[dict], scores: dict, ours: str) -> None:
    """Mean over test rows of ours minus the peer's log-density, with its standard error.

    Ours is ``{ours}_budget`` of the peer's own budget where that was run, else `ours`; the name is
    kept beside the figures. A difference stays as it is where scores are not at hand.
    """
    for record in records:
        peer, budget = scores[key(record)], record["budget"]
        mine = next(
            (pair for pair in ((f"{ours}_budget", budget), (ours, None)) if _at_hand(scores, pair)),
            None,
        )
        if peer is None or mine is None or record["model"] in (ours, f"{ours}_budget"):
            continue
        mean, error = mean_and_error(scores[mine] - peer)
        record.update(ours=mine[0], ours_minus_peer=mean, ours_minus_peer_error=error)


def _at_hand(scores: dict, pair: tuple) -> bool:
    return scores.get(pair) is not None


def told(record: dict) -> str:
    """One line of progress."""
    budget = "" if record.get("budget") is None else f" {record['budget']:g} s"
    rows = f" {record['rows']} rows" if "rows" in record else ""
    start = f"{record['set']}{rows} seed {record['seed']} {record['model']}{budget}:"
    if "error" in record:
        return f"{start} failed: {record['error']}"
    return f"{start} {record['nats']:.3f} nats, fit {record['fit_seconds']:.1f} s"


def begun(args) -> tuple[dict, Path]:
    """Results without a record, or those to go on with, and the file that they belong in."""
    if args.resume is None:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        out = args.out or HERE / "results" / f"density-{stamp}.json"
        results = {"provenance": describe(), "budgets": args.budgets, "ours": args.ours}
        return {**results, "records": []}, out
    results = json.loads(args.resume.read_text(encoding="utf-8"))
    if "budget" in results:  # written before a file could hold several
        results = {"budgets": [results.pop("budget")], **results}
    for record in results["records"]:
        implied = results["budgets"][0] if record["model"] in WITHIN_BUDGET else None
        record.setdefault("budget", implied)
    results["budgets"] = sorted({*results["budgets"], *args.budgets})
    results.setdefault("resumed", []).append(describe())
    return results, args.resume


def main() -> None:
    """Run, keep, print."""
    args = arguments()
    results, out = begun(args)
    args.ours = results["ours"]
    scores_folder = out.with_suffix(".scores")
    scores_folder.mkdir(parents=True, exist_ok=True)
    for name, rows, seed in itertools.product(args.sets, args.rows, args.seeds):
        done = results["records"]
        others = [r for r in done if place(r) != (name, seed, rows)]
        run = run_set(name, seed, args, rows=rows, done=done, scores_folder=scores_folder)
        for records in run:
            results["records"] = [*others, *records]
            out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(markdown(results))
    print(f"\nWritten to {out}", file=sys.stderr)


if __name__ == "__main__":
    main()
