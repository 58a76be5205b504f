"""Ours, untouched: the default estimator fitted on the training rows alone."""

from __future__ import annotations

import jax

from skgauss import GlowGaussianizer


def fit_default(train, validation, *, seed, budget):
    """``GlowGaussianizer(random_state=seed)``, stopping where it likes."""
    return _fit(GlowGaussianizer(random_state=seed), train)


def fit_within_budget(train, validation, *, seed, budget):
    """The default with ``max_time=budget``."""
    return _fit(GlowGaussianizer(random_state=seed, max_time=budget), train)


def fit_long(train, validation, *, seed, budget, **parameters):
    """Permutations, more steps and finer splines: for hours on millions of rows."""
    long = GlowGaussianizer(
        n_steps=10,
        mixer="permutation",
        n_bins=16,
        random_state=seed,
        max_time=budget,
        **parameters,
    )
    return _fit(long, train)


def fit_accelerated(train, validation, *, seed, budget):
    """`fit_long` in batches that keep an accelerator busy, at a higher rate."""
    return fit_long(
        train, validation, seed=seed, budget=budget, batch_size=4096, learning_rate_init=1e-2
    )


def _fit(estimator, train):
    estimator.fit(train)
    details = {
        "n_iter": int(estimator.n_iter_),
        "n_parameters": int(estimator.n_parameters_),
        "platform": jax.default_backend(),
    }
    return estimator.score_samples, details
