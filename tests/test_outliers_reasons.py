"""How sure a DensityOutlierDetector is, and why: p-values, false discoveries, explanations."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.mixture import GaussianMixture

from skgauss._threads import parallel
from skgauss.conformal import benjamini_hochberg, conformal_p_values
from skgauss.explanation import Explanation
from skgauss.kernel_ensemble import KernelEnsemble
from skgauss.shapley import contributions, mean_contributions, replaced_levels
from tests.estimators import correlated, detector

# p-values


@pytest.mark.slow
def test_p_values_are_valid_on_average():
    """At most alpha plus two standard errors, at least alpha - 1/(n + 1) minus two."""
    alphas = np.array([0.01, 0.05, 0.1])
    below = []
    for seed in range(20):
        X = load_breast_cancer().data
        X = np.random.default_rng(seed).permutation(X)
        model = detector(calibration=0.4, random_state=seed, n_estimators=2, max_samples=128)
        p = model.fit(X[:350]).p_values(X[350:])
        below.append([np.mean(p <= alpha) for alpha in alphas])
    mean, error = np.mean(below, axis=0), np.std(below, axis=0, ddof=1) / np.sqrt(20)
    assert np.all(mean <= alphas + 2 * error)
    assert np.all(mean >= alphas - 1 / 141 - 2 * error)


@pytest.mark.slow
@pytest.mark.parametrize("calibration", [0.5, "cross"])
def test_the_false_discovery_rate_is_kept(calibration):
    rates, found = [], []
    for seed in range(10):
        X = correlated(1000, 4, seed)
        rng = np.random.default_rng(seed)
        planted = X[:25] + 6 * X.std(axis=0) * rng.choice([-1, 1], size=(25, 4))
        model = detector(calibration=calibration, n_estimators=4, max_samples=128).fit(X[:500])
        flagged = model.predict_fdr(np.vstack([X[500:], planted]), alpha=0.2) == -1
        rates.append(flagged[:500].sum() / max(flagged.sum(), 1))
        found.append(flagged[500:].mean())
    assert np.mean(rates) <= 0.2 + 2 * np.std(rates, ddof=1) / np.sqrt(10)
    assert np.mean(found) > 0.5


def test_p_values_need_calibration_and_enough_rows():
    with pytest.raises(ValueError, match=r"set calibration, for example to 0\.3, or"):
        detector().fit(correlated()).p_values(correlated())
    with pytest.raises(ValueError, match=r"calibration=0\.01 of 20 rows leaves 0"):
        detector(calibration=0.01).fit(correlated(20))
    with pytest.raises(ValueError, match="needs at least 4 rows, got 3"):
        detector(calibration="cross").fit(correlated(3))
    with pytest.raises(ValueError, match="alpha=2: a number between 0 and 1"):
        detector(calibration=0.3).fit(correlated()).predict_fdr(correlated(), alpha=2)


def test_weights_of_calibration_scores_are_copies():
    rng = np.random.default_rng(0)
    scores, held_out, weight = rng.normal(size=50), rng.normal(size=20), rng.integers(1, 5, 20)
    weighted = conformal_p_values(scores, held_out, weight.astype(float))
    copied = conformal_p_values(list(scores), list(np.repeat(held_out, weight)))
    np.testing.assert_allclose(weighted, copied)


@pytest.mark.parametrize("calibration", [0.3, "cross"])
@pytest.mark.parametrize("weighted", [False, True])
def test_calibration_scores_belong_to_the_rows_that_are_named(calibration, weighted):
    X, weight = correlated(90), np.random.default_rng(1).integers(0, 3, 90)
    model = detector(calibration=calibration, n_estimators=2)
    model.fit(X, sample_weight=weight if weighted else None)
    rows, n_before = model.calibration_indices_, 0
    for held_out in model.calibration_:
        of_part = rows[n_before : n_before + len(held_out.scores)]
        np.testing.assert_allclose(held_out.scorer(X[of_part], 1), held_out.scores, rtol=1e-9)
        n_before += len(held_out.scores)
    fitted = np.flatnonzero(weight) if weighted else np.arange(90)
    assert set(rows) <= set(fitted)
    assert len(set(rows)) == len(rows) == len(model.calibration_scores_)
    assert len(rows) == (len(fitted) if calibration == "cross" else round(0.3 * len(fitted)))


def test_without_calibration_no_rows_are_named():
    assert detector().fit(correlated(50)).calibration_indices_ is None


def test_benjamini_hochberg_takes_a_p_value_at_its_level():
    assert benjamini_hochberg(np.array([0.1, 0.9, 0.9]), 0.3).tolist() == [True, False, False]


def test_benjamini_hochberg_is_the_largest_number_that_the_level_allows():
    rng = np.random.default_rng(0)
    p = np.concatenate([rng.uniform(size=50), 0.01 * rng.uniform(size=10)])
    fitting = [k for k in range(1, 61) if np.sum(p <= 0.1 * k / 60) >= k]
    assert benjamini_hochberg(p, 0.1).sum() == max(fitting)


# Reasons


def test_an_order_and_its_reverse_share_a_product_alike():
    for seed in range(4):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(5, 4))
        levels = replaced_levels(lambda X: X[:, 0] * X[:, 1] + X[:, 2] * X[:, 3], np.zeros((1, 4)))
        products = np.column_stack([X[:, 0] * X[:, 1], X[:, 2] * X[:, 3]])
        halves = np.repeat(products, 2, axis=1) / 2
        np.testing.assert_allclose(contributions(X, levels, 2, rng), halves)


def products(X, order):
    """Value function: how much the columns that are known lie above zero, times each other."""
    shown = np.zeros((len(order) + 1, *X.shape))
    for k in range(len(order) + 1):
        shown[k][:, order[:k]] = X[:, order[:k]]
    return np.prod(1 + np.abs(shown), axis=2) - 1


@pytest.mark.parametrize("n_rows", [1, 7, 30, 100, 230])
def test_mean_contributions_are_about_the_mean_and_add_up_to_that_of_the_values(n_rows):
    X, seen = np.random.default_rng(0).uniform(0.5, 1, size=(n_rows, 4)), []

    def levels(rows, order):
        seen.append(len(rows))
        return products(rows, order)

    found = mean_contributions(X, levels, 10, np.random.default_rng(1))
    n_seen = sum(seen)
    each = contributions(X, products, 10, np.random.default_rng(1))
    np.testing.assert_allclose(found, each.mean(axis=0), rtol=0.03 if n_rows > 20 else 1e-12)
    assert found.sum() == pytest.approx(each.sum(axis=1).mean())
    assert n_seen <= max(10 * min(n_rows, 20), 2 * n_rows) + 2 * n_rows


DETECTORS = [
    detector(),
    detector(criterion="latent_norm", n_estimators=2),
    detector(criterion="typicality", n_estimators=2),
    detector(estimator=GaussianMixture(2, random_state=0)),
]


@pytest.mark.parametrize("model", DETECTORS, ids=str)
def test_threads_share_the_orders_of_a_single_row_and_change_no_bit(model, monkeypatch):
    X, shared = correlated(150, 3), []

    def noted(n_jobs):
        def run(tasks):
            tasks = list(tasks)
            shared.append((n_jobs, len(tasks)))
            return parallel(n_jobs)(tasks)

        return run

    monkeypatch.setattr("skgauss.shapley.parallel", noted)
    fitted = clone(model).fit(X)
    again = pickle.loads(pickle.dumps(fitted)).set_params(n_jobs=2)
    one, two = (m.explain(X[:1]) for m in (fitted, again))
    np.testing.assert_array_equal(one.contributions, two.contributions)
    assert one.baseline == two.baseline
    assert (2, 10) in shared or model.estimator is not None  # that is called in one thread
    assert {n_tasks for _, n_tasks in shared if n_tasks} == {10}


def planted(kind, seed):
    """A table with mixed scales and a discrete column, a row like no other, and where it is odd."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(600, 6)) @ (np.eye(6) + 0.3 * rng.normal(size=(6, 6)))
    X[:, 1] = X[:, 0] / X[:, 0].std() + 0.3 * rng.normal(size=600)
    X[:, 2] = np.exp(0.5 * X[:, 2])
    X[:, 4] = rng.integers(0, 3, 600)
    X[:, 3] = 3 * X[:, 4] + 0.4 * rng.normal(size=600)
    row = X[rng.integers(600)].copy()
    if kind == "shifted mean":
        j = int(rng.integers(4))
        row[j], where = X[:, j].mean() + 6 * X[:, j].std(), {j}
    elif kind == "broken correlation":
        (row[0], row[1]), where = (np.quantile(X[:, 0], 0.93), np.quantile(X[:, 1], 0.07)), {0, 1}
    else:
        row[3], row[4], where = 6.0, 0.0, {3, 4}
    units = 10.0 ** rng.integers(-2, 3, 6)
    return X * units, row * units, where


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["shifted mean", "broken correlation", "impossible combination"])
def test_the_planted_column_is_the_first_reason(kind):
    hits = []
    for seed in range(10):
        X, row, where = planted(kind, seed)
        model = detector(n_estimators=10).fit(np.vstack([X, row]))
        explanation = model.explain(row[None])
        hits.append(int(explanation.contributions[0].argmin()) in where)
    assert np.mean(hits) >= 0.9


@pytest.mark.parametrize("model", DETECTORS, ids=str)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_contributions_and_baseline_add_up_to_the_score(model, dtype):
    frame = pd.DataFrame(1000 * correlated(), columns=list("abcd")).astype(dtype)
    fitted = clone(model).fit(frame)
    explanation = fitted.explain(frame[:20])
    total = explanation.baseline + explanation.contributions.sum(axis=1)
    np.testing.assert_allclose(total, explanation.scores, rtol=0, atol=1e-8)
    np.testing.assert_array_equal(explanation.scores, fitted.score_samples(frame[:20]))
    assert explanation.columns == list("abcd")


def test_reasons_are_what_takes_from_the_score_the_most_first():
    shares = np.array([[0.5, -1.0, 0.0, -3.0], [0.1, 0.2, 0.0, 0.3]])
    explanation = Explanation(shares, 0.0, shares.sum(axis=1), list("abcd"))
    assert explanation.reasons(0) == [("d", -3.0), ("b", -1.0)]
    assert explanation.reasons(0, 1) == [("d", -3.0)]
    assert explanation.reasons(1) == []
    with pytest.raises(ValueError, match="n_reasons == -1, must be >= 0"):
        explanation.reasons(0, -1)


def test_one_far_row_does_not_blur_the_reasons_of_others():
    X = correlated(150, 4)  # of which most are drawn to start from
    X[3] = 1e6
    X[9, 2] += 8 * X[10:, 2].std()
    explanation = detector().fit(X).explain(X[9:10])
    assert explanation.reasons(0, 1)[0][0] == "column 2"
    assert abs(explanation.baseline) < 1e3


def test_a_model_that_is_not_ours_is_explained_too():
    X = correlated(400, 4)
    row = X[0].copy()
    row[2] += 8 * X[:, 2].std()
    model = detector(estimator=GaussianMixture(random_state=0)).fit(X)
    assert model.explain(row[None]).reasons(0, 1)[0][0] == "column 2"


def test_what_all_explanations_share_is_found_once():
    X = correlated(300, 3)
    model = detector().fit(X)
    first = model.explain(X[:5])
    again = pickle.loads(pickle.dumps(model)).explain(X[:5])
    np.testing.assert_array_equal(first.contributions, again.contributions)
    model.fit(X + 100)
    expected = detector().fit(X + 100).explain(X[:5] + 100)
    found = model.explain(X[:5] + 100)
    np.testing.assert_array_equal(found.contributions, expected.contributions)


def test_what_explanations_share_is_the_mean_over_reference_rows_for_a_part_of_the_cost(
    monkeypatch,
):
    model, n_rows = detector(n_estimators=4).fit(correlated(500, 5)), []
    along = KernelEnsemble.along

    def counted(self, X, order):
        n_rows.append(len(X))
        return along(self, X, order)

    monkeypatch.setattr(KernelEnsemble, "along", counted)
    explanation = model.explain(correlated(500, 5)[:1])
    assert sum(n_rows) == 10 + 2 * 100  # row and order pairs: its own, those of the reference
    reference = model.explain(model.reference_)
    np.testing.assert_allclose(reference.contributions.mean(axis=0), 0, atol=0.05)
    assert explanation.baseline == pytest.approx(reference.scores.mean())


def test_explanations_start_from_rows_as_frequent_as_they_are():
    X = np.zeros((1000, 2))
    X[:10] = np.random.default_rng(0).normal(5, 1, size=(10, 2))
    reference = detector().fit(X).reference_
    assert len(reference) == 100
    assert np.mean(np.all(reference == 0, axis=1)) > 0.9


def test_columns_keep_their_names_in_an_explanation():
    names = ["driver's age", "a\\b", "plain"]
    frame = pd.DataFrame(correlated(200, 3), columns=names)
    assert detector().fit(frame).explain(frame[:2]).columns == names


def test_the_place_of_columns_is_no_reason():
    """Nor the seed: the columns of a broken relation have the same shares wherever they stand."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 5))
    X[:, 2] = X[:, 0] + X[:, 1] + 0.1 * rng.normal(size=400)
    strange = X[:20] + np.array([0, 0, 2, 0, 0])
    place = np.array([3, 2, 4, 0, 1])
    for model in (detector(), detector(estimator=GaussianMixture(random_state=0), n_estimators=1)):
        shares, moved = (
            clone(model).fit(table).explain(new).contributions
            for table, new in ((X, strange), (X[:, place], strange[:, place]))
        )
        np.testing.assert_allclose(moved, shares[:, place], rtol=1e-6, atol=1e-6)
