"""Ours, untouched: the default estimator fitted on the training rows alone."""

from __future__ import annotations

from skgauss import GlowGaussianizer


def fit_default(train, validation, *, seed, budget):
    """``GlowGaussianizer(random_state=seed)``, stopping where it likes."""
    return _fit(GlowGaussianizer(random_state=seed), train)


def fit_within_budget(train, validation, *, seed, budget):
    """The default with ``max_time=budget``."""
    return _fit(GlowGaussianizer(random_state=seed, max_time=budget), train)


def _fit(estimator, train):
    estimator.fit(train)
    details = {"n_iter": int(estimator.n_iter_), "n_parameters": int(estimator.n_parameters_)}
    return estimator.score_samples, details
