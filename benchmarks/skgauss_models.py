"""Ours, untouched: the default estimator fitted on the training rows alone."""

from __future__ import annotations

from skgauss import GlowGaussianizer


def fit_default(train, validation, *, seed, budget):
    """``GlowGaussianizer(random_state=seed)``, stopping where it likes."""
    return _fit(GlowGaussianizer(random_state=seed), train)


def fit_within_budget(train, validation, *, seed, budget):
    """The default with ``max_time=budget``."""
    return _fit(GlowGaussianizer(random_state=seed, max_time=budget), train)


def fit_wide(train, validation, *, seed, budget):
    """Networks twice as wide and more steps, as in the papers: for hours on millions of rows."""
    wide = GlowGaussianizer(
        n_steps=10,
        hidden_layer_sizes=(128, 128),
        learning_rate_init=3e-3,
        random_state=seed,
        max_time=budget,
    )
    return _fit(wide, train)


def _fit(estimator, train):
    estimator.fit(train)
    details = {"n_iter": int(estimator.n_iter_), "n_parameters": int(estimator.n_parameters_)}
    return estimator.score_samples, details
