"""Gaussians under which no training row is scored by what it was fitted to."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from skgauss import crossed_mixture
from skgauss.content import ranked_columns
from skgauss.crossed_mixture import CrossedMixture


def mixture_of(X, weight=None):
    return CrossedMixture(*ranked_columns(X, weight, 0), single=False)


def clusters(n_rows, n_clusters, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n_rows, 3)) + 9 * rng.integers(n_clusters, size=(n_rows, 1))


def test_new_rows_have_the_mean_of_all_and_training_rows_that_of_the_one_without_them():
    X, new = clusters(300, 2), clusters(20, 2, seed=1)
    mixture = mixture_of(X)

    def by_scipy(rows, of):
        U, components = (rows - mixture.loc) / mixture.scale, mixture.mixtures[of]
        densities = [
            weight * multivariate_normal(mean, covariance).pdf(U)
            for weight, mean, covariance in zip(
                np.exp(components.log_weights),
                components.means,
                components.covariances(),
                strict=True,
            )
        ]
        return np.log(np.sum(densities, axis=0)) - np.log(mixture.scale).sum()

    all_ten = np.array([by_scipy(new, k) for k in range(10)])
    np.testing.assert_allclose(mixture.log_density(new), all_ten.mean(axis=0))
    scores = mixture.log_density(X)
    answers = np.array([by_scipy(X, k) for k in range(10)])
    own = np.abs(answers - scores).argmin(axis=0)
    np.testing.assert_allclose(answers[own, np.arange(300)], scores)
    assert np.bincount(own).tolist() == [30] * 10


@pytest.mark.parametrize(("n_clusters", "most"), [(1, 1), (2, 2), (4, 8)])
def test_there_are_as_many_components_as_clusters_ask_for(n_clusters, most):
    mixture = mixture_of(clusters(1000, n_clusters))
    found = [len(part.means) for part in mixture.mixtures]
    assert n_clusters <= min(found) <= max(found) <= most


def test_columns_are_integrated_out():
    X, order = clusters(500, 2), np.array([2, 0, 1])
    mixture = mixture_of(X)
    along = mixture.along(X[:50], order)
    np.testing.assert_allclose(along[-1], mixture.log_density(X[:50]), rtol=1e-12)
    grid = np.linspace(-30, 40, 4001)
    rows = np.tile(X[0], (len(grid), 1))
    rows[:, 1] = grid  # the last of the order
    mixture.mixtures = mixture.mixtures[:1]  # a mean of logarithms is no density
    mixture.fold[:] = 0
    density = np.exp(mixture.along(rows, order))
    assert density[-1].sum() * (grid[1] - grid[0]) == pytest.approx(density[1, 0], rel=1e-6)


def test_a_row_of_weight_k_is_k_rows():
    """One of them, or a tenth, is left out where the row is scored."""
    X = np.array([[0.0], [1.0], [2.0], [5.0]])
    few = mixture_of(X, np.array([40.0, 30.0, 20.0, 10.0])).log_density(X)
    one = mixture_of(X, np.array([40.0, 30.0, 20.0, 1.0])).log_density(X)
    assert few[-1] > one[-1] + 5
    assert np.ptp(few) < 5


@pytest.mark.parametrize("n_rows", [1, 2, 3, 9, 10, 11])
@pytest.mark.parametrize("n_features", [1, 12])
def test_few_rows_are_no_error(n_rows, n_features):
    X = np.random.default_rng(0).normal(size=(n_rows, n_features))
    mixture = mixture_of(X)
    assert np.isfinite(mixture.log_density(X)).all()
    far = mixture.log_density(np.array([[1e150] * n_features]))
    assert far < mixture.log_density(X).min()


def test_columns_that_are_the_same_do_not_make_all_rows_strange():
    X = clusters(200, 1)
    doubled = np.c_[X, X[:, 0]]
    mixture = mixture_of(doubled)
    same, broken = doubled[:1], doubled[:1] + np.array([0, 0, 0, 2.0])
    assert mixture.log_density(broken) < mixture.log_density(same) - 100


def test_rescaled_rows_are_as_likely_but_for_the_scale():
    X = clusters(300, 2)
    scale, shift = np.array([1e-6, 3.0, 1e6]), np.array([5.0, -1e3, 1e8])
    moved = mixture_of(X * scale + shift).log_density(X * scale + shift)
    np.testing.assert_allclose(moved + np.log(scale).sum(), mixture_of(X).log_density(X), rtol=1e-6)


def test_rows_beyond_the_first_are_new(monkeypatch):
    monkeypatch.setattr(crossed_mixture, "_MOST_ROWS", 100)
    assert len(mixture_of(clusters(300, 1)).keys) == 100
