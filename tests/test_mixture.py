"""The map of a Gaussian mixture: its density, its derivative and its way back, for any row."""

from __future__ import annotations

import dataclasses
import pickle

import numpy as np
import pytest
from scipy.special import logsumexp, ndtr, ndtri
from scipy.stats import multivariate_normal

from skgauss.mixture import GaussianMixtureMap


def random_moments(k, d, seed=0):
    rng = np.random.default_rng(seed)
    factors = np.tril(0.5 * rng.normal(size=(k, d, d)), -1) + np.eye(d) * rng.uniform(0.3, 1, d)
    means = 2 * rng.normal(size=(k, d))
    return rng.dirichlet(np.full(k, 3.0)), means, factors @ factors.transpose(0, 2, 1)


def guarded(weights, means, covariances, low=-15.0, high=15.0):
    low, high = np.full((2, len(means[0])), [[low], [high]])
    return GaussianMixtureMap.from_moments(weights, means, covariances, low, high)


def unguarded(weights, means, covariances):
    """The plain mixture: a guard that bears on no digit."""
    bound = np.full(len(means[0]), 1e6)
    return GaussianMixtureMap.from_moments(weights, means, covariances, -bound, bound, 1e-14)


def random_rows(moments, n, seed=1):
    weights, means, covariances = moments
    rng = np.random.default_rng(seed)
    component = rng.choice(len(weights), n, p=weights)
    noise = rng.normal(size=(n, len(means[0]), 1))
    return means[component] + (np.linalg.cholesky(covariances)[component] @ noise)[:, :, 0]


def conditional(moments, c, j, row):
    """Mean, variance and weight of column j in component c, by the textbook's formulas."""
    weights, means, covariances = (part[c] for part in moments)
    if not j:
        return means[0], covariances[0, 0], weights
    gain = np.linalg.solve(covariances[:j, :j], covariances[:j, j])
    density = multivariate_normal(means[:j], covariances[:j, :j]).pdf(row[:j])
    mean = means[j] + gain @ (row[:j] - means[:j])
    return mean, covariances[j, j] - gain @ covariances[:j, j], weights * density


@pytest.fixture(params=[(1, 1), (1, 3), (4, 1), (5, 3), (20, 6)], ids=str, scope="module")
def moments(request):
    return random_moments(*request.param)


def test_latents_are_those_of_the_formula_written_out(moments):
    mixture, X = unguarded(*moments), random_rows(moments, 10)
    Z, _ = mixture.forward(X)
    for row, latents in zip(X, Z, strict=True):
        for j, z in enumerate(latents):
            parts = [conditional(moments, c, j, row) for c in range(len(moments[0]))]
            cdf = sum(w * ndtr((row[j] - m) / np.sqrt(v)) for m, v, w in parts)
            assert z == pytest.approx(ndtri(cdf / sum(w for *_, w in parts)), abs=1e-9)


def test_log_density_is_that_of_the_mixture(moments):
    mixture, X = unguarded(*moments), random_rows(moments, 200)
    terms = [
        np.log(w) + multivariate_normal(m, c).logpdf(X) for w, m, c in zip(*moments, strict=True)
    ]
    np.testing.assert_allclose(mixture.log_density(X), logsumexp(terms, axis=0), atol=1e-10)


def test_guard_hardly_changes_the_density(moments):
    X = random_rows(moments, 1000)
    plain = unguarded(*moments).log_density(X)
    guarded_ = guarded(*moments).log_density(X)
    assert np.mean(np.abs(guarded_ - plain)) < 1e-3


def test_guarded_density_integrates_to_one():
    mixture = guarded(*random_moments(3, 2), low=-6.0, high=6.0)  # a range that cuts some off
    axis = np.linspace(-30, 30, 1201)
    rows = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    total = np.exp(mixture.log_density(rows)).sum() * (axis[1] - axis[0]) ** 2
    assert total == pytest.approx(1, abs=1e-8)


@pytest.mark.parametrize("spread", [1, 30, 1e4])
def test_log_det_is_that_of_the_numerical_jacobian(moments, spread):
    mixture, X = guarded(*moments), spread * random_rows(moments, 20)
    _, log_det = mixture.forward(X)
    total = np.zeros(len(X))
    for j in range(X.shape[1]):  # triangular: the determinant is the product of the diagonal
        step = 1e-5 * np.maximum(1, np.abs(X[:, j])) * np.eye(X.shape[1])[j][:, None]
        above, below = (mixture.forward(X + s.T)[0][:, j] for s in (step, -step))
        total += np.log((above - below) / (2 * step[j]))
    np.testing.assert_allclose(log_det, total, atol=2e-4)


def test_earlier_latents_do_not_see_later_columns(moments):
    mixture, X = guarded(*moments), random_rows(moments, 20)
    Z, _ = mixture.forward(X)
    for j in range(X.shape[1]):
        changed = X.copy()
        changed[:, j] += 0.5
        np.testing.assert_array_equal(mixture.forward(changed)[0][:, :j], Z[:, :j])


@pytest.mark.parametrize("spread", [1, 3, 10, 100, 1e6, 1e12, 1e100])
def test_any_row_comes_back(moments, spread):
    mixture, X = guarded(*moments), spread * random_rows(moments, 2000)
    Z, log_det = mixture.forward(X)
    assert np.isfinite(Z).all()
    assert np.isfinite(log_det).all()
    error = np.abs(mixture.inverse(Z) - X).max(axis=1) / np.maximum(1, np.abs(X).max(axis=1))
    # In the gaps between components, where rows of the mixture are not, digits are lost.
    assert error.max() <= (1e-6 if spread in (3, 10) else 1e-9)
    assert np.quantile(error, 0.99) <= 1e-9


@pytest.mark.parametrize("j", range(3))
def test_one_column_far_out_comes_back(j):
    moments = random_moments(8, 3)
    mixture, X = guarded(*moments), random_rows(moments, 500)
    X[:, j] += np.where(np.arange(500) % 2, 1e6, -1e6)
    Z, log_det = mixture.forward(X)
    assert np.isfinite(log_det).all()
    assert np.abs(mixture.inverse(Z) - X).max() <= 1e-9 * 1e6


def test_rows_between_narrow_components_come_back():
    means = np.array([[0.0, -1.0], [0.0, 1.0]])
    mixture = guarded([0.5, 0.5], means, [np.eye(2) * 1e-6] * 2, low=-4.0, high=4.0)
    X = np.stack([np.zeros(101), np.linspace(-3, 3, 101)], axis=1)
    assert np.abs(mixture.inverse(mixture.forward(X)[0]) - X).max() < 1e-8
    assert (np.diff(mixture.forward(X)[0][:, 1]) > 0).all()


def test_every_latent_comes_from_a_row(moments):
    mixture = guarded(*moments)
    Z = np.random.default_rng(0).normal(size=(300, len(moments[1][0]))) * 3
    np.testing.assert_allclose(mixture.forward(mixture.inverse(Z))[0], Z, rtol=1e-9, atol=1e-9)


def test_strictly_increasing_along_every_column(moments):
    mixture, rows = guarded(*moments), random_rows(moments, 5)
    for row in rows:
        for j in range(len(row)):
            line = np.tile(row, (4000, 1))
            line[:, j] = np.sort(
                np.concatenate(
                    [
                        np.linspace(-20, 20, 2000),
                        np.logspace(1.4, 9, 1000),
                        -np.logspace(1.4, 9, 1000),
                    ]
                )
            )
            z = mixture.forward(line)[0][:, j]
            assert (np.diff(z) > 0).all()


def test_one_component_is_whitening_by_its_cholesky_factor():
    weights, means, covariances = random_moments(1, 4)
    mixture = unguarded(weights, means, covariances)
    X, factor = random_rows((weights, means, covariances), 50), np.linalg.cholesky(covariances[0])
    Z, log_det = mixture.forward(X)
    np.testing.assert_allclose(Z, np.linalg.solve(factor, (X - means[0]).T).T, atol=1e-8)
    np.testing.assert_allclose(log_det, -np.log(np.diag(factor)).sum(), atol=1e-8)


def test_standard_normals_become_rows_of_the_mixture(moments):
    weights, means, covariances = moments
    Z = np.random.default_rng(0).normal(size=(40_000, len(means[0])))
    X = guarded(*moments).inverse(Z)
    mean = weights @ means
    centred = means - mean
    covariance = np.einsum("c,cij->ij", weights, covariances) + (centred.T * weights) @ centred
    np.testing.assert_allclose(X.mean(axis=0), mean, atol=0.05)
    np.testing.assert_allclose(np.cov(X.T).reshape(covariance.shape), covariance, atol=0.15)


@pytest.mark.parametrize("n_rows", [1, 2, 3, 17, 200])
def test_a_row_has_the_same_bits_in_any_company(n_rows):
    moments = random_moments(40, 5)
    mixture, X = guarded(*moments), random_rows(moments, 1500)
    X[::100] *= 1e3
    (Z, log_det), chosen = mixture.forward(X), slice(98, 98 + n_rows)
    np.testing.assert_array_equal(mixture.forward(X[chosen])[0], Z[chosen])
    np.testing.assert_array_equal(mixture.forward(X[chosen])[1], log_det[chosen])
    np.testing.assert_array_equal(mixture.inverse(Z[chosen]), mixture.inverse(Z)[chosen])


def test_holds_arrays_only_and_pickles(moments):
    mixture = guarded(*moments)
    for field in dataclasses.fields(mixture):
        assert isinstance(getattr(mixture, field.name), np.ndarray | float)
    X = random_rows(moments, 20)
    again = pickle.loads(pickle.dumps(mixture))
    np.testing.assert_array_equal(again.forward(X)[0], mixture.forward(X)[0])


def test_whole_numbers_are_rows_and_latents():
    mixture = guarded(*random_moments(3, 2))
    rows = np.array([[1, -2], [0, 3]])
    for method in (lambda X: mixture.forward(X)[0], mixture.log_density, mixture.inverse):
        np.testing.assert_array_equal(method(rows), method(rows.astype(float)))


def test_the_guard_bears_on_few_rows_more_than_a_little():
    moments = random_moments(20, 6)
    X = random_rows(moments, 5000)
    width = np.ptp(X, axis=0)
    mixture = GaussianMixtureMap.from_moments(*moments, X.min(0) - width, X.max(0) + width)
    moved = mixture.log_density(X) - dataclasses.replace(mixture, guard=1e-14).log_density(X)
    assert abs(moved.mean()) < 5e-4
    assert np.quantile(np.abs(moved), 0.99) < 3e-3
