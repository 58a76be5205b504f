"""Held-out likelihood of RBIGTransformer: the benchmark tables, and the whole of POWER."""

from __future__ import annotations

import sys
import tempfile
from argparse import Namespace
from pathlib import Path

from datasets import SETS, Split, power_in_full
from density import run_model, run_set, save_parts, told
from result_tables import column, table

MODEL_OF_HEAD = {"none": "rbig", "mixture": "rbig_mixture", "auto": "rbig_auto"}
LABELS = {
    "gmm": "GaussianMixture, best k to 50",
    "rbig": "head=None",
    "rbig_mixture": 'head="mixture"',
    "rbig_auto": 'head="auto"',
}
_QUICK_ROWS = 2_000


def flat(record: dict) -> dict:
    """A record with its details beside the rest, and a label that a reader knows."""
    details = record.get("details", {})
    told = {key: details.get(key) for key in ("n_layers", "n_components")}
    return {**record, **told, "label": LABELS[record["model"]]}


def options(args) -> dict:
    """Parameters beyond the defaults."""
    return {} if args.max_layers is None else {"max_layers": args.max_layers}


def tables(args):
    """Yield the table of the part, again after every set."""
    records: list[dict] = []
    ours = [MODEL_OF_HEAD[head] for head in args.heads]
    models = ours if args.quick else ["gmm", *ours]
    how = Namespace(models=models, ours=ours[0], timeout=args.timeout, data=args.data)
    beyond = {model: options(args) for model in ours}
    for name in ("magic",) if args.quick else (args.sets or SETS):
        for seed in args.seeds:
            *_, found = run_set(name, seed, how, beyond)
            records += map(flat, found)
            yield [
                table(
                    "Mean log-likelihood of held-out rows in nats, in units of the standardised "
                    "columns, with one standard error over rows. The difference is paired over "
                    f"the same rows: {LABELS[how.ours]} minus the model of the line. Seconds of "
                    "the first fit in a fresh process; of the mixture, for all six k "
                    "(5 to 50) tried.",
                    [
                        column("set", "table"),
                        column("n_train", "rows", ",d"),
                        column("n_features", "columns", "d"),
                        column("label", "model"),
                        column("nats", "held-out nats", ".3f", "nats_error"),
                        column(
                            "ours_minus_peer",
                            f"{LABELS[how.ours]} minus it",
                            "+.3f",
                            "ours_minus_peer_error",
                        ),
                        column("fit_seconds", "fit, s", ".1f"),
                        column("score_rows_per_second", "scored, rows/s", ",.0f"),
                        column("n_layers", "layers", "d"),
                        column("n_components", "components", "d"),
                        column("seed", "seed", "d"),
                        column("error", "failed"),
                    ],
                    records,
                    notes=dict.fromkeys(f"{r['set']}: {r['preparation']}." for r in records),
                )
            ]


def power_tables(args):
    """Yield the table of the part, again after every fit."""
    records: list[dict] = []
    for minute_noise in (False, True):
        split = power_in_full(args.data, minute_noise=minute_noise)
        if args.quick:
            parts = (split.train, split.validation, split.test)
            split = Split(*(part[:_QUICK_ROWS] for part in parts), preparation="")
        with tempfile.TemporaryDirectory() as scratch:
            parts = save_parts(split, Path(scratch))
            for head in args.heads:
                if head == "auto":
                    continue
                model = MODEL_OF_HEAD[head]
                seed, beyond = args.seeds[0], options(args)
                measured, _ = run_model(model, parts, seed, None, args.timeout, beyond)
                found = {"set": "POWER in full", "seed": seed, "model": model}
                found.update(n_train=len(split.train), n_test=len(split.test), **measured)
                found["time"] = "U(0, 1) minute noise" if minute_noise else "as in the papers"
                found["max_layers"] = args.max_layers or "default"
                records.append(flat(found))
                print(told(records[-1]), found["time"], file=sys.stderr, flush=True)
                yield [_power_table(records)]


def _power_table(records):
    return table(
        "Papers' protocol (RandomState(42) shuffle and noise), all training rows; nats of the test "
        "rows in units of the standardised columns, with one standard error over rows. In the "
        "papers' protocol the minute of the day has no noise: a density can grow on its 1,440 "
        "values, and the figures with U(0, 1) minute noise are those to compare.",
        [
            column("time", "minute of the day"),
            column("label", "model"),
            column("max_layers", "max_layers"),
            column("n_train", "rows", ",d"),
            column("nats", "test nats", ".3f", "nats_error"),
            column("fit_seconds", "fit, s", ".1f"),
            column("score_rows_per_second", "scored, rows/s", ",.0f"),
            column("n_layers", "layers", "d"),
            column("peak_mib", "peak MiB", ",.0f"),
            column("error", "failed"),
        ],
        records,
    )
