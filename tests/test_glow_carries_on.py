"""How GlowGaussianizer carries on: warm starts and passes over rows that arrive over time."""

from __future__ import annotations

import pickle

import jax
import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import ConvergenceWarning

import skgauss.glow
from skgauss import GlowGaussianizer
from skgauss.exceptions import TiedColumnWarning
from skgauss.rows import Table
from skgauss.training import maximize_likelihood
from tests.estimators import glow, small_table, two_moons


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


@pytest.mark.slow
def test_warm_start_continues_with_early_stopping(monkeypatch):
    """In another order every time, with any gain on the rows held out."""
    monkeypatch.setattr(skgauss.glow, "FIT_AGAIN_BELOW", 0)  # which are then not learned from
    X, new = two_moons(1000, seed=1), two_moons(4000, seed=9)
    model = glow(max_iter=3, warm_start=True, coupling="spline", hidden_layer_sizes=(32,))
    first, *_, last = [model.fit(X).score(new) for _ in range(4)]
    assert last > first + 0.03


def test_warm_starts_of_the_default_do_no_harm():
    """Few rows were all learned from, and no step may be worth its training."""
    X = np.random.default_rng(0).normal(size=(400, 4))
    new = np.random.default_rng(1).normal(size=(2000, 4))
    model = GlowGaussianizer(warm_start=True, random_state=0)
    first, *others = [model.fit(X).score(new) for _ in range(3)]
    assert min(others) > first - 0.05


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
        ("head", "affine"),
    ],
)
def test_warm_start_refuses_another_architecture(name, value):
    model = glow(warm_start=True, coupling="spline").fit(small_table(150))
    model.set_params(**{name: value})
    with pytest.raises(ValueError, match=rf"{name}=.*warm_start=False"):
        model.fit(small_table(150))


def test_warm_start_keeps_the_noise_that_tied_columns_are_read_with():
    X = small_table(150).round(1)
    model = glow(warm_start=True, dequantize=True).fit(X)
    with pytest.raises(ValueError, match=r"dequantize=False differs from the fitted True"):
        model.set_params(dequantize=False).fit(X)
    with pytest.warns(TiedColumnWarning):
        model = glow(warm_start=True).fit(X)
    with pytest.raises(ValueError, match=r"dequantize=True differs from the fitted False"):
        model.set_params(dequantize=True).fit(X)


def test_warm_start_takes_auto_on_another_rung():
    """What was "auto" stays as fitted, though another number of rows has another default."""
    model = GlowGaussianizer(warm_start=True, coupling="affine", max_iter=1, random_state=0)
    model.fit(small_table(90))
    n_parameters = model.n_parameters_
    model.fit(small_table(600))
    assert model.n_parameters_ == n_parameters
    assert model.n_iter_ == 2


@pytest.mark.slow
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


def test_what_comes_next_starts_from_what_was_kept(monkeypatch):
    """Not from where training ended, which rows held out had found worse."""
    monkeypatch.setattr(skgauss.glow, "FIT_AGAIN_BELOW", 0)
    X = small_table(150)
    model = glow(n_iter_no_change=3, max_iter=60, learning_rate_init=0.2, hidden_layer_sizes=(32,))
    model.set_params(warm_start=True).fit(X)
    assert max(model.validation_scores_) > model.validation_scores_[-1]
    kept = model.score_samples(X)
    model.set_params(learning_rate_init=1e-12, max_iter=1).fit(X)
    np.testing.assert_allclose(model.score_samples(X), kept, atol=1e-5)
    np.testing.assert_allclose(model.partial_fit(X).score_samples(X), kept, atol=1e-5)


def test_what_short_fits_gain_adds_up():
    """Though one iteration of few rows is never worth two standard errors."""
    X, test = two_moons(300, seed=0), two_moons(3000, seed=1)
    model = glow(max_iter=1, warm_start=True)
    first = model.fit(X).score(test)
    for _ in range(30):
        model.fit(X)
    assert model.n_iter_ == 31
    assert model.best_iter_ > 0
    assert model.score(test) > first + 0.1


def test_training_on_all_rows_that_diverges_is_told_and_not_carried_on(monkeypatch):
    trained = []

    def diverging(*args, **kwargs):
        state, progress = maximize_likelihood(*args, **kwargs)
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


def test_a_batch_is_no_larger_than_the_table():
    """Within a power of two: a batch of any size is asked for, none of that size is made."""
    X = small_table(150)
    scores = [glow(batch_size=size).fit(X).score_samples(X) for size in (512, 10**10)]
    np.testing.assert_array_equal(*scores)


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


def test_a_pass_over_the_rows_given_is_a_whole_one():
    X = np.random.default_rng(0).normal(size=(2000, 2))
    assert glow(max_time=1e-3, batch_size=64).partial_fit(X).stopped_by_ != "max_time"


@pytest.mark.parametrize("n_rows", [20, 90])
def test_a_warm_start_on_few_rows_does_not_forget_the_others(n_rows):
    """Nothing would be held out of them, and thousands of nats were lost."""
    X, new = two_moons(1000, seed=0), two_moons(2000, seed=1)
    model = glow(warm_start=True, max_iter=15).fit(X)
    before = model.score(new)
    assert model.fit(X[:n_rows]).score(new) > before - 0.3


@pytest.mark.slow
def test_partial_fit_does_not_spoil_its_start():
    """Its rate rises over the first updates, however few a call has."""
    X, new = two_moons(500, seed=0), two_moons(2000, seed=1)
    head = GlowGaussianizer(max_time=1.0, random_state=0).fit(X).score(new)
    assert GlowGaussianizer(random_state=0).partial_fit(X).score(new) > head - 0.1


def test_rows_too_few_to_judge_by_change_nothing():
    rng = np.random.default_rng(0)
    flow = glow(warm_start=True, max_iter=2).fit(rng.normal(size=(200, 2)))
    new = rng.normal(size=(50, 2))
    before = flow.score_samples(new)
    with pytest.warns(UserWarning, match="3 rows are too few to judge.*Give 20 or more"):
        flow.fit(rng.normal(size=(3, 2)))
    np.testing.assert_array_equal(flow.score_samples(new), before)
