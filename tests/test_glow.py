"""What is GlowGaussianizer's own: training, its record, and how it carries on."""

from __future__ import annotations

import dataclasses
import pickle
import time

import jax
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

import skgauss.glow
from skgauss import GlowGaussianizer
from skgauss.bijections import RationalQuadraticSplineCoupling
from skgauss.exceptions import TiedColumnWarning
from skgauss.head import has_mixture, head_forward
from skgauss.head_selection import fit_head
from skgauss.ladder import LADDER, configuration
from skgauss.rows import Table
from skgauss.training import maximize_likelihood
from tests.estimators import fitted, glow, small_table, table, two_moons

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

    def noted(*args):
        left.append(args[4].max_time)
        return maximize_likelihood(*args)

    monkeypatch.setattr(Table, "rows", slow_rows)
    monkeypatch.setattr(skgauss.glow, "maximize_likelihood", noted)
    glow(max_time=10.0).fit(small_table(150))
    assert left[0] < 10.0 - 2 * 0.2  # rows to train on, and rows held out


def test_verbose_shows_progress(capsys):
    glow(verbose=1, max_iter=2).fit(small_table(150))
    shown = "".join(capsys.readouterr())
    for word in ("2/2", "loss=", "held-out=", "rows/s="):
        assert word in shown
    glow(max_iter=2).fit(small_table(150))
    assert "".join(capsys.readouterr()) == ""


# Carrying on


def test_warm_start_continues():
    X = two_moons(600, seed=0)
    model = glow(max_iter=3, warm_start=True, early_stopping=False).fit(X)
    head, first = model.flow_.bijections[0], model.score(X)
    losses = list(model.loss_curve_)
    model.fit(X)
    assert model.n_iter_ == 6
    assert model.loss_curve_[:3] == losses
    assert model.loss_curve_[3] < losses[0]
    assert model.score(X) > first
    assert model.flow_.bijections[0] is head


def test_without_warm_start_fit_starts_afresh():
    X = small_table(150)
    model = glow().fit(X)
    scores = model.score_samples(X)
    np.testing.assert_array_equal(model.fit(X).score_samples(X), scores)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_steps", 3),
        ("mixer", "cayley"),
        ("coupling", "affine"),
        ("hidden_layer_sizes", (9,)),
        ("n_bins", 5),
        ("hidden_layer_sizes", np.array([9])),
    ],
)
def test_warm_start_refuses_another_architecture(name, value):
    model = glow(warm_start=True, coupling="spline").fit(small_table(150))
    model.set_params(**{name: value})
    with pytest.raises(ValueError, match=rf"{name}=.*warm_start=False"):
        model.fit(small_table(150))


def test_warm_start_takes_auto_on_another_rung():
    """What was "auto" stays as fitted, though another number of rows has another default."""
    model = GlowGaussianizer(warm_start=True, coupling="affine", max_iter=1, random_state=0)
    model.fit(small_table(90))
    n_parameters = model.n_parameters_
    model.fit(small_table(600))
    assert model.n_parameters_ == n_parameters
    assert model.n_iter_ == 2


def test_warm_start_refuses_another_number_of_components():
    model = glow(warm_start=True, coupling="mixture", n_bins=2).fit(small_table(150))
    with pytest.raises(ValueError, match="n_bins=3 differs from the fitted 2"):
        model.set_params(n_bins=3).fit(small_table(150))


def test_warm_start_refuses_other_columns():
    frame = pd.DataFrame(small_table(150), columns=["a", "b", "c"])
    model = glow(warm_start=True).fit(frame)
    state = pickle.dumps(vars(model))
    for other in (frame[["a", "b"]], frame[["b", "a", "c"]]):
        with pytest.raises(ValueError, match="feature names"):
            model.fit(other)
    with pytest.raises(ValueError, match="2 features"):
        glow(warm_start=True).fit(small_table(150)).fit(small_table(150, n_features=2))
    assert pickle.dumps(vars(model)) == state


def test_what_comes_next_starts_from_what_was_kept():
    """Not from where training ended, which rows held out had found worse."""
    X = small_table(150)
    model = glow(n_iter_no_change=3, max_iter=60, learning_rate_init=0.2, hidden_layer_sizes=(32,))
    model.set_params(warm_start=True).fit(X)
    assert max(model.validation_scores_) > model.validation_scores_[-1]
    kept = model.score_samples(X)
    model.set_params(learning_rate_init=1e-12, max_iter=1).fit(X)
    np.testing.assert_allclose(model.score_samples(X), kept, atol=1e-5)
    np.testing.assert_allclose(model.partial_fit(X).score_samples(X), kept, atol=1e-5)


def test_training_on_all_rows_that_diverges_is_told_and_not_carried_on(monkeypatch):
    trained = []

    def diverging(*args):
        state, progress = maximize_likelihood(*args)
        if trained:
            progress.stopped = "diverged"
            state = state._replace(average=np.full_like(state.average, np.nan))
        trained.append(progress)
        return state, progress

    monkeypatch.setattr(skgauss.glow, "maximize_likelihood", diverging)
    with pytest.warns(ConvergenceWarning, match="diverged"):
        model = glow().fit(small_table(150))
    assert len(trained) == 2
    assert all(np.isfinite(leaf).all() for leaf in model.optimizer_state_)
    assert np.isfinite(model.score(small_table(150)))


def test_partial_fit_improves_over_passes():
    X, test = two_moons(2000, seed=0), two_moons(2000, seed=1)
    model = glow(n_steps=4, batch_size=128, learning_rate_init=5e-3)
    model.partial_fit(X)
    assert model.n_iter_ == 1
    head, first = model.flow_.bijections[0], model.score(test)
    for _ in range(15):
        model.partial_fit(X)
    assert model.n_iter_ == 16
    assert model.flow_.bijections[0] is head
    assert model.score(test) > first + 0.1


def test_partial_fit_keeps_the_head_whatever_comes_next():
    model = glow().partial_fit(small_table(150))
    head = model.flow_.bijections[0]
    model.partial_fit(100 + 5 * small_table(150))
    assert model.flow_.bijections[0] is head


def test_partial_fit_sees_the_range_of_all_rows():
    model = glow().partial_fit(small_table(150)).partial_fit(1e4 + small_table(150))
    assert model.data_max_[0] > 1e4


def test_partial_fit_averages_over_the_passes_before():
    models = [glow(ema_decay=decay, learning_rate_init=1e-2) for decay in (0.0, 0.9)]
    for _ in range(20):
        for model in models:
            model.partial_fit(small_table(150))
    averages = [trained_parameters(model) for model in models]
    np.testing.assert_allclose(*[model.optimizer_state_[0] for model in models])
    assert np.abs(averages[0] - averages[1]).max() > 1e-3


def trained_parameters(model):
    """The trained parameters as a vector."""
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(model.flow_.bijections[1])])


def test_partial_fit_adds_other_noise_in_every_pass(monkeypatch):
    """To a constant column, for which there is nothing but noise."""
    seen, first = [], Table.rows

    def noted(*args):
        rows = first(*args)
        seen.append(rows.take(np.arange(150)))
        return rows

    X = np.column_stack([small_table(150), np.full(150, 7.0)])
    model = glow()
    monkeypatch.setattr(Table, "rows", noted)
    for _ in range(3):
        model.partial_fit(X)
    noise = [np.sort(rows[:, 3]) for rows in seen]
    assert not np.array_equal(noise[0], noise[1])
    assert not np.array_equal(noise[1], noise[2])


def test_partial_fit_keeps_the_width_of_the_noise():
    """A few rows of a column do not tell that its values repeat."""
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.integers(0, 100, 3000), rng.normal(size=3000)])
    model = glow(dequantize=True).partial_fit(X)
    assert model.noise_width_.tolist() == [1.0, 0.0]
    for part in (slice(0, 50), slice(50, 60)):
        model.partial_fit(X[part])
        assert model.noise_width_.tolist() == [1.0, 0.0]


def test_partial_fit_after_fit_carries_on():
    X = small_table(150)
    model = glow().fit(X)
    n_iter = model.n_iter_
    model.partial_fit(X)
    assert model.n_iter_ == n_iter + 1
    with pytest.raises(ValueError, match="2 features"):
        model.partial_fit(X[:, :2])


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
    assert scores[-1] == model.score(X)


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


@pytest.mark.filterwarnings("ignore::skgauss.exceptions.TiedColumnWarning")
def test_dequantize_leaves_continuous_columns_alone():
    X = small_table(150)
    np.testing.assert_array_equal(
        glow(dequantize=True).fit(X).score_samples(X), glow().fit(X).score_samples(X)
    )


# Good for something


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


# Configurations


def test_float64_trains_in_float64(monkeypatch):
    seen, first = [], Table.rows
    monkeypatch.setattr(Table, "rows", lambda *a: seen.append(first(*a)) or seen[-1])
    model = clone(fitted("glow-float64", "small")).fit(table("small"))
    assert {rows.take(np.arange(3)).dtype for rows in seen} == {np.dtype(np.float64)}
    assert {leaf.dtype for leaf in model.optimizer_state_ if leaf.dtype.kind == "f"} == {
        np.dtype(np.float64)
    }
    other = clone(model).set_params(dtype="float32").fit(table("small"))
    assert other.optimizer_state_[0].dtype == np.float32
    assert other.score(table("small")) == pytest.approx(model.score(table("small")), abs=0.05)


@pytest.mark.parametrize("coupling", ["affine", "spline"])
def test_behind_a_mixture_training_starts_at_the_density_of_the_head(coupling):
    model = glow(head="mixture", coupling=coupling, max_iter=1, learning_rate_init=1e-12)
    X = two_moons(300, seed=0)
    Z, log_det = head_forward(model.fit(X).flow_.bijections[0], X)
    expected = log_det + stats.norm.logpdf(Z).sum(axis=1)
    np.testing.assert_allclose(model.score_samples(X), expected, atol=1e-5)


def test_before_training_the_linear_maps_mix_nothing_unless_a_mixture_goes_before():
    for head in ("spline", "mixture"):
        model = glow(head=head, max_iter=1, learning_rate_init=1e-12)
        weights = model.fit(small_table()).flow_.bijections[1].steps.mixer
        is_permutation = np.allclose(weights.lower, 0) and np.allclose(weights.upper, 0)
        assert is_permutation == (head == "spline")


def test_ladder_covers_every_size_and_is_documented():
    limits = [limit for limit, _ in LADDER]
    assert limits == sorted(limits)
    assert limits[-1] == float("inf")
    for limit, rung in LADDER[:-1]:
        assert configuration(limit - 1, behind_mixture=True) == rung
        assert configuration(limit, behind_mixture=True) != rung
        assert f"{limit:,}" in GlowGaussianizer.__doc__


def test_large_tables_leave_the_mixture_to_those_who_ask_for_it(monkeypatch):
    monkeypatch.setattr(skgauss.glow, "MAX_MIXTURE_ROWS", 1_000)
    model = glow(head="auto", n_steps=1, max_iter=1)
    X = two_moons(1_500, seed=0)
    assert not has_mixture(model.fit(X).flow_.bijections[0])
    assert has_mixture(model.fit(X[:900]).flow_.bijections[0])
    assert has_mixture(model.set_params(head="mixture").fit(X).flow_.bijections[0])


def test_couplings_are_splines_where_no_mixture_goes_before(monkeypatch):
    """However the head was decided on, "auto" means what suits it."""
    monkeypatch.setattr(skgauss.glow, "fit_head", lambda _, *a, **k: fit_head("spline", *a, **k))
    options = {"n_steps": 1, "max_iter": 1, "random_state": 0}
    left_to_steps = GlowGaussianizer(**options).fit(small_table()).flow_
    asked_for = GlowGaussianizer(head="spline", **options).fit(small_table()).flow_
    assert isinstance(left_to_steps.bijections[1].steps.coupling, RationalQuadraticSplineCoupling)
    for a, b in zip(*map(jax.tree.leaves, (left_to_steps, asked_for)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_on_large_tables_time_alone_ends_a_training_that_was_given_time(monkeypatch):
    ends = {"max_iter": np.inf, "n_iter_no_change": np.inf}
    rung = configuration(1e6)
    assert configuration(1e6, timed=True) == dataclasses.replace(rung, **ends)
    assert configuration(1e3, timed=True) == configuration(1e3)
    monkeypatch.setattr(skgauss.glow, "configuration", lambda *_, **__: endless)
    endless = dataclasses.replace(configuration(150), **ends)
    model = glow(max_iter="auto", max_time=1e-3).fit(small_table(150))  # compiled
    assert (
        model.set_params(max_time=2.0).fit(small_table(150)).n_iter_ > configuration(150).max_iter
    )
    assert len(model.set_params(max_iter=3).fit(small_table(150)).loss_curve_) == 3


def test_auto_counts_weights_as_rows():
    X, weight = small_table(150), np.full(150, 4.0)
    model = GlowGaussianizer(max_iter=1, coupling="affine", random_state=0)
    n_steps = clone(model).fit(X, sample_weight=weight).flow_.bijections[1].n_steps
    assert n_steps == configuration(600).n_steps
    assert clone(model).fit(X).flow_.bijections[1].n_steps == configuration(150).n_steps


@pytest.mark.parametrize("n_features", [1, 2, 5])
@pytest.mark.parametrize("coupling", ["affine"])
def test_any_number_of_features(n_features, coupling):
    X = small_table(150, n_features)
    model = glow(coupling=coupling).fit(X)
    np.testing.assert_allclose(model.inverse_transform(model.transform(X)), X, rtol=1e-7)
    assert list(model.get_feature_names_out()) == [
        f"glowgaussianizer{j}" for j in range(n_features)
    ]
