"""What is GlowGaussianizer's own: training, its record, what it learns."""

from __future__ import annotations

import time

import jax
import numpy as np
import pytest
from scipy import stats
from sklearn.base import clone

import skgauss.glow
from skgauss.exceptions import TiedColumnWarning
from skgauss.rows import Table
from skgauss.training import maximize_likelihood
from tests.estimators import glow, small_table, two_moons

MOONS = glow(coupling="spline", n_steps=4, hidden_layer_sizes=(32,), max_iter=25)


@pytest.fixture(scope="module")
def moons():
    """A model trained on two moons, enough of them to get little noise behind the head."""
    return clone(MOONS).fit(two_moons(2500, seed=0))


# The record of training


def test_attributes_record_the_training(moons):
    assert moons.n_iter_ == len(moons.loss_curve_) == len(moons.validation_scores_)
    assert 1 <= moons.n_iter_ <= 25
    assert all(type(value) is float for value in moons.loss_curve_ + moons.validation_scores_)
    head, stack = moons.flow_.bijections
    assert moons.n_parameters_ == sum(np.size(leaf) for leaf in jax.tree.leaves(stack))
    assert not jax.tree.leaves(head)  # fitted, not trained
    assert moons.training_noise_.shape == (2,)
    assert moons.n_features_in_ == 2


def test_loss_is_in_nats_of_the_table_s_own_units(moons):
    """Behind the head or not: the last loss is about minus the score of the training rows."""
    X = two_moons(2500, seed=0)
    assert -moons.loss_curve_[-1] == pytest.approx(moons.score(X), abs=0.1)
    assert moons.validation_scores_[-1] == pytest.approx(moons.score(X), abs=0.25)


def test_training_raises_the_likelihood(moons):
    assert moons.loss_curve_[-1] < moons.loss_curve_[0] - 0.1
    start = clone(moons).set_params(max_iter=1).fit(two_moons(2500, seed=0))
    test = two_moons(2000, seed=1)
    assert moons.score(test) > start.score(test) + 0.1


def test_the_best_held_out_parameters_are_kept():
    """A rate that spoils the flow after a good start: the last iterate is not what is kept."""
    model = glow(n_iter_no_change=3, max_iter=60, learning_rate_init=0.2, hidden_layer_sizes=(32,))
    model.fit(small_table(150))
    assert max(model.validation_scores_) > model.validation_scores_[-1]
    best = int(np.argmax(model.validation_scores_))
    again = clone(model).set_params(n_iter_no_change=1000).fit(small_table(150))
    assert again.validation_scores_[: best + 1] == model.validation_scores_[: best + 1]
    if max(again.validation_scores_) == max(model.validation_scores_):
        np.testing.assert_array_equal(
            again.score_samples(small_table(150)), model.score_samples(small_table(150))
        )


@pytest.mark.slow
def test_few_rows_are_all_learned_from_in_the_end(monkeypatch):
    """Those that were held out as well: on new rows the mean gain over seeds is 0.1 nats."""
    gains = []
    for seed in range(3):
        X, new = np.split(two_moons(2120, seed=seed), [120])
        scores, records = [], []
        for limit in (0, 5_000):
            monkeypatch.setattr(skgauss.glow, "FIT_AGAIN_BELOW", limit)
            model = glow(head="auto", validation_fraction=0.2).fit(X)
            scores.append(model.score(new))
            records.append(model.validation_scores_)
        assert records[0] == records[1]
        gains.append(scores[1] - scores[0])
    assert np.mean(gains) > 0.03


def test_early_stopping_ends_training_and_can_be_turned_off():
    stopped = glow(n_iter_no_change=2, max_iter=100, learning_rate_init=0.1).fit(small_table(150))
    assert stopped.n_iter_ < 100
    assert stopped.stopped_by_ == "early_stopping"
    full = glow(early_stopping=False, max_iter=7).fit(small_table(150))
    assert full.n_iter_ == 7
    assert full.validation_scores_ == []


def test_small_tables_are_not_split():
    assert glow().fit(small_table(90)).validation_scores_ == []
    assert glow().fit(small_table(110)).validation_scores_


def test_max_time_ends_training_with_what_there_is():
    glow().fit(small_table(150))  # compiled
    model = glow(max_iter=100_000, max_time=0.5, n_iter_no_change=100_000)
    start = time.monotonic()
    model.fit(small_table(150))
    assert time.monotonic() - start < 30
    assert 1 <= model.n_iter_ < 100_000
    assert np.isfinite(model.score(small_table(150)))


def test_the_map_of_the_rows_is_taken_off_the_time(monkeypatch):
    left, rows = [], Table.rows

    def slow_rows(*args):
        time.sleep(0.2)
        return rows(*args)

    def noted(*args, **kwargs):
        left.append(args[4].max_time)
        return maximize_likelihood(*args, **kwargs)

    monkeypatch.setattr(Table, "rows", slow_rows)
    monkeypatch.setattr(skgauss.glow, "maximize_likelihood", noted)
    glow(max_time=10.0).fit(small_table(150))
    assert left[0] < 10.0 - 2 * 0.2  # rows to train on, and rows held out


def test_verbose_shows_progress(capsys):
    glow(verbose=1, max_iter=2).fit(small_table(150))
    shown = "".join(capsys.readouterr())
    for word in (
        "head to 135 rows",
        "head to 150 rows",
        "head='spline'",
        "2/2",
        "loss=",
        "held-out=",
        "rows/s=",
    ):
        assert word in shown
    glow(max_iter=2).fit(small_table(150))
    assert "".join(capsys.readouterr()) == ""


# Followed by others


@pytest.mark.parametrize("options", [{}, {"n_iter_no_change": 2, "max_iter": 100}])
def test_callbacks_see_every_task_begin_and_end(options):
    pytest.importorskip("sklearn.callback", reason="scikit-learn 1.9 has callbacks")
    open_tasks, names, scores, X = [], [], [], small_table(150)

    class Counting:
        def setup(self, estimator, context):
            pass

        def teardown(self, estimator, context):
            pass

        def on_fit_task_begin(self, estimator, context, **_):
            open_tasks.append(context.task_name)
            names.append(context.task_name)

        def on_fit_task_end(self, estimator, context, *, X=None, fitted_estimator=None):
            open_tasks.remove(context.task_name)
            scores.append(fitted_estimator.score(X))

    model = glow(learning_rate_init=0.1, **options).set_callbacks(Counting()).fit(X)
    assert names.count("iteration") == model.n_iter_ > 1
    assert open_tasks == []
    assert np.isfinite(scores).all()
    assert scores[-1] == pytest.approx(model.score(X), rel=1e-12)


# Blocks


def test_a_block_that_another_machine_cut_is_mapped_as_well(moons):
    """Larger than those cut here: an accelerator takes more rows at once."""
    X = two_moons(1500, seed=3)
    Z, log_det = moons._forward(X)
    np.testing.assert_allclose(Z, moons.transform(X), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(moons._inverse(Z), X, rtol=0, atol=1e-9)
    assert log_det.shape == (1500,)


# Weights


@pytest.mark.slow
def test_weights_shift_the_density_as_copies_would():
    """Beyond one batch, in expectation: within 0.07 nats over the seeds, each within 0.15."""
    rng = np.random.default_rng(0)
    X = np.vstack([rng.normal(-3, 1, (900, 2)), rng.normal(3, 0.5, (900, 2))])
    weight = np.repeat([1, 3], 900)
    test = np.vstack([rng.normal(-3, 1, (500, 2)), rng.normal(3, 0.5, (1500, 2))])
    differences = []
    for seed in range(3):
        model = glow(max_iter=40, random_state=seed)
        weighted = clone(model).fit(X, sample_weight=weight).score(test)
        copied = clone(model).fit(np.repeat(X, weight, axis=0)).score(test)
        unweighted = clone(model).fit(X).score(test)
        assert weighted > unweighted
        differences.append(weighted - copied)
    assert abs(np.mean(differences)) < 0.07
    assert np.abs(differences).max() < 0.15


# Grids


def test_dequantize_learns_a_density_of_the_step():
    """A uniform column on a grid of step 1 has the density of its continuous counterpart."""
    X = np.random.default_rng(0).integers(0, 20, (1500, 2)).astype(float)
    with pytest.warns(TiedColumnWarning, match=r"step 1\)"):
        glow().fit(X)
    model = glow(dequantize=True).fit(X)
    assert model.score(X) == pytest.approx(-2 * np.log(20), abs=0.3)
    assert model.score_samples(X).max() < -2 * np.log(20) + 2.5


@pytest.mark.parametrize("n_rows", [2, 8, 480])
def test_dequantize_learns_it_from_few_rows_and_from_counts(n_rows):
    """Merged copies would have one draw of the noise: 8 rows of weight 60 are 480."""
    X = np.arange(8.0).repeat(-(-n_rows // 8))[:n_rows, None]
    weight = np.full(n_rows, 480 / n_rows)
    model = glow(dequantize=True, max_iter=10).fit(X, sample_weight=weight)
    values = len(np.unique(X))
    new = np.random.default_rng(0).uniform(-0.5, values - 0.5, (4000, 1))
    assert model.score(new) > -np.log(values) - 0.1


def test_weights_that_float32_does_not_hold_train_as_others_do():
    X = small_table()[:200]
    large, larger = (
        glow(head="spline", max_iter=2).fit(X, sample_weight=np.full(200, weight))
        for weight in (2.0**66, 2.0**990)
    )
    assert larger.stopped_by_ == large.stopped_by_
    np.testing.assert_allclose(larger.score_samples(X), large.score_samples(X), atol=1e-3)


def test_counts_and_copies_of_discrete_rows_get_the_same_noise():
    X, weight = np.arange(12.0).reshape(6, 2) % 5, np.array([3, 1, 40, 7, 20, 30])
    counts = glow(dequantize=True, max_iter=2).fit(X, sample_weight=weight)
    copies = glow(dequantize=True, max_iter=2).fit(np.repeat(X, weight, axis=0))
    np.testing.assert_array_equal(counts.score_samples(X), copies.score_samples(X))


@pytest.mark.filterwarnings("ignore::skgauss.exceptions.TiedColumnWarning")
def test_dequantize_leaves_continuous_columns_alone():
    X = small_table(150)
    np.testing.assert_array_equal(
        glow(dequantize=True).fit(X).score_samples(X), glow().fit(X).score_samples(X)
    )


# Good for something


def test_of_few_distinct_rows_the_start_is_no_matter_of_one_draw():
    X = np.random.default_rng(0).integers(0, 2, size=(500, 1)).astype(float)
    starts = []
    for seed in range(5):
        with pytest.warns(TiedColumnWarning):
            model = glow(max_time=1e-3, random_state=seed).fit(X)
        starts.append(model.score(X))
    assert min(starts) > stats.norm(0.5, 0.5).logpdf(X).mean() - 0.5


def test_two_moons_are_better_than_a_gaussian():
    """Held out; the mean gain over seeds is 0.6 nats, the least 0.4."""
    gains = []
    for seed in range(3):
        X, test = two_moons(2500, seed=seed), two_moons(2000, seed=100 + seed)
        model = clone(MOONS).set_params(random_state=seed).fit(X)
        gaussian = stats.multivariate_normal(X.mean(axis=0), np.cov(X.T))
        gains.append(model.score(test) - gaussian.logpdf(test).mean())
    assert np.mean(gains) > 0.6
    assert min(gains) > 0.4


def test_a_gaussian_is_learned_nearly_exactly():
    """The score of held-out rows is that of the truth to 0.1 nats, and never above by noise."""
    rng = np.random.default_rng(0)
    truth = stats.multivariate_normal([1, -2], [[2.0, 1.2], [1.2, 1.0]])
    X, test = truth.rvs(2000, rng), truth.rvs(4000, rng)
    score = glow(max_iter=15).fit(X).score(test)
    assert truth.logpdf(test).mean() - 0.1 < score < truth.logpdf(test).mean() + 0.02
