"""Rotations: white, invertible on any table, in the direction that their name says."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats as st
from sklearn.base import clone
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks

from skgauss.moments import Moments
from skgauss.rotations import (
    ICARotation,
    PCARotation,
    RandomRotation,
    ica_axes,
    random_axes,
)

ROTATIONS = {
    "pca": PCARotation(),
    "ica": ICARotation(random_state=0),
    "random": RandomRotation(random_state=0),
}
every_rotation = pytest.mark.parametrize("rotation", ROTATIONS.values(), ids=list(ROTATIONS))


def table(n_rows=3000, n_features=4, seed=0):
    """Correlated columns that are not normal, in different units, far from zero."""
    rng = np.random.default_rng(seed)
    X = rng.gamma(2.0, size=(n_rows, n_features)) @ rng.normal(size=(n_features, n_features))
    return X * np.logspace(-2, 3, n_features) + 100


def random_covariance(n_features, seed):
    factor = np.random.default_rng(seed).normal(size=(n_features, n_features))
    return factor @ factor.T / n_features + 0.1 * np.eye(n_features)


# scikit-learn's contract


@parametrize_with_checks(list(ROTATIONS.values()))
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@every_rotation
@pytest.mark.parametrize(
    "name",
    [
        "check_param_validation",
        "check_get_feature_names_out_error",
        "check_transformer_get_feature_names_out",
        "check_n_features_in_after_fitting",
        "check_all_zero_sample_weights_error",
    ],
)
def test_further_scikit_learn_checks(rotation, name):
    check = getattr(estimator_checks, name, None)
    if check is None:
        pytest.skip(f"this version of scikit-learn has no {name}")
    check(type(rotation).__name__, clone(rotation))


# A linear map


@every_rotation
@pytest.mark.parametrize("n_features", [1, 2, 7])
def test_training_rows_become_white(rotation, n_features):
    X = table(n_features=n_features)
    Y = clone(rotation).fit_transform(X)
    np.testing.assert_allclose(Y.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(
        np.cov(Y.T, bias=True).reshape(n_features, -1), np.eye(n_features), atol=1e-8
    )


@every_rotation
def test_transform_is_the_formula_and_log_det_its_determinant(rotation):
    X = table()
    fitted = clone(rotation).fit(X)
    np.testing.assert_allclose(fitted.transform(X), (X - fitted.mean_) @ fitted.components_.T)
    assert type(fitted.log_det_) is float
    jacobian = fitted.transform(X[:1] + np.eye(4)) - fitted.transform(X[:1])
    assert fitted.log_det_ == pytest.approx(np.linalg.slogdet(jacobian)[1], abs=1e-6)
    # White at the end: the volume is what the covariance says.
    expected = -0.5 * np.linalg.slogdet(np.cov(X.T, bias=True))[1]
    assert fitted.log_det_ == pytest.approx(expected, abs=1e-8)


@every_rotation
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_inverse_undoes_transform_in_the_same_precision(rotation, dtype):
    X = table().astype(dtype)
    fitted = clone(rotation).fit(X)
    Y = fitted.transform(X)
    back = fitted.inverse_transform(Y)
    assert Y.dtype == back.dtype == dtype
    tolerance = 1e-10 if dtype == np.float64 else 1e-4
    assert np.all(np.abs(back - X) <= tolerance * np.abs(X).max(axis=0))


@every_rotation
def test_inverse_refuses_what_are_no_latents(rotation):
    fitted = clone(rotation).fit(table())
    with pytest.raises(ValueError, match="one latent per column"):
        fitted.inverse_transform(np.ones((2, 3)))
    with pytest.raises(ValueError, match="NaN"):
        fitted.inverse_transform(np.full((1, 4), np.nan))


@every_rotation
def test_weights_are_copies_in_any_order(rotation):
    X = table(300)
    weight = np.random.default_rng(1).integers(0, 4, 300)
    copies = np.random.default_rng(2).permutation(np.repeat(X, weight, axis=0))
    weighted = clone(rotation).fit(X, sample_weight=weight)
    copied = clone(rotation).fit(copies)
    np.testing.assert_array_equal(weighted.mean_, copied.mean_)
    np.testing.assert_array_equal(weighted.components_, copied.components_)
    assert weighted.mean_ == pytest.approx(copies.mean(axis=0))


@every_rotation
def test_weights_change_what_is_white(rotation):
    X, weight = table(), np.random.default_rng(1).exponential(size=3000)
    Y = clone(rotation).fit(X, sample_weight=weight).transform(X)
    np.testing.assert_allclose(np.average(Y, axis=0, weights=weight), 0, atol=1e-8)
    np.testing.assert_allclose(np.cov(Y.T, aweights=weight, bias=True), np.eye(4), atol=1e-8)


@every_rotation
def test_units_do_not_matter(rotation):
    """Powers of two: the same bits; others, and another origin: the same directions."""
    X, powers = table(), 2.0 ** np.array([-40, 3, 0, 60])
    Y = clone(rotation).fit_transform(X)
    np.testing.assert_array_equal(clone(rotation).fit_transform(X * powers), Y)
    shift = clone(rotation).fit(X * powers).log_det_ - clone(rotation).fit(X).log_det_
    assert shift == pytest.approx(-np.log(powers).sum(), abs=1e-9)


def test_principal_axes_do_not_depend_on_units_or_origin():
    X = table()
    factors, offset = np.array([0.3, 7.0, 1e-3, 11.0]), np.array([1.0, -5.0, 0.2, 1e3])
    Y, other = (PCARotation().fit_transform(Z) for Z in (X, X * factors + offset))
    np.testing.assert_allclose(np.abs(other), np.abs(Y), rtol=1e-6, atol=1e-6)


# Tables that break things


@every_rotation
@pytest.mark.parametrize(
    "kind",
    ["constant", "all constant", "duplicated", "sum", "few rows", "two rows", "tiny", "huge"],
)
def test_degenerate_tables_stay_finite_and_come_back(rotation, kind):
    X = table(300)
    X = {
        "constant": np.column_stack([X, np.full(300, 7.0)]),
        "all constant": np.full((10, 3), -2.0),
        "duplicated": np.column_stack([X, X[:, 0], -3 * X[:, 1]]),
        "sum": np.column_stack([X, X.sum(axis=1)]),
        "few rows": table(5, 12),
        "two rows": table(2, 3),
        "tiny": 1e-150 * X,
        "huge": 1e150 * X,
    }[kind]
    fitted = clone(rotation).fit(X)
    Y = fitted.transform(X)
    assert np.isfinite(Y).all()
    assert np.isfinite(fitted.components_).all()
    assert np.isfinite(fitted.log_det_)
    back = fitted.inverse_transform(Y)
    assert np.all(np.abs(back - X) <= 1e-9 * np.abs(X).max(axis=0))


@every_rotation
def test_a_null_space_is_stretched_no_further_than_the_floor(rotation):
    """Variances below 1e-9 of the largest are raised to that: the density stays bounded."""
    X = table(2000)
    X = np.column_stack([X, X[:, 0]])
    standard = clone(rotation).fit(X).components_ * X.std(axis=0)
    assert np.linalg.svd(standard, compute_uv=False).max() <= 1e5  # 1e-9 ** -0.5 is 3e4


# Shrinkage


def moments(X, weight=None):
    return Moments.of(np.ascontiguousarray(X.T), weight)


def test_moments_of_blocks_add_up():
    X, weight = table(500), np.random.default_rng(0).uniform(1, 3, 500)
    whole = moments(X, weight)
    parts = moments(X[:200], weight[:200]) + moments(X[200:], weight[200:])
    for mine, its in zip(whole.mean_and_covariance(), parts.mean_and_covariance(), strict=True):
        np.testing.assert_allclose(mine, its, rtol=1e-8)
    mean, covariance = whole.mean_and_covariance()
    np.testing.assert_allclose(mean, np.average(X, axis=0, weights=weight))
    np.testing.assert_allclose(covariance, np.cov(X.T, aweights=weight, bias=True), rtol=1e-6)
    for part, expected in zip(
        whole, (weight.sum(), weight @ X, X.T @ (weight[:, None] * X)), strict=True
    ):
        np.testing.assert_allclose(part.sum(axis=0), expected)


def held_out_likelihood(whitening, X):
    """Mean log-density of a normal that the map makes standard."""
    mean, components = whitening
    Y = (X - mean) @ components.T
    return st.norm.logpdf(Y).sum(axis=1).mean() + np.linalg.slogdet(components)[1]


@pytest.mark.parametrize(("n_rows", "n_features"), [(12, 10), (25, 20), (60, 20), (300, 20)])
def test_shrinkage_helps_on_new_rows(n_rows, n_features, monkeypatch):
    """Against the covariance as it is, on average, and about as well as Ledoit and Wolf."""
    gains, against_peer = [], []
    for seed in range(10):
        truth = st.multivariate_normal(np.zeros(n_features), random_covariance(n_features, seed))
        X, new = truth.rvs(n_rows, seed), truth.rvs(2000, 100 + seed)
        shrunk = held_out_likelihood(moments(X).whitening(), new)
        with monkeypatch.context() as patch:
            patch.setattr(Moments, "shrinkage", lambda self: 0.0)
            plain = held_out_likelihood(moments(X).whitening(), new)
        gains.append(shrunk - plain)
        against_peer.append(shrunk - LedoitWolf().fit(X).score(new))
    assert np.mean(gains) > 0.02
    assert np.mean(against_peer) > -0.02 * n_features


def test_share_is_the_likeliest_over_the_folds():
    """Beside the loop: a normal fitted without each fold, scored on it."""
    X = np.random.default_rng(0).normal(size=(40, 8)) @ np.triu(np.ones((8, 8)))
    share = moments(X).shrinkage()
    folds = np.array_split(np.arange(40), 5)

    def score(alpha):
        total = 0.0
        for fold in folds:
            rest = np.delete(X, fold, axis=0)
            covariance = np.cov(rest.T, bias=True)
            covariance = (1 - alpha) * covariance + alpha * np.trace(covariance) / 8 * np.eye(8)
            total += st.multivariate_normal(rest.mean(axis=0), covariance).logpdf(X[fold]).sum()
        return total

    assert 0 < share < 1
    for other in np.concatenate([np.logspace(-4, 0, 17)]):
        assert score(share) >= score(other) - 1e-9


def test_many_rows_are_not_shrunk():
    X = table(500) / table(500).std(axis=0)
    _, components = moments(X).whitening()
    white = components @ (X - X.mean(axis=0)).T
    np.testing.assert_allclose(white @ white.T / 500, np.eye(4), atol=1e-5)


# The directions


def test_principal_axes_are_those_of_scikit_learn():
    X = table()
    standard = (X - X.mean(axis=0)) / X.std(axis=0)
    expected = PCA(whiten=True).fit_transform(standard)
    Y = PCARotation().fit_transform(X)
    for column in Y.T:
        correlations = np.abs(column @ expected) / len(X)
        assert correlations.max() == pytest.approx(1, abs=1e-3)
        assert np.sort(correlations)[-2] < 1e-3


def amari_distance(unmixing, mixing):
    """Amari, Cichocki & Yang (1996): 0 if the product is a scaled permutation, 1 at most."""
    product = np.abs(unmixing @ mixing)
    n = len(product)
    rows = (product / product.max(axis=1, keepdims=True)).sum() - n
    columns = (product / product.max(axis=0)).sum() - n
    return (rows + columns) / (2 * n * (n - 1))


@pytest.mark.parametrize("fun", ["exp", "logcosh", "cube"])
@pytest.mark.parametrize("source", ["uniform", "laplace"])
def test_ica_recovers_independent_sources(source, fun):
    distances, unrotated = [], []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        sources = getattr(rng, source)(size=(5000, 4))
        mixing = rng.normal(size=(4, 4))
        X = sources @ mixing.T
        ica = ICARotation(fun=fun, max_iter=50, random_state=seed).fit(X)
        distances.append(amari_distance(ica.components_, mixing))
        unrotated.append(amari_distance(PCARotation().fit(X).components_, mixing))
    assert np.mean(distances) < 0.07
    assert np.max(distances) < 0.14
    assert np.mean(unrotated) > 0.2


def test_ica_recovers_skewed_sources_by_their_square():
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(3, 3))
    X = rng.exponential(size=(5000, 3)) @ mixing.T
    ica = ICARotation(fun="square", max_iter=50, random_state=0).fit(X)
    assert amari_distance(ica.components_, mixing) < 0.07


def test_few_iterations_find_most_of_it_and_are_counted():
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(4, 4))
    X = rng.uniform(size=(5000, 4)) @ mixing.T
    few, many = (ICARotation(random_state=0, max_iter=n).fit(X) for n in (2, 100))
    assert few.n_iter_ == 2
    assert 2 < many.n_iter_ < 100
    assert amari_distance(many.components_, mixing) <= amari_distance(few.components_, mixing)


def test_ica_axes_weigh_rows():
    """Two halves with sources of their own: the axes are those of the half that counts."""
    rng = np.random.default_rng(0)
    turn, other = (np.array([[c, -s], [s, c]]) for c, s in ((0.6, 0.8), (1.0, 0.0)))
    sources = np.sqrt(12) * (rng.uniform(size=(2, 2, 4000)) - 0.5)
    Y = np.hstack([turn @ sources[0], other @ sources[1]])
    weight = np.repeat([1.0, 0.02], 4000)
    axes = ica_axes(Y, weight, rng, max_iter=100)
    assert amari_distance(axes, turn) < 0.05
    np.testing.assert_allclose(axes @ axes.T, np.eye(2), atol=1e-12)


def test_random_axes_are_uniform_over_rotations():
    """Entries have mean 0, mean square 1/d and mean fourth power 3 / (d (d + 2)); signs both."""
    d, n_draws = 4, 4000
    rng = np.random.default_rng(0)
    draws = np.array([random_axes(d, rng) for _ in range(n_draws)])
    np.testing.assert_allclose(
        draws @ draws.transpose(0, 2, 1), np.tile(np.eye(d), (n_draws, 1, 1)), atol=1e-12
    )
    for power, expected in ((1, 0), (2, 1 / d), (4, 3 / (d * (d + 2)))):
        values = draws**power
        error = values.std(axis=0) / np.sqrt(n_draws)
        assert np.all(np.abs(values.mean(axis=0) - expected) < 4 * error)
    signs = np.linalg.det(draws)
    assert abs(signs.mean()) < 4 / np.sqrt(n_draws)
    # One axis of four, projected: (u + 1) / 2 is Beta((d - 1) / 2, (d - 1) / 2), at any place.
    for entry in draws.reshape(n_draws, -1).T:
        assert st.kstest((entry + 1) / 2, st.beta((d - 1) / 2, (d - 1) / 2).cdf).pvalue > 1e-4


def test_random_rotations_differ_by_seed_and_by_fit():
    X = table()
    seeds = [RandomRotation(random_state=seed).fit(X).components_ for seed in (0, 0, 1, None, None)]
    np.testing.assert_array_equal(seeds[0], seeds[1])
    for i, j in ((1, 2), (2, 3), (3, 4)):
        assert not np.allclose(seeds[i], seeds[j])
