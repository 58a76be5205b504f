"""Nothing global is touched, and estimators cross threads, processes and files."""

from __future__ import annotations

import copy
import json
import os
import pickle
import random
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import jax
import joblib
import numpy as np
import pytest
import sklearn
import skops.io
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skgauss
from skgauss.exceptions import InconsistentVersionWarning
from tests.estimators import (
    ESTIMATORS,
    KINDS,
    OTHER_COUPLINGS,
    fitted,
    glow,
    small_table,
    table,
    with_slow,
)

every_kind = pytest.mark.parametrize("name", with_slow(KINDS, OTHER_COUPLINGS))


def _globals():
    """What a library must leave as it is."""
    return {
        "jax": dict(jax.config.values),
        "environment": dict(os.environ),
        "warnings": list(warnings.filters),
        "numpy.random": repr(np.random.get_state()),  # noqa: NPY002
        "random": random.getstate(),
        "numpy.errstate": np.geterr(),
        "numpy.print": np.get_printoptions(),
        "sklearn": sklearn.get_config(),
    }


@every_kind
def test_fit_and_score_touch_nothing_global(name):
    before, X = _globals(), small_table()
    estimator = clone(ESTIMATORS[name]).set_params(random_state=None).fit(X)
    estimator.inverse_transform(estimator.transform(X))
    estimator.score(X)
    estimator.sample(5)
    estimator.diagnose(X)
    assert _globals() == before


def _run(code):
    """Run code in a fresh process and parse what it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_import_touches_nothing_global():
    """All of skgauss, in a process that has imported what it depends on."""
    state = """dict(
        jax=repr(sorted(jax.config.values.items(), key=str)), environment=dict(os.environ),
        warnings=repr(warnings.filters), random=repr(random.getstate()),
        numpy_random=repr(np.random.get_state()), errstate=np.geterr(), hook=repr(sys.excepthook),
        sklearn=sklearn.get_config(), collecting=gc.isenabled())"""
    changed = _run(f"""
import gc, json, os, random, sys, warnings
import jax, numpy as np, optax, scipy.stats, sklearn, sklearn.covariance, joblib, tqdm.auto
before = {state}
import skgauss, skgauss.marginals, skgauss.bijections, skgauss.exceptions
skgauss.GlowGaussianizer()
after = {state}
print(json.dumps([name for name in before if before[name] != after[name]]))
""")
    assert changed == []


def test_import_is_light():
    """No JAX, not for the marginals either, and under 0.6 s beyond its own foundations."""
    found = _run("""
import json, sys, time
import numpy, scipy.special, scipy.stats, sklearn.base, sklearn.utils.validation
start = time.perf_counter()
import skgauss
seconds = time.perf_counter() - start
names = dir(skgauss)
import skgauss.marginals
print(json.dumps([seconds, [m for m in ("jax", "optax") if m in sys.modules], names]))
""")
    seconds, heavy, names = found
    assert seconds < 0.6
    assert heavy == []
    assert set(skgauss.__all__) <= set(names)


def test_public_names_are_found():
    for name in skgauss.__all__:
        public = getattr(skgauss, name)
        assert name in dir(skgauss)
        assert pickle.loads(pickle.dumps(public)) is public if isinstance(public, type) else public
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = skgauss.no_such_name
    assert not hasattr(skgauss, "no_such_name")


@every_kind
def test_two_threads_at_once_give_the_results_of_one(name):
    def work(seed):
        X = small_table(200 + 50 * seed, seed=seed)
        estimator = clone(ESTIMATORS[name]).fit(X)
        Z = estimator.transform(X)
        return Z, estimator.score_samples(X), estimator.inverse_transform(Z)

    alone = [work(seed) for seed in range(2)]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(work, range(2)))
    for one, other in zip(alone, together, strict=True):
        for expected, actual in zip(one, other, strict=True):
            np.testing.assert_array_equal(actual, expected)


def test_float64_in_one_thread_does_not_leak_into_another():
    """`jax.enable_x64` is local: a user's own JAX code keeps its precision."""
    with ThreadPoolExecutor(2) as pool:
        scores = pool.submit(fitted("glow", "small").score_samples, small_table(50_000))
        while not scores.done():
            assert jax.numpy.ones(1).dtype == np.float32
    assert jax.numpy.ones(1).dtype == np.float32


def test_grid_search_over_processes():
    X = table("small")
    results = []
    for n_jobs in (1, 2):
        search = GridSearchCV(glow(), {"max_iter": [1, 2]}, cv=2, n_jobs=n_jobs, refit=False)
        results.append(search.fit(X).cv_results_["mean_test_score"])
    np.testing.assert_allclose(results[0], results[1], rtol=1e-9)
    assert np.isfinite(results[0]).all()


@every_kind
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickle_after_scoring(name, protocol):
    estimator, X = fitted(name, "small"), table("small")
    scores = estimator.score_samples(X)
    again = pickle.loads(pickle.dumps(estimator, protocol))
    np.testing.assert_array_equal(again.score_samples(X), scores)
    drawn = [model.sample(3, random_state=0) for model in (again, estimator)]
    np.testing.assert_array_equal(*drawn)


@every_kind
def test_copies_are_equal_and_independent(name):
    estimator, X = fitted(name, "small"), table("small")
    scores = estimator.score_samples(X)
    for copied in (copy.copy(estimator), copy.deepcopy(estimator)):
        np.testing.assert_array_equal(copied.score_samples(X), scores)
        copied.fit(small_table(seed=9))
    np.testing.assert_array_equal(estimator.score_samples(X), scores)


@every_kind
def test_clone_forgets_what_was_fitted(name):
    estimator = fitted(name, "small")
    cloned = clone(estimator)
    assert cloned.get_params() == estimator.get_params()
    assert not [attribute for attribute in vars(cloned) if attribute.endswith("_")]


@every_kind
def test_joblib_file(name, tmp_path):
    estimator, X = fitted(name, "small"), table("small")
    joblib.dump(estimator, tmp_path / "model.joblib")
    again = joblib.load(tmp_path / "model.joblib", mmap_mode="r")
    np.testing.assert_array_equal(again.score_samples(X), estimator.score_samples(X))


@every_kind
def test_skops_needs_trust_in_skgauss_only(name):
    estimator, X = fitted(name, "small"), table("small")
    saved = skops.io.dumps(estimator)
    untrusted = skops.io.get_untrusted_types(data=saved)
    assert untrusted
    assert all(kind.startswith("skgauss.") for kind in untrusted)
    again = skops.io.loads(saved, trusted=untrusted)
    np.testing.assert_array_equal(again.score_samples(X), estimator.score_samples(X))
    np.testing.assert_array_equal(
        again.inverse_transform(again.transform(X)),
        estimator.inverse_transform(estimator.transform(X)),
    )


def test_a_loaded_model_trains_on(tmp_path):
    model = glow(warm_start=True).fit(table("small"))
    saved = skops.io.dumps(model)
    again = skops.io.loads(saved, trusted=skops.io.get_untrusted_types(data=saved))
    model.fit(table("small"))
    again.fit(table("small"))
    np.testing.assert_array_equal(
        again.score_samples(table("small")), model.score_samples(table("small"))
    )


@every_kind
def test_a_model_of_another_version_warns(name, monkeypatch):
    saved = pickle.dumps(fitted(name, "small"))
    monkeypatch.setattr(skgauss, "__version__", "99.0")
    with pytest.warns(InconsistentVersionWarning, match="is loaded by skgauss 99"):
        again = pickle.loads(saved)
    assert np.isfinite(again.score(table("small")))


@every_kind
def test_fitted_attributes_hold_no_jax(name):
    """NumPy arrays and plain values only: no JAX array, no key, no closure."""
    for attribute, value in vars(fitted(name, "small")).items():
        for leaf in jax.tree.leaves(value):
            assert not isinstance(leaf, jax.Array), attribute
            assert not callable(leaf), attribute


@every_kind
def test_sample_weight_is_routed_through_a_pipeline(name):
    X, weight = table("small"), np.arange(300) % 3
    with sklearn.config_context(enable_metadata_routing=True):
        scaler = StandardScaler().set_fit_request(sample_weight=True)
        estimator = clone(ESTIMATORS[name]).set_fit_request(sample_weight=True)
        estimator.set_score_request(sample_weight=True)
        pipeline = make_pipeline(scaler, estimator).fit(X, sample_weight=weight)
        score = pipeline.score(X, sample_weight=weight)
    scaled = StandardScaler().fit(X, sample_weight=weight).transform(X)
    direct = clone(ESTIMATORS[name]).fit(scaled, sample_weight=weight)
    assert score == direct.score(scaled, sample_weight=weight)
    assert score != clone(direct).fit(scaled).score(scaled)


def test_looking_at_a_flow_does_not_start_jax(monkeypatch):
    """Or a process that is forked from the one that looked would wait for ever."""
    model = fitted("glow", "small")

    def refused():
        raise AssertionError("JAX was asked for its devices")

    monkeypatch.setattr("jax.default_backend", refused)
    assert "score_samples" in dir(model)
    model._repr_html_()
