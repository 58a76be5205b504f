"""How DensityOutlierDetector ranks rows: by what, and against what."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm, poisson, spearmanr
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_iris, load_wine
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import KernelDensity

import skgauss.kernel_ensemble
from skgauss import DensityOutlierDetector
from skgauss._margin import Margin, central_columns, lost_columns
from skgauss.content import ranked_columns, row_keys
from skgauss.kernel_ensemble import KernelEnsemble, _borrowed
from skgauss.marginals import SplineMarginal
from skgauss.robust import central_rows, stiff_scores
from tests.estimators import correlated, detector


def reference_kernels(members, z, X):
    """Mean over the members of the logarithm of the mean kernel, a row's own left out."""
    total = np.zeros(len(z))
    for member in members:
        for i, row in enumerate(z):
            counts = member.counts - (member.keys == row_keys(X[i : i + 1], single=True))
            gap = np.sum((row - member.centres) ** 2, axis=1)
            kernels = np.exp(-0.5 * gap / member.variance) / (2 * np.pi * member.variance) ** (
                z.shape[1] / 2
            )
            total[i] += np.log(counts @ kernels / counts.sum()) / len(members)
    return total


def reference_log_density(ensemble, X):
    """Slow and obvious: every kernel of every member at every row."""
    densities = []
    for margin in (ensemble.fine, ensemble.stiff):
        z, log_slope = margin.forward(X)
        densities.append(norm.pdf(z) * np.exp(log_slope))
    margins = np.log(np.mean(densities, axis=0))
    z, _ = ensemble.coarse.forward(X)
    normal = -0.5 * z**2 - 0.5 * np.log(2 * np.pi)
    first = (margins - normal).sum(axis=1) + reference_kernels(ensemble.members, z, X)
    loc, scale = ensemble.units
    scaled = reference_kernels(ensemble.scaled_members, (X - loc) / scale, X)
    return (first + scaled - np.log(scale).sum()) / 2


def test_the_log_density_is_the_mean_of_two():
    X = correlated(200, 3)
    ensemble = KernelEnsemble(*ranked_columns(X, None, 0), 4, 64, np.random.default_rng(0))
    rows = np.vstack([X[:20], X[:20] + 0.01])
    np.testing.assert_allclose(
        ensemble.log_density(rows), reference_log_density(ensemble, rows), rtol=1e-9
    )
    assert [len(m.centres) for m in ensemble.members] == [64] * 4
    assert [len(m.centres) for m in ensemble.scaled_members] == [32] * 4
    along = ensemble.along(rows, np.array([2, 0, 1]))
    np.testing.assert_allclose(along[-1], ensemble.log_density(rows), rtol=1e-9)


@pytest.mark.parametrize(("trim", "at_least"), [("auto", 0.93), (0, 0.95)])
def test_few_rows_that_are_known_to_be_clean_tell_more(trim, at_least):
    """Half of a class of fifty irises, against the rest of it and two other classes."""
    X, y = load_iris(return_X_y=True)
    found = []
    for label in range(3):
        own, others = X[y == label], X[y != label]
        fitted = detector(trim=trim).fit(own[::2])
        scores = [fitted.score_samples(rows) for rows in (own[1::2], others)]
        strange = np.repeat([0, 1], [len(part) for part in scores])
        found.append(roc_auc_score(strange, -np.concatenate(scores)))
    assert np.mean(found) > at_least


@pytest.mark.parametrize("load", [load_wine, load_breast_cancer])
def test_the_ranking_does_not_depend_on_units_nor_on_the_order_of_columns(load):
    X = load().data
    scores = detector().fit(X).score_samples(X)
    rng = np.random.default_rng(0)
    moved = X * 10.0 ** rng.uniform(-3, 3, X.shape[1]) + rng.normal(size=X.shape[1])
    change = detector().fit(moved).score_samples(moved) - scores
    assert np.ptp(change) < 1e-6
    columns = rng.permutation(X.shape[1])
    shuffled = detector().fit(X[:, columns]).score_samples(X[:, columns])
    assert spearmanr(shuffled, scores)[0] > 0.99


def test_units_do_not_matter_where_a_column_varies_in_rows_left_out_only():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 4))
    X[:60, :3] += 15
    X[:, 3] = np.where(np.arange(600) < 60, rng.exponential(size=600), 0.0)
    Y, weight = ranked_columns(X, None, 0)
    assert np.ptp(Y[3, central_rows(Y, weight, "auto")]) == 0
    scores = detector().fit(X).score_samples(X)
    moved = X * [1.0, 1.0, 1.0, 1e3]
    change = detector().fit(moved).score_samples(moved) - scores
    assert np.ptp(change) < 1e-6


def test_the_latent_norm_hardly_changes_under_increasing_maps_of_columns():
    X = load_breast_cancer().data
    scores = detector(criterion="latent_norm").fit(X).score_samples(X)
    bent = X.copy()
    bent[:, 3] = np.log(bent[:, 3])
    again = detector(criterion="latent_norm").fit(bent).score_samples(bent)
    assert spearmanr(scores, again)[0] > 0.97


def test_a_small_cluster_among_the_training_rows_is_not_learned():
    """Where a kernel density of all rows finds it as normal as the rest."""
    rng = np.random.default_rng(0)
    cluster = rng.normal(0, 0.3, size=(40, 5)) + 3
    X = np.vstack([rng.normal(size=(2000, 5)), cluster])
    strange = np.arange(len(X)) >= 2000
    auc = roc_auc_score(strange, -detector().fit(X).score_samples(X))
    kernels = roc_auc_score(strange, -KernelDensity(bandwidth=0.5).fit(X).score_samples(X))
    assert auc > 0.95
    assert auc > kernels + 0.05


@pytest.mark.parametrize("value", [-99_999_999, 2**27, 999_999, 1e150])
def test_a_number_that_stands_for_nothing_is_found_however_large_it_is(value):
    X = np.random.default_rng(0).normal(size=(1000, 3))
    X[:50, 0] = value
    model = detector().fit(X)
    scores = model.score_samples(X)
    assert roc_auc_score(np.arange(1000) < 50, -scores) > 0.98
    assert np.mean(scores[:50] < model.offset_) > 0.95
    alone = np.concatenate([model.score_samples(row[None]) for row in X[:5]])
    np.testing.assert_allclose(alone, scores[:5], rtol=1e-9)
    why = model.explain(X[:3])
    np.testing.assert_allclose(why.baseline + why.contributions.sum(axis=1), scores[:3], rtol=1e-9)


def test_the_robust_fit_drops_what_lies_far_out_and_no_more_than_a_quarter():
    rng = np.random.default_rng(0)
    for n_strange in (0, 100, 200):
        Y = rng.normal(size=(5, 1000))
        Y[:, :n_strange] = rng.normal(size=(5, n_strange)) + 12
        central = central_rows(Y, np.ones(1000), "auto")
        assert np.sum(~central) == pytest.approx(n_strange, abs=5)
    rare = rng.uniform(size=(10, 1000)) < 0.035  # in a third of the rows
    amounts = (rng.uniform(size=(10, 1000)) < 0.02) * rng.uniform(1, 2, size=(10, 1000))
    some = np.sum(amounts.any(axis=0))  # nearly a fifth of the rows
    assert 0.9 * some < np.sum(~central_rows(amounts, np.ones(1000), "auto")) <= some < 250
    central = central_rows(rare.astype(float), np.ones(1000), "auto")
    assert rare[:, central].any(axis=1).all()  # no level is lost
    assert np.sum(central_rows(Y, np.ones(1000), 0.1)) == pytest.approx(900, abs=1)
    assert central_rows(Y, np.ones(1000), 0).all()


@pytest.mark.parametrize(
    "share", [0.03, *(pytest.param(s, marks=pytest.mark.slow) for s in (0.15, 0.3))]
)
def test_amounts_that_few_rows_have_do_not_hide_what_is_strange(share):
    found = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(2000, 3))
        X[:, 2] = (rng.uniform(size=2000) < share) * rng.lognormal(3, 1, size=2000)
        X[:20, 0] += 6
        scores = detector().fit(X).score_samples(X)
        found.append(roc_auc_score(np.arange(2000) < 20, -scores))
        paid = scores[20:][X[20:, 2] > 0]
        assert np.median(paid) > scores[20:].max() - 20
    assert np.mean(found) > 0.96


def test_discrete_columns_by_themselves_are_ranked_by_their_probability():
    found = []
    for seed in range(3):
        X = np.random.default_rng(seed).poisson(3, size=(1000, 2)).astype(float)
        scores = detector().fit(X).score_samples(X)
        found.append(spearmanr(scores, poisson(3).logpmf(X).sum(axis=1))[0])
        assert np.ptp(scores) < 20  # log-probabilities span 11
    assert np.mean(found) > 0.98


@pytest.mark.parametrize("p", [[0.9, 0.1], [0.45, 0.45, 0.1], [0.5, 0.25, 0.15, 0.07, 0.03]])
def test_a_category_by_itself_is_as_strange_as_it_is_rare(p):
    for seed in range(3):
        drawn = np.random.default_rng(seed).choice(len(p), size=1000, p=p)
        rows = np.eye(len(p))
        scores = detector().fit(rows[drawn]).score_samples(rows)
        assert np.ptp(scores) < -2 * np.log(min(p))
        assert scores[-1] == scores.min()


def test_most_rows_sharing_a_value_give_the_others_their_own_unit():
    rng = np.random.default_rng(0)
    flag, amount = rng.uniform(size=(2, 1000)) < [[0.05], [0.2]]
    amount = amount * rng.lognormal(3, 1, size=1000)
    Y, weight = np.array([rng.normal(size=1000), flag, amount]), np.ones(1000)
    margin = Margin.fit(Y, weight)
    units = margin.units.beside_atoms(Y, weight)
    assert units.scale[0] == margin.units.scale[0]
    assert units.scale[1] == 1
    assert units.scale[2] == pytest.approx(np.median(amount[amount > 0]))


@pytest.mark.parametrize("heavy", [1.0, 6.0])
def test_weights_are_copies_beside_an_atom_or_none(heavy):
    rng = np.random.default_rng(0)
    pays = rng.uniform(size=1000) < 0.2
    Y = np.array([rng.normal(size=1000), pays * rng.normal(size=1000)])
    weight = np.where(pays, heavy, 1.0)
    copied = np.repeat(Y, weight.astype(int), axis=1)
    units = Margin.fit(Y, weight).units
    once, copies = (
        units.beside_atoms(t, w) for t, w in ((Y, weight), (copied, np.ones(len(copied[0]))))
    )
    np.testing.assert_allclose(once.scale, copies.scale)


@pytest.mark.parametrize("heavy", [1.0, 30.0])
@pytest.mark.parametrize("n_paying", [10, 100])
def test_a_lost_column_is_learned_from_all_rows(n_paying, heavy):
    rng = np.random.default_rng(0)
    pays = np.arange(1000) < n_paying
    Y, weight = rng.normal(size=(2, 1000)), np.where(pays, heavy, 1.0)
    Y[1] = pays * (5 + rng.lognormal(size=1000))
    lost = lost_columns(Y, weight, ~pays)
    assert lost.tolist() == [1]
    kept, shares = central_columns(Y, weight, ~pays, lost)
    np.testing.assert_array_equal(shares, weight[~pays])
    np.testing.assert_array_equal(kept[0], Y[0, ~pays])
    share = weight[pays].sum() / weight.sum()
    assert np.mean(kept[1] > 5) == pytest.approx(share, abs=0.02)
    deviation = np.sqrt(np.cov(Y[1], aweights=weight))
    assert np.ptp(kept[1, kept[1] < 5]) == pytest.approx(0.1 * deviation, rel=0.05)


def test_a_rarer_value_is_stranger_and_no_share_of_the_rows_is_a_threshold():
    strangeness = []
    for n_rare in (2, 5, 10, 19, 21, 40):
        rng = np.random.default_rng(0)
        X = np.column_stack([rng.normal(size=(1000, 2)), np.arange(1000) < n_rare])
        model, new = detector().fit(X), rng.normal(size=(300, 2))
        common, rare = (
            model.score_samples(np.column_stack([new, np.full(300, value)])) for value in (0, 1)
        )
        strangeness.append(np.mean(common - rare))
    assert np.all(np.diff(strangeness) < 0)
    assert strangeness[0] < 35


def test_central_members_know_their_rows_and_borrow_a_lost_column_from_all():
    rng = np.random.default_rng(0)
    pays = np.arange(1000) < 100  # and lies far out in other columns
    X = rng.normal(size=(1000, 4)) + 15 * pays[:, None]
    X[:, 3] = pays * rng.lognormal(size=1000)
    weight = np.where(pays, 6.0, 1.0)
    weight[100:500] = 4
    Y, ranked_weight = ranked_columns(X, weight, 0)
    ensemble = KernelEnsemble(Y, ranked_weight, 4, 512, rng)
    for member in (*ensemble.members, ensemble.scaled_members[0]):
        own = member.own(row_keys(X, single=True))
        assert np.sum(own >= 0) == len(member.centres)
        assert not (own[pays] >= 0).any()
        share = weight[pays].sum() / weight.sum()
        amounts = member.centres[:, 3] - np.median(member.centres[:, 3])
        assert np.mean(amounts > 0.1) == pytest.approx(share, abs=0.07)
        of_heavy = member.counts[own[100:500][own[100:500] >= 0]].sum() / member.counts.sum()
        assert of_heavy == pytest.approx(1600 / 2100, abs=0.07)
    assert all(
        (m.own(row_keys(X[pays], single=True)) >= 0).any() for m in ensemble.scaled_members[1:]
    )


def test_where_all_rows_are_normal_members_are_drawn_from_all_of_them(monkeypatch):
    monkeypatch.setattr(skgauss.kernel_ensemble, "_MARGIN_ROWS", 100)
    Y, weight = ranked_columns(np.random.default_rng(0).normal(size=(1000, 2)), None, 0)
    ensemble = KernelEnsemble(Y, weight, 2, 500, np.random.default_rng(0), trim=0)
    assert [len(member.centres) for member in ensemble.members] == [500, 500]


@pytest.mark.parametrize(("n_rows", "stiffness"), [(40, 5.5), (1000, 1.64)])
def test_kernels_are_stiffer_where_rows_are_few_up_to_a_bound(n_rows, stiffness):
    Y, weight = ranked_columns(np.random.default_rng(0).normal(size=(n_rows, 2)), None, 0)
    stiff, plain = (
        KernelEnsemble(Y, weight, 2, 512, np.random.default_rng(0), trim).scaled_members[1]
        for trim in (1e-9, 0)
    )
    np.testing.assert_array_equal(stiff.keys, plain.keys)
    np.testing.assert_allclose(stiff.variance / plain.variance, stiffness)


def test_kernels_among_latents_are_no_wider_than_two_variances():
    Y, weight = ranked_columns(np.random.default_rng(0).normal(size=(60, 6)), None, 0)
    ensemble = KernelEnsemble(Y, weight, 4, 64, np.random.default_rng(0))
    widest = [
        max(member.variance.max() for member in members)
        for members in (ensemble.members, ensemble.scaled_members)
    ]
    assert widest[0] <= 2 < widest[1]


def test_what_is_not_known_yet_does_not_matter():
    X = correlated(200, 3)
    ensemble = KernelEnsemble(*ranked_columns(X, None, 0), 4, 64, np.random.default_rng(0))
    order, rows = np.array([2, 0, 1]), X[:20] + 0.01
    for k in (1, 2):
        changed = rows.copy()
        changed[:, order[k:]] += 1
        first, again = (ensemble.along(X, order)[:k] for X in (rows, changed))
        np.testing.assert_allclose(again, first, rtol=1e-9)


def test_the_robust_fit_takes_weights_for_copies():
    rng = np.random.default_rng(0)
    weight = np.where(np.arange(400) < 100, 7, 1)
    Y = rng.normal(size=(3, 400)) + 1.5 * (weight > 1)
    copies = np.repeat(np.arange(400), weight)
    once = stiff_scores(Y, weight.astype(float))
    copied = stiff_scores(Y[:, copies], np.ones(len(copies)))
    np.testing.assert_allclose(once[copies], copied, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("heavy", [1, 5])
def test_a_level_of_few_heavy_rows_is_one_of_many(heavy):
    rng = np.random.default_rng(0)
    far = np.arange(1000) < 15
    Y = np.vstack([rng.normal(size=(6, 1000)) + 12 * far, far])
    weight = np.where(far, heavy, 1)
    copies = np.repeat(np.arange(1000), weight)
    once = central_rows(Y, weight.astype(float), "auto")
    copied = central_rows(Y[:, copies], np.ones(len(copies)), "auto")
    assert once[far].all() == copied[copies < 15].all() == (heavy > 1)


def test_anomalies_among_the_training_rows_cost_less_than_they_cost_isolation_forest():
    """Mean over seeds of the ROC-AUC on new rows, from clean training rows to 20 % anomalies."""
    falls = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        normal = 3 * rng.normal(size=(3, 8))[rng.integers(3, size=1200)] + rng.normal(
            size=(1200, 8)
        )
        strange = normal.mean(axis=0) + normal.std(axis=0) * (
            2.5 * rng.choice([-1, 1], 8) + 0.3 * rng.normal(size=(300, 8))
        )
        test, labels = np.vstack([normal[600:], strange[150:]]), np.repeat([0, 1], [600, 150])
        tables = [normal[:600], np.vstack([normal[:600], strange[:150]])]
        for model in (detector(), IsolationForest(random_state=seed)):
            clean, dirty = (
                roc_auc_score(labels, -clone(model).fit(X).score_samples(test)) for X in tables
            )
            falls.append(clean - dirty)
    ours, forest = np.reshape(falls, (5, 2)).mean(axis=0)
    assert ours < 0.02
    assert ours < forest


def test_trim_keeps_a_large_cluster_out():
    rng = np.random.default_rng(0)
    cluster = rng.normal(0, 0.3, size=(200, 5)) + 4
    X = np.vstack([rng.normal(size=(800, 5)), cluster])
    strange = np.arange(len(X)) >= 800
    aucs = {
        trim: roc_auc_score(strange, -detector(trim=trim).fit(X).score_samples(X))
        for trim in (0, 0.3, "auto")
    }
    assert min(aucs[0.3], aucs["auto"]) > max(0.99, aucs[0])


def test_it_is_better_than_isolation_forest_where_columns_depend():
    """Means over seeds of planted rows whose columns are ordinary one by one."""
    gains = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(500, 1)) + 0.2 * rng.normal(size=(500, 4))
        X[:25] = rng.permuted(X[:25], axis=0)
        strange = np.arange(500) < 25
        ours = roc_auc_score(strange, -detector().fit(X).score_samples(X))
        forest = IsolationForest(random_state=seed).fit(X).score_samples(X)
        gains.append(ours - roc_auc_score(strange, -forest))
    assert np.mean(gains) > 0.05


def test_ties_make_no_spikes():
    """Zero-inflated, one-hot and integer columns: bounded densities, the odd row out is found."""
    rng = np.random.default_rng(0)
    X = np.column_stack(
        [
            np.where(rng.uniform(size=1000) < 0.4, 0.0, rng.exponential(size=1000)),
            rng.integers(0, 2, 1000),
            rng.poisson(3, 1000),
            np.full(1000, 7.0),
        ]
    )
    X[7] = [0.0, 0, 30, 7.0]
    scores = detector().fit(X).score_samples(X)
    assert np.isfinite(scores).all()
    assert scores.argmin() == 7
    assert scores.max() - np.median(scores) < 10


def test_what_is_borrowed_is_as_frequent_as_it_is_up_to_rounding():
    values, weight = np.array([[0.0, 3.0, 1.0, 0.0], [5.0, 4.0, 1.0, 5.0]]), np.array([3, 2, 1, 4])
    for seed in range(10):
        drawn = _borrowed(values, weight, 25, np.random.default_rng(seed))
        rows, counts = np.unique(drawn, axis=1, return_counts=True)
        assert rows.tolist() == [[0, 1, 3], [5, 1, 4]]
        assert np.all(abs(counts - 25 * np.array([7, 1, 2]) / 10) < 1)


@pytest.mark.parametrize("n_seen", [0, 10, 40, 60])
def test_a_column_is_lost_where_less_than_half_of_what_varies_is_seen(n_seen):
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=1000), np.where(np.arange(1000) < 100, 1.0, 0.0)])
    central = np.arange(1000) >= 100 - n_seen
    lost = lost_columns(X.T, np.ones(1000), central)
    assert lost.tolist() == ([1] if n_seen < 50 else [])


def test_amounts_of_which_the_smallest_are_central_are_rare_and_no_more():
    flagged = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        amounts = np.where(rng.uniform(size=2000) < 0.15, rng.exponential(size=2000), 0)
        X = np.column_stack([rng.normal(size=(2000, 10)), amounts])
        flagged.append(np.mean(detector().fit_predict(X)[amounts > 0] == -1))
    assert max(flagged) < 0.35


def _flagged_groups(flags, seed=0):
    """Share of every combination of some flags that is flagged beside two normal columns."""
    normals = np.random.default_rng(seed).normal(size=(len(flags), 2))
    X = np.column_stack([flags, normals]).astype(float)
    flagged = detector().fit(X).predict(X) == -1
    _, group = np.unique(flags, axis=0, return_inverse=True)
    return np.bincount(group.ravel(), flagged) / np.bincount(group.ravel())


@pytest.mark.parametrize("seed", range(3))
def test_a_combination_of_flags_that_many_rows_have_is_not_impossible(seed):
    """Three quarters of the rows lie in a plane, and a quarter does not."""
    a, b = np.random.default_rng(seed).integers(0, 2, (2, 1000))
    assert max(_flagged_groups(np.column_stack([a, b, a ^ b]))) < 0.2
    assert max(_flagged_groups(np.column_stack([a, b, a | b]))) < 0.2


@pytest.mark.parametrize(
    "shares", [(0.1, 0.45, 0.45), pytest.param((0.15, 0.2, 0.2, 0.2, 0.25), marks=pytest.mark.slow)]
)
def test_a_category_without_a_flag_of_its_own_is_as_strange_as_it_is_rare(shares):
    """One-hot columns, the first one dropped."""
    category = np.random.default_rng(0).choice(len(shares), 2000, p=shares)
    one_hot = np.eye(len(shares))[category]
    full, dropped = _flagged_groups(one_hot), _flagged_groups(one_hot[:, 1:])
    assert max(dropped) < max(0.25, 2 * max(full))


def test_a_combination_that_few_rows_have_is_strange():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 2, (2, 1000))
    broken = rng.random(1000) < 0.02
    X = np.column_stack([a, b, (a ^ b) ^ broken, rng.normal(size=(1000, 2))]).astype(float)
    assert roc_auc_score(broken, -detector().fit(X).score_samples(X)) > 0.95


@pytest.mark.parametrize("share", [0.03, 0.1, 0.2])
@pytest.mark.parametrize("at", [4.0, 8.0])
def test_copies_of_one_strange_row_are_strange(share, at):
    n_copies = int(1000 * share)
    normal = np.random.default_rng(0).normal(size=(1000 - n_copies, 3))
    X = np.vstack([normal, np.full((n_copies, 3), at)])
    fitted = detector().fit(X)
    assert (fitted.predict(X[-n_copies:]) == -1).all()
    assert (fitted.predict(normal) == 1).mean() > 0.9


def test_a_training_row_is_known_in_single_precision_and_after_a_rotation():
    X = np.random.default_rng(0).normal(size=(500, 8))
    fitted = detector().fit(X)
    scores = fitted.score_samples(X)
    np.testing.assert_allclose(fitted.score_samples(X.astype(np.float32)), scores, atol=1e-4)
    rotation, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(8, 8)))
    turned = detector().fit(X @ rotation)
    one_by_one = np.concatenate([turned.score_samples(row[None] @ rotation) for row in X[:50]])
    np.testing.assert_allclose(one_by_one, turned.score_samples(X @ rotation)[:50], atol=1e-9)


@pytest.mark.parametrize("estimator", [None, KernelDensity()])
def test_rows_far_from_zero_are_told_apart(estimator):
    """In single precision they would all be one."""
    X = np.random.default_rng(0).integers(-1000, 1000, (400, 3)) / 256  # exact beside 1e9, too
    plain, moved = (clone(detector(estimator)).set_params(n_estimators=4) for _ in range(2))
    plain.set_params(max_samples=200).fit(X)
    moved.set_params(max_samples=200).fit(X + 2.0**30)
    np.testing.assert_allclose(moved.score_samples(X + 2.0**30), plain.score_samples(X), atol=1e-6)


def test_keys_in_single_precision_are_those_of_single_precision():
    whole = np.arange(2.0**24, 2.0**24 + 4000)[:, None]
    parts = np.random.default_rng(0).normal(size=(20_000, 1))
    for X in (whole, parts):
        np.testing.assert_array_equal(
            row_keys(X, single=True), row_keys(X.astype(np.float32), single=True)
        )


FAR = {
    "a flag": lambda rng: (rng.uniform(size=(2000, 1)) < 0.03) * 1.0,
    "flags": lambda rng: (rng.uniform(size=(400, 4)) < 0.2) * 1.0,
    "few skewed rows": lambda rng: rng.exponential(size=(50, 10)),
    "few rows of many columns": lambda rng: rng.exponential(size=(100, 40)),
    "mixed": lambda rng: np.column_stack(
        [rng.normal(size=300), np.exp(2 * rng.normal(size=300)), rng.uniform(size=300) < 0.1]
    ),
}


@pytest.mark.parametrize("trim", ["auto", 0, 0.1])
@pytest.mark.parametrize("table", FAR)
def test_far_out_is_strange_and_farther_out_stranger(table, trim):
    """Beyond the table no dependence, of kernels wider than the normal, makes a row likely."""
    X = FAR[table](np.random.default_rng(0))
    detector = DensityOutlierDetector(trim=trim, random_state=0).fit(X)
    ends, spans = (X.min(axis=0), X.max(axis=0)), np.ptp(X, axis=0)
    usual = X[np.argsort(detector.score_samples(X))[len(X) // 2]]
    for end, sign in zip(ends, (-1, 1), strict=True):
        beyond = end + sign * spans * np.array([[1], [3], [10], [30], [100]])
        one_cell = np.tile(usual, (5, 1))
        one_cell[:, 0] = beyond[:, 0]
        for rows in (beyond, one_cell):
            scores = detector.score_samples(rows)
            assert scores[0] < np.quantile(detector.score_samples(X), 0.5)
            assert (np.diff(scores) < 0).all()


@pytest.mark.parametrize("n_rows", [40, 200])
def test_what_is_trimmed_for_an_estimator_hangs_on_the_rows_alone(n_rows):
    """Not on their order, and a row of weight k is k rows."""
    rng = np.random.default_rng(0)
    X, weight = rng.standard_t(3, size=(n_rows, 4)), rng.integers(0, 3, n_rows)

    def scores(*rows, **options):
        model = DensityOutlierDetector(SplineMarginal(random_state=0), trim=0.1, random_state=0)
        return model.fit(*rows, **options).score_samples(X)

    order = rng.permutation(n_rows)
    np.testing.assert_allclose(scores(X[order]), scores(X), rtol=1e-9)
    copies = scores(np.repeat(X, weight, axis=0))
    np.testing.assert_allclose(scores(X, sample_weight=weight), copies, rtol=1e-9)


def test_values_that_stand_for_no_number_change_no_other_row_s_score():
    """A few cells as large as a fill value, however large, in the rows that are learned from."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 3)) @ np.array([[1, 0.9, 0], [0, 0.4, 0], [0, 0, 1.0]])
    scores = []
    for fill in (1e10, 1e20, 1e160):
        filled = X.copy()
        filled[:3] = fill
        detector = DensityOutlierDetector(random_state=0).fit(filled)
        assert (detector.predict(filled[:3]) == -1).all()
        scores.append(detector.score_samples(X[3:]))
    np.testing.assert_allclose(scores[1:], [scores[0]] * 2, rtol=1e-6)
