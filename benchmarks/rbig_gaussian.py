"""RBIGTransformer on rows that are Gaussian already: where it stops, and how far from the truth.

The divergence from the truth is the mean difference of the log-densities over fresh rows. It is
held against 1.5 times that of a maximum-likelihood Gaussian, p / (2n) with p = d (d + 3) / 2
parameters, plus 0.005 nats per column; at up to 5 rows per column, where that Gaussian means
nothing, against the Ledoit-Wolf Gaussian plus 0.02 nats per column.
"""

from __future__ import annotations

import sys
import time

import numpy as np
from scipy import linalg
from sklearn.covariance import LedoitWolf

from result_tables import column, table
from skgauss import RBIGTransformer

ROWS = (50, 200, 1_000, 10_000, 100_000)
COLUMNS = (1, 2, 5, 10, 20, 50)
_FRESH = 20_000
_FEW = 5  # rows per column, up to which the Ledoit-Wolf Gaussian is the measure


def log_density(Z: np.ndarray, mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Log-density of rows under a Gaussian, in nats."""
    factor = np.linalg.cholesky(covariance)
    standard = linalg.solve_triangular(factor, (Z - mean).T, lower=True)
    return -0.5 * (standard**2 + np.log(2 * np.pi)).sum(0) - np.log(np.diag(factor)).sum()


def one_case(n_rows: int, n_features: int, seed: int) -> dict:
    """Fit to one sample of a random Gaussian, and measure on fresh rows."""
    rng = np.random.default_rng([seed, n_rows, n_features])
    mixing = rng.normal(size=(n_features, n_features)) + np.eye(n_features)
    covariance = mixing @ mixing.T
    X, fresh = (rng.normal(size=(n, n_features)) @ mixing.T for n in (n_rows, _FRESH))
    truth = log_density(fresh, np.zeros(n_features), covariance)
    start = time.perf_counter()
    fitted = RBIGTransformer(random_state=seed).fit(X)
    seconds = time.perf_counter() - start
    shrunk = LedoitWolf().fit(X)
    by_shrunk = log_density(fresh, shrunk.location_, shrunk.covariance_)
    return {
        "layers": fitted.n_layers_,
        "seconds": seconds,
        "divergence": float(np.mean(truth - fitted.score_samples(fresh))),
        "ledoit_wolf": float(np.mean(truth - by_shrunk)),
    }


def over_seeds(n_rows: int, n_features: int, seeds: list[int]) -> dict:
    """Means and extremes over seeds, and the bound."""
    cases = [one_case(n_rows, n_features, seed) for seed in seeds]
    by = {key: [case[key] for case in cases] for key in cases[0]}
    n_parameters = n_features * (n_features + 3) / 2
    bound = 1.5 * n_parameters / (2 * n_rows) + 0.005 * n_features
    if n_rows <= _FEW * n_features:
        bound = float(np.mean(by["ledoit_wolf"])) + 0.02 * n_features
    return {
        "rows": n_rows,
        "columns": n_features,
        "seeds": len(seeds),
        "most_layers": max(by["layers"]),
        "deeper": sum(layers > 2 for layers in by["layers"]),
        "divergence": float(np.mean(by["divergence"])),
        "worst": max(by["divergence"]),
        "ledoit_wolf": float(np.mean(by["ledoit_wolf"])),
        "bound": bound,
        "within": "yes" if np.mean(by["divergence"]) <= bound else "no",
        "seconds": float(np.mean(by["seconds"])),
    }


def tables(args):
    """Yield the table of the part, again after every line."""
    records: list[dict] = []
    for n_rows in ROWS[:3] if args.quick else ROWS:
        for n_features in COLUMNS[:3] if args.quick else COLUMNS:
            records.append(over_seeds(n_rows, n_features, args.seeds))
            print(records[-1], file=sys.stderr, flush=True)
            yield [_table(records)]


def _table(records):
    within = sum(record["within"] == "yes" for record in records)
    fits, deeper = (sum(record[key] for record in records) for key in ("seeds", "deeper"))
    return table(
        f"Random Gaussians, defaults: {within} of {len(records)} lines are within the bound, and "
        f"{fits - deeper} of {fits} fits kept at most one layer beyond the first. Divergence from "
        f"the truth in nats, over {_FRESH:,} fresh rows: mean and worst over the seeds. The bound "
        "is 1.5 p / (2n) + 0.005 d with p = d (d + 3) / 2; up to 5 rows per column, Ledoit-Wolf's "
        "divergence + 0.02 d.",
        [
            column("rows", "rows n", ",d"),
            column("columns", "columns d", "d"),
            column("most_layers", "layers, most", "d"),
            column("deeper", "fits with more than 2", "d"),
            column("divergence", "divergence", ".4f"),
            column("worst", "worst", ".4f"),
            column("bound", "bound", ".4f"),
            column("within", "within"),
            column("ledoit_wolf", "Ledoit-Wolf", ".4f"),
            column("seconds", "fit, s", ".2f"),
            column("seeds", "seeds", "d"),
        ],
        records,
    )
