"""The one-dimensional marginals side by side, alone and as the layers of RBIGTransformer.

``python benchmarks/marginals.py`` fits every marginal to the columns of each set and prints
held-out nats, summed over the columns, with seconds; then RBIGTransformer with each of them on one
set. The result goes to ``benchmarks/results/marginals.json``; ``--print`` only makes its tables
anew. A few minutes.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
import warnings
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from datasets import SETS, default_data_dir, load
from report import mean_and_error
from result_parts import ResultFile, measured_now
from result_tables import column, table
from skgauss import RBIGTransformer
from skgauss.marginals import MARGINALS, KDEMarginal, SplineMarginal

HERE = Path(__file__).resolve().parent
TITLES = {"marginals": "The columns alone", "rbig": "As the layers of RBIGTransformer"}
CAPTIONS = {
    "marginals": (
        "Held-out log-likelihood of every column by itself, summed over the columns: nats per row "
        "of standardised units ± one standard error over rows. Seconds of a fit are medians."
    ),
    "rbig": (
        "RBIGTransformer with marginal= as named, of at most 40 layers: nats per row of "
        "standardised units ± one standard error over rows. Instances are fitted in every layer."
    ),
}

# Knots of the rule that the choice on rows held out has replaced, for tables below so many rows.
FIXED_KNOTS = {100: 8, 1_000: 16, 10_000: 32, 50_000: 64, 10**9: 96}


def candidates(n_rows: int) -> dict:
    """Marginals by name, the spline with a fixed number of knots first."""
    n_knots = next(k for limit, k in FIXED_KNOTS.items() if n_rows < limit)
    fixed = {f"spline, {n_knots} knots": SplineMarginal(n_knots=n_knots, random_state=0)}
    return fixed | {name: cls(random_state=0) for name, cls in MARGINALS.items()}


def measured(model, split, n_repeats: int) -> dict:
    """Held-out nats and median seconds of one model."""
    seconds = []
    for _ in range(n_repeats):
        start = time.perf_counter()
        model.fit(split.train)
        seconds.append(time.perf_counter() - start)
    start = time.perf_counter()
    log_density = model.score_samples(split.test)
    scored = time.perf_counter() - start
    nats, error = mean_and_error(log_density)
    return {
        "nats": nats,
        "nats_error": error,
        "fit_seconds": statistics.median(seconds),
        "score_seconds": scored,
    }


def arguments() -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", default=SETS[:3], choices=SETS)
    parser.add_argument("--rbig-set", default="magic", choices=SETS)
    parser.add_argument("--max-layers", type=int, default=40)
    parser.add_argument(
        "--repeats", type=int, default=3, help="fits of a marginal; the median counts"
    )
    parser.add_argument("--data", type=Path, default=default_data_dir(), help="the .npz files")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "marginals.json")
    parser.add_argument(
        "--print", action="store_true", help="make the tables anew, measure nothing"
    )
    return parser.parse_args()


def tables(part: str, records: list[dict]) -> list[dict]:
    """Held-out nats and seconds, one line per set and model."""
    columns = [
        column("set", "table"),
        column("model", "marginal"),
        column("nats", "held-out nats", ".3f", "nats_error"),
        column("n_layers", "layers", "d"),
        column("fit_seconds", "fit, s", ".2f"),
        column("score_seconds", "score, s", ".3f"),
    ]
    prepared = {f"{r['set']}: {r['preparation']}" for r in records}
    notes = tuple(f"{told}." for told in sorted(prepared))
    return [table(CAPTIONS[part], columns, records, notes)]


def main() -> None:
    """Run, keep, print."""
    warnings.simplefilter("ignore")
    args = arguments()
    results = ResultFile(args.out, TITLES)
    if args.print:
        results.retable(tables)
        results.show(TITLES)
        return
    provenance = measured_now(())
    records: dict = {part: [] for part in TITLES}

    def note(part, name, split, model_name, model, n_repeats):
        record = {"set": name, "model": model_name, "n_train": len(split.train)}
        record |= {"n_features": split.train.shape[1], **measured(model, split, n_repeats)}
        if part == "rbig":
            record["n_layers"] = model.n_layers_
        record |= {"preparation": split.preparation, "data_sha256": split.sha256}
        records[part].append(record)
        results.keep(part, provenance, tables(part, records[part]), records[part])
        print(part, record, flush=True)

    for name in args.sets:
        split = load(name, seed=0, data_dir=args.data)
        for model_name, model in candidates(len(split.train)).items():
            note("marginals", name, split, model_name, model, args.repeats)
    split = load(args.rbig_set, seed=0, data_dir=args.data)
    layers = {name: name for name in MARGINALS}
    layers |= {
        "SplineMarginal()": SplineMarginal(),
        "KDEMarginal(n_knots=8)": KDEMarginal(n_knots=8),
    }
    for model_name, marginal in layers.items():
        model = RBIGTransformer(marginal=marginal, max_layers=args.max_layers, random_state=0)
        note("rbig", args.rbig_set, split, model_name, model, 1)
    results.show(TITLES)


if __name__ == "__main__":
    main()
