"""What is RBIGTransformer's own: its layers, its record and its parts."""

from __future__ import annotations

import json
import math
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import scipy.stats as st
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_info, threadpool_limits

import skgauss.rbig
import skgauss.trace
from skgauss._validation import numpy_generator
from skgauss.canonical import canonical_columns
from skgauss.exceptions import TiedColumnWarning
from skgauss.layers import MapLayer, RotationLayer
from skgauss.marginals import SplineMarginal
from skgauss.rotations import ICARotation, RandomRotation
from tests.estimators import rbig, same_bits, small_table, ties_allowed, two_moons


@pytest.fixture(scope="module")
def moons():
    """Fitted to enough rows that those held out are not fitted again."""
    return rbig().fit(two_moons(6000, seed=0))


# The record


def test_attributes_have_their_shapes(moons):
    n_tried = len(moons.negentropy_)
    assert type(moons.n_layers_) is int
    assert 1 < moons.n_layers_ == len(moons.layers_) <= n_tried < moons.max_layers
    assert type(moons.total_correlation_) is float
    for values in (moons.negentropy_, moons.negentropy_stderr_, moons.log_likelihood_):
        assert values.shape == (n_tried,)
        assert values.dtype == np.float64
        assert np.isfinite(values).all()
    assert (moons.negentropy_stderr_ > 0).all()
    assert type(moons.layers_[0]) is MapLayer
    for layer in moons.layers_[1:]:
        assert type(layer) is RotationLayer
        assert layer.mean.shape == (2,)
        assert layer.components.shape == (2, 2)
    np.testing.assert_array_equal(moons.data_min_, two_moons(6000, seed=0).min(axis=0))
    np.testing.assert_array_equal(moons.data_max_, two_moons(6000, seed=0).max(axis=0))
    assert list(moons.get_feature_names_out()) == ["rbigtransformer0", "rbigtransformer1"]


def held_out_and_training_rows(model, X, weight=None):
    """The rows as `fit` sees and splits them."""
    salt = int(numpy_generator(model.random_state).integers(2**63))
    Y, weight = canonical_columns(X, weight, salt)
    n = model._n_held_out(weight)
    return (Y[:, :n].T, weight[:n]), (Y[:, n:].T, weight[n:])


@pytest.mark.parametrize("weighted", [False, True])
def test_log_likelihood_is_that_of_the_rows_held_out(weighted):
    """From scratch: for every prefix of the layers, the mean log-density of these rows."""
    X = two_moons(8000, seed=0)
    weight = np.random.default_rng(0).integers(0, 4, 8000) if weighted else None
    model = rbig().fit(X, sample_weight=weight)
    (held_out, its_weight), (table, table_weight) = held_out_and_training_rows(
        model, X, None if weight is None else weight.astype(float)
    )
    n_rows = 8000 if weight is None else weight.sum()
    assert its_weight.sum() == pytest.approx(0.1 * n_rows, abs=3)
    prefix = clone(model)
    prefix.n_features_in_, prefix.layers_ = 2, []
    levels, rowwise = [], []
    for layer in model.layers_:
        prefix.layers_ = [*prefix.layers_, layer]
        rowwise.append(prefix.score_samples(held_out))
        levels.append(np.average(rowwise[-1], weights=its_weight))
    np.testing.assert_allclose(model.log_likelihood_[: model.n_layers_], levels, atol=1e-10)
    # What a layer removed is the difference; the first one's, from independent normals.
    loc = np.average(table, axis=0, weights=table_weight)
    scale = np.sqrt(np.average((table - loc) ** 2, axis=0, weights=table_weight))
    base = st.norm(loc, scale).logpdf(held_out).sum(axis=1)
    gains = np.diff([base, *rowwise], axis=0)
    np.testing.assert_allclose(
        model.negentropy_[: model.n_layers_],
        np.average(gains, axis=1, weights=its_weight),
        atol=1e-10,
    )
    variance = [np.cov(gain, fweights=its_weight.astype(int)) for gain in gains]
    np.testing.assert_allclose(
        model.negentropy_stderr_[: model.n_layers_],
        np.sqrt(variance / its_weight.sum()),
        rtol=1e-6,
        atol=1e-12,
    )
    assert model.score(held_out, sample_weight=its_weight) == pytest.approx(levels[-1])


def test_negentropies_add_up_to_the_likelihood_gained(moons):
    np.testing.assert_allclose(np.diff(moons.log_likelihood_), moons.negentropy_[1:], atol=1e-12)
    gained = moons.log_likelihood_[moons.n_layers_ - 1] - moons.log_likelihood_[0]
    assert moons.total_correlation_ == pytest.approx(gained)
    assert moons.total_correlation_ > 0.5


@pytest.mark.parametrize("head", [None, "mixture", "auto"])
def test_clusters_in_columns_are_no_dependence_of_columns(head):
    """A mixture behind straight lines Gaussianizes the columns as well."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(800, 2)) + 6 * rng.integers(0, 2, (800, 2))
    model = rbig(head=head).fit(X)
    assert abs(model.total_correlation_) < 0.1


def test_first_negentropy_is_over_independent_normals_far_from_zero_and_in_any_unit():
    """The moments of these must not cancel, over- or underflow."""
    X = small_table(8000)
    expected = rbig(max_layers=2).fit(X).negentropy_
    for factor in (2.0**500, 2.0**-500):
        same = rbig(max_layers=2).fit(X * factor).negentropy_
        np.testing.assert_allclose(same, expected, rtol=0, atol=1e-9)
    X = X + 2.0**30
    model = rbig(max_layers=2).fit(X)
    (held_out, _), (table, _) = held_out_and_training_rows(model, X)
    base = st.norm(table.mean(axis=0), table.std(axis=0)).logpdf(held_out).sum(axis=1).mean()
    assert model.log_likelihood_[0] - model.negentropy_[0] == pytest.approx(base, abs=1e-6)


def equicorrelated(d, rho):
    return (1 - rho) * np.eye(d) + rho


@pytest.mark.parametrize(("d", "rho"), [(2, 0.6), (4, 0.3), (4, 0.6), (3, 0.9)])
def test_total_correlation_of_a_gaussian_is_that_of_the_formula(d, rho):
    """Within 0.05 nats on average over ten seeds, and within four standard errors each."""
    covariance = equicorrelated(d, rho)
    truth = -0.5 * np.linalg.slogdet(covariance)[1]
    errors = []
    for seed in range(10):
        X = st.multivariate_normal(np.zeros(d), covariance).rvs(3000, random_state=seed)
        model = rbig(max_layers=3, random_state=seed).fit(X)
        errors.append(model.total_correlation_ - truth)
        stderr = model.negentropy_stderr_[1 : model.n_layers_].sum()
        assert abs(errors[-1]) < 4 * stderr + 0.01
    assert abs(np.mean(errors)) < 0.05


# Heads


@pytest.fixture(scope="module", params=["moons", "blobs", "skewed"])
def heads(request):
    """The three heads fitted to one table, and new rows."""
    rng = np.random.default_rng(0)
    X = {
        "moons": two_moons(8000, seed=0),
        "blobs": make_blobs(8000, n_features=3, centers=6, random_state=0)[0],
        "skewed": np.exp(rng.normal(size=(8000, 2))) + 0.1 * rng.uniform(size=(8000, 2)),
    }[request.param]
    X, new = X[:6000], X[6000:]
    return {head: rbig(head=head, max_layers=12).fit(X) for head in (None, "mixture", "auto")}, new


def test_auto_is_the_head_that_is_likelier_on_the_rows_held_out(heads):
    models, new = heads
    kept = {head: model.log_likelihood_[model.n_layers_ - 1] for head, model in models.items()}
    assert kept["auto"] == max(kept.values())
    best = max((None, "mixture"), key=kept.get)
    assert same_bits(models["auto"], models[best], new)


def test_mixture_is_a_second_layer(heads):
    model = heads[0]["mixture"]
    assert [type(layer) for layer in model.layers_[:2]] == [MapLayer] * 2
    assert all(type(layer) is RotationLayer for layer in model.layers_[2:])
    assert hasattr(model.layers_[1].map, "weights")


def test_mixture_pays_where_there_are_clusters():
    X = make_blobs(4000, n_features=3, centers=6, cluster_std=0.3, random_state=0)[0]
    few = {"max_layers": 12}
    plain, mixture = (rbig(head=head, **few).fit(X[:2000]) for head in (None, "mixture"))
    assert mixture.score(X[2000:]) > plain.score(X[2000:]) + 0.5


# Parts of one's own


@pytest.mark.parametrize(
    "rotation",
    ["pca", "ica", "random", PCA(), ICARotation(random_state=0), RandomRotation()],
    ids=str,
)
def test_any_rotation_gaussianizes_two_moons(rotation):
    """Each gains much beyond the first layer, the same each time."""
    X, new = two_moons(3000, seed=0), two_moons(3000, seed=1)
    model = rbig(rotation=rotation, max_layers=40).fit(X)
    first = clone(model).set_params(max_layers=1).fit(X)
    assert model.score(new) > first.score(new) + 0.3
    again = clone(model).fit(X)
    assert same_bits(model, again, new[:50])
    if not isinstance(rotation, str):
        assert not hasattr(rotation, "components_")  # the user's own is left as it was


@pytest.mark.parametrize(
    ("rotation", "message"),
    [
        (PCA, r"rotation=PCA is a class: an instance is needed, such as PCA\(\)"),
        (PCA(n_components=1), r"rotation=PCA\(n_components=1\).*shape \(1, 2\)"),
        (StandardScaler(), r"rotation=StandardScaler\(\).*invertible matrix of shape \(2, 2\)"),
        ("pcr", "rotation.*'pcr'"),
        (3, "rotation.*3"),
    ],
    ids=str,
)
def test_what_is_no_rotation_is_refused_and_the_fitted_state_kept(rotation, message):
    X = two_moons(300, seed=0)
    model = rbig(max_layers=3).fit(X)
    before = pickle.dumps(vars(model))
    with pytest.raises(ValueError, match=message):
        model.set_params(rotation=rotation).fit(X)
    model.set_params(rotation="auto")
    assert pickle.dumps(vars(model)) == before


def test_marginal_of_ones_own_is_used_in_every_layer():
    X, new = two_moons(3000, seed=0), two_moons(3000, seed=1)
    marginal = SplineMarginal(n_knots=8)
    model = rbig(marginal=marginal, max_layers=30).fit(X)
    assert model.layers_[0].map.n_knots == 8
    for layer in model.layers_[1:]:
        if len(layer.marginal.columns):
            assert layer.marginal.marginal.n_knots == 8
    assert not hasattr(marginal, "spline_")
    first = clone(model).set_params(max_layers=1).fit(X)
    assert model.score(new) > first.score(new) + 0.3
    np.testing.assert_allclose(model.inverse_transform(model.transform(new)), new, atol=1e-9)


# The same bits


def test_random_state_decides():
    X = two_moons(2000, seed=0)
    one, same, other = (rbig(random_state=seed).fit(X) for seed in (0, 0, 1))
    assert same_bits(one, same, X)
    assert not same_bits(one, other, X)
    fresh = [rbig(random_state=None, max_layers=3).fit(X) for _ in "ab"]
    assert not same_bits(*fresh, X)


@pytest.mark.parametrize("head", [None, "mixture"])
@pytest.mark.parametrize("most", [3, 6], ids=["fitted again", "fitted once"])
def test_weights_are_copies_in_any_order_to_the_bit(head, most):
    rng = np.random.default_rng(0)
    X, weight = small_table(3000), rng.integers(0, most, 3000)
    copies = rng.permutation(np.repeat(X, weight, axis=0))
    assert (len(copies) < 5000) == (most == 3)
    by_weight = rbig(head=head, max_layers=12).fit(X, sample_weight=weight)
    by_copies = rbig(head=head, max_layers=12).fit(copies)
    assert same_bits(by_weight, by_copies, X)
    np.testing.assert_array_equal(by_weight.negentropy_, by_copies.negentropy_)
    np.testing.assert_array_equal(by_weight.data_min_, by_copies.data_min_)


@pytest.mark.parametrize("n_rows", [1000, 6000])
def test_order_of_rows_is_irrelevant_to_the_bit(n_rows):
    X = small_table(n_rows)
    shuffled = np.random.default_rng(0).permutation(X)
    first, second = (rbig(max_layers=12).fit(rows) for rows in (X, shuffled))
    assert same_bits(first, second, X)
    np.testing.assert_array_equal(first.negentropy_, second.negentropy_)


@pytest.mark.parametrize("head", [None, "mixture"])
def test_n_jobs_changes_no_bit(head):
    """On a table of several blocks."""
    X = np.hstack([small_table(6000, n_features=6, seed=seed) for seed in range(2)])
    one, two = (rbig(head=head, n_jobs=n, max_layers=6).fit(X) for n in (1, 2))
    assert same_bits(one, two, X)
    np.testing.assert_array_equal(one.negentropy_, two.negentropy_)


def test_blas_threads_change_no_bit(monkeypatch):
    """Whatever their number outside, there is one inside."""
    X, seen, add_layers = small_table(6000, n_features=12), [], skgauss.rbig.add_layers

    def watched(*args):
        blas = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
        seen.append([pool["num_threads"] for pool in blas])
        return add_layers(*args)

    monkeypatch.setattr(skgauss.rbig, "add_layers", watched)
    models = []
    for n_threads in (1, 2):
        with threadpool_limits(n_threads, user_api="blas"):
            models.append(rbig(max_layers=8).fit(X))
    assert len(seen) == 2
    assert set(np.ravel(seen)) == {1}
    assert same_bits(*models, X)


def test_models_are_small_whatever_the_number_of_rows():
    """Of 20 columns and 100 layers: below 5 MB, and the same for three times the rows."""
    sizes = []
    for n_rows in (1500, 4500):
        X = np.random.default_rng(0).gamma(2.0, size=(n_rows, 20))
        X[:, 1:] += X[:, :-1]
        model = rbig(stopping=None, max_layers=100, rotation="random").fit(X)
        assert model.n_layers_ == 100
        sizes.append(len(pickle.dumps(model)))
    assert max(sizes) < 5e6
    # Every direction of every layer at its largest, 129 knots of two float32, would be 2.2 MB.
    assert abs(sizes[1] - sizes[0]) < 100 * 20 * 129 * 2 * 4


def _run(code, **environment):
    """Run code in a fresh process and parse what it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_fit_and_score_need_no_jax_and_give_the_same_bits_in_another_process():
    code = """
import json, sys
import numpy as np
import skgauss.rbig
X = np.random.default_rng(0).gamma(2.0, size=(1000, 3)) @ np.triu(np.ones((3, 3)))
model = skgauss.rbig.RBIGTransformer(random_state=0, max_layers=5).fit(X)
model.inverse_transform(model.transform(X))
heavy = [name for name in ("jax", "optax", "matplotlib") if name in sys.modules]
print(json.dumps([heavy, model.score_samples(X[:20]).tolist()]))
"""
    heavy, scores = _run(code, OPENBLAS_NUM_THREADS="2")
    assert heavy == []
    X = np.random.default_rng(0).gamma(2.0, size=(1000, 3)) @ np.triu(np.ones((3, 3)))
    assert rbig(max_layers=5).fit(X).score_samples(X[:20]).tolist() == scores


# Types, units, progress, interrupts


def test_float32_in_float32_out():
    X = two_moons(3000, seed=0).astype(np.float32)
    model = rbig(max_layers=10).fit(X)
    Z = model.transform(X)
    assert Z.dtype == model.inverse_transform(Z).dtype == np.float32
    assert model.score_samples(X).dtype == np.float64
    np.testing.assert_allclose(model.inverse_transform(Z), X, atol=1e-4)
    same = rbig(max_layers=10).fit(X.astype(np.float64))
    assert same_bits(model, same, X)


def test_verbose_shows_progress(capsys):
    rbig(verbose=1, stopping="likelihood", max_layers=4).fit(two_moons(6000, seed=0))
    shown = "".join(capsys.readouterr())
    for word in ("3/3", "layer", "removed=", "nats"):
        assert word in shown
    rbig(max_layers=4).fit(two_moons(6000, seed=0))
    assert "".join(capsys.readouterr()) == ""


@pytest.mark.parametrize("n_layers", [0, 1, 5])
def test_an_interrupt_leaves_the_fitted_state(monkeypatch, n_layers):
    X = two_moons(1000, seed=0)
    model = rbig(max_layers=12).fit(X)
    before, unfitted = pickle.dumps(vars(model)), rbig()
    add, done = skgauss.trace.Trace.add, []

    def interrupted(*args, **kwargs):
        if len(done) == n_layers:
            raise KeyboardInterrupt
        done.append(None)
        return add(*args, **kwargs)

    monkeypatch.setattr(skgauss.trace.Trace, "add", interrupted)
    for other in (model, unfitted):
        done.clear()
        with pytest.raises(KeyboardInterrupt):
            other.fit(two_moons(1200, seed=1))
    assert pickle.dumps(vars(model)) == before
    assert not [name for name in vars(unfitted) if name.endswith("_")]


# One map, one density


def test_samples_are_those_of_the_density():
    """Scored, their mean is minus the entropy, which quadrature of the density gives."""
    model = rbig(max_layers=30).fit(two_moons(3000, seed=0))
    axes = [np.linspace(*ends, 501) for ends in ((-3, 4), (-2.5, 3))]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    log_density = model.score_samples(grid)
    cell = np.prod([axis[1] - axis[0] for axis in axes])
    assert np.exp(log_density).sum() * cell == pytest.approx(1, abs=2e-3)
    entropy = -np.sum(np.exp(log_density) * log_density) * cell
    scores = [model.score_samples(model.sample(2000, random_state=seed)) for seed in range(10)]
    means, errors = np.mean(scores, axis=1), np.std(scores, axis=1) / np.sqrt(2000)
    assert np.all(np.abs(means + entropy) < 3 * errors + 2e-3)
    assert abs(np.mean(means) + entropy) < 3 * np.mean(errors) / np.sqrt(10) + 2e-3


@pytest.mark.parametrize("head", [None, "mixture"])
def test_samples_of_two_seeds_have_one_mean_score(head):
    model = rbig(head=head, max_layers=10).fit(small_table(1000))
    other = model.score_samples(model.sample(20_000, random_state=99))
    for seed in range(10):
        scores = model.score_samples(model.sample(2000, random_state=seed))
        error = np.hypot(scores.std() / np.sqrt(2000), other.std() / np.sqrt(20_000))
        assert abs(scores.mean() - other.mean()) < 3 * error


# Ties


def test_ties_warn_once_with_their_step_and_dequantize_silences():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=1500), rng.integers(20, size=1500) / 2])
    with pytest.warns(TiedColumnWarning, match=r"column 1 \(step 0\.5\)") as record:
        rbig(max_layers=3).fit(X)
    assert len(record) == 1
    model = rbig(dequantize=True, max_layers=3).fit(X)  # warnings are errors
    # The density of a uniform column of 20 steps, and of a normal one.
    new = np.column_stack([rng.normal(size=3000), rng.uniform(-0.25, 9.75, 3000)])
    assert model.score(new) == pytest.approx(-math.log(10) - st.norm.entropy(), abs=0.15)


def test_rows_that_are_equal_get_noise_of_their_own():
    """A table of few distinct rows is one of many after the noise: no spikes at the values."""
    X = np.random.default_rng(0).integers(6, size=(3000, 2)).astype(float)
    model = rbig(dequantize=True, max_layers=3).fit(X)
    spread = X + np.random.default_rng(1).uniform(-0.5, 0.5, X.shape)
    assert model.score(spread) == pytest.approx(-2 * np.log(6), abs=0.1)


@ties_allowed
def test_dequantize_leaves_continuous_columns_alone():
    X = small_table()
    assert same_bits(rbig(dequantize=True).fit(X), rbig().fit(X), X)


def test_rows_that_repeat_do_not_take_the_others_density():
    """Whatever value they have, which decides where they stand among the rows."""
    rng = np.random.default_rng(0)
    X, new = rng.normal(size=(1000, 2)), rng.normal(size=(1000, 2))
    for fill in (9998.0, 9999.0, 10000.0, 1e8):
        table = X.copy()
        table[:20] = fill
        score = rbig(max_layers=5).fit(table).score(new)
        assert score > -3.2, fill  # -2.86 is that of the truth
