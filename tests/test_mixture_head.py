"""The start from clusters, which RBIG and a flow share: when it is taken, and what it is worth."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy import stats
from sklearn.base import clone

import skgauss.head_selection
import skgauss.warp
from skgauss.bijections import FixedMixture, GlowStack
from skgauss.head import has_mixture, head_forward, head_inverse
from skgauss.head_selection import fit_head
from skgauss.marginals import SplineMarginal
from skgauss.mixture_growth import (
    fit_gaussian_mixture,
    held_out_likelihoods,
    select_gaussian_mixture,
)
from skgauss.mixture_head import select_mixture, spread_ties
from skgauss.table import Columns
from tests.estimators import glow, rbig, small_table, two_moons


@pytest.fixture(autouse=True)
def short_warps(monkeypatch):
    """Couplings before a mixture are trained little: laws do not hang on how well."""
    for name in ("_FEWER_ITER", "_TRIAL_ITER"):
        monkeypatch.setattr(skgauss.warp, name, 4)


HEADS_AND_TABLES = [
    pytest.param("auto", two_moons(600, 0), id="auto-moons"),
    pytest.param("auto", small_table(), id="auto-small"),
    pytest.param("warped", small_table(), id="warped-small"),
    pytest.param("warped", two_moons(600, 0), id="warped-moons", marks=pytest.mark.slow),
]


def head_of(X, kind="auto", **options):
    return fit_head(kind, X, np.ones(len(X)), **options)


@pytest.mark.parametrize("n_rows", [400, 4000])
def test_auto_takes_a_mixture_of_moons_and_one_component_of_a_gaussian(n_rows):
    assert len(head_of(two_moons(n_rows, seed=0)).bijections[-1].weights) > 1
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows + 10_000, 3)) @ rng.normal(size=(3, 3))
    head = head_of(X[:n_rows])
    assert len(head.bijections[-1].weights) == 1
    Z, log_det = head_forward(head, X[n_rows:])
    truth = stats.multivariate_normal(cov=np.cov(X.T)).logpdf(X[n_rows:])
    likelihood = stats.norm.logpdf(Z).sum(axis=1) + log_det
    assert np.mean(truth - likelihood) < 20 / n_rows  # nine parameters cost 9 / 2 / n_rows


@pytest.mark.parametrize(
    "model", [glow(head="mixture"), rbig(head="mixture")], ids=["glow", "rbig"]
)
def test_a_copied_column_makes_no_new_row_impossible(model):
    """How near the training rows are to the plane that all rows lie in is a matter of rounding."""
    X, new = (two_moons(1000, seed)[:, [0, 1, 0]] for seed in (0, 1))
    scores = clone(model).fit(X).score_samples(new)
    assert np.all(scores > np.median(scores) - 20)


def test_samples_of_skewed_columns_lie_no_farther_out_than_new_rows():
    """Nor do the guard's, which have no marginal law, and no map of a column throws them out."""
    rng = np.random.default_rng(1)
    mixing = rng.normal(size=(3, 12))

    def drawn(n_rows):
        noise = 0.2 * rng.normal(size=(n_rows, 12))
        return np.exp(0.6 * rng.normal(size=(n_rows, 3)) @ mixing + noise)

    X, new = drawn(1000), drawn(10_000)
    sample = rbig(head="mixture").fit(X).sample(10_000, random_state=0)
    beyond, truly = (np.max((rows - X.max(axis=0)) / np.ptp(X, axis=0)) for rows in (sample, new))
    assert 0.5 < beyond < 3 * truly


def test_auto_asks_for_rows_enough_for_two_covariances():
    X = np.random.default_rng(0).normal(size=(100, 20)) + 9 * (np.arange(100) % 2)[:, None]
    assert len(head_of(X).bijections[-1].weights) == 1
    assert not has_mixture(head_of(small_table(n_features=1)))


@pytest.mark.parametrize("kind", ["auto", "mixture"])
def test_one_covariance_of_few_rows_is_shrunk(kind):
    """Of 40 independent columns and 30 rows, all that is to be known is that they are normal."""
    rng = np.random.default_rng(0)
    X, X_new = rng.normal(size=(30, 40)), rng.normal(size=(1000, 40))
    Z, log_det = head_forward(head_of(X, kind), X_new)
    lost = stats.norm.logpdf(X_new).sum(axis=1) - stats.norm.logpdf(Z).sum(axis=1) - log_det
    assert np.mean(lost) < 10


@pytest.mark.parametrize("X", [two_moons(600, 0), small_table()], ids=["moons", "small"])
def test_a_head_without_a_mixture_can_be_like_another(X):
    head = head_of(X, "spline")
    again = head_of(X, "auto", like=head)
    np.testing.assert_array_equal(head_forward(again, X)[0], head_forward(head, X)[0])


@pytest.mark.parametrize(("kind", "X"), HEADS_AND_TABLES)
def test_a_head_can_be_like_another(kind, X):
    """Fitted to the same rows, it is the same; its size is not chosen again."""
    head = head_of(X, kind)
    again = head_of(X, kind, like=head)
    np.testing.assert_array_equal(head_forward(again, X)[0], head_forward(head, X)[0])
    of_few = head_of(X[:100], kind, like=head)
    assert len(of_few.bijections[-1].weights) == len(head.bijections[-1].weights)


@pytest.mark.parametrize(("kind", "X"), HEADS_AND_TABLES)
def test_way_back(kind, X):
    head = head_of(X, kind)
    Z, log_det = head_forward(head, X)
    assert np.isfinite(log_det).all()
    np.testing.assert_allclose(head_inverse(head, Z), X, rtol=1e-9, atol=1e-9)


def rings(n_rows, seed):
    """A thin ring in two columns, a third that follows its angle, and one that grows with it."""
    rng = np.random.default_rng(seed)
    angle, noise = rng.uniform(0, 2 * np.pi, n_rows), 0.02 * rng.normal(size=(3, n_rows))
    ring = np.stack([np.cos(angle), np.sin(angle), np.sin(3 * angle)]) + noise
    return np.column_stack([*ring, np.exp(rng.normal(size=n_rows) + 5 * ring[2])])


@pytest.mark.slow
def test_couplings_without_rows_held_out_do_not_learn_theirs_by_heart(monkeypatch):
    """Some are held out while the couplings train, and then the rest of the head has all."""
    monkeypatch.setattr(skgauss.warp, "_FEWER_ITER", 60)
    rng = np.random.default_rng(0)
    X, new = (np.cumsum(rng.normal(size=(n, 3)), axis=1) for n in (90, 3000))
    Z, log_det = head_forward(head_of(X, "warped"), new)
    truth = 1.5 * np.log(2 * np.pi * np.e)
    assert np.mean(log_det + stats.norm.logpdf(Z).sum(axis=1)) > -truth - 2


@pytest.mark.slow  # the decision by itself is tried below
def test_auto_takes_the_likelier_of_a_mixture_and_a_warped_one(monkeypatch):
    monkeypatch.setattr(skgauss.head_selection, "_WARPED_FROM", 2_000)
    X = rings(3_500, 0)
    of_them = {"X_held_out": X[3_000:], "weight_held_out": np.ones(500)}

    def likelihood(kind, rows):
        Z, log_det = head_forward(head_of(X[:3_000], kind, **of_them), rows)
        return np.mean(log_det + stats.norm.logpdf(Z).sum(axis=1))

    found = {kind: likelihood(kind, X[3_000:]) for kind in ("auto", "mixture", "warped")}
    assert found["auto"] == max(found["mixture"], found["warped"])
    assert found["mixture"] != found["warped"]


@pytest.mark.slow
def test_what_couplings_straighten_is_plainer_for_a_mixture(monkeypatch):
    """Two columns that follow from two others, but for little."""
    monkeypatch.setattr(skgauss.warp, "_FEWER_ITER", 60)
    x = np.random.default_rng(0).normal(size=(4_000, 4))
    product, wave = x[:, 0] * x[:, 1], np.sin(3 * x[:, 0]) * x[:, 1]
    X = np.column_stack([x[:, :2], product + 0.005 * x[:, 2], wave + 0.005 * x[:, 3]])
    truth = stats.norm.logpdf(x).sum(axis=1) - 2 * np.log(0.005)
    lost = []
    for kind in ("mixture", "warped"):
        Z, log_det = head_forward(head_of(X[:2_000], kind), X[2_000:])
        lost.append(np.mean(truth[2_000:] - log_det - stats.norm.logpdf(Z).sum(axis=1)))
    assert lost[1] < lost[0] - 0.1


@pytest.fixture
def decided(monkeypatch):
    """Kinds of layers of an "auto" head, by what is promised.

    Of couplings behind splines and behind lines, on trial; of a plain mixture; and of a warped one.
    """
    monkeypatch.setattr(skgauss.head_selection, "_WARPED_FROM", 1_000)
    X = two_moons(1_500, 0)
    of_them = {"X_held_out": X[1_200:], "weight_held_out": np.ones(300)}

    def decided(*promises, max_time=None):
        answers = iter(promises)
        monkeypatch.setattr(skgauss.head_selection._Front, "promise", lambda *_: next(answers))
        head = head_of(X[:1_200], "auto", max_time=max_time, **of_them)
        assert not list(answers)
        return [type(layer) for layer in head.bijections[2:]]

    return decided


PLAIN, WARPED = [FixedMixture], [GlowStack, FixedMixture]


@pytest.mark.slow
def test_a_mixture_is_warped_where_that_promises_more(decided):
    assert decided(0.0, 0.0, -1.0, 0.1) == WARPED  # and the plain one is not fitted
    assert decided(0.0, 0.0, 1.0) == PLAIN  # nor couplings trained that are not worth it on trial
    assert decided(0.0, 0.0, 0.2, -99.0) == PLAIN


@pytest.mark.slow
def test_couplings_that_need_no_mixture_are_left_to_the_steps(decided, monkeypatch):
    head = skgauss.head_selection._Front.head
    monkeypatch.setattr(skgauss.head_selection._Front, "head", lambda front, *_: head(front, (1,)))
    assert decided(0.0, 0.0, -99.0, -98.0) == []
    assert decided(0.0, 0.0, -1.0, 99.0) == WARPED  # of one component for lack of time


@pytest.mark.parametrize("max_time", [1.0, 1000.0])
def test_little_time_is_not_shared(max_time, decided):
    promises = (0.0, 0.0, -1.0, 0.1) if max_time > 1 else ()
    assert decided(*promises, max_time=max_time) == (WARPED if promises else PLAIN)


def test_rows_judge_alone_or_in_company():
    X = two_moons(500, 0)
    head = head_of(X, "mixture")
    Z, log_det = head_forward(head, X, n_jobs=2)
    again = [head_forward(head, X[part]) for part in (slice(0, 7), slice(7, 500))]
    np.testing.assert_array_equal(np.concatenate([Z for Z, _ in again]), Z)
    np.testing.assert_array_equal(np.concatenate([log_det for _, log_det in again]), log_det)


def test_compiled_it_is_the_same_map():
    X = small_table(2500)
    head = head_of(X[:500], "mixture")
    for expected, actual in zip(
        head_forward(head, X), head_forward(head, X, n_jobs=2, compiled=True), strict=True
    ):
        np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-9)


def test_order_and_copies_of_rows_do_not_matter():
    X, rng = two_moons(300, 0), np.random.default_rng(0)
    weight = rng.integers(1, 4, 300).astype(float)
    order = rng.permutation(np.repeat(np.arange(300), weight.astype(int)))
    weighted = head_forward(fit_head("mixture", X, weight), X)[0]
    np.testing.assert_array_equal(weighted, head_forward(head_of(X[order], "mixture"), X)[0])


def test_the_mean_of_mixtures_is_likelier_than_one():
    """On new rows, where one of them overfits; and its training rows stay likelier than these."""
    gains = []
    for seed in range(5):
        X, X_new = np.split(two_moons(1200, seed), [200])
        one = fit_gaussian_mixture(X, np.ones(200), 12)
        mean = fit_gaussian_mixture(X, np.ones(200), 12, n_ladders=4)
        assert len(mean.weights) == 48
        assert mean.weights.sum() == pytest.approx(1)
        gains.append(mean.log_density(X_new).mean() - one.log_density(X_new).mean())
    assert np.mean(gains) > 0.1


def test_one_gaussian_is_not_averaged():
    X = np.random.default_rng(0).normal(size=(300, 2))
    assert len(fit_gaussian_mixture(X, np.ones(300), 1, n_ladders=4).weights) == 1


def test_likelihoods_of_sizes_are_those_of_the_fits():
    X, X_new = np.split(two_moons(3000, 0), [2000])
    ones = np.ones(2000), np.ones(1000)
    found = held_out_likelihoods(X, ones[0], X_new, ones[1], (1, 2, 8))
    fits = [fit_gaussian_mixture(X, ones[0], k, max_iter=30) for k in (1, 2, 8)]
    expected = [fit.log_density(X_new).mean() for fit in fits]
    np.testing.assert_allclose(np.diff(found), np.diff(expected), atol=0.1)


def test_likelihoods_are_of_fewer_sizes_where_time_is_up():
    X = two_moons(600, 0)
    found = held_out_likelihoods(X, np.ones(600), X, np.ones(600), (1, 2, 4), max_time=1e-9)
    assert len(found) == 1


def test_no_component_is_narrower_than_the_step_of_a_tied_column():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.integers(0, 4, 4000), rng.normal(size=4000)]).astype(float)
    table = Columns(X.T.copy(), np.ones(4000))
    held_out, rest = spread_ties(table).split(500)
    mixture = select_mixture(rest, held_out)
    first_column = mixture.scales[:, 0] if len(mixture.weights) > 1 else mixture.scales[0, :1]
    assert first_column.min() > 0.05  # of a step of 1, whose uniform has 0.29
    np.testing.assert_array_equal(spread_ties(Columns(X.T[1:].copy(), table.weight)).Y, X.T[1:])


def test_little_time_gives_fewer_components():
    X = np.random.default_rng(0).normal(size=(20_000, 4))
    X[:, 3] = np.sin(3 * X[:, 0]) + np.cos(5 * X[:, 1]) + 0.05 * X[:, 2]
    held_out, table = Columns(X.T.copy(), np.ones(len(X))).split(2000)
    start = time.perf_counter()
    assert len(select_mixture(table, held_out, max_time=0.1).weights) < 64
    assert time.perf_counter() - start < 10


def test_time_enough_gives_the_mixture_of_no_limit():
    X = np.random.default_rng(0).exponential(size=(3000, 2))
    held_out, table = Columns(X.T.copy(), np.ones(len(X))).split(500)
    limited, unlimited = (select_mixture(table, held_out, (4,), t) for t in (1e4, None))
    for name, value in vars(unlimited).items():
        np.testing.assert_array_equal(getattr(limited, name), value)


@pytest.mark.parametrize("unit", [1.0, 1e-3])
def test_what_is_promised_of_a_mixture_is_about_what_it_gives(unit):
    X = unit * two_moons(1500, seed=0)
    table, held_out = (Columns(part.T.copy(), np.ones(len(part))) for part in (X[:1000], X[1000:]))
    for marginal in skgauss.head_selection.follows(SplineMarginal(subsample=None)):
        fitted = skgauss.head_selection.fit_marginal(marginal, table)
        front = skgauss.head_selection._Front.of(fitted, table, held_out)
        given = front.log_likelihood(front.head())
        assert given - 0.1 < front.promise() < given + 0.5


@pytest.mark.parametrize("seed", range(3))
def test_time_enough_lets_all_ladders_choose(seed):
    """Where one mixture chooses few components, the mean of several can gain by more."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(2000, 5)) + 0.3 * rng.exponential(size=(2000, 1))
    X[:, 1] += 0.3 * X[:, 0] ** 2
    rows, options = (X[:1200], np.ones(1200), X[1200:], np.ones(800)), {"candidates": (1, 2, 4, 8)}
    alone = select_gaussian_mixture(*rows, **options)
    limited, unlimited = (
        select_gaussian_mixture(*rows, **options, n_ladders=4, max_time=t) for t in (1e4, None)
    )
    assert len(alone.weights) < 16
    np.testing.assert_array_equal(limited.scales, unlimited.scales)
