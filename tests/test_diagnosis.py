"""The diagnosis measures what it says, against data whose faults are known."""

from __future__ import annotations

import numpy as np
import pandas as pd
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


def test_a_diagnosis_equals_itself_and_has_a_hash():
    good = report(NORMAL)
    assert good == good
    assert good != report(NORMAL)
    assert len({good, good}) == 1


def test_a_constant_latent_has_no_distribution_to_test():
    X = np.column_stack([NORMAL, np.full(2000, 7.0)])
    result = report(np.column_stack([NORMAL, np.zeros(2000)]), X)
    np.testing.assert_array_equal(np.isnan(result.normality_p_value), [False] * 3 + [True])
    np.testing.assert_array_equal(np.isnan(result.normality_distance), [False] * 3 + [True])
    np.testing.assert_array_equal(result.normality_distance[:3], report(NORMAL).normality_distance)


@pytest.mark.parametrize(
    "as_given",
    [
        lambda X: X.tolist(),
        lambda X: pd.DataFrame(X, list(map("row {}".format, range(len(X)))), list("abc")),
        lambda X: X.astype("O"),
    ],
)
def test_lists_and_frames_are_tables_too(as_given):
    table = as_given(NORMAL)
    np.testing.assert_array_equal(pairwise_dependence(table), pairwise_dependence(NORMAL))
    found = diagnose(table, table, table, [-1, -1, -1], [2, 2, 2])
    assert str(found) == str(report(NORMAL, low=-1, high=2))


def test_messages_name_the_column():
    X = np.where(np.arange(3) == 1, np.nan, NORMAL)
    with pytest.raises(ValueError, match="Input X contains NaN in column 1"):
        pairwise_dependence(X)
    with pytest.raises(ValueError, match="Input X contains NaN in column 'b'"):
        pairwise_dependence(pd.DataFrame(X, columns=list("abc")))
    with pytest.raises(ValueError, match="Input Z contains NaN in column 1"):
        report(X, NORMAL)
    with pytest.raises(ValueError, match=r"X has the shape \(2000, 3\), Z \(2000, 2\)"):
        report(NORMAL[:, :2], NORMAL)
