"""What an RBIGTransformer costs: seconds, memory, size, all in fresh processes.

Every task is one child process, ``python rbig_speed.py ROWS.npy TASK``, that runs its cases in
turn, several times, so that what else the machine does falls on all of them.
"""

from __future__ import annotations

import json
import pickle
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from provenance import cold_environment
from result_tables import column, table
from worker import peak_mib

QUANTILE = "QuantileTransformer"
_SHALLOW, _DEEP = 2, 22  # layers, whose difference is the cost of those between


def made_up_rows(n_rows: int, n_features: int, seed: int = 0) -> np.ndarray:
    """Clusters, a heavy tail and bent dependence: no number of layers finds nothing to move."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_rows, n_features))
    X[:, ::3] += 3 * rng.integers(0, 2, X[:, ::3].shape)
    np.exp(X[:, 1::3] / 2, out=X[:, 1::3])
    for j in range(1, n_features):
        X[:, j] += np.sin(2 * X[:, j - 1])
    return X


def resident_mib() -> float:
    """Memory held now, in MiB; the largest so far where the system does not tell."""
    try:
        with open("/proc/self/status", encoding="utf-8") as lines:
            held = [line.split()[1] for line in lines if line.startswith("VmRSS:")]
        return int(held[0]) / 2**10
    except (OSError, IndexError):
        return peak_mib()


# ---------------------------------------------------------------- in the child


def measure(rows_path: str, cases: dict, runs: int) -> dict:
    """Median seconds of every case; the memory is that of the first fit."""
    from sklearn.preprocessing import QuantileTransformer

    from skgauss import RBIGTransformer

    before = resident_mib()
    X = np.load(rows_path)
    seconds: dict = {name: {"fit": [], "score": []} for name in cases}
    told: dict = {name: {} for name in cases}
    first_peak = None
    for _ in range(runs):
        for name, parameters in cases.items():
            start = time.perf_counter()
            if name == QUANTILE:
                QuantileTransformer(random_state=0, **parameters).fit_transform(X)
            else:
                fitted = RBIGTransformer(random_state=0, stopping=None, **parameters).fit(X)
            seconds[name]["fit"].append(time.perf_counter() - start)
            if first_peak is None:
                first_peak = peak_mib() - before
            if name != QUANTILE:
                start = time.perf_counter()
                fitted.score_samples(X)
                seconds[name]["score"].append(time.perf_counter() - start)
                told[name] = described(fitted)
    for name, found in seconds.items():
        for what, values in found.items():
            if values:
                told[name][f"{what}_seconds"] = statistics.median(values)
    return {"cases": told, "peak_mib": first_peak, "input_mib": X.nbytes / 2**20}


def described(fitted) -> dict:
    """Size, and how many directions the layers beyond the first move on average."""
    moved = [len(layer.marginal.columns) for layer in fitted.layers_[1:]]
    return {
        "model_mb": len(pickle.dumps(fitted)) / 1e6,
        "moved": float(np.mean(moved)) / fitted.n_features_in_ if moved else None,
    }


# ---------------------------------------------------------------- tasks


def run_task(rows: np.ndarray, cases: dict, runs: int) -> dict:
    """Run a task in a fresh process, which loads its rows from a file."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, "rows.npy")
        np.save(path, rows)
        task = json.dumps({"cases": cases, "runs": runs})
        command = [sys.executable, __file__, str(path), task]
        child = subprocess.run(
            command, stdout=subprocess.PIPE, text=True, check=True, env=cold_environment()
        )
    return json.loads(child.stdout.splitlines()[-1])


def record(shape: tuple, cases: dict, name: str, found: dict) -> dict:
    """One row of the first table."""
    return {
        "rows": shape[0],
        "columns": shape[1],
        "layers": cases[name]["max_layers"],
        "n_jobs": cases[name].get("n_jobs", 1),
        **found["cases"][name],
    }


def tables(args):
    """Yield the tables of this part, again after every task."""
    cut = 100 if args.quick else 1
    runs = 1 if args.quick else args.runs
    seconds, layers = [], []

    def told():
        return [
            table(
                "Seconds, medians of several runs in one process, without rows held out; and the "
                "largest memory of a first fit above what the imports hold, its input included. "
                "Directions moved is the share of them in the layers beyond the first: one that "
                "is left as it is costs less.",
                [
                    column("rows", "rows", ",d"),
                    column("columns", "columns", "d"),
                    column("layers", "layers", "d"),
                    column("n_jobs", "n_jobs", "d"),
                    column("fit_seconds", "fit, s", ".3g"),
                    column("score_seconds", "score all, s", ".3g"),
                    column("moved", "directions moved", ".0%"),
                    column("model_mb", "pickle, MB", ".2f"),
                    column("peak_mib", "peak, MiB", ",.0f"),
                    column("input_mib", "of it input, MiB", ",.0f"),
                    column("runs", "runs", "d"),
                ],
                seconds,
            ),
            table(
                f"One layer beyond the first ({_DEEP} layers less {_SHALLOW}, by their number), "
                "beside one QuantileTransformer(output_distribution='normal').fit_transform of "
                "the same table in the same process.",
                [
                    column("rows", "rows", ",d"),
                    column("columns", "columns", "d"),
                    column("layer_seconds", "one layer, s", ".3g"),
                    column("quantile_seconds", "QuantileTransformer, s", ".3g"),
                    column("layer_over_quantile", "layer over it", ".2f"),
                    column("over_first", "layer over that of the first line", ".1f"),
                    column("runs", "runs", "d"),
                ],
                layers,
            ),
        ]

    plain = [
        (6_000, 8, {"12": {"max_layers": 12}}, runs),
        (1_000_000, 10, {"50": {"max_layers": 50}}, 1),
        (
            200_000,
            20,
            {str(n): {"max_layers": 20, "n_jobs": n} for n in (1, 2)},
            min(runs, 3),
        ),
        (10_000, 20, {"100": {"max_layers": 100}}, 1),
        (100_000, 20, {"100": {"max_layers": 100}}, 1),
    ]
    for n_rows, n_features, cases, repeats in plain:
        shape = (n_rows // cut, n_features)
        found = run_task(made_up_rows(*shape), cases, repeats)
        for name in cases:
            seconds.append({**record(shape, cases, name, found), "runs": repeats})
            if len(cases) == 1:
                seconds[-1].update(peak_mib=found["peak_mib"], input_mib=found["input_mib"])
            print(seconds[-1], file=sys.stderr, flush=True)
        yield told()
    for n_rows in (100_000, 1_000_000):
        shape, repeats = (n_rows // cut, 10), min(runs, 3)
        layers.append({**layer_beside_quantile(shape, repeats), "runs": repeats})
        layers[-1]["over_first"] = layers[-1]["layer_seconds"] / layers[0]["layer_seconds"]
        print(layers[-1], file=sys.stderr, flush=True)
        yield told()


def layer_beside_quantile(shape: tuple, repeats: int) -> dict:
    """Seconds of one layer, and of one QuantileTransformer."""
    cases = {str(depth): {"max_layers": depth} for depth in (_SHALLOW, _DEEP)}
    cases[QUANTILE] = {"output_distribution": "normal"}
    found = run_task(made_up_rows(*shape), cases, repeats)["cases"]
    shallow, deep, quantile = (found[name]["fit_seconds"] for name in cases)
    layer = (deep - shallow) / (_DEEP - _SHALLOW)
    return {
        "rows": shape[0],
        "columns": shape[1],
        "layer_seconds": layer,
        "quantile_seconds": quantile,
        "layer_over_quantile": layer / quantile,
    }


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], **json.loads(sys.argv[2]))))
