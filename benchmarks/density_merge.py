"""One result file of ``density.py`` from several, such as two that ran beside each other.

``python benchmarks/density_merge.py OUT.json FILE.json ...``: a record of a later file takes the
place of an earlier one of the same model, budget and rows, unless it failed. Paired differences are
taken anew where the folders with the log-densities are at hand, which are brought together as well.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from density import add_paired_differences, key, place, scores_path, stored_scores
from report import markdown
from worker import MODELS


def merged(files: list[Path], scores_folder: Path) -> dict:
    """The results of all files; the log-densities are copied to the folder."""
    records: dict = {}
    everything = [json.loads(path.read_text(encoding="utf-8")) for path in files]
    for path, results in zip(files, everything, strict=True):
        for record in results["records"]:
            told = place(record), key(record)
            if "error" in record and told in records:
                continue
            records[told] = record
            scores = scores_path(path.with_suffix(".scores"), record)
            if scores.exists() and scores.parent != scores_folder:
                shutil.copy(scores, scores_folder)
    told = [p for r in everything for p in (r["provenance"], *r.get("resumed", ()))]
    first, *others = origins(told)
    return {
        **everything[0],
        "budgets": sorted({budget for results in everything for budget in results["budgets"]}),
        "provenance": first,
        "resumed": others,
        "records": in_order(records.values()),
    }


def origins(provenances: list[dict]) -> list[dict]:
    """The first of those that tell of the same revision, machine and versions."""
    found: dict = {}
    for told in provenances:
        parts = (told[part] for part in ("git_revision", "machine", "versions"))
        found.setdefault(json.dumps(list(parts), sort_keys=True), told)
    return list(found.values())


def in_order(records) -> list[dict]:
    """By set as they came, then budget, model and seed, so that a table can be read."""
    sets, models = list(dict.fromkeys(record["set"] for record in records)), list(MODELS)

    def rank(record):
        shape = sets.index(record["set"]), record.get("rows") or 0, record["budget"] or 0
        return *shape, models.index(record["model"]), record["seed"]

    return sorted(records, key=rank)


def main() -> None:
    """Merge, keep, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("files", type=Path, nargs="+")
    args = parser.parse_args()
    folder = args.out.with_suffix(".scores")
    folder.mkdir(parents=True, exist_ok=True)
    results = merged(args.files, folder)
    for where in dict.fromkeys(map(place, results["records"])):
        same = [record for record in results["records"] if place(record) == where]
        scores = {key(record): stored_scores(folder, record) for record in same}
        add_paired_differences(same, scores, results["ours"])
    args.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(markdown(results))


if __name__ == "__main__":
    main()
