"""What DensityOutlierDetector promises beside its ranking, measured.

``python benchmarks/outlier_laws.py [PART ...]`` measures, on the anomaly sets: what rescaling,
shifting and shuffling columns do to the ranking; what contamination of the training rows costs,
beside IsolationForest; how few clean rows rank what is unlike them; whether p-values are valid and
the false discovery rate is kept; the share of false alarms of ``contamination="auto"``; seconds and
memory. Every part takes the place of the older one in ``benchmarks/results/outlier_laws.json``;
``--print`` only makes the tables anew.
"""

from __future__ import annotations

import itertools
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr
from sklearn.datasets import load_breast_cancer, load_iris, load_wine
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score

from adbench import detectors
from anomaly_sets import contaminated, load_anomalies, one_class, set_names
from result_parts import ResultFile, measured_now, parse_parts, parts_parser
from result_tables import column, table
from skgauss import DensityOutlierDetector

HERE = Path(__file__).resolve().parent
PARTS = {
    "invariance": "What transformed columns do to the scores",
    "contamination": "Anomalies among the training rows",
    "few_rows": "Few clean rows",
    "p_values": "p-values, false discoveries, false alarms",
    "speed": "Seconds and memory",
}
CONTAMINATIONS = (0.0, 0.05, 0.1, 0.2)
ALPHAS = (0.01, 0.05, 0.1)
P_VALUE_SETS = ("22_magic.gamma", "23_mammography", "19_landsat")
N_NORMAL, N_PLANTED = 190, 10  # rows that are tested together


def fitted(X, **parameters):
    return DensityOutlierDetector(random_state=0, **parameters).fit(X)


def invariance(args) -> list[dict]:
    """Per set: what transformed columns do to the scores of the training rows."""
    found = []
    for name in set_names(args.data):
        X, _, _ = load_anomalies(name, 0, args.data, args.rows)
        rng = np.random.default_rng(0)
        scores = fitted(X).score_samples(X)
        scale, shift = 10.0 ** rng.uniform(-3, 3, X.shape[1]), rng.normal(size=X.shape[1])
        moved = X * scale + shift * scale * X.std(axis=0)
        rescaled = fitted(moved).score_samples(moved)
        error = np.abs(rescaled - scores - np.median(rescaled - scores))
        columns = rng.permutation(X.shape[1])
        shuffled = fitted(X[:, columns]).score_samples(X[:, columns])
        norm = fitted(X, criterion="latent_norm").score_samples(X)
        bent = X.copy()
        j = int(rng.integers(X.shape[1]))
        bent[:, j] = np.sinh((X[:, j] - X[:, j].mean()) / (X[:, j].std() or 1))
        norm_bent = fitted(bent, criterion="latent_norm").score_samples(bent)
        found.append(
            {
                "set": name,
                "rescaled_largest_error": float(error.max()),
                "rescaled_spearman": float(spearmanr(scores, rescaled)[0]),
                "permuted_spearman": float(spearmanr(scores, shuffled)[0]),
                "latent_norm_bent_spearman": float(spearmanr(norm, norm_bent)[0]),
            }
        )
        print(found[-1], file=sys.stderr, flush=True)
    return found


def contamination(args) -> list[dict]:
    """Per set and seed: ROC-AUC with ever more anomalies among the training rows."""
    found = []
    for name in set_names(args.data):
        for seed in range(args.seeds):
            X, y, _ = load_anomalies(name, seed, args.data, args.rows)
            for share, task in zip(
                CONTAMINATIONS, contaminated(X, y, CONTAMINATIONS, seed), strict=True
            ):
                models = {
                    "ours": DensityOutlierDetector(random_state=seed),
                    "IsolationForest": IsolationForest(random_state=seed),
                }
                for model, detector in models.items():
                    scores = detector.fit(task.train).score_samples(task.test)
                    auc = float(roc_auc_score(task.labels, -scores))
                    record = {"set": name, "seed": seed, "share": share, "model": model}
                    found.append({**record, "roc_auc": auc})
        print(name, file=sys.stderr, flush=True)
    return found


def few_rows(args) -> list[dict]:
    """Per table of scikit-learn, class and seed: half of the class against the rest of all rows."""
    found = []
    for load in (load_wine, load_breast_cancer, load_iris):
        X, y = load(return_X_y=True)
        for label, seed in itertools.product(np.unique(y), range(args.seeds)):
            train, test, labels = one_class(X, y != label, seed)
            scorers = detectors(seed)
            for model in ("DensityOutlierDetector", "ours, trim=0", "KNN", "IsolationForest"):
                scores = scorers[model](train, test, False)
                record = {"set": load.__name__.removeprefix("load_"), "class": int(label)}
                auc = float(roc_auc_score(labels, -scores))
                shape = {"n_train": len(train), "seed": seed, "model": model}
                found.append({**record, **shape, "roc_auc": auc})
        print(found[-1], file=sys.stderr, flush=True)
    return found


def planted_rows(normal, rng):
    """Normal rows with half of their columns moved, each by four standard deviations."""
    rows = normal[:N_PLANTED].copy()
    moved = rng.uniform(size=rows.shape).argsort(axis=1) < rows.shape[1] / 2
    return rows + 4 * moved * rng.choice([-1, 1], rows.shape) * normal.std(axis=0)


def p_values(args) -> list[dict]:
    """Over 20 seeds: share of held-out normal rows below alpha, and the false discovery rate."""
    found = []
    for name in P_VALUE_SETS:
        for calibration in (0.3, "cross"):
            below, alarms, discoveries, hits = [], [], [], []
            for seed in range(20):
                X, y, _ = load_anomalies(name, seed, args.data, args.rows)
                rng = np.random.default_rng(seed)
                normal = rng.permutation(X[y == 0])
                train, test = np.split(normal, [len(normal) // 2])
                detector = DensityOutlierDetector(calibration=calibration, random_state=seed)
                detector.fit(train)
                p = detector.p_values(test)
                below.append([np.mean(p <= alpha) for alpha in ALPHAS])
                alarms.append(np.mean(detector.predict(test) == -1))
                few, planted = test[:N_NORMAL], planted_rows(test[N_NORMAL:], rng)
                flagged = detector.predict_fdr(np.vstack([few, planted]), args.fdr) == -1
                discoveries.append(flagged[:N_NORMAL].sum() / max(flagged.sum(), 1))
                hits.append(flagged[N_NORMAL:].mean())
            n_calibration = len(detector.calibration_scores_)
            error = np.std(below, axis=0, ddof=1) / np.sqrt(len(below))
            record = {"set": name, "calibration": calibration, "n_calibration": n_calibration}
            found.append(
                {
                    **record,
                    "alphas": ALPHAS,
                    "share_below": np.mean(below, axis=0).tolist(),
                    "standard_error": error.tolist(),
                    "fdr_level": args.fdr,
                    "fdr": float(np.mean(discoveries)),
                    "fdr_standard_error": float(np.std(discoveries, ddof=1) / np.sqrt(20)),
                    "found": float(np.mean(hits)),
                    "auto_false_alarms": float(np.mean(alarms)),
                }
            )
            print(found[-1], file=sys.stderr, flush=True)
    return found


def speed(args) -> list[dict]:
    """Seconds and memory: 10,000 rows of 20 columns, and a million of 10."""
    rng = np.random.default_rng(0)
    found = []
    X = rng.normal(size=(10_000, 20)) @ rng.normal(size=(20, 20))
    start = time.perf_counter()
    detector = fitted(X)
    middle = time.perf_counter()
    detector.score_samples(X)
    end = time.perf_counter()
    found.append({"rows": 10_000, "fit_seconds": middle - start, "score_seconds": end - middle})
    X = (rng.normal(size=(1_000_000, 10)) @ rng.normal(size=(10, 10))).astype(np.float32)
    detector = fitted(X[:10_000])
    for n_jobs in (1, 2):
        detector.set_params(n_jobs=n_jobs)
        start = time.perf_counter()
        scores = detector.score_samples(X)
        seconds = time.perf_counter() - start
        tracemalloc.start()  # slows it down
        detector.score_samples(X)
        beside = (tracemalloc.get_traced_memory()[1] - scores.nbytes) / 2**20
        tracemalloc.stop()
        record = {"rows": len(X), "n_jobs": n_jobs, "score_seconds": seconds}
        found.append({**record, "mib_beside_scores": beside})
    for record in found:
        print(record, file=sys.stderr)
    return found


def tables(part: str, records: list[dict]) -> list[dict]:
    """What is shown of a part's records."""
    return [globals()[f"_{part}_table"](records)]


def _invariance_table(records):
    return table(
        "Training rows scored by detectors fitted to transformed columns: every column rescaled by "
        "10 to the power of a uniform number from -3 to 3 and shifted; the columns shuffled. Where "
        "rescaled, the largest error is that of the log-density, in nats, after the constant shift "
        'that rescaling makes. Last, criterion="latent_norm" with one column behind a sinh.',
        [
            column("set", "set"),
            column("rescaled_largest_error", "rescaled, largest error", ".1e"),
            column("rescaled_spearman", "rescaled, rank correlation", ".6f"),
            column("permuted_spearman", "shuffled, rank correlation", ".6f"),
            column("latent_norm_bent_spearman", "bent, rank correlation", ".4f"),
        ],
        records,
    )


def _contamination_table(records):
    rows = [
        {"share": share, "model": model, **_mean_auc(records, share, model)}
        for share in sorted({r["share"] for r in records})
        for model in dict.fromkeys(r["model"] for r in records)
    ]
    sets, seeds = (len({r[key] for r in records}) for key in ("set", "seed"))
    return table(
        f"Mean ROC-AUC over {sets} sets of the means over {seeds} seeds: the same normal training "
        "rows with ever more anomalies among them, and the same test rows. The lowest is the mean "
        "of the set on which it is lowest.",
        [
            column("share", "share of anomalies", ".0%"),
            column("model", "detector"),
            column("roc_auc", "ROC-AUC", ".4f"),
            column("minus_clean", "minus that at 0 %", "+.4f"),
            column("lowest", "lowest", ".4f"),
            column("lowest_set", "on"),
        ],
        rows,
    )


def _mean_auc(records, share, model):
    """Mean over the sets, its change from clean training rows, and the worst set."""

    def by_set(share):
        aucs: dict = {}
        for r in records:
            if (r["share"], r["model"]) == (share, model):
                aucs.setdefault(r["set"], []).append(r["roc_auc"])
        return {name: float(np.mean(found)) for name, found in aucs.items()}

    found, clean = by_set(share), by_set(0.0)
    mean = float(np.mean(list(found.values())))
    lowest = min(found, key=found.__getitem__)
    change = mean - float(np.mean(list(clean.values()))) if share else None
    return {
        "roc_auc": mean,
        "minus_clean": change,
        "lowest": found[lowest],
        "lowest_set": lowest,
    }


def _few_rows_table(records):
    def told(name):
        of_set = [r for r in records if r["set"] == name]
        models = dict.fromkeys(r["model"] for r in of_set)
        aucs = {m: np.mean([r["roc_auc"] for r in of_set if r["model"] == m]) for m in models}
        rows = {r["n_train"] for r in of_set}
        return {"set": name, "fewest": min(rows), "most": max(rows), **aucs}

    rows = [told(name) for name in dict.fromkeys(r["set"] for r in records)]
    seeds = len({r["seed"] for r in records})
    return table(
        "Mean ROC-AUC over the classes of scikit-learn's tables, one after the other the normal "
        f"one, and {seeds} seeds: fitted to half of its rows, the rest and all other classes are "
        "scored. KNN is the distance to the fifth neighbour, of standardised columns.",
        [
            column("set", "table"),
            column("fewest", "training rows, fewest", "d"),
            column("most", "most", "d"),
            *(column(m, m, ".4f") for m in dict.fromkeys(r["model"] for r in records)),
        ],
        rows,
    )


def _p_values_table(records):
    rows = [
        {
            **r,
            "calibration": str(r["calibration"]),
            **dict(zip(map(str, r["alphas"]), r["share_below"], strict=True)),
            **{
                f"{alpha} error": error
                for alpha, error in zip(r["alphas"], r["standard_error"], strict=True)
            },
        }
        for r in records
    ]
    alphas = records[0]["alphas"] if records else ()
    level = records[0]["fdr_level"] if records else 0.0
    return table(
        "Means over 20 seeds ± their standard error: the share of held-out normal rows whose "
        "p-value is at most alpha, which should not be above alpha; the share of false ones among "
        f"the rows that predict_fdr flags at {level:g} of {N_NORMAL} held-out normal rows and "
        f"{N_PLANTED} others with half of their columns moved by four standard deviations, and the "
        "share of the latter that it finds; the share of held-out normal rows that predict flags "
        'with contamination="auto".',
        [
            column("set", "set"),
            column("calibration", "calibration"),
            column("n_calibration", "its rows", ",d"),
            *(
                column(str(alpha), f"p at most {alpha:g}", ".4f", f"{alpha} error")
                for alpha in alphas
            ),
            column("fdr", "false discoveries", ".4f", "fdr_standard_error"),
            column("found", "found", ".2f"),
            column("auto_false_alarms", "false alarms", ".4f"),
        ],
        rows,
    )


def _speed_table(records):
    return table(
        "Correlated Gaussian rows: 20 columns, fitted and scored; and 10 columns in float32, "
        "scored by a detector fitted to 10,000 of them. Memory is the most that scoring holds at "
        "once beside the rows and their scores, as tracemalloc counts it.",
        [
            column("rows", "rows scored", ",d"),
            column("n_jobs", "n_jobs", "d"),
            column("fit_seconds", "fit, s", ".2f"),
            column("score_seconds", "score, s", ".2f"),
            column("mib_beside_scores", "memory, MiB", ".1f"),
        ],
        records,
    )


def main() -> None:
    """Run, keep, print."""
    parser = parts_parser(__doc__, PARTS, HERE / "results" / "outlier_laws.json")
    parser.add_argument("--data", type=Path, default=None, help="the .npz files")
    parser.add_argument("--rows", type=int, default=3000, help="largest number of rows of a set")
    parser.add_argument(
        "--seeds", type=int, default=3, help="of the contamination, and of few rows"
    )
    parser.add_argument("--fdr", type=float, default=0.1)
    parser.add_argument(
        "--print", action="store_true", help="make the tables anew, measure nothing"
    )
    args = parse_parts(parser, PARTS)
    results = ResultFile(args.out, PARTS)
    if args.print:
        results.retable(tables)
    else:
        for name in args.parts:
            provenance, records = measured_now(PARTS, name), globals()[name](args)
            results.keep(name, provenance, tables(name, records), records)
    results.show(args.parts)


if __name__ == "__main__":
    main()
