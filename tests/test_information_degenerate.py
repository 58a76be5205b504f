"""Tables that have no density of their own: columns that others determine."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgauss import RBIGTransformer
from skgauss.information import (
    conditional_mutual_information,
    entropy,
    kl_divergence,
    mutual_information,
    negentropy,
    total_correlation,
)
from skgauss.information._redundant import independent, telling

QUICK = {"estimator": RBIGTransformer(max_layers=4), "cv": 3, "random_state": 0}

# A last column that the first two determine.
DETERMINED = {
    "a total": lambda X: X.sum(axis=1),
    "the rest of a hundred": lambda X: 100 - X.sum(axis=1),
    "a copy": lambda X: X[:, 0],
    "a copy in other units": lambda X: 2.54e6 * X[:, 1] + 1e3,
}


def normal_tables(n_rows=400):
    rng = np.random.default_rng(1)
    return rng.normal(size=(n_rows, 2)), rng.normal([0.5, 0], size=(n_rows, 2))


def with_column(X, of):
    return np.column_stack([X, of(X)])


# Divergence


@pytest.mark.parametrize("name", DETERMINED)
def test_a_column_that_others_determine_in_both_tables_changes_no_divergence(name):
    X, Y = normal_tables()
    found = kl_divergence(*(with_column(table, DETERMINED[name]) for table in (X, Y)), **QUICK)
    assert found == kl_divergence(X, Y, **QUICK)


@pytest.mark.parametrize(
    "other",
    [lambda X: X.sum(axis=1) + 1, lambda X: X[:, 0] - X[:, 1], lambda X: np.sin(X).sum(axis=1)],
)
def test_tables_in_which_columns_are_not_the_same_function_diverge_infinitely(other):
    X, Y = normal_tables()
    X, Y = with_column(X, DETERMINED["a total"]), with_column(Y, other)
    assert kl_divergence(X, Y, return_std=True) == (math.inf, 0.0)
    assert kl_divergence(Y, X) == math.inf


@pytest.mark.parametrize("noise", [1e-4, 1e-6, 1e-8])
def test_nearly_collinear_tables_diverge_as_their_other_columns(noise):
    X, Y = normal_tables(1000)
    rng = np.random.default_rng(2)
    thin = (
        with_column(table, lambda X: X.sum(1) + noise * rng.normal(size=1000)) for table in (X, Y)
    )
    assert kl_divergence(*thin, **QUICK) == pytest.approx(0.125, abs=0.08)


def test_a_total_in_single_precision_is_nearly_one():
    tables = (with_column(X, DETERMINED["a total"]).astype("f") for X in normal_tables(1000))
    assert abs(kl_divergence(*tables, **QUICK)) < 1


def test_rows_of_weight_zero_break_no_relation():
    X, Y = (with_column(table, DETERMINED["a total"]) for table in normal_tables())
    broken, weight = np.vstack([X, np.arange(3)]), np.append(np.ones(400), 0)
    found = kl_divergence(broken, Y, sample_weight=weight, **QUICK)
    assert found == kl_divergence(X, Y, **QUICK)
    assert entropy(broken, sample_weight=weight) == -math.inf
    assert math.isfinite(entropy(broken, sample_weight=weight + 1e-9, **QUICK))


def test_dummies_of_a_category_diverge_as_the_category():
    rng = np.random.default_rng(0)
    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5])
    X, Y = (
        np.column_stack([rng.normal(size=1000), np.eye(3)[rng.choice(3, 1000, p=share)]])
        for share in (p, q)
    )
    assert kl_divergence(X, Y, **QUICK) == pytest.approx(np.sum(p * np.log(p / q)), abs=0.1)


@pytest.mark.parametrize("n_rows", [4, 8])
def test_few_rows_determine_no_column(n_rows):
    X, Y = np.random.default_rng(0).normal(size=(2, n_rows, 8))
    assert math.isfinite(kl_divergence(X, Y, **QUICK))
    assert math.isfinite(kl_divergence(X, X, **QUICK))
    assert math.isfinite(entropy(X, **QUICK))


# Entropy


@pytest.mark.parametrize("name", DETERMINED)
def test_a_column_that_others_determine_leaves_no_entropy(name):
    X = with_column(normal_tables()[0], DETERMINED[name])
    assert entropy(X, return_std=True) == (-math.inf, 0.0)
    assert negentropy(X, reference="standard_normal") == math.inf
    assert abs(negentropy(X, **QUICK)) < 0.1


# Dependence


def test_a_column_that_others_of_its_block_determine_changes_no_information():
    x, z, noise = np.random.default_rng(0).normal(size=(3, 400))
    y, X = x + 0.5 * noise, np.column_stack([x, z])
    value = mutual_information(X, y, **QUICK)
    for more in (x, 1000 * x, -np.exp(x), x + z):
        assert mutual_information(np.column_stack([X, more]), y, **QUICK) == value
        assert mutual_information(y, np.column_stack([X, more]), **QUICK) == value
    coin = np.random.default_rng(1).integers(2, size=400)
    value = mutual_information(coin, y + coin, **QUICK)
    assert mutual_information(np.column_stack([coin, 1 - coin]), y + coin, **QUICK) == value


def test_what_is_in_the_condition_tells_nothing_more():
    x, z, noise = np.random.default_rng(0).normal(size=(3, 400))
    y, both = x + 0.5 * noise, np.column_stack([x, z])
    assert conditional_mutual_information(x, y, x, return_std=True, **QUICK) == (0.0, 0.0)
    assert conditional_mutual_information(y, np.exp(x), both, **QUICK) == 0.0
    assert conditional_mutual_information(x + z, y, both, **QUICK) == 0.0
    value = conditional_mutual_information(z, y, x, **QUICK)
    assert abs(value) < 0.05
    assert conditional_mutual_information(both, y, x, **QUICK) == value
    assert conditional_mutual_information(z, y, np.column_stack([x, x]), **QUICK) == value


def test_a_column_that_is_there_twice_is_dependence_among_columns():
    x = np.random.default_rng(0).normal(size=400)
    assert total_correlation(np.column_stack([x, x]), **QUICK) > 3


# Which columns


def test_far_rows_hide_no_difference():
    far = np.tan(1.57 * np.tanh(np.random.default_rng(0).normal(scale=5, size=500)))
    far[0] = 1e11
    X = np.column_stack([far, far + np.random.default_rng(1).normal(size=500)])
    assert independent(X).all()


def test_what_rounding_leaves_takes_no_column_with_it():
    x, z = np.random.default_rng(0).normal(size=(2, 100))
    assert independent(np.column_stack([x, x + 1e-12 * z, z])).tolist() == [True, False, True]
    assert telling(np.column_stack([x, z, x * z, x**2])).all()


# Estimators


@pytest.mark.parametrize("scaler", [StandardScaler(), PCA(1)])
def test_a_pipeline_has_the_density_of_what_its_last_step_sees_and_is_refused(scaler):
    X, _ = normal_tables()
    pipeline = make_pipeline(scaler, GaussianMixture())
    with pytest.raises(
        ValueError, match=r"estimator is a Pipeline of the steps .*'gaussianmixture'"
    ):
        entropy(X, estimator=pipeline)
    alone = {"cv": 2, "random_state": 0}
    value = entropy(X, estimator=pipeline.steps[-1][1].set_params(random_state=0), **alone)
    trivial = make_pipeline("passthrough", None, GaussianMixture(random_state=0))
    assert entropy(X, estimator=trivial, **alone) == value
