"""Rows per second in training and scoring of our Glow beside flowjax and nflows, by turns.

All three have the same number of coupling transforms, hidden layers, bins and batch, and see the
same standardised rows in one process.
"""

from __future__ import annotations

import importlib
import statistics
import sys

from provenance import cpu_count
from rbig_speed import made_up_rows
from result_tables import column, table

#: name -> (what it is called, module, class); the module is imported when its turn comes.
MODELS = {
    "skgauss": ("GlowGaussianizer", "scaling_flows", "Ours"),
    "flowjax": ("flowjax coupling_flow", "scaling_flowjax", "Flowjax"),
    "nflows": ("nflows RQ-NSF (C)", "scaling_nflows", "Nflows"),
}
SETTINGS = (
    {"columns": 10, "batch": 512},
    {"columns": 10, "batch": 4096},
    {"columns": 50, "batch": 512},
)
BATCHES = 40  # of an epoch
SCORED = 65_536


def records(args):
    """Yield a record for every setting and model; one that is not installed says so."""
    for setting in SETTINGS[:1] if args.quick else SETTINGS:
        yield from side_by_side(setting, args.runs, 4 if args.quick else 1)


def side_by_side(setting: dict, runs: int, cut: int):
    """Measure the models in turn, several times; the ratios are medians of those within a run."""
    n_rows = setting["batch"] * BATCHES // cut
    X = made_up_rows(n_rows + SCORED // cut, setting["columns"])
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    models, missing = {}, {}
    for name, (_, module, cls) in MODELS.items():
        try:
            build = getattr(importlib.import_module(module), cls)
        except ModuleNotFoundError as error:
            missing[name] = f"not measured: {error.name} is not installed"
            print(f"{name} {missing[name]}", file=sys.stderr)
            continue
        models[name] = build(X[:n_rows], setting["batch"])
        models[name].score(X[n_rows:])  # compiles
    rates = {name: {"train": [], "score": []} for name in models}
    for _ in range(runs):
        for name, model in models.items():
            rates[name]["train"].append(model.train())
            rates[name]["score"].append(model.score(X[n_rows:]))
    for name in MODELS:
        told = {"model": name, **setting, "cpus": cpu_count(), "runs": runs}
        if name in missing:
            yield {**told, "note": missing[name]}
        else:
            threads = {"threads": getattr(models[name], "threads", None)}
            parameters = {"parameters": models[name].n_parameters}
            yield {**told, **threads, **parameters, **medians(rates[name], rates["skgauss"])}


def medians(rates: dict, ours: dict) -> dict:
    """Rows per second, and ours as a multiple of them."""
    told: dict = {}
    for what, values in rates.items():
        ratios = [a / b for a, b in zip(ours[what], values, strict=True)]
        told[f"{what}_rows_per_second"] = statistics.median(values)
        told[f"{what}_ratio"] = statistics.median(ratios)
        told[f"{what}_rates"] = values
    return told


def tables(found: list[dict]) -> list[dict]:
    """All settings in one table."""
    rows = [{**record, "model": MODELS[record["model"]][0]} for record in found]
    notes = {f"{row['model']} {row['note']}." for row in rows if "note" in row}
    return [
        table(
            "Eight coupling transforms, each with two hidden layers of 64 and 8 bins; the same "
            "standardised rows, the same batch, float32 in training; models by turns in one "
            "process, medians of the runs, ours over it within each run. Ours is what a further "
            "epoch of fit takes, with its head, moving average and invertible 1x1 convolutions; "
            "flowjax is the jitted step of its fit_to_data, with permutations between the "
            "couplings; nflows a plain torch loop, with an LU-parameterised linear map and a "
            "permutation between them, as in its paper, on one thread or on all CPUs, whichever is "
            "faster. Ours scores in float64 on all CPUs (n_jobs=-1), the peers in "
            "float32 and blocks of 8,192 rows.",
            [
                column("model", "model"),
                column("columns", "columns", "d"),
                column("batch", "batch", ",d"),
                column("parameters", "parameters", ",d"),
                column("train_rows_per_second", "trained, rows/s", ",.0f"),
                column("train_ratio", "ours over it", ".2f"),
                column("score_rows_per_second", "scored, rows/s", ",.0f"),
                column("score_ratio", "ours over it, scored", ".2f"),
                column("threads", "torch threads", "d"),
                column("cpus", "CPUs", "d"),
                column("runs", "runs", "d"),
            ],
            rows,
            tuple(sorted(notes)),
        )
    ]
