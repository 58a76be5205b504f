"""Every estimator of skgauss, one line each, and the tables that the laws are tried on.

`ESTIMATORS` holds small, fast instances: the laws do not depend on how well a map is trained,
only on its being trained at all.
"""

from __future__ import annotations

import functools
import warnings
from functools import partial

import numpy as np
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine

from skgauss import DensityOutlierDetector, GlowGaussianizer, RBIGTransformer
from skgauss.exceptions import TiedColumnWarning
from skgauss.marginals import (
    HistogramMarginal,
    KDEMarginal,
    MixtureMarginal,
    SplineMarginal,
)

glow = partial(
    GlowGaussianizer,
    head="spline",  # the quickest to fit
    coupling="affine",  # the quickest to compile
    n_steps=2,
    hidden_layer_sizes=(8,),
    max_iter=4,
    random_state=0,
)
rbig = partial(RBIGTransformer, random_state=0)
detector = partial(DensityOutlierDetector, random_state=0)

ESTIMATORS: dict[str, BaseEstimator] = {
    "glow": glow(head="auto", coupling="auto"),
    "glow-affine-head": glow(head="affine"),
    "glow-mixture-head": glow(head="mixture"),
    "glow-warped-head": glow(head="warped"),
    "glow-float64": glow(dtype="float64", early_stopping=False),
    "glow-rotation": glow(mixer="rotation", coupling="spline"),
    "glow-householder": glow(mixer="householder"),
    "glow-cayley": glow(mixer="cayley", head="affine"),
    "glow-permutation": glow(mixer="permutation", coupling="mixture", n_bins=4),
    "rbig": rbig(),
    "rbig-mixture": rbig(head="mixture", max_layers=20),
    "rbig-random": rbig(rotation="random", max_layers=10),
    "spline-marginal": SplineMarginal(random_state=0),
    "histogram-marginal": HistogramMarginal(random_state=0),
    "kde-marginal": KDEMarginal(random_state=0),
    "mixture-marginal": MixtureMarginal(random_state=0),
}
MARGINALS = tuple(name for name in ESTIMATORS if name.endswith("-marginal"))
# One of every coupling and the marginals, for laws that the mixers have no part in.
KINDS = ("glow", "glow-rotation", "glow-permutation", "rbig", "rbig-mixture", *MARGINALS)
# Where no other code than "glow" runs but that of a layer or a head, which has its own tests.
OTHER_COUPLINGS = ("glow-rotation", "glow-permutation")
OTHER_PARTS = (*OTHER_COUPLINGS, "glow-householder", "glow-cayley", "glow-warped-head")


def with_slow(names, slow):
    """Names as parameters, some of them marked as slow."""
    return [pytest.param(n, marks=pytest.mark.slow) if n in slow else n for n in names]


# What is hostile meets the head and the loop, not the couplings.
QUICK_TO_FIT = {"glow": glow()} | {name: ESTIMATORS[name] for name in MARGINALS}

ties_allowed = pytest.mark.filterwarnings("ignore::skgauss.exceptions.TiedColumnWarning")


def same_bits(first, second, X):
    """Whether two models map rows to the same bits, both ways."""
    Z = [model.transform(X) for model in (first, second)]
    back = [model.inverse_transform(Z[0]) for model in (first, second)]
    scores = [model.score_samples(X) for model in (first, second)]
    return all(np.array_equal(*pair) for pair in (Z, back, scores))


def correlated(n_rows: int = 400, n_features: int = 4, seed: int = 0) -> np.ndarray:
    """Correlated normal columns."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n_rows, n_features)) @ rng.normal(size=(n_features, n_features))


def small_table(n_rows: int = 300, n_features: int = 3, seed: int = 0) -> np.ndarray:
    """Correlated, skewed, continuous columns in different units."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, n_features)) @ rng.normal(size=(n_features, n_features))
    X[:, -1] = np.exp(0.7 * X[:, -1])
    return X * np.logspace(0, 3, n_features) + np.arange(n_features)


def heavy_tailed_table(n_rows: int = 1500, seed: int = 0) -> np.ndarray:
    """Student t with 1 and 2 degrees of freedom, Pareto, log-normal, and a normal."""
    rng = np.random.default_rng(seed)
    columns = [
        rng.standard_cauchy(n_rows),
        rng.standard_t(2, n_rows),
        rng.pareto(1.5, n_rows),
        rng.lognormal(0, 2, n_rows),
        rng.normal(size=n_rows),
    ]
    return np.column_stack(columns) @ (np.eye(5) + 0.1 * rng.normal(size=(5, 5)))


def two_moons(n_rows: int, seed: int) -> np.ndarray:
    """Two interleaved half circles with noise."""
    from sklearn.datasets import make_moons

    return make_moons(n_rows, noise=0.1, random_state=seed)[0]


def _jittered_digits() -> np.ndarray:
    X = load_digits().data
    return X + np.random.default_rng(0).uniform(size=X.shape)


TABLES = {
    "breast_cancer": lambda: load_breast_cancer().data,
    "wine": lambda: load_wine().data,
    "diabetes": lambda: load_diabetes().data,
    "digits": _jittered_digits,
    "heavy_tailed": heavy_tailed_table,
    "small": small_table,
    "one_column": lambda: small_table(n_features=1),
    "two_columns": lambda: small_table(n_features=2),
}


@functools.cache
def table(name: str) -> np.ndarray:
    """A table by name, read-only because it is shared."""
    X = TABLES[name]()
    X.flags.writeable = False
    return X


@functools.cache
def fitted(estimator: str, name: str) -> BaseEstimator:
    """An estimator fitted to a table, shared by all tests: copy it before changing it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TiedColumnWarning)
        return clone(ESTIMATORS[estimator]).fit(table(name))


def robust_scale(X: np.ndarray) -> np.ndarray:
    """Interquartile range over 1.349 per column, or the standard deviation where that is 0."""
    low, high = np.quantile(X, [0.25, 0.75], axis=0)
    return np.where(high > low, (high - low) / 1.349, X.std(axis=0))
