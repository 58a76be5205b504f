"""What "auto" means to GlowGaussianizer, by the table: the ladder, the head, the couplings."""

from __future__ import annotations

import dataclasses
import warnings
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from scipy import stats
from sklearn.base import clone

import skgauss._evaluation
import skgauss._plan
import skgauss._start
from skgauss import GlowGaussianizer
from skgauss._turning import only_turns
from skgauss.bijections import (
    ActNorm,
    Chain,
    GlowStack,
    RationalQuadraticSplineCoupling,
    combine,
    partition,
)
from skgauss.head import has_mixture, head_forward
from skgauss.head_selection import fit_head
from skgauss.ladder import LADDER, configuration
from skgauss.rows import Table
from tests.estimators import fitted, glow, small_table, table, two_moons


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


@pytest.mark.parametrize("coupling", ["affine", pytest.param("spline", marks=pytest.mark.slow)])
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
    monkeypatch.setattr(skgauss._plan, "MAX_MIXTURE_ROWS", 1_000)
    model = glow(head="auto", n_steps=1, max_iter=1)
    X = two_moons(1_500, seed=0)
    assert not has_mixture(model.fit(X).flow_.bijections[0])
    assert has_mixture(model.fit(X[:900]).flow_.bijections[0])
    assert has_mixture(model.set_params(head="mixture").fit(X).flow_.bijections[0])


def test_couplings_are_splines_where_no_mixture_goes_before(monkeypatch):
    """However the head was decided on, "auto" means what suits it."""
    monkeypatch.setattr(skgauss._start, "fit_head", lambda _, *a, **k: fit_head("spline", *a, **k))
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
    monkeypatch.setattr(skgauss._plan, "configuration", lambda *_, **__: endless)
    endless = dataclasses.replace(configuration(150), **ends)
    model = glow(max_iter="auto", max_time=1e-3).fit(small_table(150))  # compiled
    assert (
        model.set_params(max_time=2.0).fit(small_table(150)).n_iter_ > configuration(150).max_iter
    )
    assert len(model.set_params(max_iter=3).fit(small_table(150)).loss_curve_) == 3


def test_an_accelerator_takes_large_batches_of_large_tables(monkeypatch):
    assert configuration(1e6, accelerated=True).batch_size > configuration(1e6).batch_size
    assert configuration(1e5, accelerated=True) == configuration(1e5)
    taken = []
    monkeypatch.setattr(jax, "default_backend", lambda: "accelerator")
    monkeypatch.setattr(
        skgauss._plan,
        "configuration",
        lambda *_, accelerated, **__: taken.append(accelerated) or configuration(150),
    )
    table = SimpleNamespace(X=np.empty((150, 3)), weight=np.ones(150))
    skgauss._plan.configured(GlowGaussianizer(), table, behind_mixture=False)
    assert taken == [True]


def test_auto_counts_weights_as_rows():
    X, weight = small_table(150), np.full(150, 4.0)
    model = GlowGaussianizer(max_iter=1, coupling="affine", random_state=0)
    n_steps = clone(model).fit(X, sample_weight=weight).flow_.bijections[1].n_steps
    assert n_steps == configuration(600).n_steps
    assert clone(model).fit(X).flow_.bijections[1].n_steps == configuration(150).n_steps


@pytest.mark.parametrize("n_features", [1, 5])
def test_any_number_of_features(n_features):
    X = small_table(150, n_features)
    model = glow(coupling="affine").fit(X)
    np.testing.assert_allclose(model.inverse_transform(model.transform(X)), X, rtol=1e-7)
    assert list(model.get_feature_names_out()) == [
        f"glowgaussianizer{j}" for j in range(n_features)
    ]


def test_little_time_goes_to_the_mixture_in_the_head():
    """Its steps are not trained, and leave the density as it is; all the rest works."""
    X = two_moons(1_500, seed=0)
    model = GlowGaussianizer(max_time=2.0, random_state=0).fit(X)
    assert model.n_iter_ == 0
    assert model.loss_curve_ == model.validation_scores_ == []
    assert model.stopped_by_ == "untrained"
    head, steps = model.flow_.bijections
    for of_rows in (lambda X: head_forward(head, X), model._forward):  # before and behind the steps
        Z, log_det = of_rows(X[:500])
        expected = log_det + stats.norm.logpdf(Z).sum(axis=1)
        np.testing.assert_allclose(model.score_samples(X[:500]), expected, atol=1e-10)
    assert only_turns(steps)
    np.testing.assert_allclose(model.inverse_transform(model.transform(X)), X, atol=1e-8)
    assert model.set_params(warm_start=True, max_time=None, max_iter=2).fit(X).n_iter_ == 2


def test_without_rows_held_out_steps_behind_a_mixture_are_trained_for_as_long_as_is_said():
    X, new = two_moons(300, seed=0), two_moons(2000, seed=1)
    options = {"early_stopping": False, "random_state": 0}
    judged = GlowGaussianizer(random_state=0).fit(X)
    model = GlowGaussianizer(**options).fit(X)
    assert model.stopped_by_ == "untrained"
    assert model.score(new) > judged.score(new) - 0.1
    with pytest.warns(
        UserWarning, match=r"early_stopping=False: .*n_steps=2 may .* given max_iter"
    ):
        GlowGaussianizer(n_steps=2, **options).fit(X)
    assert GlowGaussianizer(max_iter=2, **options).fit(X).n_iter_ == 2
    assert GlowGaussianizer(head="warped", **options).fit(X).stopped_by_ == "untrained"


def test_what_is_asked_of_steps_without_time_for_them_is_warned_of():
    """And what trains them in as little time is not."""
    X = two_moons(200, seed=0)
    asked = {"n_steps": 3, "max_iter": 1, "hidden_layer_sizes": (8,)}
    message = r"max_time=2 .*n_steps=3, hidden_layer_sizes=\(8,\), max_iter=1 may ask"
    with pytest.warns(UserWarning, match=message):
        GlowGaussianizer(max_time=2, random_state=0, **asked).fit(X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        GlowGaussianizer(max_time=2, random_state=0).fit(X)
        spline = GlowGaussianizer(max_time=2, random_state=0, head="spline", **asked).fit(X)
    assert spline.n_iter_ == 1


@pytest.mark.parametrize("head", ["affine", "mixture", "warped"])
def test_the_head_that_was_fitted_is_told(head):
    assert fitted(f"glow-{head}-head", "small").head_ == head
    assert fitted("glow-householder", "small").head_ == "spline"


@pytest.mark.parametrize(
    ("coupling", "mixer"),
    [("spline", "lu"), ("mixture", "lu")]
    + [("affine", mixer) for mixer in ("lu", "rotation", "householder", "cayley", "permutation")],
)
def test_steps_that_bend_are_told_from_steps_that_only_turn(coupling, mixer):
    def steps(actnorm):
        with jax.enable_x64(True):
            kwargs = {"actnorm": actnorm(3), "mixer": mixer, "coupling": coupling}
            return GlowStack.init(jax.random.key(0), 3, n_steps=2, **kwargs).astype(np.float64)

    start = steps(ActNorm.identity)
    assert only_turns(start) == (coupling != "mixture")
    assert not only_turns(steps(ActNorm.init))
    log_density = jax.jit(lambda params, held, x: combine(params, held)._log_density(x))
    x, leaves = np.random.default_rng(0).normal(size=(3, 50)), jax.tree.leaves(start)
    for i, leaf in enumerate(leaves):
        moved = [*leaves]
        moved[i] = leaf + 1e-3 * np.arange(1, leaf.size + 1).reshape(leaf.shape)
        stack = jax.tree.unflatten(jax.tree.structure(start), moved)
        with jax.enable_x64(True):
            before, after = (log_density(*partition(each), x) for each in (start, stack))
        assert np.allclose(before, after, atol=1e-9) or not only_turns(stack)


@pytest.mark.parametrize("mixer", ["lu", pytest.param("permutation", marks=pytest.mark.slow)])
def test_little_models_that_only_turn_ask_for_no_compilation(monkeypatch, mixer):
    """NumPy maps, scores and comes back: as the flow does in JAX."""
    X = two_moons(400, seed=0)
    model = GlowGaussianizer(max_time=2.0, mixer=mixer, random_state=0).fit(X)
    rows = np.concatenate([X[:5], [[1e3, 0.0], [0.0, -1e5]]])
    with jax.enable_x64(True):
        flow = Chain(model.flow_.bijections)
        expected = np.stack([flow.transform(row) for row in rows])
        density = np.array([flow._log_density(row[:, None])[0] for row in rows])
    if mixer == "lu":
        monkeypatch.setattr(skgauss._evaluation, "_compiled", None)
    np.testing.assert_allclose(model.transform(rows), expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(model.score_samples(rows), density, rtol=1e-9)
    np.testing.assert_allclose(model.inverse_transform(model.transform(rows[:5])), rows[:5])
    assert len(model.sample(3, random_state=0)) == 3


def test_training_has_the_time_that_is_left():
    table = SimpleNamespace(X=np.empty((150, 3)), weight=np.ones(150))
    model = GlowGaussianizer(max_time=10)
    config = skgauss._plan.configured(model, table, behind_mixture=False)
    options = skgauss._plan.training_options(model, config, one_pass=False, spent=3)
    assert options.max_time == 7
    late = skgauss._plan.training_options(model, config, one_pass=False, spent=30)
    assert 0 < late.max_time < 0.01
