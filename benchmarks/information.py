"""Information measures beside their truths, and scalar ones beside scikit-learn's KSG as well.

``python benchmarks/information.py`` draws every table of ``tests/truths.py``, once per seed,
measures it with the defaults, and writes ``results/information.json`` after every table. The table
is printed at the end.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.feature_selection import mutual_info_regression

from datasets import ROOT
from provenance import describe

sys.path.insert(0, str(ROOT))

from skgauss import information
from tests.truths import CASES, Case

RESULTS = Path(__file__).resolve().parent / "results" / "information.json"
SMALL = 1_000  # rows of a second run of the scalar cases
MIN_TOLERANCE, RELATIVE_TOLERANCE = 0.02, 0.02  # nats, and of the truth, whichever is larger
WIDE, FEWER = 10, 3  # tables of so many columns are drawn fewer times
SIDE_BY_SIDE = "mutual_information"


def arguments() -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", default=[""], help="parts of the names of cases")
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, default=5, help="tables drawn of each case")
    parser.add_argument("--out", type=Path, default=RESULTS)
    return parser.parse_args()


def drawn(case: Case, n_rows: int, seed: int) -> tuple:
    """Arguments of the measure."""
    return case.draw(np.random.default_rng(seed), n_rows)


def is_scalar(case: Case) -> bool:
    """Whether KSG takes part."""
    return case.measure == SIDE_BY_SIDE and all(a.size == 2 for a in drawn(case, 2, 0))


def measured(case: Case, n_rows: int, n_seeds: int) -> dict:
    """Mean over seeds of the estimate, its error and its own standard error; what KSG says."""
    function = getattr(information, case.measure)
    values, errors, ksg, seconds = [], [], [], []
    for seed in range(n_seeds):
        tables = drawn(case, n_rows, seed)
        start = time.perf_counter()
        value, error = function(*tables, random_state=seed, return_std=True, **case.options)
        seconds.append(time.perf_counter() - start)
        values.append(value)
        errors.append(error)
        if is_scalar(case):
            x, y = (np.ravel(table) for table in tables)
            ksg.append(mutual_info_regression(x[:, None], y, random_state=seed)[0])
    off = np.array(values) - case.truth
    tolerance = max(MIN_TOLERANCE, RELATIVE_TOLERANCE * abs(case.truth))
    record = {
        "truth": case.truth,
        "estimate": float(np.mean(values)),
        "error": float(off.mean()),
        "standard_error": float(np.mean(errors)),
        "scatter_over_seeds": float(np.std(values, ddof=1)) if n_seeds > 1 else 0.0,
        "worst_error": float(off[np.argmax(abs(off))]),
        "tolerance": tolerance,
        "within": bool(abs(off.mean()) <= tolerance),
    }
    if ksg:
        record["KSG_estimate"] = float(np.mean(ksg))
        record["KSG_error"] = float(np.mean(ksg) - case.truth)
        record["nearer"] = "KSG" if abs(record["KSG_error"]) < abs(record["error"]) else "skgauss"
    return {**record, "median_seconds": float(np.median(seconds))}


def runs(args: argparse.Namespace):
    """Name, case and number of rows of everything to be measured."""
    for name, case in CASES.items():
        if not any(part in f"{case.measure}: {name}" for part in args.cases):
            continue
        yield name, case, args.rows
        if is_scalar(case):
            yield name, case, SMALL


def main() -> None:
    """Run, keep, print."""
    args = arguments()
    warnings.simplefilter("error")
    results: dict = {"provenance": describe(), "records": []}
    for name, case, n_rows in runs(args):
        wide = sum(a.size for a in drawn(case, 1, 0)) >= WIDE
        n_seeds = min(args.seeds, FEWER) if wide else args.seeds
        record = measured(case, n_rows, n_seeds)
        told = {"measure": case.measure, "table": name, "rows": n_rows, "seeds": n_seeds}
        record = {**told, **record}
        results["records"].append(record)
        args.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        told = "truth {truth:.4f} error {error:+.4f} ± {standard_error:.4f}".format(**record)
        if "KSG_error" in record:
            told += f" KSG {record['KSG_error']:+.4f}"
        if not record["within"]:
            told += " OUTSIDE"
        print(
            f"{case.measure}: {name}, {n_rows:,} rows: {told}, {record['median_seconds']:.1f} s",
            flush=True,
        )
    print(f"Written to {args.out}", file=sys.stderr)


if __name__ == "__main__":
    main()
