"""The models on densities in closed form: extremes of their samples, divergence from the truth."""

from __future__ import annotations

import itertools

import numpy as np
from scipy import stats

from beyond_models import MODELS, drawn, fitted
from closed_forms import (
    Law,
    correlated_gaussian,
    gaussian_mixture,
    independent_t,
    rotated_exponential,
    spherical_t,
)
from report import mean_and_error
from result_tables import column, means, table
from worker import timed

N_TRAIN, N_VALIDATION, N_TEST, N_SAMPLES = 5_000, 500, 20_000, 50_000
DEGREES = (2, 3, 5)
COLUMNS = (2, 5, 20)
QUANTILE = 0.999


def tail_records(args):
    """Yield a record for every law of Student's t, seed and model."""
    for make, df, n_columns in itertools.product((independent_t, spherical_t), DEGREES, COLUMNS):
        if args.quick and (df != 2 or n_columns == 20):
            continue
        truth = float(stats.t.ppf((1 + QUANTILE) / 2, df))
        for record, train, model in on_law(make(df, n_columns), args):
            samples = drawn(model, 2_000 if args.quick else N_SAMPLES, record["seed"] + 1)
            yield {
                **record,
                "df": df,
                "quantile": truth,
                "sample_ratio": float(np.quantile(np.abs(samples), QUANTILE)) / truth,
                "train_ratio": float(np.quantile(np.abs(train), QUANTILE)) / truth,
            }


def divergence_records(args):
    """Yield a record for every other law, seed and model."""
    for make, n_columns in itertools.product(
        (correlated_gaussian, gaussian_mixture, rotated_exponential), COLUMNS
    ):
        if not (args.quick and n_columns != 2):
            yield from (record for record, _, _ in on_law(make(n_columns), args))


def on_law(law: Law, args):
    """Yield what every model comes to on a law, with its training rows and the fitted model."""
    n_train, n_test = (500, 1_000) if args.quick else (N_TRAIN, N_TEST)
    for seed in args.seeds:
        rng = np.random.default_rng(seed)
        train, validation, test = (law.draw(rng, n) for n in (n_train, N_VALIDATION, n_test))
        for name in args.models:
            model, seconds = timed(fitted, name, train, validation, seed)
            scores = model.score_samples(test)
            divergence, error = mean_and_error(law.log_density(test) - scores)
            record = {
                "law": law.name,
                "columns": law.n_columns,
                "seed": seed,
                "model": name,
                "fit_seconds": seconds,
                "kl": float(divergence),
                "kl_error": float(error),
                "not_finite": float(np.mean(~np.isfinite(scores))),
            }
            yield record, train, model


def _shown(found, by):
    """Means over the seeds, and how many these are."""
    n_seeds = len({record["seed"] for record in found})
    return [{**row, "model": MODELS[row["model"]], "n_seeds": n_seeds} for row in means(found, by)]


_DIVERGENCE = [
    column("kl", "KL divergence, nats", ".3f", "kl_error"),
    column("not_finite", "rows without a finite score", ".2%"),
    column("fit_seconds", "fit, s", ".1f"),
    column("n_seeds", "seeds", "d"),
]
_HOW = (
    f"{N_TRAIN:,} training rows; for the GaussianMixture {N_VALIDATION} others choose the number "
    "of components. The Kullback-Leibler divergence of the model from the truth is the mean "
    f"difference of the log-densities on {N_TEST:,} new rows, with its standard error over rows."
)


def tail_tables(found: list[dict]) -> list[dict]:
    """Extremes and divergences on Student's t."""
    return [
        table(
            "Student's t, in independent columns, and as the spherical law, whose columns are "
            f"large together; {_HOW} The {QUANTILE:.1%} quantile of absolute values, over all "
            f"columns, is that of {N_SAMPLES:,} samples over the truth; beside it that of the "
            "training rows.",
            [
                column("law", "law"),
                column("df", "degrees of freedom", "d"),
                column("columns", "columns", "d"),
                column("model", "model"),
                column("sample_ratio", "quantile of samples over true", ".2f"),
                column("train_ratio", "of training rows over true", ".2f"),
                *_DIVERGENCE,
            ],
            _shown(found, ("law", "df", "columns", "model")),
        )
    ]


def divergence_tables(found: list[dict]) -> list[dict]:
    """Divergences from the other laws."""
    return [
        table(
            f"Other densities in closed form. {_HOW}",
            [
                column("law", "law"),
                column("columns", "columns", "d"),
                column("model", "model"),
                *_DIVERGENCE,
            ],
            _shown(found, ("law", "columns", "model")),
        )
    ]
