"""Maximum likelihood on flows whose optimum is known in closed form."""

from __future__ import annotations

import dataclasses
import functools
import threading
from types import SimpleNamespace

import jax
import numpy as np
import pytest
import scipy.stats as st

from skgauss import training
from skgauss.bijections import AffineCoupling, Chain, ElementwiseAffine
from skgauss.training import Rows, TrainingOptions, maximize_likelihood
from skgauss.training_step import Layout, start_state, update, with_parameters

LOC, SCALE = np.array([3.0, -1.0]), np.array([2.0, 0.5])
NORMAL = np.random.default_rng(0).normal(size=(300, 2))
X = LOC + SCALE * NORMAL
OPTIMUM = st.norm.logpdf(X, X.mean(axis=0), X.std(axis=0)).sum(axis=1).mean()
OPTIONS = TrainingOptions(
    max_iter=5,
    batch_size=128,
    learning_rate_init=1e-2,
    alpha=0.0,
    ema_decay=0.9,
    tol=0.0,
    n_iter_no_change=1000,
    max_time=None,
    min_updates=1,
)


class Recorded:
    """Rows that remember which of them were taken."""

    def __init__(self, values):
        self.values, self.taken = values, []

    def __call__(self, indices):
        self.taken.append(np.array(indices))
        return self.values[indices]


def rows_of(values, weight=None, log_det=0.0):
    weight = np.ones(len(values)) if weight is None else np.asarray(weight, float)
    return Rows(values.__getitem__, weight, log_det)


def train(rows, held_out=None, flow=None, seed=0, after_iteration=None, **options):
    flow = ElementwiseAffine.init(2) if flow is None else flow
    options = dataclasses.replace(OPTIONS, **options)
    state = start_state(flow, options.dtype)
    rng = np.random.default_rng(seed)
    state, progress = maximize_likelihood(
        flow, state, rows, held_out, options, rng, after_iteration
    )
    return with_parameters(flow, progress.best), progress


def score(flow, values):
    """Mean log-likelihood, the slow and obvious way."""
    with jax.enable_x64(True):
        z, log_det = jax.vmap(flow.transform_and_log_det)(values)
    return float(np.mean(st.norm.logpdf(z).sum(axis=1) + np.asarray(log_det)))


def test_training_finds_the_maximum_of_the_likelihood():
    flow, progress = train(rows_of(X), max_iter=300, learning_rate_init=5e-2)
    assert score(flow, X) == pytest.approx(OPTIMUM, abs=5e-3)
    assert progress.loss_curve[-1] == pytest.approx(-OPTIMUM, abs=5e-3)
    assert progress.loss_curve[0] > progress.loss_curve[-1] + 1


@pytest.mark.parametrize(
    ("n_rows", "min_updates", "n_passes"), [(300, 1, 1), (300, 7, 3), (5, 4, 4)]
)
def test_every_row_is_visited_once_per_pass(n_rows, min_updates, n_passes):
    recorded = Recorded(X[:n_rows])
    train(Rows(recorded, np.ones(n_rows)), max_iter=2, min_updates=min_updates)
    visits = np.bincount(np.concatenate(recorded.taken), minlength=n_rows)
    np.testing.assert_array_equal(visits, 2 * n_passes)
    assert max(map(len, recorded.taken)) <= OPTIONS.batch_size


def test_passes_are_shuffled_by_the_generator():
    orders = []
    for seed in (0, 0, 1):
        recorded = Recorded(X)
        train(Rows(recorded, np.ones(300)), seed=seed, max_iter=2)
        orders.append(np.concatenate(recorded.taken))
    assert (orders[0] == orders[1]).all()
    assert (orders[0] != orders[2]).any()
    assert (orders[0][:300] != orders[0][300:]).any()


def test_rows_of_weight_zero_have_no_influence():
    weight = np.arange(300) % 2
    spoilt = np.where(weight[:, None] > 0, X, 1e6)
    flows = [train(rows_of(values, weight))[0] for values in (X, spoilt)]
    for mine, its in zip(*map(jax.tree.leaves, flows), strict=True):
        np.testing.assert_array_equal(mine, its)


def test_weights_are_copies():
    weight = np.random.default_rng(1).integers(1, 4, 60)
    options = {"batch_size": 256, "max_iter": 20, "dtype": np.float64}
    weighted, _ = train(rows_of(X[:60], weight), **options)
    copied, _ = train(rows_of(np.repeat(X[:60], weight, axis=0)), **options)
    for mine, its in zip(jax.tree.leaves(weighted), jax.tree.leaves(copied), strict=True):
        np.testing.assert_allclose(mine, its, rtol=1e-8, atol=1e-8)


def test_weights_of_rows_held_out_are_copies():
    weight = np.random.default_rng(1).integers(1, 4, 60)
    weighted, copied = (
        train(rows_of(X), held_out, dtype=np.float64)[1].validation_scores
        for held_out in (rows_of(X[:60], weight), rows_of(np.repeat(X[:60], weight, axis=0)))
    )
    np.testing.assert_allclose(weighted, copied, rtol=1e-9)


def test_of_many_copies_a_small_gain_is_one():
    held_out = NORMAL[:20] - NORMAL[:20].mean(axis=0) + 0.05
    few, many = (
        train(rows_of(NORMAL + 0.05), rows_of(held_out, np.full(20, k)), max_iter=30)[1].best_iter
        for k in (1, 10_000)
    )
    assert few == 0 < many


def test_log_det_of_the_head_is_added_to_what_is_reported():
    plain = train(rows_of(X), rows_of(X[:50]))[1]
    shifted = train(rows_of(X, log_det=2.5), rows_of(X[:50], log_det=-1.0))[1]
    np.testing.assert_allclose(shifted.loss_curve, np.subtract(plain.loss_curve, 2.5), rtol=1e-6)
    np.testing.assert_allclose(
        shifted.validation_scores, np.subtract(plain.validation_scores, 1.0), rtol=1e-6
    )


def test_early_stopping_keeps_the_best():
    """The held-out rows sit between the start and where training goes."""
    held_out = NORMAL + 0.3 * LOC
    options = {"max_iter": 200, "learning_rate_init": 5e-2, "n_iter_no_change": 5}
    flow, progress = train(rows_of(X), rows_of(held_out), **options)
    scores = progress.validation_scores
    best = int(np.argmax(scores))
    assert progress.stopped == "early_stopping"
    assert 0 < best == len(scores) - 6
    assert progress.best_score == scores[best]
    assert score(flow, held_out) == pytest.approx(scores[best], abs=1e-4)


def test_a_start_that_training_does_not_beat_is_kept():
    """Whatever the learning rate: rows held out are no less likely than before."""
    best = train(rows_of(X), max_iter=300, learning_rate_init=5e-2)[0]
    spoilt, progress = train(
        rows_of(X), rows_of(X), flow=best, ema_decay=0.0, learning_rate_init=3.0, max_iter=4
    )
    assert max(progress.validation_scores) < score(best, X) - 0.01
    assert score(spoilt, X) == pytest.approx(score(best, X), abs=1e-6)


@pytest.mark.parametrize(("shift", "is_trained"), [(0.05, False), (1.0, True)])
def test_a_gain_within_its_error_is_none(shift, is_trained):
    """Rows held out that lie a little off, or far off, the start's centre."""
    held_out = rows_of(NORMAL[:20] - NORMAL[:20].mean(axis=0) + shift)
    progress = train(rows_of(NORMAL + shift), held_out, max_iter=30)[1]
    start = st.norm.logpdf(held_out.take(np.arange(20))).sum(axis=1).mean()
    assert max(progress.validation_scores) > start + 1e-4
    assert (progress.best_iter > 0) == is_trained
    kept = max(progress.validation_scores) if is_trained else start
    assert progress.best_score == pytest.approx(kept)


def test_tolerance_counts_small_gains_as_none():
    held_out = rows_of(X[:50])
    patient = train(rows_of(X), held_out, max_iter=20, n_iter_no_change=3)[1]
    strict = train(rows_of(X), held_out, max_iter=20, n_iter_no_change=3, tol=1e3)[1]
    assert len(patient.loss_curve) == 20
    assert (len(strict.loss_curve), strict.stopped) == (4, "early_stopping")


@pytest.mark.parametrize("held_out", [rows_of(X[:50]), None])
def test_divergence_is_noticed_and_the_best_is_finite(held_out):
    flow, progress = train(rows_of(X), held_out, learning_rate_init=1e20, max_iter=20)
    assert progress.stopped == "diverged"
    assert len(progress.loss_curve) < 20
    assert np.isfinite(score(flow, X))


@pytest.mark.parametrize("held_out", [rows_of(X), None])
@pytest.mark.parametrize("learning_rate", [10.0, 30.0, 100.0])
def test_training_that_goes_astray_goes_on_from_the_best_at_a_lower_rate(learning_rate, held_out):
    """The schedule lowers no rate here: it is going astray that does."""
    options = {"learning_rate_init": learning_rate, "constant_rate": True, "max_iter": 100}
    flow, progress = train(rows_of(X), held_out, **options)
    assert np.max(np.diff(progress.loss_curve)) > 1  # it did go astray
    assert progress.stopped == "max_iter"
    assert score(flow, X) == pytest.approx(OPTIMUM, abs=5e-2)


def test_time_limit_ends_training_with_the_best_so_far():
    flow, progress = train(rows_of(X), rows_of(X[:50]), max_time=1e-9, max_iter=1000)
    assert progress.stopped == "max_time"
    assert len(progress.loss_curve) == len(progress.validation_scores) == 1
    assert score(flow, X[:50]) == pytest.approx(progress.best_score, abs=1e-4)


def test_callback_ends_training():
    seen = []

    def stop_after_three(progress):
        seen.append(len(progress.loss_curve))
        return len(seen) == 3

    _, progress = train(rows_of(X), after_iteration=stop_after_three)
    assert (seen, progress.stopped) == ([1, 2, 3], "callback")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_two_threads_give_the_same_bits_twice(dtype):
    flow = AffineCoupling.init(jax.random.key(0), 2, hidden_layer_sizes=(4,))
    first, second = (train(rows_of(X), rows_of(X[:50]), flow, dtype=dtype)[1] for _ in range(2))
    assert first.best.dtype == dtype
    np.testing.assert_array_equal(first.best, second.best)
    assert first.loss_curve == second.loss_curve
    assert first.validation_scores == second.validation_scores


@pytest.mark.parametrize("n_shards", [1, 3])
def test_in_how_many_parts_a_batch_is_computed_changes_rounding_alone(n_shards, monkeypatch):
    flow = AffineCoupling.init(jax.random.key(0), 2, hidden_layer_sizes=(4,))
    _, halves = train(rows_of(X), rows_of(X[:50]), flow, dtype=np.float64)
    monkeypatch.setattr(training, "_n_shards", lambda batch_size: n_shards)
    _, told = train(rows_of(X), rows_of(X[:50]), flow, dtype=np.float64)
    np.testing.assert_allclose(told.best, halves.best, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(told.validation_scores, halves.validation_scores, rtol=1e-10)


def test_weight_decay_takes_a_share_of_the_weights_of_conditioners_alone():
    coupling = AffineCoupling.init(jax.random.key(0), 2, hidden_layer_sizes=(4,))
    start = jax.tree.map(lambda leaf: leaf + 1.0, Chain((ElementwiseAffine.init(2), coupling)))
    options = {"max_iter": 1, "batch_size": 512, "ema_decay": 0.0, "dtype": np.float64}
    plain, decayed = (
        train(rows_of(X), flow=start, alpha=alpha, learning_rate_init=1e-2, **options)[0]
        for alpha in (0.0, 0.5)
    )
    lost = jax.tree.map(np.subtract, plain, decayed)
    changes = zip(jax.tree_util.tree_leaves_with_path(start), jax.tree.leaves(lost), strict=True)
    for (path, before), change in changes:
        decays = any(getattr(entry, "name", None) == "weights" for entry in path)
        share = 0.5 * 1e-2 if decays else 0.0
        np.testing.assert_allclose(change, share * before, rtol=1e-6, atol=1e-12)


def test_a_gradient_beyond_the_clip_counts_as_one_at_it():
    flow, ends = ElementwiseAffine.init(2), []
    for size in (1e3, 1e6):
        state = start_state(flow)
        for gradient in (size * np.ones(4, np.float32), np.ones(4, np.float32)):
            state = update(Layout.of(flow), state, [gradient], 0.1, 0.5, 0.0)
        ends.append(np.asarray(state.params))
    np.testing.assert_allclose(*ends, rtol=1e-5)


def test_the_rate_falls_with_the_time_where_that_ends_training(monkeypatch):
    clock, shares, schedule = iter(np.arange(0, 10, 0.01)), [], training._Trainer.schedule
    monkeypatch.setattr(training, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(
        training._Trainer,
        "schedule",
        lambda trainer, done, share: shares.append(share) or schedule(trainer, done, share),
    )
    assert train(rows_of(X), max_iter=np.inf, max_time=0.5)[1].stopped == "max_time"
    assert shares[0] == 0
    assert np.all(np.diff(shares) > 0)
    assert shares[-1] > 0.9


def test_a_slow_average_forgets_the_start():
    flow, _ = train(rows_of(X), max_iter=40, learning_rate_init=5e-2, ema_decay=0.9999)
    assert score(flow, X) > score(ElementwiseAffine.init(2), X) + 1


def test_to_go_back_is_to_start_again_at_a_lower_rate():
    options = dataclasses.replace(OPTIONS, constant_rate=True, max_iter=100)
    flow = ElementwiseAffine.init(2)
    trainer = training._Trainer(flow, rows_of(X), options, None)
    first = np.array([trainer.schedule(k, 0.0) for k in range(40)])
    trainer.go_back(start_state(flow).params, 77)
    again = np.array([trainer.schedule(77 + k, 0.0) for k in range(40)])
    np.testing.assert_allclose(again, first * [training._RATE_CUT, 1], rtol=1e-6)


def test_parameters_survive_the_flat_vector():
    flow = AffineCoupling.init(jax.random.key(0), 3, hidden_layer_sizes=(4,))
    same = with_parameters(flow, start_state(flow).params)
    assert jax.tree.structure(same) == jax.tree.structure(flow)
    for mine, its in zip(jax.tree.leaves(flow), jax.tree.leaves(same), strict=True):
        assert isinstance(its, np.ndarray)
        np.testing.assert_array_equal(mine, its)


def test_an_interrupt_does_not_wait_for_what_compiles_ahead(monkeypatch):
    started, release, workers = threading.Event(), threading.Event(), []

    def compiles(*_):
        workers.append(threading.current_thread())
        started.set()
        release.wait(20)

    monkeypatch.setattr(training, "N_THREADS", 1)
    for name in ("gradient_and_log_density", "log_density", "update"):
        monkeypatch.setattr(training, name, functools.partial(compiles, name))

    def interrupted():
        assert started.wait(30)
        raise KeyboardInterrupt

    ahead = training.compiling_ahead(ElementwiseAffine.init(2), 2, OPTIONS, n_held_out=500)
    try:
        with pytest.raises(KeyboardInterrupt), ahead:
            interrupted()
        assert workers[0].is_alive()
    finally:
        release.set()
    workers[0].join(30)
    assert len(workers) == 1  # nothing of what was queued


def test_progress_bar_shows_losses_and_speed(capsys):
    train(rows_of(X), rows_of(X[:50]), verbose=1)
    shown = capsys.readouterr().err
    assert all(word in shown for word in ("loss=", "held-out=", "rows/s=", "5/5"))
    train(rows_of(X))
    assert capsys.readouterr().err == ""
