"""DensityOutlierDetector: contract, p-values, reasons, hostile tables."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from skgauss import DensityOutlierDetector, GlowGaussianizer, RBIGTransformer
from skgauss.conformal import benjamini_hochberg, conformal_p_values
from skgauss.exceptions import InconsistentVersionWarning
from skgauss.shapley import contributions, replaced_levels
from tests.estimators import correlated, detector, small_table, ties_allowed

CRITERIA = ("log_density", "latent_norm", "typicality")

# The contract


@parametrize_with_checks(
    [
        DensityOutlierDetector(),
        DensityOutlierDetector(criterion="latent_norm", n_estimators=3),
        DensityOutlierDetector(criterion="typicality"),
        DensityOutlierDetector(RBIGTransformer(max_layers=3)),
    ]
)
@ties_allowed
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks([DensityOutlierDetector(RBIGTransformer())])
@ties_allowed
def test_scikit_learn_checks_with_rbig_inside(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks([DensityOutlierDetector(GlowGaussianizer(max_iter=5))])
@ties_allowed
def test_scikit_learn_checks_with_glow_inside(estimator, check):
    check(estimator)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_contamination_is_the_share_that_is_flagged(share):
    X = correlated()
    assert np.mean(detector(contamination=share).fit_predict(X) == -1) == pytest.approx(share)


def test_decision_and_labels_follow_from_scores_and_offset():
    X = correlated()
    model = detector(contamination=0.1).fit(X)
    decision = model.score_samples(X) - model.offset_
    np.testing.assert_array_equal(model.decision_function(X), decision)
    np.testing.assert_array_equal(model.predict(X) == -1, decision < 0)


def test_auto_flags_about_as_many_normal_rows_as_it_says():
    few = [np.mean(detector().fit_predict(correlated(500, 2, seed)) == -1) for seed in range(5)]
    many = [np.mean(detector().fit_predict(correlated(500, 10, seed)) == -1) for seed in range(5)]
    assert 0.02 < np.mean(few) < 0.1
    assert 0 < np.mean(many) < 0.05


@pytest.mark.parametrize("criterion", CRITERIA)
def test_a_weight_is_so_many_copies_and_the_order_of_rows_is_nothing(criterion):
    X = correlated(60)
    weight = np.random.default_rng(0).integers(0, 4, len(X))
    weighted = detector(criterion=criterion).fit(X, sample_weight=weight)
    copies = np.repeat(X, weight, axis=0)
    copied = detector(criterion=criterion).fit(np.random.default_rng(1).permutation(copies))
    np.testing.assert_allclose(weighted.score_samples(X), copied.score_samples(X), rtol=1e-9)
    assert weighted.offset_ == pytest.approx(copied.offset_)


def test_it_pickles_and_repeats_itself():
    X = correlated()
    model = detector(calibration=0.3).fit(X)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.p_values(X), model.p_values(X))
    np.testing.assert_array_equal(clone(model).fit(X).score_samples(X), model.score_samples(X))
    threads = clone(model).set_params(n_jobs=2).fit(X)
    np.testing.assert_allclose(threads.score_samples(X), model.score_samples(X), rtol=1e-12)


def test_a_detector_of_another_version_is_named(monkeypatch):
    saved = pickle.dumps(detector().fit(correlated()))
    monkeypatch.setattr("skgauss.__version__", "99")
    with pytest.warns(InconsistentVersionWarning, match="is loaded by skgauss 99"):
        pickle.loads(saved)


# What is passed along


def test_sample_weight_goes_to_an_estimator_that_takes_it_and_is_refused_otherwise():
    X, weight = correlated(), np.arange(400.0)
    model = detector(estimator=KernelDensity(), contamination=0.1).fit(X, sample_weight=weight)
    expected = KernelDensity().fit(X[1:], sample_weight=weight[1:]).score_samples(X)
    np.testing.assert_allclose(model.score_samples(X), expected)
    with pytest.raises(TypeError, match="sample_weight was passed to fit, but estimator=Gaussian"):
        detector(estimator=GaussianMixture()).fit(X, sample_weight=weight)
    with pytest.raises(TypeError, match=r"\['colour'\], but estimator=None takes sample_weight"):
        detector().fit(X, colour=1)


def test_metadata_are_routed():
    import sklearn

    X, weight = correlated(), np.arange(400.0)
    with sklearn.config_context(enable_metadata_routing=True):
        wanting = KernelDensity().set_fit_request(sample_weight=True)
        model = detector(estimator=wanting).fit(X, sample_weight=weight)
        expected = KernelDensity().fit(X[1:], sample_weight=weight[1:]).score_samples(X)
        np.testing.assert_allclose(model.score_samples(X), expected)
        detector().fit(X, sample_weight=weight)


def test_any_density_serves():
    X = correlated()
    model = detector(estimator=GaussianMixture(random_state=0)).fit(X)
    expected = GaussianMixture(random_state=0).fit(X).score_samples(X)
    np.testing.assert_allclose(model.score_samples(X), expected)
    with pytest.raises(ValueError, match="criterion='latent_norm' needs an estimator with transf"):
        detector(estimator=GaussianMixture(), criterion="latent_norm").fit(X)


def test_clones_fitted_to_a_row_have_no_say_about_it():
    X = correlated(100)
    kernel = KernelDensity(bandwidth=1e-3)
    model = detector(estimator=kernel, n_estimators=10, max_samples=50).fit(X)
    nearby = X + 1e-9  # no training row, though its kernels are there
    assert np.all(model.score_samples(X) < model.score_samples(nearby))


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
    copied = conformal_p_values(scores, np.repeat(held_out, weight))
    np.testing.assert_allclose(weighted, copied)


def test_an_order_and_its_reverse_share_a_product_alike():
    for seed in range(4):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(5, 4))
        levels = replaced_levels(lambda X: X[:, 0] * X[:, 1] + X[:, 2] * X[:, 3], np.zeros((1, 4)))
        products = np.column_stack([X[:, 0] * X[:, 1], X[:, 2] * X[:, 3]])
        halves = np.repeat(products, 2, axis=1) / 2
        np.testing.assert_allclose(contributions(X, levels, 2, rng), halves)


def test_benjamini_hochberg_takes_a_p_value_at_its_level():
    assert benjamini_hochberg(np.array([0.1, 0.9, 0.9]), 0.3).tolist() == [True, False, False]


def test_benjamini_hochberg_is_the_largest_number_that_the_level_allows():
    rng = np.random.default_rng(0)
    p = np.concatenate([rng.uniform(size=50), 0.01 * rng.uniform(size=10)])
    fitting = [k for k in range(1, 61) if np.sum(p <= 0.1 * k / 60) >= k]
    assert benjamini_hochberg(p, 0.1).sum() == max(fitting)


# Reasons


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


@pytest.mark.parametrize(
    "model",
    [
        detector(),
        detector(criterion="latent_norm", n_estimators=2),
        detector(criterion="typicality", n_estimators=2),
        detector(estimator=GaussianMixture(2, random_state=0)),
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_contributions_and_baseline_add_up_to_the_score(model, dtype):
    frame = pd.DataFrame(1000 * correlated(), columns=list("abcd")).astype(dtype)
    fitted = clone(model).fit(frame)
    explanation = fitted.explain(frame[:20])
    total = explanation.baseline + explanation.contributions.sum(axis=1)
    np.testing.assert_allclose(total, explanation.scores, rtol=0, atol=1e-8)
    np.testing.assert_array_equal(explanation.scores, fitted.score_samples(frame[:20]))
    assert explanation.columns == list("abcd")
    reasons = explanation.reasons(3, 2)
    assert [contribution for _, contribution in reasons] == sorted(explanation.contributions[3])[:2]


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


# Hostile tables


def test_all_rows_identical_are_all_normal():
    X = np.full((30, 3), 4.0)
    model = detector().fit(X)
    assert np.all(model.predict(X) == 1)
    assert np.all(model.predict(X + 100) == -1)


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize(
    "X",
    [
        small_table(2),
        small_table(3),
        small_table(10, 25),
        small_table(n_features=1),
        np.repeat(small_table(4), 50, axis=0),
        np.column_stack([small_table(), np.full(300, 5.0)]),
        small_table() * [1e-150, 1.0, 1e150],
        small_table().astype(np.float32),
    ],
    ids=["two", "three", "wide", "one-column", "equal-rows", "constant", "scales", "float32"],
)
def test_odd_tables_work(X, criterion):
    model = detector(criterion=criterion, n_estimators=4).fit(X)
    assert np.isfinite(model.score_samples(X)).all()
    assert np.isfinite(model.offset_)
    assert set(model.predict(X)) <= {-1, 1}


def test_an_infinite_cell_is_named():
    X = small_table().copy()
    X[7, 1] = np.nan
    with pytest.raises(ValueError, match="NaN in column 1, first in row 7"):
        detector().fit(X)


def test_a_failed_fit_leaves_what_was_fitted():
    model = detector().fit(correlated())
    before = model.score_samples(correlated())
    with pytest.raises(ValueError, match="NaN"):
        model.fit(np.full((5, 4), np.nan))
    np.testing.assert_array_equal(model.score_samples(correlated()), before)


def test_a_far_row_is_finite_and_further_is_stranger():
    model = detector().fit(correlated())
    far = model.score_samples(np.array([[1e3] * 4, [1e6] * 4, [1e100] * 4]))
    assert np.isfinite(far).all()
    assert np.all(np.diff(far) < 0)


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("far", [1e155, 1e199])
def test_the_farthest_rows_are_the_strangest(criterion, far):
    """Whose squares are not finite."""
    X = correlated()
    model = detector(criterion=criterion, n_estimators=2, calibration=0.3).fit(X)
    row = np.array([[far, -far, 0.0, far]])
    assert model.predict(row).tolist() == [-1]
    assert model.p_values(row) == 1 / (len(model.calibration_scores_) + 1)
    explanation = model.explain(row)
    total = explanation.baseline + explanation.contributions.sum()
    assert total == pytest.approx(model.score_samples(row)[0], rel=1e-9)


def test_a_density_of_zero_is_the_lowest_score():
    X = correlated(300, 2)
    kernel = KernelDensity(kernel="tophat", bandwidth=1.0)
    model = detector(estimator=kernel, n_estimators=5, max_samples=50, calibration=0.3).fit(X)
    assert np.isfinite(model.decision_function(X)).all()
    far = np.full((1, 2), 1e3)
    assert model.score_samples(far).tolist() == [-1e100]
    assert model.predict(far).tolist() == [-1]
    assert np.mean(model.predict(X) == 1) > 0.5  # rows that all members' kernels reach


def test_a_score_that_is_no_number_is_refused():
    class Broken(KernelDensity):
        def score_samples(self, X):
            return np.full(len(X), np.nan)

    with pytest.raises(ValueError, match=r"estimator=Broken\(\) has a score of NaN for 400 of 400"):
        detector(estimator=Broken()).fit(correlated())


@pytest.mark.parametrize("unit", [1e-170, 1e160])
def test_atoms_are_spread_in_any_unit(unit):
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.exponential(size=300), rng.normal(size=300)])
    X[rng.uniform(size=300) < 0.4, 0] = 0
    scores = [detector().fit(T).score_samples(T) for T in (X, X * [unit, 1])]
    np.testing.assert_allclose(scores[1] + np.log(unit), scores[0], rtol=0, atol=1e-8)


@pytest.mark.parametrize("share", [0.1, 0.2])
def test_the_rarer_value_of_a_binary_column_is_rare_and_no_more(share):
    rng = np.random.default_rng(0)
    rare = rng.uniform(size=2000) < share
    model = detector().fit(np.column_stack([rng.normal(size=(2000, 4)), rare]))
    others = rng.normal(size=(2000, 4))
    without, with_it = (
        model.score_samples(np.column_stack([others, np.full(2000, value)])) for value in (0, 1)
    )
    assert -np.log(share) / 2 < np.mean(without - with_it) < -3 * np.log(share)
    assert np.mean(model.predict(np.column_stack([others, np.ones(2000)])) == -1) < 0.3


def test_scores_of_zero_density_do_not_move_the_fence():
    X = np.vstack([correlated(300, 2), np.random.default_rng(0).uniform(-100, 100, size=(200, 2))])
    kernel = KernelDensity(kernel="tophat", bandwidth=1.0)
    model = detector(estimator=kernel, n_estimators=5, max_samples=200).fit(X)
    assert np.mean(model.score_samples(X) == -1e100) > 0.25
    assert model.offset_ > -1e80


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


def test_a_step_of_a_pipeline_spreads_ties():
    X = np.column_stack([np.random.default_rng(0).integers(0, 9, 300), correlated(300, 1)])
    model = detector(estimator=make_pipeline(StandardScaler(), RBIGTransformer(max_layers=2)))
    (member,) = model.fit(X).scorer_.ensemble.estimators
    assert member[-1].dequantize


@pytest.mark.parametrize("constant", [0.0, -5.0, 2020.0])
def test_a_row_that_differs_in_a_constant_column_is_strange(constant):
    X = np.column_stack([correlated(300, 2), np.full(300, constant)])
    model = detector().fit(X)
    new = X[:5] + np.array([0, 0, 0.01])
    assert (model.predict(new) == -1).all()
    assert [reasons[0][0] for reasons in map(model.explain(new).reasons, range(5))] == [
        "column 2"
    ] * 5


# Equal rows, weights


# Equal rows, weights


def test_equal_rows_score_alike_whatever_is_beside_them():
    """To rounding, which neither a threshold nor a p-value tells."""
    rng = np.random.default_rng(0)
    X = np.eye(6)[rng.choice(6, 600, p=[0.85, 0.03, 0.03, 0.03, 0.03, 0.03])]
    model = detector(calibration=0.5).fit(X)
    alone = [
        np.concatenate([f(row[None]) for row in np.eye(6)]) for f in (model.p_values, model.predict)
    ]
    beside = [f(np.eye(6).repeat(100, axis=0))[::100] for f in (model.p_values, model.predict)]
    np.testing.assert_array_equal(alone, beside)
    assert model.predict(np.eye(6)[:1]).tolist() == [1]


def test_explanations_start_from_rows_as_frequent_as_they_are():
    X = np.zeros((1000, 2))
    X[:10] = np.random.default_rng(0).normal(5, 1, size=(10, 2))
    reference = detector().fit(X).reference_
    assert len(reference) == 100
    assert np.mean(np.all(reference == 0, axis=1)) > 0.9


def test_weights_may_be_any_proportions():
    """Those that sum to less than the number of rows; and large ones take no memory."""
    X = correlated(300, 3)
    rng = np.random.default_rng(0)
    weight = rng.uniform(0.5, 1, 300)
    for factor in (1e-3, 1e-9):
        model = detector(contamination=0.1).fit(X, sample_weight=factor * weight)
        assert 20 <= (model.predict(X) == -1).sum() <= 40
    detector().fit(X, sample_weight=np.full(300, 1e9))
    detector().fit(X, sample_weight=np.full(300, 1e18))


def test_a_seed_of_its_own_is_left_to_an_estimator():
    X = correlated()
    mixture = GaussianMixture(3, random_state=0, init_params="random", max_iter=3)
    expected = clone(mixture).fit(X).score_samples(X)
    found = detector(estimator=mixture, random_state=7).fit(X).score_samples(X)
    np.testing.assert_allclose(found, expected)


def test_a_class_is_no_estimator():
    with pytest.raises(
        TypeError, match="estimator=KernelDensity is a class: give an instance, Ker"
    ):
        detector(estimator=KernelDensity).fit(correlated())


def test_the_seed_reaches_estimators_in_a_pipeline():
    X = correlated(200, 3)
    inside = make_pipeline(StandardScaler(), RBIGTransformer(rotation="random", max_layers=3))
    scores = [detector(estimator=inside).fit(X).score_samples(X) for _ in range(2)]
    np.testing.assert_array_equal(*scores)


def test_columns_keep_their_names_in_an_explanation():
    names = ["driver's age", "a\\b", "plain"]
    frame = pd.DataFrame(correlated(200, 3), columns=names)
    assert detector().fit(frame).explain(frame[:2]).columns == names
