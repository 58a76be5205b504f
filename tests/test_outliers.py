"""DensityOutlierDetector: contract, thresholds, what is passed along, hostile tables."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from skgauss import DensityOutlierDetector, GlowGaussianizer, RBIGTransformer
from skgauss._threads import parallel
from skgauss._thresholds import threshold
from skgauss.exceptions import InconsistentVersionWarning
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


@pytest.mark.parametrize("n_rows", [50, 300, 1000])
@pytest.mark.parametrize("n_features", [2, 5])
def test_auto_flags_some_rows_of_every_normal_table(n_rows, n_features):
    tables = [np.random.default_rng(seed).normal(size=(n_rows, n_features)) for seed in range(5)]
    flagged = np.mean([detector().fit_predict(X) == -1 for X in tables])
    assert 0.005 < flagged < 0.1


@pytest.mark.parametrize("n_rows", [300, 1000])
def test_auto_flags_few_rows_of_discrete_columns_by_themselves(n_rows):
    def flagged(draw):
        rng = np.random.default_rng(0)
        return np.mean(detector().fit(draw(rng)).predict(draw(rng)) == -1)

    assert flagged(lambda rng: rng.uniform(size=(n_rows, 1)) < 0.1) == 0
    assert flagged(lambda rng: rng.uniform(size=(n_rows, 3)) < 0.2) <= 0.02
    assert flagged(lambda rng: rng.poisson(3, size=(n_rows, 2))) <= 0.03


def test_the_fence_lies_three_nats_below_the_first_quartile_at_least():
    score, scores, ones = -5.0, np.array([-5.0] * 90 + [-7.9] * 5 + [-8.1] * 5), np.ones(100)
    assert threshold(scores, ones, "auto", 2.0) == pytest.approx(score - 3)
    assert threshold(scores, ones, "auto", 0.0) == pytest.approx(score)
    spread = np.linspace(-9, -1, 101)
    assert threshold(spread, np.ones(101), "auto", 2.0) == pytest.approx(-7 - 1.5 * 4)
    assert threshold(scores, ones, 0.05, 2.0) == pytest.approx(np.quantile(scores, 0.05))


@pytest.mark.parametrize(
    ("options", "least"),
    [
        ({"trim": 0}, 2),
        ({}, 2 / math.sqrt(5.5)),  # what kernels of 300 rows have their variance multiplied by
        ({"criterion": "typicality"}, 0),
        ({"criterion": "latent_norm"}, 0),
        ({"estimator": GaussianMixture()}, 0),
    ],
)
def test_only_log_densities_of_the_default_density_have_a_least_fence(options, least):
    X = correlated(300, 1)
    model = detector(**options).fit(X)
    low, high = np.quantile(model.score_samples(X), [0.25, 0.75])
    assert high - low < least or not least
    assert model.offset_ == pytest.approx(low - 1.5 * max(high - low, least), rel=1e-6)


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


@pytest.mark.parametrize("method", ["score_samples", "p_values", "explain"])
def test_n_jobs_is_that_of_the_call(method, monkeypatch):
    model, asked = detector(calibration="cross", n_jobs=1).fit(correlated(80)), []

    def noted(n_jobs):
        asked.append(n_jobs)
        return parallel(n_jobs)

    monkeypatch.setattr("skgauss._scoring.parallel", noted)
    getattr(model.set_params(n_jobs=2), method)(correlated(80)[:5])
    assert asked
    assert set(asked) == {2}


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
    X, weight = correlated(), np.arange(400.0)
    with sklearn.config_context(enable_metadata_routing=True):
        wanting = KernelDensity().set_fit_request(sample_weight=True)
        model = detector(estimator=wanting).fit(X, sample_weight=weight)
        expected = KernelDensity().fit(X[1:], sample_weight=weight[1:]).score_samples(X)
        np.testing.assert_allclose(model.score_samples(X), expected)
        detector().fit(X, sample_weight=weight)
        renamed = KernelDensity().set_fit_request(sample_weight="counts")
        same = detector(estimator=renamed).fit(X, counts=weight)
        np.testing.assert_array_equal(same.score_samples(X), model.score_samples(X))
        assert same.offset_ == model.offset_


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
    nearby = X + 1e-5  # no training row, though its kernels are there
    assert np.all(model.score_samples(X) < model.score_samples(nearby))


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


def test_more_rows_of_density_zero_than_outliers_are_all_flagged():
    X = correlated(300, 6)
    kernel = KernelDensity(kernel="epanechnikov", bandwidth=1.0)
    model = detector(estimator=kernel, contamination=0.05, calibration=0.5).fit(X)
    is_zero = model.score_samples(X) == -1e100
    assert 0.05 < is_zero.mean() < 0.5
    np.testing.assert_array_equal(model.predict(X) == -1, is_zero)
    explanation = model.explain(X)
    total = explanation.baseline + explanation.contributions.sum(axis=1)
    np.testing.assert_allclose(total[~is_zero], model.score_samples(X)[~is_zero], rtol=1e-9)
    assert np.abs(explanation.contributions[~is_zero]).max() < 1e3
    np.testing.assert_allclose(total[is_zero], -1e100)


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


def test_one_row_far_out_does_not_make_the_likeliest_rows_strange():
    X = np.random.default_rng(0).normal(size=(1000, 2))
    X[0], X[1:11] = [1e6, 0], [6, 6] + 0.3 * X[1:11]
    scores = detector(criterion="typicality").fit(X).score_samples(X)
    assert roc_auc_score(np.arange(1000) < 11, -scores) > 0.99


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_routing_is_on_in_every_thread(n_jobs):
    steps = (StandardScaler(), RBIGTransformer(max_layers=2))
    with sklearn.config_context(enable_metadata_routing=True):
        pipeline = make_pipeline(*(step.set_fit_request(sample_weight=True) for step in steps))
        model = detector(estimator=pipeline, n_estimators=2, max_samples=50, n_jobs=n_jobs)
        assert np.isfinite(model.fit(correlated(100), sample_weight=np.ones(100)).offset_)


def test_scores_of_zero_density_do_not_move_the_fence():
    X = np.vstack([correlated(300, 2), np.random.default_rng(0).uniform(-100, 100, size=(200, 2))])
    kernel = KernelDensity(kernel="tophat", bandwidth=1.0)
    model = detector(estimator=kernel, n_estimators=5, max_samples=200).fit(X)
    assert np.mean(model.score_samples(X) == -1e100) > 0.25
    assert model.offset_ > -1e80


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
    lost_beside_one = detector().fit(X, sample_weight=np.where(np.arange(300) == 3, 1e19, 1.0))
    alone = detector().fit(X[[3, 3]], sample_weight=[5e18, 5e18])
    np.testing.assert_array_equal(lost_beside_one.score_samples(X), alone.score_samples(X))


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
