"""Anomaly detection beside its peers, on ADBench sets, under two protocols that are never mixed.

``python benchmarks/adbench.py`` fits every detector under each protocol, keeps the records in
``benchmarks/results/adbench.json`` after every set, and prints one table per protocol: mean
ROC-AUC, average precision, mean rank, a paired Wilcoxon test over sets against ours, losses
included, and seconds; a summary of both; then what our defaults would have been and scored, had
each set had no part in their choice. What the file holds is not measured again; ``--print`` only
makes its tables anew.
"""

from __future__ import annotations

import argparse
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
from provenance import told_when
from result_parts import ResultFile, measured_now
from result_tables import column, table
from skgauss import DensityOutlierDetector, GlowGaussianizer, RBIGTransformer

HERE = Path(__file__).resolve().parent
OURS = "DensityOutlierDetector"
BOTH, LEFT_OUT = "both", "left-out"
#: The stated priors: share of the rows trimmed ("auto" by default), rows of a subsample (1024).
TRIMS, MAX_SAMPLES = (0.0, 0.05, 0.1, 0.2), (128, 2048)
TITLES = {
    "unsupervised": "Unsupervised",
    "one-class": "One class",
    BOTH: "Both protocols",
    LEFT_OUT: "Our defaults, one set left out",
}
RULES = {
    "unsupervised": "fitted on all rows, which are then scored",
    "one-class": "fitted on half of the normal rows; the rest and all anomalies are scored",
}


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
        "ours, ten RBIG inside": ours(
            seed, estimator=RBIGTransformer(), n_estimators=10, max_samples=512
        ),
        "ours, Glow inside": ours(seed, estimator=GlowGaussianizer()),
        "ours, latent norm": ours(seed, criterion="latent_norm"),
        **{f"ours, trim={share:g}": ours(seed, trim=share) for share in TRIMS},
        **{f"ours, max_samples={n}": ours(seed, max_samples=n) for n in MAX_SAMPLES},
        "IsolationForest": sklearn_detector(IsolationForest(random_state=seed)),
        "LocalOutlierFactor": local_outlier_factor,
        "KNN": nearest_neighbours,
        "KernelDensity": sklearn_detector(KernelDensity(bandwidth="scott"), scale=True),
        "GaussianMixture": mixture_by_bic(seed),
        **{name: pyod(name, seed) for name in ("ECOD", "COPOD", "HBOS", "PCA", "CBLOF")},
    }


#: What could have been the defaults, and are the candidates where a set is left out.
CANDIDATES = (
    OURS,
    *(f"ours, trim={share:g}" for share in TRIMS),
    *(f"ours, max_samples={n}" for n in MAX_SAMPLES),
)


def run(name, model, protocol, seed, args) -> dict:
    """One detector on one set."""
    X, y, digest = load_anomalies(name, seed, args.data, args.rows)
    train, test, labels = task(protocol, X, y, seed)
    record = {"set": name, "model": model, "protocol": protocol, "seed": seed}
    record["measured"] = told_when()
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


def tables(protocol: str, records: list[dict]) -> list[dict]:
    """One protocol's table, the best first; means over sets of the means over seeds."""
    complete, sets = _measured(records)
    seeds = len({r["seed"] for r in records})
    caption = (
        f"{sets} sets, {RULES[protocol]}. Means over the sets, of the means over {seeds} "
        f"seeds. {READING} Seconds are those of fitting and scoring."
    )
    notes = _failures(records, complete) + _fewer_seeds(records, seeds)
    return [table(caption, COLUMNS, _compared(complete), notes)]


def both(records: dict[str, list[dict]]) -> list[dict]:
    """The means of the two protocols, set by set: how far one default serves both."""
    found = [_measured(of) for of in records.values()]
    models = [m for m in found[0][0] if all(m in complete for complete, _ in found)]
    if not models:
        return []
    together = {
        m: {k: np.mean([complete[m][k] for complete, _ in found], axis=0) for k in MEASURES}
        for m in models
    }
    caption = (
        f"{found[0][1]} sets: the mean of both protocols for every set, since one default has to "
        f"serve both. {READING}"
    )
    return [table(caption, COLUMNS[:-1], _compared(together))]


READING = (
    "The rank is among the peers and our defaults; the other rows that are ours show what one "
    "changed parameter does. Ahead, behind and p speak of our defaults against the row, by ROC-AUC "
    "set by set: paired Wilcoxon test, two-sided, not corrected for the number of rows."
)


def _measured(records):
    """Every model's means over seeds by set, where it has all sets; and how many sets there are."""
    sets = sorted({r["set"] for r in records})
    models = dict.fromkeys(r["model"] for r in records)
    by_model = {m: _by_set(records, m, sets) for m in models}
    return {m: f for m, f in by_model.items() if len(f["roc_auc"]) == len(sets)}, len(sets)


def _compared(complete):
    """Rows of a table, the best first."""
    ranked = [m for m in complete if m == OURS or not m.startswith("ours,")]
    rank_of = {}
    if ranked:
        ranks = rankdata([-complete[m]["roc_auc"] for m in ranked], axis=0).mean(axis=1)
        rank_of = dict(zip(ranked, map(float, ranks), strict=True))
    reference = complete[OURS]["roc_auc"] if OURS in complete else None
    rows = [
        {
            "model": model,
            **{measure: float(found[measure].mean()) for measure in MEASURES},
            "rank": rank_of.get(model),
            **_against(reference, found["roc_auc"]),
        }
        for model, found in complete.items()
    ]
    return sorted(rows, key=lambda row: -row["roc_auc"])


MEASURES = ("roc_auc", "average_precision", "seconds")
COLUMNS = [
    column("model", "detector"),
    column("roc_auc", "ROC-AUC", ".4f"),
    column("average_precision", "average precision", ".4f"),
    column("rank", "mean rank", ".2f"),
    column("ahead", "ours ahead", "d"),
    column("behind", "ours behind", "d"),
    column("p", "p", ".4f"),
    column("seconds", "seconds", ".2f"),
]


def _by_set(records, model, sets):
    """Means over seeds of every measure, by set; sets on which the model failed are left out."""
    found = [
        [r for r in records if r["model"] == model and r["set"] == s and "error" not in r]
        for s in sets
    ]
    return {
        m: np.array([np.mean([r[m] for r in rows]) for rows in found if rows]) for m in MEASURES
    }


def _against(reference, auc):
    """How our defaults fare against a model over the sets; nothing where these are the same."""
    if reference is None or np.allclose(reference, auc):
        return {}
    ahead, behind = int((reference > auc).sum()), int((reference < auc).sum())
    return {"ahead": ahead, "behind": behind, "p": float(wilcoxon(reference, auc).pvalue)}


def left_out(records: dict[str, list[dict]]) -> list[dict]:
    """For every set, the candidate that is best on the others, both protocols together."""
    sets = sorted({r["set"] for found in records.values() for r in found})
    measured = {
        protocol: [_by_set(found, m, sets)["roc_auc"] for m in CANDIDATES]
        for protocol, found in records.items()
    }
    if not sets or any(len(found) < len(sets) for of in measured.values() for found in of):
        return []  # a candidate has not been measured on every set
    auc = {protocol: np.array(found) for protocol, found in measured.items()}
    both = np.sum(list(auc.values()), axis=0)  # of shape (candidates, sets)
    chosen = np.argmax(both.sum(axis=1, keepdims=True) - both, axis=0)
    counts = {CANDIDATES[k]: int(n) for k, n in enumerate(np.bincount(chosen)) if n}
    rows = [
        {"protocol": TITLES[p], "roc_auc": float(found[chosen, range(len(sets))].mean())}
        for p, found in auc.items()
    ]
    caption = (
        "For every set, the candidate whose ROC-AUC is highest on the other sets, mean of both "
        f"protocols. Candidates: {'; '.join(CANDIDATES)}. Chosen: "
        f"{', '.join(f'{name} for {n} sets' for name, n in counts.items())}. The fence of "
        "trim=\"auto\", the kernels' stiffness, the scaled columns and the Gaussians' share were "
        "chosen on all sets."
    )
    columns = [column("protocol", "protocol"), column("roc_auc", "ROC-AUC", ".4f")]
    return [table(caption, columns, rows)]


def _failures(records, complete):
    """One line per model that failed somewhere."""
    notes = []
    for model in dict.fromkeys(r["model"] for r in records if "error" in r):
        own = [r for r in records if r["model"] == model]
        failed = [r for r in own if "error" in r]
        where = ", ".join(sorted({r["set"] for r in failed}))
        left = "" if model in complete else ", and is left out of the table"
        notes.append(
            f"{model} failed in {len(failed)} of {len(own)} fits, on {where} "
            f"({failed[0]['error']}){left}."
        )
    return tuple(notes)


def _fewer_seeds(records, seeds):
    """One line per model that was run with fewer seeds than others."""
    by_model: dict = {}
    for record in records:
        by_model.setdefault(record["model"], set()).add(record["seed"])
    few = {model: len(found) for model, found in by_model.items() if len(found) < seeds}
    return tuple(f"{model}: {n} of the {seeds} seeds." for model, n in few.items())


def main() -> None:
    """Run, keep, print."""
    known = list(detectors(0))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=None, help="the .npz files")
    parser.add_argument("--rows", type=int, default=10_000, help="largest number of rows of a set")
    parser.add_argument("--models", nargs="+", default=known, choices=known)
    parser.add_argument("--protocols", nargs="+", default=PROTOCOLS, choices=PROTOCOLS)
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(5)))
    parser.add_argument("--out", type=Path, default=HERE / "results" / "adbench.json")
    parser.add_argument(
        "--print", action="store_true", help="make the tables anew, measure nothing"
    )
    args = parser.parse_args()
    results = ResultFile(args.out, TITLES)  # what is there already is kept, and not measured again
    if args.print:
        results.retable(tables)
    else:
        provenance = measured_now(())
        for seed in args.seeds:
            for name in set_names(args.data):
                for protocol in args.protocols:
                    measure(name, protocol, seed, args, results, provenance)
                print(seed, name, file=sys.stderr, flush=True)
    records = {protocol: results.records(protocol) for protocol in PROTOCOLS}
    for part, found in ((BOTH, both(records)), (LEFT_OUT, left_out(records))):
        if found:
            results.keep(part, results.parts[PROTOCOLS[0]]["provenance"], found)
    results.show([*args.protocols, BOTH, LEFT_OUT])


def measure(name, protocol, seed, args, results, provenance) -> None:
    """The models that have not been measured yet, on one set."""
    records = results.records(protocol)
    done = {r["model"] for r in records if (r["set"], r["seed"]) == (name, seed)}
    new = [run(name, m, protocol, seed, args) for m in args.models if m not in done]
    if new:
        records = [*records, *new]
        results.keep(protocol, provenance, tables(protocol, records), records)


if __name__ == "__main__":
    main()
