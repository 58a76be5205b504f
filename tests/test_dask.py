"""Rows spread over the workers of a dask cluster, where the extra is installed."""

import joblib
import numpy as np
import pytest

from skgauss import RBIGTransformer
from skgauss.base import BaseGaussianizer
from tests.estimators import fitted, small_table

distributed = pytest.importorskip("distributed")

# The cluster's own start and end, not what is tested.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:.*:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def client():
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.mark.parametrize("name", ["glow", "rbig", "rbig-mixture", "spline-marginal"])
def test_workers_give_the_same_results(client, name, monkeypatch):
    """Bit by bit, from more than one process."""
    monkeypatch.setattr("skgauss.base._BLOCKS_PER_TASK", 1)
    estimator, X = fitted(name, "small"), small_table(12_000, seed=1)
    expected = estimator.score_samples(X), estimator.transform(X)
    back = estimator.inverse_transform(expected[1])
    with joblib.parallel_config(backend="dask"):
        np.testing.assert_array_equal(estimator.score_samples(X), expected[0])
        np.testing.assert_array_equal(estimator.transform(X), expected[1])
        np.testing.assert_array_equal(estimator.inverse_transform(expected[1]), back)
    done = client.run(lambda dask_worker: dask_worker.state.nthreads)
    assert isinstance(estimator, BaseGaussianizer)
    assert len(done) == 2


def test_fit_is_the_same_inside_a_dask_context(client):
    """Fitting changes blocks in place, so it stays in this process whatever the backend."""
    X = small_table(3_000)
    expected = RBIGTransformer(max_layers=5, random_state=0).fit(X).score_samples(X)
    with joblib.parallel_config(backend="dask"):
        fitted_there = RBIGTransformer(max_layers=5, random_state=0).fit(X)
    np.testing.assert_array_equal(fitted_there.score_samples(X), expected)
