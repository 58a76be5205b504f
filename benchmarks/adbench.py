"""Anomaly detection beside its peers, on ADBench sets, under two protocols that are never mixed.

``python benchmarks/adbench.py`` fits every detector under each protocol, writes a JSON file under
``benchmarks/results/`` after every set and prints one table per protocol: mean ROC-AUC, average
precision, mean rank, seconds, and a paired Wilcoxon test over sets against ours, losses included.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from scipy.stats import rankdata, wilcoxon
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KernelDensity, LocalOutlierFactor, NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from anomaly_sets import PROTOCOLS, load_anomalies, set_names, task
from provenance import describe
from skgauss import DensityOutlierDetector, GlowGaussianizer, RBIGTransformer

HERE = Path(__file__).resolve().parent
OURS = "DensityOutlierDetector"


def ours(seed, **parameters):
    return lambda train, test, same: (
        DensityOutlierDetector(random_state=seed, **parameters).fit(train).score_samples(test)
    )


def sklearn_detector(detector, scale=False):
    """Any scikit-learn estimator with score_samples; standardised where distances need it."""

    def scores(train, test, same):
        model = make_pipeline(StandardScaler(), detector) if scale else detector
        return model.fit(train).score_samples(test)

    return scores


def local_outlier_factor(train, test, same):
    scaler = StandardScaler().fit(train)
    train, test = scaler.transform(train), scaler.transform(test)
    n_neighbors = min(20, len(train) - 1)
    if same:  # its own rows are not their own neighbours
        return LocalOutlierFactor(n_neighbors=n_neighbors).fit(train).negative_outlier_factor_
    novelty = LocalOutlierFactor(n_neighbors=n_neighbors, novelty=True).fit(train)
    return novelty.score_samples(test)


def nearest_neighbours(train, test, same):
    """Distance to the fifth neighbour, PyOD's default, on standardised columns."""
    scaler = StandardScaler().fit(train)
    search = NearestNeighbors(n_neighbors=5).fit(scaler.transform(train))
    distances, _ = search.kneighbors(None if same else scaler.transform(test))
    return -distances[:, -1]


def mixture_by_bic(seed):
    """Gaussian mixture of up to ten components, their number chosen by BIC."""

    def scores(train, test, same):
        scaler = StandardScaler().fit(train)
        train = scaler.transform(train)
        fits = [
            GaussianMixture(k, random_state=seed, reg_covar=1e-4).fit(train)
            for k in (1, 2, 3, 5, 7, 10)
            if k < len(train)
        ]
        best = min(fits, key=lambda fit: fit.bic(train))
        return best.score_samples(scaler.transform(test))

    return scores


def pyod(name, seed):
    """A PyOD detector with its defaults, on standardised columns."""

    def scores(train, test, same):
        import importlib

        cls = getattr(importlib.import_module(f"pyod.models.{name.lower()}"), name)
        detector = cls(random_state=seed) if name in ("CBLOF", "PCA") else cls()
        scaler = StandardScaler().fit(train)
        detector.fit(scaler.transform(train))
        return -detector.decision_function(scaler.transform(test))

    return scores


def detectors(seed: int) -> dict:
    """Every detector by name: ``(train, test, same rows) -> scores``, high is normal."""
    return {
        OURS: ours(seed),
        "ours, RBIG inside": ours(seed, estimator=RBIGTransformer()),
        "ours, Glow inside": ours(seed, estimator=GlowGaussianizer()),
        "ours, latent norm": ours(seed, criterion="latent_norm"),
        "ours, trim=0.2": ours(seed, trim=0.2),
        "ours, max_samples=128": ours(seed, max_samples=128),
        "ours, max_samples=2048": ours(seed, max_samples=2048),
        "IsolationForest": sklearn_detector(IsolationForest(random_state=seed)),
        "LocalOutlierFactor": local_outlier_factor,
        "KNN": nearest_neighbours,
        "KernelDensity": sklearn_detector(KernelDensity(bandwidth="scott"), scale=True),
        "GaussianMixture": mixture_by_bic(seed),
        **{name: pyod(name, seed) for name in ("ECOD", "COPOD", "HBOS", "PCA", "CBLOF")},
    }


SLOW = ("ours, RBIG inside", "ours, Glow inside")


def run(name, model, protocol, seed, args) -> dict:
    """One detector on one set."""
    X, y, digest = load_anomalies(name, seed, args.data, args.rows)
    train, test, labels = task(protocol, X, y, seed)
    record = {"set": name, "model": model, "protocol": protocol, "seed": seed}
    start = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scores = detectors(seed)[model](train, test, protocol == "unsupervised")
        seconds = time.perf_counter() - start
        # A peer may call a row infinitely strange: it is then as strange as any.
        scores = np.nan_to_num(scores, posinf=1e300, neginf=-1e300)
        auc = float(roc_auc_score(labels, -scores))
    except Exception as error:  # a peer that fails is a row of the table, not its end
        return {**record, "error": f"{type(error).__name__}: {error}"}
    return {
        **record,
        "data_sha256": digest,
        "shape": X.shape,
        "seconds": seconds,
        "roc_auc": auc,
        "average_precision": float(average_precision_score(labels, -scores)),
    }


def markdown(results: dict, protocol: str) -> str:
    """One protocol's table, the best first; means over sets of the means over seeds."""
    records = [r for r in results["records"] if r["protocol"] == protocol and "error" not in r]
    sets = sorted({r["set"] for r in records})

    def by_set(model, key):
        values = [[r[key] for r in records if r["model"] == model and r["set"] == s] for s in sets]
        return np.array([np.mean(v) if v else np.nan for v in values])

    models = sorted({r["model"] for r in records})
    auc = {m: by_set(m, "roc_auc") for m in models}
    complete = [m for m in models if not np.isnan(auc[m]).any()]
    ranked = [m for m in complete if m == OURS or not m.startswith("ours,")]
    ranks = rankdata([-auc[m] for m in ranked], axis=0).mean(axis=1)
    rank_of = dict(zip(ranked, ranks, strict=True))
    lines = [
        f"{protocol}, {len(sets)} sets",
        "",
        "| detector | ROC-AUC | average precision | mean rank | seconds | p (Wilcoxon, ours) |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for model in sorted(complete, key=lambda m: -auc[m].mean()):
        differs = model != OURS and OURS in auc and not np.allclose(auc[model], auc[OURS])
        p = f"{wilcoxon(auc[OURS], auc[model]).pvalue:.4f}" if differs else ""
        rank = f"{rank_of[model]:.2f}" if model in rank_of else ""
        precision, seconds = by_set(model, "average_precision"), by_set(model, "seconds")
        lines.append(
            f"| {model} | {auc[model].mean():.4f} | {precision.mean():.4f} | {rank} | "
            f"{seconds.mean():.2f} | {p} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Run, keep, print."""
    known = list(detectors(0))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=None, help="the .npz files")
    parser.add_argument("--rows", type=int, default=10_000, help="largest number of rows of a set")
    parser.add_argument("--models", nargs="+", default=[m for m in known if m not in SLOW])
    parser.add_argument("--protocols", nargs="+", default=PROTOCOLS, choices=PROTOCOLS)
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(5)))
    parser.add_argument("--out", type=Path, default=HERE / "results" / "adbench.json")
    parser.add_argument("--print", action="store_true", help="print what was measured, and end")
    args = parser.parse_args()
    results = {"records": []}
    if args.out.exists():  # what is there already is kept, and not measured again
        results = json.loads(args.out.read_text(encoding="utf-8"))
    done = {(r["set"], r["model"], r["protocol"], r["seed"]) for r in results["records"]}
    if not args.print:
        results["provenance"] = describe()
        for seed in args.seeds:
            for name in set_names(args.data):
                for protocol in args.protocols:
                    for model in args.models:
                        if (name, model, protocol, seed) not in done:
                            results["records"].append(run(name, model, protocol, seed, args))
                args.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
                print(seed, name, file=sys.stderr, flush=True)
    for protocol in args.protocols:
        print(markdown(results, protocol), end="\n\n")


if __name__ == "__main__":
    main()
