"""The one-dimensional marginals side by side, alone and as the layers of RBIGTransformer.

``python benchmarks/marginals.py`` fits every marginal to the columns of each set and prints
held-out nats, summed over the columns, with seconds; then RBIGTransformer with each of them on one
set. The result, with its provenance, goes to ``benchmarks/results/marginals.json``. A few minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
import warnings
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from datasets import SETS, default_data_dir, load
from provenance import describe
from report import mean_and_error
from skgauss import RBIGTransformer
from skgauss.marginals import MARGINALS, KDEMarginal, SplineMarginal

HERE = Path(__file__).resolve().parent


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


def told(record: dict) -> str:
    """One line of progress."""
    start = f"{record['kind']:9} {record['set']:13} {record['model']:22}"
    nats = f"{record['nats']:8.3f} +- {record['nats_error']:.3f} nats"
    seconds = f"fit {record['fit_seconds']:.2f} s, score {record['score_seconds']:.3f} s"
    layers = f", {record['n_layers']} layers" if "n_layers" in record else ""
    return f"{start}{nats}, {seconds}{layers}"


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
    return parser.parse_args()


def main() -> None:
    """Run, keep, print."""
    warnings.simplefilter("ignore")
    args = arguments()
    load_average = os.getloadavg()[0]  # above the number of CPUs, the seconds are too many
    results: dict = {"provenance": describe(), "load_average": load_average}
    results |= {"sets": {}, "records": []}

    def note(kind, name, split, model_name, model, n_repeats):
        results["sets"][name] = {"preparation": split.preparation, "data_sha256": split.sha256}
        shape = {"n_train": len(split.train), "n_features": split.train.shape[1]}
        record = {"kind": kind, "set": name, "model": model_name, **shape}
        record |= measured(model, split, n_repeats)
        if kind == "rbig":
            record["n_layers"] = model.n_layers_
        results["records"].append(record)
        print(told(record), flush=True)

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
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
