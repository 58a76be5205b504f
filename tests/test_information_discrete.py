"""Information of discrete columns, which counts tell and densities in every cell."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, stats
from sklearn.metrics import mutual_info_score
from sklearn.mixture import GaussianMixture

from skgauss.information import (
    conditional_mutual_information,
    mutual_information,
    total_correlation,
)
from skgauss.information._cells import log_ratio


def test_log_ratio_is_that_of_the_counts():
    """Against a contingency table, one row of a held-out fold apart."""
    x, y = np.random.default_rng(0).integers(3, size=(2, 60))
    weight = np.where(np.arange(60) == 7, 0.0, 2.0)
    found = log_ratio([x, y], weight)
    for i in range(60):
        of_x = (weight[x == x[i]].sum() + 0.5) / (118 + 1.5)
        of_y = (weight[y == y[i]].sum() + 0.5) / (118 + 1.5)
        both = weight[(x == x[i]) & (y == y[i])].sum()
        assert found[i] == pytest.approx(math.log((both + of_x * of_y) / 119 / (of_x * of_y)))


def test_two_discrete_columns_have_the_information_of_their_table():
    """Which the table that was drawn has some 16 / 1,200 too much of."""
    rng = np.random.default_rng(0)
    cells = rng.choice(25, size=600, p=rng.dirichlet(np.ones(25)))
    x, y = np.divmod(cells, 5)
    found = [mutual_information(*blocks, cv=3, random_state=0) for blocks in ((x, y), (y, x))]
    np.testing.assert_allclose(found, mutual_info_score(x, y) - 0.013, atol=0.02)


def test_independent_discrete_columns_tell_nothing():
    x, y = np.random.default_rng(0).integers(4, size=(2, 1000))
    value, std = mutual_information(x, y, cv=2, random_state=0, return_std=True)
    assert abs(value) < 0.01
    assert std < 0.01


@pytest.mark.parametrize(
    "means", [[-1, 1], pytest.param([0, 1, 2], marks=pytest.mark.slow)], ids=len
)
def test_a_label_and_a_continuous_column_have_the_information_of_the_mixture(means):
    """Of ranks alone, a fifth of it was missed."""

    def density(y):
        return np.mean([stats.norm.pdf(y, m, 0.7) for m in means])

    entropy = integrate.quad(lambda y: -density(y) * math.log(density(y)), -8, 9)[0]
    truth = entropy - stats.norm.entropy(scale=0.7)
    errors = []
    for seed in range(2):
        rng = np.random.default_rng(seed)
        label = rng.integers(len(means), size=500)
        y = np.take(means, label) + 0.7 * rng.normal(size=500)
        value, std = mutual_information(label, y, cv=3, random_state=seed, return_std=True)
        errors.append((value - truth) / std)
    assert np.abs(np.mean(errors)) < 1.5


@pytest.mark.slow
def test_what_a_label_explains_of_continuous_columns_is_gone_once_it_is_known():
    """Of ranks alone, 0.05 was left."""
    found = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        label = rng.integers(2, size=600)
        x, y = 2 * label + 0.5 * rng.normal(size=(2, 600))
        assert mutual_information(x, y, cv=2, random_state=0) > 0.3
        found.append(conditional_mutual_information(x, y, label, random_state=0))
    assert abs(np.mean(found)) < 0.03


def test_what_a_label_explains_of_flags_is_gone_once_it_is_known():
    rng = np.random.default_rng(0)
    label = rng.integers(2, size=600)
    flag, other = (np.where(rng.random(600) < 0.8, label, 1 - label) for _ in range(2))
    options = {"cv": 2, "random_state": 0}
    assert mutual_information(flag, other, **options) > 0.04
    assert abs(conditional_mutual_information(flag, other, label, **options)) < 0.02


def test_three_flags_of_which_two_tell_the_third():
    first, second = np.random.default_rng(0).integers(2, size=(2, 1000))
    X = np.column_stack([first, second, first ^ second])
    assert abs(total_correlation(X, cv=2, random_state=0) - math.log(2)) < 0.02


def test_more_values_than_rows_can_tell_are_ranked():
    """And an estimator that was given is the one that is asked."""
    rng = np.random.default_rng(0)
    x = rng.poisson(40, size=300)
    y = x + rng.poisson(10, size=300)
    truth = 0.5 * math.log(1 + 40 / 10)  # nearly normal
    assert abs(mutual_information(x, y, cv=2, random_state=0) - truth) < 0.25
    coin = rng.integers(2, size=500)
    given = GaussianMixture(1, random_state=0)
    assert mutual_information(coin, coin, estimator=given, cv=2, random_state=0) < 0.6
    assert abs(mutual_information(coin, coin, cv=2, random_state=0) - math.log(2)) < 0.02
