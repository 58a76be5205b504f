"""Ours, untouched: the default estimator fitted on the training rows alone."""

from __future__ import annotations

from skgauss import GlowGaussianizer


def fit_default(train, validation, *, seed, budget):
    """``GlowGaussianizer(random_state=seed)``, stopping where it likes."""
    return _fit(GlowGaussianizer(random_state=seed), train)


def fit_within_budget(train, validation, *, seed, budget):
    """The default with ``max_time=budget``."""
    return _fit(GlowGaussianizer(random_state=seed, max_time=budget), train)


def fit_long(train, validation, *, seed, budget):
    """Permutations, more steps and finer splines: for hours on millions of rows."""
    long = GlowGaussianizer(
        n_steps=10,
        mixer="permutation",
        n_bins=16,
        random_state=seed,
        max_time=budget,
    )
    return _fit(long, train)


def _fit(estimator, train):
    estimator.fit(train)
    details = {"n_iter": int(estimator.n_iter_), "n_parameters": int(estimator.n_parameters_)}
    return estimator.score_samples, details
