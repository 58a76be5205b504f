"""From result files to markdown tables: ``python benchmarks/report.py FILE.json ...``."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np

HEADER = (
    "set",
    "model",
    "budget s",
    "held-out nats",
    "ours - peer",
    "ours",
    "fit s",
    "of it, chosen fit",
    "warm fit s",
    "import s",
    "score rows/s",
    "parameters",
    "peak MiB",
)


def mean_and_error(values: np.ndarray) -> tuple[float, float]:
    """Mean over rows and its standard error."""
    values = np.asarray(values, dtype=np.float64)
    return float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values)))


def markdown(results: dict) -> str:
    """The table of a result file, one line per set, model and budget, means over seeds.

    The error beside a mean over seeds is the mean of the seeds' standard errors, not divided by
    the root of their number: splits of one table share rows and are not independent.
    """
    groups: dict = {}
    for record in results["records"]:
        key = rows_of(record), record["model"], record.get("budget")
        groups.setdefault(key, []).append(record)
    lines = [HEADER, ("---",) * len(HEADER)]
    lines += [_line(*key, records) for key, records in groups.items()]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return "\n\n".join([table, _preparations(results), _provenance(results)])


def rows_of(record: dict) -> str:
    """The set of a record, and how many of its training rows, where they were cut."""
    told = f", {record['rows']:,} rows" if "rows" in record else ""
    return record["set"] + told


def budgets(results: dict) -> str:
    """The seconds that were given, as text; older files have one budget for all."""
    return ", ".join(f"{b:g}" for b in results.get("budgets") or [results["budget"]])


def _line(name: str, model: str, budget: float | None, records: list) -> tuple:
    start = (name, model, "" if budget is None else f"{budget:g}")
    failures = [record["error"] for record in records if "error" in record]
    if failures:
        told = f"failed: {failures[0]}".replace("|", "/")
        return (*start, told, *[""] * (len(HEADER) - len(start) - 1))
    details = [record["details"] for record in records]
    return (
        *start,
        _with_error(records, "nats", "nats_error"),
        _with_error(records, "ours_minus_peer", "ours_minus_peer_error"),
        ", ".join(dict.fromkeys(record.get("ours", "") for record in records)),
        _number(records, "fit_seconds", ".1f"),
        _number(details, "chosen_fit_seconds", ".1f"),
        _number(records, "warm_fit_seconds", ".1f"),
        _number(records, "import_seconds", ".1f"),
        _number(records, "score_rows_per_second", ",.0f"),
        _number(details, "n_parameters", ",.0f"),
        _number(records, "peak_mib", ",.0f"),
    )


def _with_error(records: list, key: str, error: str) -> str:
    if any(key not in record for record in records):
        return ""
    return f"{_mean(records, key):.3f} ± {_mean(records, error):.3f}"


def _number(records: list, key: str, form: str) -> str:
    if any(record.get(key) is None for record in records):
        return ""
    return format(_mean(records, key), form)


def _mean(records: list, key: str) -> float:
    return float(np.mean([record[key] for record in records]))


def _preparations(results: dict) -> str:
    said = {record["set"]: record["preparation"] for record in results["records"]}
    return "\n".join(f"- {name}: {preparation}." for name, preparation in said.items())


def _provenance(results: dict) -> str:
    told = results["provenance"]
    machine = told["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in told["versions"].items())
    seeds = sorted({record["seed"] for record in results["records"]})
    return (
        f"{told['date']}, revision {told['git_revision']}, {machine['cpus']} CPUs "
        f"({machine['processor']}){accelerators(results)}, "
        f"budget {budgets(results)} s, seeds {seeds}; {versions}." + continued(results)
    )


def accelerators(results: dict) -> str:
    """Those that were computed on, behind a comma; nothing where all was done by CPUs."""
    platforms = {r.get("details", {}).get("platform") for r in results.get("records", ())}
    if platforms <= {None, "cpu"}:
        return ""
    return "".join(f", {name}" for name in results["provenance"]["machine"]["accelerators"])


def continued(results: dict) -> str:
    """Where a file was gone on with by another revision or on another machine."""
    first = results["provenance"]
    others = [
        f" Continued {told['date']}, revision {told['git_revision']}, "
        f"{told['machine']['cpus']} CPUs ({told['machine']['processor']})."
        for told in results.get("resumed", ())
        if any(told[part] != first[part] for part in ("git_revision", "machine", "versions"))
    ]
    return "".join(dict.fromkeys(others))


if __name__ == "__main__":
    for path in sys.argv[1:]:
        print(markdown(json.loads(Path(path).read_text(encoding="utf-8"))))
