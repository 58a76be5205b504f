"""Calibration and samples of the models on held-out rows of the benchmark tables."""

from __future__ import annotations

import numpy as np

from beyond_measures import (
    NORM_LEVELS,
    REGION_LEVELS,
    latent_normality,
    nearest_ratio,
    region_coverage,
    two_sample_test,
)
from beyond_models import MODELS, drawn, fitted, has_latents
from datasets import load
from result_tables import column, means, table
from worker import timed

MAX_TEST = 10_000
N_SAMPLES = 10_000  # whose densities say where the regions end
FRESH = "validation rows, as if they were samples"


def records(args):
    """Yield a record for every set, seed and model; the validation rows stand for a perfect one."""
    for name in args.sets[:2] if args.quick else args.sets:
        for seed in args.seeds:
            split = load(name, seed=seed, data_dir=args.data)
            parts = [split.train, split.validation, split.test[:MAX_TEST]]
            if args.quick:
                parts = [part[: 1_000 if k == 0 else 300] for k, part in enumerate(parts)]
            train, validation, test = parts
            shared = {
                "set": name,
                "seed": seed,
                "n_train": len(train),
                "n_test": len(test),
                "preparation": split.preparation,
                "data_sha256": split.sha256,
            }
            fresh = validation[: len(test)]
            yield {**shared, "model": "fresh", **sample_quality(train, test, fresh, seed)}
            for model in args.models:
                estimator, seconds = timed(fitted, model, train, validation, seed)
                found = measured(estimator, train, test, seed, 1_000 if args.quick else N_SAMPLES)
                yield {**shared, "model": model, "fit_seconds": seconds, **found}


def measured(model, train, test, seed: int, n_samples: int) -> dict:
    """All measures of a fitted model; those of latents only where it has some."""
    samples = drawn(model, max(n_samples, len(test)), seed + 1)
    samples = np.random.default_rng(seed).permutation(samples)
    test_scores = model.score_samples(test)
    found = latent_normality(model.transform(test)) if has_latents(model) else {}
    return {
        "nats": float(test_scores.mean()),
        **found,
        **region_coverage(test_scores, model.score_samples(samples[:n_samples])),
        **sample_quality(train, test, samples[: len(test)], seed),
    }


def sample_quality(train, test, samples, seed: int) -> dict:
    """How well samples pass for test rows."""
    found = two_sample_test(test[: len(samples)], samples, seed)
    return {**found, "nearest": nearest_ratio(train, test, samples)}


def tables(found: list[dict]) -> list[dict]:
    """Latents, regions and samples; means over the seeds."""
    rows = [
        {**row, "model": {**MODELS, "fresh": FRESH}[row["model"]]}
        for row in means(found, ("set", "model"))
    ]
    shown = [row for row in rows if row["model"] != FRESH]
    first = [column("set", "table"), column("model", "model")]
    seeds = column("n_seeds", "seeds", "d")
    for row in rows:
        row["n_seeds"] = len({one["seed"] for one in found if one["set"] == row["set"]})
    latents = table(
        "Latents of held-out rows, which should be standard normal: the Kolmogorov-Smirnov "
        "distance of the column that is farthest from it, beside what independent normals stay "
        "below in 95 % of tables; and the share of rows whose squared latent norm is below the "
        "quantiles of chi-square, whose levels are those of the headings. Their standard errors "
        "are sqrt(p (1 - p) / n) of n test rows. A GaussianMixture has no latents, and empty "
        "cells.",
        [
            *first,
            column("n_test", "test rows", ",d"),
            column("ks", "worst KS distance", ".3f"),
            column("ks_normal", "normal, 95 %", ".3f"),
            *(column(f"norm_{level:g}", f"below {level:.0%}", ".1%") for level in NORM_LEVELS),
            seeds,
        ],
        shown,
    )
    regions = table(
        "Share of held-out rows in the regions of highest density that hold 50, 90 and 99 % of "
        f"{N_SAMPLES:,} samples of the model; held-out nats beside it.",
        [
            *first,
            column("n_test", "test rows", ",d"),
            *(column(f"region_{level:g}", f"in {level:.0%}", ".1%") for level in REGION_LEVELS),
            column("nats", "held-out nats", ".3f"),
            column("fit_seconds", "fit, s", ".1f"),
            seeds,
        ],
        shown,
    )
    samples = table(
        "Samples beside as many test rows: accuracy and ROC-AUC, cross-fitted, of a "
        "HistGradientBoostingClassifier that tells them apart, where 0.5 is perfect; and the "
        "median distance of samples to the nearest training row over that of test rows, where 1 "
        "is perfect and less means copies.",
        [
            *first,
            column("n_test", "test rows", ",d"),
            column("accuracy", "accuracy", ".3f"),
            column("auc", "ROC-AUC", ".3f"),
            column("nearest", "distance over true", ".3f"),
            seeds,
        ],
        rows,
    )
    preparations = {row["set"]: row["preparation"] for row in found}
    latents["notes"] = [f"{name}: {told}." for name, told in preparations.items()]
    return [latents, regions, samples]
