"""How steady the default GlowGaussianizer is: ``python benchmarks/steadiness.py [PART ...]``.

Every part is kept, with its provenance and its raw records, in
``benchmarks/results/steadiness.json``: run again, it takes the place of the old one. ``--quick``
cuts every part down to see that it runs, and keeps nothing; ``--print`` makes the tables anew.

- ``starts``: the same rows of magic from ten random starts;
- ``small``: few rows, beside a Gaussian and the GaussianMixture that is best on validation rows.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

import numpy as np

from datasets import OWN, default_data_dir, first_rows, gaussian_log_density, load
from report import mean_and_error
from result_parts import parse_parts, parts_parser, run_parts
from result_tables import column, means, table
from skgauss import GlowGaussianizer
from sklearn_models import best_mixture
from worker import timed

HERE = Path(__file__).resolve().parent
CUT = ("magic", "gas_turbine")
ROWS = (100, 300, 1000)
FEW_COMPONENTS = (1, 2, 3, 5, 8, 12)


def start_records(args):
    """Yield the held-out nats of every random start, of the split with seed 0."""
    split = load("magic", seed=0, data_dir=args.data)
    train = split.train[:1000] if args.quick else split.train
    for start in range(2 if args.quick else args.n):
        glow, seconds = timed(GlowGaussianizer(random_state=start).fit, train)
        scores = glow.score_samples(split.test)
        nats, error = mean_and_error(scores)
        yield {
            "start": start,
            "nats": nats,
            "nats_error": error,
            "fit_seconds": seconds,
            "not_finite": int(np.count_nonzero(~np.isfinite(scores))),
        }


def start_tables(records):
    """Every start, and what they come to."""
    columns = [
        column("start", "random_state", "d"),
        column("nats", "held-out nats", ".3f", "nats_error"),
        column("fit_seconds", "fit, s", ".1f"),
        column("not_finite", "rows without a finite score", "d"),
    ]
    caption = (
        "GlowGaussianizer() on the same training rows of magic (split with seed 0), by its start. "
        "The error is over the held-out rows, which all starts share."
    )
    nats = [record["nats"] for record in records]
    said = f"Mean {statistics.mean(nats):.3f} nats"
    if len(nats) > 1:
        said += f", standard deviation over the starts {statistics.stdev(nats):.3f} (asked: 0.05)"
    return [table(caption, columns, records, notes=(f"{said}.",))]


def small_splits(args):
    """Yield name, number of training rows, seed and split of every small table."""
    n_splits = 2 if args.quick else args.n
    for name in OWN:
        for seed in range(n_splits):
            split = load(name, seed=seed)
            yield name, len(split.train), seed, split
    for name in CUT:
        for seed in range(n_splits):
            split = load(name, seed=seed, data_dir=args.data)
            for n_rows in ROWS[:1] if args.quick else ROWS:
                yield name, n_rows, seed, first_rows(split, n_rows)


def small_records(args):
    """Yield the held-out nats of all three models on every split."""
    for name, n_rows, seed, split in small_splits(args):
        mixture, _ = best_mixture(split.train, split.validation, seed=seed, grid=FEW_COMPONENTS)
        glow, seconds = timed(GlowGaussianizer(random_state=seed).fit, split.train)
        yield {
            "set": name,
            "rows": n_rows,
            "columns": split.train.shape[1],
            "seed": seed,
            "glow": float(glow.score(split.test)),
            "gaussian": float(gaussian_log_density(split.train)(split.test).mean()),
            "mixture": float(mixture.score(split.test)),
            "fit_seconds": seconds,
        }


def small_tables(records):
    """Means over the splits, and the difference to the better peer."""
    found = []
    for group in means(records, ("set", "rows")):
        splits = [r for r in records if (r["set"], r["rows"]) == (group["set"], group["rows"])]
        best = max(("gaussian", "mixture"), key=group.get)
        difference, error = group["glow"] - group[best], None
        if len(splits) > 1:
            _, error = mean_and_error([r["glow"] - r[best] for r in splits])
        holds = "yes" if error is not None and difference >= -error else "no"
        told = {"best": best, "difference": difference, "error": error, "holds": holds}
        found.append({**group, **told, "splits": len(splits)})
    columns = [
        column("set", "table"),
        column("rows", "training rows", ",d"),
        column("columns", "columns", "d"),
        column("splits", "splits", "d"),
        column("glow", "GlowGaussianizer", ".3f"),
        column("gaussian", "one Gaussian", ".3f"),
        column("mixture", "GaussianMixture", ".3f"),
        column("best", "the better of the two"),
        column("difference", "ours minus it", "+.3f", "error"),
        column("holds", "not below by more than the error"),
        column("fit_seconds", "fit, s", ".1f"),
    ]
    caption = (
        "Held-out nats per row on few rows, means over repeated splits. The mixture's number of "
        "components, up to 12, is chosen on validation rows that ours does not see: a tenth of the "
        "table, or a quarter as many as there are training rows. The error is the standard error "
        "of the difference over the splits. Columns on a grid get uniform noise of one step."
    )
    return [table(caption, columns, found)]


#: name -> (title, function that yields the part's records, function that makes their tables)
PARTS = {
    "starts": ("Ten starts", start_records, start_tables),
    "small": ("Few rows", small_records, small_tables),
}


def arguments() -> argparse.Namespace:
    """Command line."""
    parser = parts_parser(__doc__, PARTS, HERE / "results" / "steadiness.json", quick="few rows")
    parser.add_argument("-n", type=int, default=10, help="starts, and splits")
    parser.add_argument("--data", type=Path, default=default_data_dir(), help="the .npz files")
    return parse_parts(parser, PARTS)


if __name__ == "__main__":
    run_parts(PARTS, arguments())
