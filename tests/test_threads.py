"""Threads of one computation: results in order, errors raised, counts that the context sets."""

from __future__ import annotations

import threading
import time
import warnings

import numpy as np
import pytest
from joblib import cpu_count, parallel_config

from skgauss import GlowGaussianizer
from skgauss._threads import Threads, parallel


@pytest.mark.parametrize("n_jobs", [1, 2, None])
def test_results_come_in_the_order_of_the_items(n_jobs):
    def late_first(item):
        time.sleep(0.02 / (1 + item))
        return item

    assert Threads(n_jobs).map(late_first, range(4)) == [0, 1, 2, 3]
    assert Threads(n_jobs).map(late_first, []) == []


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_an_error_reaches_the_caller_and_the_threads_go_on(n_jobs):
    threads = Threads(n_jobs)
    with pytest.raises(ZeroDivisionError):
        threads.map(lambda item: 1 / item, [1, 0, 2])
    assert threads.map(abs, [-1]) == [1]


def test_the_joblib_context_sets_the_number():
    assert Threads(None).count == 1
    with parallel_config(backend="threading", n_jobs=2):
        assert Threads(None).count == min(2, cpu_count())
    assert Threads(10**6).count == cpu_count()


def test_threads_end_with_their_object():
    before = set(threading.enumerate())
    threads = Threads(2)
    threads.map(abs, range(8))
    its_own = set(threading.enumerate()) - before
    del threads
    for thread in its_own:
        thread.join(timeout=5)
    assert not any(thread.is_alive() for thread in its_own)


@pytest.mark.parametrize("backend", ["multiprocessing", "loky", "threading"])
def test_other_workers_score_too(backend, monkeypatch):
    """Forks would wait forever for what JAX's threads hold: they are threads."""
    monkeypatch.setattr("skgauss.base._BLOCKS_PER_TASK", 1)
    X = np.random.default_rng(0).normal(size=(3000, 2))
    glow = GlowGaussianizer(head="spline", n_steps=1, max_iter=1, random_state=0).fit(X[:100])
    expected = glow.score_samples(X)
    with parallel_config(backend=backend, n_jobs=2), warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(glow.score_samples(X), expected)


@pytest.mark.parametrize("n_jobs", [2, None])
def test_threads_take_the_place_of_forks(n_jobs):
    with parallel_config(backend="multiprocessing", n_jobs=2):
        workers = parallel(n_jobs)
    assert type(workers._backend).__name__ == "ThreadingBackend"
    assert workers.n_jobs == 2
