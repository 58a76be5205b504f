"""Fitted mixtures: as good as scikit-learn's, deterministic, and finite on any table."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine, make_blobs, make_moons
from sklearn.mixture import GaussianMixture

from skgauss import mixture_growth as growth
from skgauss.em import Sample, expectation, maximisation, split
from skgauss.mixture_growth import fit_gaussian_mixture, select_gaussian_mixture


def real_tables():
    rng = np.random.default_rng(0)
    tables = {
        "breast_cancer": load_breast_cancer().data,
        "wine": load_wine().data,
        "diabetes": load_diabetes().data,
        "moons": make_moons(2000, noise=0.05, random_state=0)[0],
        "heavy_tails": rng.standard_t(1.5, size=(2000, 3)),
        "counts": rng.poisson(1.5, size=(1000, 4)).astype(float),
    }
    shuffled = {name: rng.permutation(X) for name, X in tables.items()}
    return {name: (X - X.mean(axis=0)) / X.std(axis=0) for name, X in shuffled.items()}


TABLES = real_tables()


def fit(X, n_components, weight=None):
    X = np.asarray(X, float)
    return fit_gaussian_mixture(X, np.ones(len(X)) if weight is None else weight, n_components)


def select(X, X_held_out, **kwargs):
    weights = np.ones(len(X)), np.ones(len(X_held_out))
    return select_gaussian_mixture(X, weights[0], X_held_out, weights[1], **kwargs)


def test_frequencies_take_no_rows_away():
    """The first rungs of a ladder see some rows, whatever these weigh."""
    X = TABLES["moons"]
    plain = fit_gaussian_mixture(X, np.ones(len(X)), 16, n_ladders=4)
    weighty = fit_gaussian_mixture(X, np.full(len(X), 1e4), 16, n_ladders=4)
    assert np.abs(weighty.log_density(X) - plain.log_density(X)).mean() < 0.02


@pytest.mark.parametrize("n_components", [1, 2, 7, 40])
@pytest.mark.parametrize("name", TABLES)
def test_training_rows_come_back(name, n_components):
    X = TABLES[name]
    mixture = fit(X, n_components)
    X = X[:: 1 + len(X) // 150]  # the way back takes its time
    Z, log_det = mixture.forward(X)
    assert np.isfinite(Z).all()
    assert np.isfinite(log_det).all()
    error = np.abs(mixture.inverse(Z) - X)
    assert (error.max(axis=1) <= 1e-9 * np.maximum(1, np.abs(X).max(axis=1))).all()


@pytest.mark.parametrize("name", TABLES)
def test_far_rows_come_back(name):
    X = TABLES[name]
    mixture = fit(X, 8)
    X = X[:: 1 + len(X) // 150]
    far = X * np.where(np.random.default_rng(0).random(X.shape) < 0.3, 1e6, 1)
    Z, log_det = mixture.forward(far)
    assert np.isfinite(Z).all()
    assert np.isfinite(log_det).all()
    largest = np.maximum(np.abs(far).max(axis=1), np.abs(X).max())
    assert (np.abs(mixture.inverse(Z) - far).max(axis=1) <= 1e-9 * largest).all()


def moons_or_blobs(kind, seed):
    if kind == "moons":
        X, _ = make_moons(1500, noise=0.1, random_state=seed)
    else:
        X, _ = make_blobs(1500, n_features=3, centers=8, random_state=seed)
    return np.split(X, [1000])


@pytest.mark.parametrize("kind", ["moons", "blobs"])
def test_as_likely_on_new_rows_as_that_of_scikit_learn(kind):
    gains = []
    for seed in range(5):
        X, X_new = moons_or_blobs(kind, seed)
        peer = GaussianMixture(8, random_state=0, tol=1e-4, max_iter=500).fit(X)
        gains.append(fit(X, 8).log_density(X_new).mean() - peer.score(X_new))
    assert np.mean(gains) > -0.02
    assert np.min(gains) > -0.1


def test_one_component_has_the_moments_of_the_table():
    X = TABLES["wine"]
    gaussian = multivariate_normal(X.mean(axis=0), np.cov(X.T, bias=True))
    gain = fit(X, 1, np.full(len(X), 10.0)).log_density(X) - gaussian.logpdf(X)
    assert abs(np.median(gain)) < 1e-3
    assert gain.mean() > -0.01


def test_expectation_and_maximisation_are_those_of_the_formulas():
    X, weight = TABLES["moons"][:300], np.random.default_rng(0).uniform(0.5, 3, 300)
    table = Sample.standardised(X, weight, np.zeros(2), np.ones(2))
    mixture = split(split(next(growth._ladder(table, [1])), 1), 2)
    densities = np.array(
        [
            np.exp(w) * multivariate_normal(m, c).pdf(X)
            for w, m, c in zip(
                mixture.log_weights, mixture.means, mixture.covariances(), strict=True
            )
        ]
    )
    log_likelihood, sums = expectation(mixture, table)
    assert log_likelihood == pytest.approx(
        np.average(np.log(densities.sum(axis=0)), weights=weight)
    )
    updated = maximisation(sums, table)
    shares = weight * densities / densities.sum(axis=0)
    np.testing.assert_allclose(np.exp(updated.log_weights), shares.sum(axis=1) / weight.sum())
    for share, mean, covariance in zip(shares, updated.means, updated.covariances(), strict=True):
        np.testing.assert_allclose(mean, np.average(X, axis=0, weights=share), atol=1e-4)
        expected = np.cov(X.T, aweights=share, bias=True)
        np.testing.assert_allclose(covariance, expected, atol=1e-4)


def test_splitting_keeps_the_mean_and_the_covariance():
    table = Sample.standardised(TABLES["wine"], np.ones(178), np.zeros(13), np.ones(13))
    whole = next(growth._ladder(table, [1]))
    halves = split(whole, 1)
    np.testing.assert_allclose(halves.means.mean(axis=0), whole.means[0], atol=1e-12)
    between = np.cov(halves.means.T, bias=True)
    within = halves.covariances().mean(axis=0)
    np.testing.assert_allclose(within + between, whole.covariances()[0], atol=1e-9)


def test_a_weight_is_a_number_of_copies():
    X = TABLES["moons"][:400]
    weight = np.random.default_rng(0).integers(1, 4, 400).astype(float)
    weighted, copied = fit(X, 5, weight), fit(np.repeat(X, weight.astype(int), axis=0), 5)
    np.testing.assert_allclose(weighted.forward(X)[0], copied.forward(X)[0], atol=1e-8)


def test_same_rows_same_bits():
    X = TABLES["diabetes"]
    for first, second in zip(*(vars(fit(X, 6)).values() for _ in range(2)), strict=True):
        np.testing.assert_array_equal(first, second)


def test_units_of_a_column_do_not_matter():
    X, unit = TABLES["wine"], 2.0 ** np.arange(-30, 35, 5)
    first, second = fit(X, 4), fit(X * unit, 4)
    np.testing.assert_allclose(second.forward(X * unit)[0], first.forward(X)[0], atol=1e-7)
    shift = np.log(unit).sum()
    np.testing.assert_allclose(
        second.log_density(X * unit), first.log_density(X) - shift, atol=1e-7
    )


rng = np.random.default_rng(0)
HOSTILE = {
    "constant column": np.column_stack([rng.normal(size=100), np.full(100, 7.0)]),
    "all constant": np.full((10, 3), -2.0),
    "zeros": np.zeros((10, 2)),
    "duplicated column": np.repeat(rng.normal(size=(200, 1)), 3, axis=1),
    "sum of the others": np.column_stack([(a := rng.normal(size=(200, 3))), a.sum(axis=1)]),
    "two values": rng.integers(2, size=(200, 3)).astype(float),
    "two rows": rng.normal(size=(2, 3)),
    "one row": rng.normal(size=(1, 2)),
    "fewer rows than columns": rng.normal(size=(5, 12)),
    "one column": rng.normal(size=(300, 1)),
    "mostly zero": np.where(rng.random((500, 2)) < 0.97, 0.0, rng.normal(size=(500, 2))),
    "outlier": np.concatenate([rng.normal(size=(500, 2)), [[1e9, 0.0]]]),
    "far from zero": 1e6 + rng.normal(size=(300, 2)),
}


@pytest.mark.parametrize("n_components", [1, 3, 20])
@pytest.mark.parametrize("name", HOSTILE)
def test_any_table_gives_a_finite_map(name, n_components):
    X = HOSTILE[name]
    mixture = fit(X, n_components)
    Z, log_det = mixture.forward(X)
    assert np.isfinite(Z).all()
    assert np.isfinite(log_det).all()
    size = np.maximum(np.abs(X), 1 + X.std(axis=0)).max(axis=1)
    assert (np.abs(mixture.inverse(Z) - X).max(axis=1) <= 1e-9 * size).all()
    new = X + np.random.default_rng(1).normal(size=X.shape)
    Z, log_det = mixture.forward(new)
    assert np.isfinite(log_det).all()
    assert np.abs(mixture.inverse(Z) - new).max() <= 1e-8 * max(1, np.abs(X).max())


def test_selection_takes_one_component_for_a_gaussian_and_more_for_moons():
    X = np.random.default_rng(0).normal(size=(3000, 3)) @ np.triu(np.ones((3, 3)))
    assert len(select(X[:2000], X[2000:]).weights) <= 2
    X = TABLES["moons"]
    assert len(select(X[:1500], X[1500:]).weights) >= 8


@pytest.mark.parametrize("name", ["breast_cancer", "diabetes", "wine", "moons"])
def test_selection_is_as_likely_on_new_rows_as_the_best_of_scikit_learn(name):
    X, X_held_out, X_new = np.split(
        TABLES[name], [int(0.6 * len(TABLES[name])), int(0.8 * len(TABLES[name]))]
    )
    peers = [GaussianMixture(k, random_state=0, reg_covar=1e-4).fit(X) for k in (1, 2, 4, 8)]
    peer = max(peers, key=lambda mixture: mixture.score(X_held_out))
    assert select(X, X_held_out).log_density(X_new).mean() > peer.score(X_new) - 0.1


def test_held_out_weights_count():
    X, X_held_out = TABLES["moons"][:1500], TABLES["moons"][1500:]
    ones = np.ones(1500)
    doubled = select_gaussian_mixture(X, ones, X_held_out, np.full(500, 2.0))
    np.testing.assert_array_equal(doubled.weights, select(X, X_held_out).weights)
