"""Information measures beside their truths, and scalar ones beside scikit-learn's KSG as well.

``python benchmarks/information.py`` draws every table of ``tests/truths.py``, once per seed,
measures it with the defaults, and keeps what it finds in ``benchmarks/results/information.json``,
instead of what was measured of the same table before. ``--print`` only makes the tables anew.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.feature_selection import mutual_info_regression

from datasets import ROOT
from result_parts import ResultFile, measured_now
from result_tables import column, table

sys.path.insert(0, str(ROOT))

from skgauss import information
from tests.truths import CASES, Case

RESULTS = Path(__file__).resolve().parent / "results" / "information.json"
SMALL = 1_000  # rows of a second run of the scalar cases
MIN_TOLERANCE, RELATIVE_TOLERANCE = 0.02, 0.02  # nats, and of the truth, whichever is larger
WIDE, FEWER = 10, 3  # tables of so many columns are drawn fewer times
SIDE_BY_SIDE = "mutual_information"
MEASURES = {
    "mutual_information": "Mutual information",
    "conditional_mutual_information": "Conditional mutual information",
    "total_correlation": "Total correlation",
    "entropy": "Entropy",
    "negentropy": "Negentropy",
    "kl_divergence": "Kullback-Leibler divergence",
}


def arguments() -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", default=[""], help="parts of the names of cases")
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, default=5, help="tables drawn of each case")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument(
        "--print", action="store_true", help="make the tables anew, measure nothing"
    )
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


def tables(measure: str, records: list[dict]) -> list[dict]:
    """Estimates beside the truth and, of two columns, beside KSG as well."""
    rows = [{**r, "held": "yes" if r["within"] else "no"} for r in records]
    columns = [
        column("table", "table"),
        column("rows", "rows", ",d"),
        column("truth", "truth", ".4f"),
        column("estimate", "estimate", ".4f", "standard_error"),
        column("error", "error", "+.4f"),
        column("worst_error", "worst error", "+.4f"),
    ]
    held, beside = [column("held", "within"), column("seeds", "seeds", "d")], []
    seconds = column("median_seconds", "s", ".1f")
    scalar = [row for row in rows if "KSG_error" in row]
    if scalar:
        nearer = sum(row["nearer"] == "KSG" for row in scalar)
        ksg = [column("KSG_error", "error of KSG", "+.4f"), column("nearer", "nearer")]
        caption = (
            "Single columns, beside scikit-learn's KSG (mutual_info_regression with its "
            f"defaults) on the same rows. KSG is nearer the truth in {nearer} of the "
            f"{len(scalar)} lines."
        )
        beside = [table(caption, [*columns, *ksg, *held, seconds], scalar)]
    others = [row for row in rows if "KSG_error" not in row]
    main = [table(_caption(others), [*columns, *held, seconds], others)] if others else []
    return [*main, *beside]


def _caption(rows):
    within = sum(row["within"] for row in rows)
    return (
        f"In nats, by the defaults: {within} of {len(rows)} lines are within {MIN_TOLERANCE:g} "
        f"nats or {RELATIVE_TOLERANCE:.0%} of the truth, whichever is larger. Means over the "
        "seeds: of the estimate, of the standard error that comes with it, of the error; the "
        "worst error is that of one seed."
    )


def main() -> None:
    """Run, keep, print."""
    args = arguments()
    results = ResultFile(args.out, MEASURES)
    if args.print:
        results.retable(tables)
        results.show(MEASURES)
        return
    warnings.simplefilter("error")
    provenance = measured_now(())
    for name, case, n_rows in runs(args):
        wide = sum(a.size for a in drawn(case, 1, 0)) >= WIDE
        n_seeds = min(args.seeds, FEWER) if wide else args.seeds
        record = {"table": name, "rows": n_rows, "seeds": n_seeds}
        record.update(measured(case, n_rows, n_seeds))
        records = replaced(results.records(case.measure), record)
        results.keep(case.measure, provenance, tables(case.measure, records), records)
        print(f"{case.measure}: {record}", file=sys.stderr, flush=True)
    results.show(MEASURES)


def replaced(records: list[dict], new: dict) -> list[dict]:
    """Records with a new one in the place of that of the same table, or at the end."""
    key = (new["table"], new["rows"])
    if key not in [(r["table"], r["rows"]) for r in records]:
        return [*records, new]
    return [new if (r["table"], r["rows"]) == key else r for r in records]


if __name__ == "__main__":
    main()
