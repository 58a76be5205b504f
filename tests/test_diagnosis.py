"""The diagnosis measures what it says, against data whose faults are known."""

from __future__ import annotations

import numpy as np
import pytest

from skgauss.diagnosis import diagnose, pairwise_dependence

RNG = np.random.default_rng(0)
NORMAL = RNG.normal(size=(2000, 3))


def report(Z, X=None, X_back=None, low=-np.inf, high=np.inf):
    X = Z if X is None else X
    X_back = X if X_back is None else X_back
    n_features = Z.shape[1]
    return diagnose(X, Z, X_back, np.full(n_features, low), np.full(n_features, high))


def test_independent_normals_pass():
    good = report(NORMAL)
    assert np.abs(good.mean).max() < 0.1
    assert np.abs(good.std - 1).max() < 0.1
    assert (good.normality_p_value > 1e-3).all()
    assert good.dependence < 0.1
    assert (good.round_trip_error, good.outside_range, good.n_rows) == (0, 0, 2000)


@pytest.mark.parametrize("shape", [(100, 5), (500, 5), (500, 20), (2000, 3)])
def test_share_of_false_alarms_is_bounded(shape):
    alarms = []
    for seed in range(100):
        good = report(np.random.default_rng(seed).normal(size=shape))
        alarms.append(good.dependence > good.dependence_noise)
    assert np.mean(alarms) < 0.12  # 0.05 by design


@pytest.mark.parametrize("j", range(3))
def test_a_latent_that_is_not_normal_is_singled_out(j):
    Z = NORMAL.copy()
    Z[:, j] = RNG.exponential(size=2000)
    bad = report(Z)
    assert np.argmax(bad.normality_distance) == j
    assert bad.normality_p_value[j] < 1e-6


def test_correlation_is_seen():
    Z = NORMAL.copy()
    Z[:, 1] = 0.6 * Z[:, 0] + 0.8 * Z[:, 1]
    assert report(Z).dependence == pytest.approx(0.6, abs=0.05)


@pytest.mark.parametrize("of", [lambda z, sign: z**2, lambda z, sign: np.abs(z) * sign])
@pytest.mark.parametrize("pair", [(0, 1), (1, 0), (0, 2)])
def test_dependence_without_correlation_is_seen(pair, of):
    """The value of one column by the size of another, whichever comes first; or the two sizes."""
    Z = NORMAL.copy()
    Z[:, pair[1]] = of(Z[:, pair[0]], RNG.choice([-1, 1], 2000)) + 0.05 * RNG.normal(size=2000)
    bad = report(Z)
    assert bad.dependence > 10 * bad.dependence_noise
    assert np.unravel_index(pairwise_dependence(Z).argmax(), (3, 3)) == tuple(sorted(pair))


def test_pairwise_dependence_is_that_of_ranks():
    X = NORMAL @ np.array([[1, 0.5, 0], [0, 1, 0.2], [0, 0, 1]])
    found = pairwise_dependence(X)
    np.testing.assert_allclose(found, found.T)
    np.testing.assert_array_equal(np.diag(found), 0)
    np.testing.assert_array_equal(pairwise_dependence(np.exp(X) * [1, 9, 1e9]), found)
    order = RNG.permutation(2000)
    np.testing.assert_allclose(pairwise_dependence(X[order][:, [2, 0, 1]])[1:, 1:], found[:2, :2])
    assert not pairwise_dependence(np.column_stack([X[:, 0], np.full(2000, 7.0)])).any()


def test_round_trip_error_is_relative_to_the_column():
    X = NORMAL * [1, 1e6, 1e-6]
    X_back = X.copy()
    X_back[7, 2] += 1e-3 * np.abs(X[:, 2]).max()
    assert report(NORMAL, X, X_back).round_trip_error == pytest.approx(1e-3)


def test_rows_outside_the_range_are_counted_once():
    share = report(NORMAL, low=-1, high=2).outside_range
    assert share == np.mean(((NORMAL < -1) | (NORMAL > 2)).any(axis=1))


@pytest.mark.parametrize("Z", [NORMAL[:, :1], NORMAL[:2], np.zeros((5, 2))])
def test_smallest_tables_and_constant_latents_work(Z):
    result = report(Z)
    assert np.isfinite([result.dependence, result.dependence_noise]).all()


def test_it_prints_a_line_per_latent_and_its_findings():
    text = str(report(NORMAL))
    assert len(text.splitlines()) == 2 + 3 + 3
    assert "2000 rows" in text
