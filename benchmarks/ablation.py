"""What each default of GlowGaussianizer is worth: ``python benchmarks/ablation.py [PART ...]``.

A part is a number of training rows. There the default is fitted beside variants that differ from it
in one parameter, on the same rows from the same start; the validation rows are scored, so that the
test rows of the other benchmarks choose nothing. Parts are kept in
``benchmarks/results/ablation.json``: run again, a part takes the place of the old one. ``--quick``
cuts every part down to see that it runs, and keeps nothing; ``--print`` makes the tables anew.
"""

from __future__ import annotations

import argparse
import dataclasses
from functools import partial
from pathlib import Path

import jax
import numpy as np

from datasets import SETS, default_data_dir, load
from report import mean_and_error
from result_parts import parse_parts, parts_parser, run_parts
from result_tables import column, means, table
from skgauss import GlowGaussianizer
from skgauss.ladder import configuration

HERE = Path(__file__).resolve().parent
ROWS = (300, 1_500, 6_000, 30_000)
SCALED = ("n_steps", "learning_rate_init", "batch_size", "max_iter", "n_iter_no_change")
CLEAR = 2  # standard errors over the tables and splits, from which on a difference counts
FIXED = (
    ("head", "affine"),
    ("head", "spline"),
    ("head", "mixture"),
    ("head", "warped"),
    ("mixer", "rotation"),
    ("mixer", "permutation"),
    ("coupling", "affine"),
    ("coupling", "spline"),
    ("coupling", "mixture"),
    ("n_bins", 4),
    ("n_bins", 16),
    ("ema_decay", 0.0),
    ("ema_decay", 0.999),
    ("validation_fraction", 0.2),
    ("early_stopping", False),
)


def variants(n_rows: int) -> list[tuple[str, object]]:
    """Parameter and value of every variant of the default for so many rows."""
    rung = dataclasses.asdict(configuration(n_rows, behind_mixture=True))
    halved_and_doubled = [
        (name, type(rung[name])(factor * rung[name]))
        for name in SCALED
        for factor in (0.5, 2)
        if name != "batch_size" or n_rows > rung[name]
    ]
    widths = [
        ("hidden_layer_sizes", tuple(int(factor * size) for size in rung["hidden_layer_sizes"]))
        for factor in (0.5, 2)
    ]
    decays = [("alpha", factor * rung["alpha"]) for factor in (0.1, 10)]
    return [*halved_and_doubled, *widths, *decays, *FIXED]


def records(args, n_rows: int):
    """Yield the default's record and every variant's, for every table and split."""
    few = slice(2) if args.quick else slice(None)
    for name in args.sets[few]:
        for seed in args.seeds[few]:
            jax.clear_caches()  # of so many programs, no process has the memory
            split = load(name, seed=seed, data_dir=args.data)
            train = split.train[: 200 if args.quick else n_rows]
            shared = {"set": name, "seed": seed, "rows": len(train)}
            default, scores = measure(train, split.validation, seed)
            yield {**shared, "parameter": "", "value": "default", **default}
            for parameter, value in variants(len(train))[few]:
                found, other = measure(train, split.validation, seed, **{parameter: value})
                difference, error = mean_and_error(other - scores)
                yield {
                    **shared,
                    "parameter": parameter,
                    "value": f"{value:g}" if isinstance(value, float) else str(value),
                    **found,
                    "minus_default": difference,
                    "minus_default_error": error,
                }


def measure(train, held_out, seed, **parameters) -> tuple[dict, np.ndarray]:
    """Fit with one start; what is to be reported, and the log-densities of the rows held out."""
    glow = GlowGaussianizer(random_state=seed, **parameters).fit(train)
    scores = glow.score_samples(held_out)
    return {"nats": float(scores.mean()), "n_iter": glow.n_iter_}, scores


def tables(records):
    """One line per variant: its differences by table, and their mean over all splits."""
    tried = [record for record in records if "minus_default" in record]
    if not tried:
        return []
    names = list(dict.fromkeys(record["set"] for record in records))
    seeds = sorted({record["seed"] for record in records})
    found = []
    for group in means(tried, ("parameter", "value")):
        same = [r for r in tried if all(r[key] == group[key] for key in ("parameter", "value"))]
        line = {key: group[key] for key in ("parameter", "value")}
        for by_set in means(same, ("set",)):
            line[by_set["set"]] = by_set["minus_default"]
            line[by_set["set"] + " error"] = by_set["minus_default_error"]
        differences = [record["minus_default"] for record in same]
        line["mean"] = float(np.mean(differences))
        if len(differences) > 1:
            line["mean error"] = mean_and_error(differences)[1]
            clear = abs(line["mean"]) > CLEAR * line["mean error"]
            line["says"] = ("better" if line["mean"] > 0 else "worse") if clear else "undecided"
        found.append(line)
    columns = [
        column("parameter", "parameter"),
        column("value", "instead of the default"),
        *(column(name, f"{name}, nats", "+.3f", f"{name} error") for name in names),
        column("mean", "mean, nats", "+.3f", "mean error"),
        column("says", "than the default"),
    ]
    bases = means([r for r in records if r["value"] == "default"], ("set",))
    told = ", ".join(f"{b['set']} {b['nats']:.3f}" for b in bases)
    caption = (
        f"{max(record['rows'] for record in records):,} training rows at most, splits "
        f"{', '.join(map(str, seeds))}: nats per validation row of GlowGaussianizer with one "
        "parameter changed, minus those of the default on the same rows from the same start. By "
        "table: with the error over the rows, mean of the splits. The mean: over tables and "
        "splits, with the error over these."
    )
    return [table(caption, columns, found, notes=(f"The default: {told}.",))]


#: name -> (title, function that yields the part's records, function that makes their tables)
PARTS = {str(n): (f"{n:,} training rows", partial(records, n_rows=n), tables) for n in ROWS}


def arguments() -> argparse.Namespace:
    """Command line."""
    parser = parts_parser(__doc__, PARTS, HERE / "results" / "ablation.json", quick="few rows")
    parser.add_argument("--sets", nargs="+", default=SETS[:3], choices=SETS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--data", type=Path, default=default_data_dir(), help="the .npz files")
    return parse_parts(parser, PARTS)


if __name__ == "__main__":
    run_parts(PARTS, arguments())
