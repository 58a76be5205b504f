"""RBIGTransformer on tables that break things: finite, invertible, and no warning but of ties."""

from __future__ import annotations

import functools
import math
import warnings

import numpy as np
import pytest
import scipy.stats as st

from skgauss.exceptions import TiedColumnWarning
from tests.estimators import rbig, small_table, two_moons


def tied(share, seed=0):
    """Columns of which a share is tied at one value."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(500, 3))
    return np.where(rng.random(X.shape) < share, 1.5, X)


def near_duplicate(seed=0):
    """Two columns of correlation 1 - 1e-12, and one of their difference's opposite."""
    rng = np.random.default_rng(seed)
    x, noise = rng.normal(size=(2, 500))
    return np.column_stack([x, x + math.sqrt(2e-12) * noise, rng.normal(size=500)])


def outlier():
    X = small_table().copy()
    X[17, 0] = 1e12
    return X


HOSTILE = {
    "integers": lambda: np.random.default_rng(0).integers(0, 10, (500, 3)).astype(float),
    "counts": lambda: np.random.default_rng(0).poisson(0.5, (500, 4)).astype(float),
    "booleans": lambda: np.random.default_rng(0).integers(0, 2, (500, 3)).astype(float),
    "90 % tied": lambda: tied(0.9),
    "99 % tied": lambda: tied(0.99),
    "fewer rows than columns": lambda: small_table(10, 25),
    "many more columns than rows": lambda: np.random.default_rng(0).normal(size=(45, 100)),
    "two rows": lambda: small_table(2),
    "two rows, one column": lambda: np.array([[1.0], [3.0]]),
    "three equal rows": lambda: np.repeat(small_table(1), 3, axis=0),
    "near-duplicate columns": near_duplicate,
    "duplicate columns": lambda: np.column_stack([small_table(), small_table()[:, ::-1]]),
    "sum of the others": lambda: np.column_stack([small_table(), small_table().sum(axis=1)]),
    "constant columns": lambda: np.column_stack([small_table(), np.full(300, 5.0), np.zeros(300)]),
    "all constant": lambda: np.full((300, 3), -7.0),
    "zeros": lambda: np.zeros((50, 2)),
    "one outlier": outlier,
    "huge": lambda: 1e150 * small_table(),
    "tiny": lambda: 1e-150 * small_table(),
    "all scales": lambda: small_table() * [1e-150, 1.0, 1e150],
    "large offset": lambda: 1e8 + np.random.default_rng(0).normal(size=(300, 2)),
    "one column": lambda: small_table(n_features=1),
    "heavy tails": lambda: np.random.default_rng(0).standard_cauchy(size=(500, 3)),
}
# The error of the way back, relative to the largest value of the column.
TOLERANCES = {"one outlier": 1e-8}
# Of rows beside a table that has no width there, so that they lie a thousand deviations out.
FAR_TOLERANCES = {"duplicate columns": 1e-7, "sum of the others": 1e-7}


@pytest.mark.parametrize("head", [None, "mixture", "auto"])
def test_a_constant_table_is_not_unlikely_under_itself(head):
    X = np.full((100, 3), 7.0)
    assert 0 < rbig(head=head).fit(X).score(X) < 100


@functools.cache
def fitted_to(name, head):
    """A model of a table by name, and what was warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        return rbig(head=head).fit(HOSTILE[name]()), [warning.category for warning in caught]


@pytest.mark.parametrize("head", [None, "mixture"])
@pytest.mark.parametrize("name", HOSTILE)
def test_any_table_gives_a_finite_map_that_comes_back(name, head):
    """To 1e-9 of the column's largest value; no warning but that of ties, and that once."""
    X, (model, warned) = HOSTILE[name](), fitted_to(name, head)
    assert warned in ([], [TiedColumnWarning])
    Z, scores = model.transform(X), model.score_samples(X)
    back, drawn = model.inverse_transform(Z), model.sample(50, random_state=0)
    assert np.isfinite(Z).all()
    assert np.isfinite(scores).all()
    assert np.isfinite(drawn).all()
    error = np.abs(back - X) / np.maximum(np.abs(X).max(axis=0), 1e-300)
    assert error.max() <= TOLERANCES.get(name, 1e-9)
    assert np.isfinite(model.negentropy_).all()


@pytest.mark.parametrize("head", [None, "mixture"])
@pytest.mark.parametrize("name", HOSTILE)
def test_new_rows_of_any_table_come_back(name, head):
    """Rows beside it, and 1e6 robust standard deviations out, columns one by one or together.

    To 1e-8 of the row's largest standardised entry, and what the column's size leaves of it.
    """
    X, (model, _) = HOSTILE[name](), fitted_to(name, head)
    size = np.abs(X).max(axis=0)
    low, high = np.quantile(X, [0.25, 0.75], axis=0)
    scale = np.where(high > low, (high - low) / 1.349, np.where(size > 0, size, 1))
    rng = np.random.default_rng(0)
    for distance in (1.0, 1e6):
        moves = distance * scale * rng.choice([-1, 0, 1], (100, X.shape[1]))
        new = X[rng.integers(len(X), size=100)] + moves
        Z = model.transform(new)
        assert np.isfinite(Z).all()
        assert np.isfinite(model.score_samples(new)).all()
        error = np.abs(model.inverse_transform(Z) - new) / scale
        standardised = np.abs(new - np.median(X, axis=0)) / scale
        largest = np.maximum(1, standardised.max(axis=1, keepdims=True))
        tolerance = FAR_TOLERANCES.get(name, 1e-8)
        assert np.all(error <= tolerance * largest + 1e-13 * size / scale)


@pytest.mark.parametrize("kind", ["constant", "duplicate"])
def test_directions_without_variance_are_stretched_once(kind):
    """They neither keep the loop going, nor cost the digits of rows off the plane."""
    X = two_moons(6000, seed=0)
    plain = rbig().fit(X)
    X = np.column_stack([X, np.full(6000, 5.0) if kind == "constant" else X[:, 0]])
    model = rbig().fit(X)
    assert len(model.negentropy_) < 2 * len(plain.negentropy_)
    # The floor of a variance is 1e-9: ten nats and no more.
    assert model.score(X) - plain.score(X[:, :2]) < 12
    off = X[:200] + np.array([0, 0, 1.0])
    error = np.abs(model.inverse_transform(model.transform(off)) - off)
    assert error.max() < 1e-11


@pytest.mark.parametrize("head", [None, "mixture"])
def test_an_outlier_costs_the_others_little(head):
    X = outlier()
    rest = np.delete(X, 17, axis=0)
    model, reference = rbig(head=head).fit(X), rbig(head=head).fit(rest)
    assert model.score_samples(X).argmin() == 17
    assert abs(model.score(rest) - reference.score(rest)) < 0.5


@pytest.mark.parametrize("head", [None, "mixture"])
def test_dependent_columns_have_a_bounded_density(head):
    """A singular covariance adds what the floor of a variance allows, not without end."""
    X = near_duplicate()
    single = rbig(head=head).fit(X[:, [0, 2]]).score(X[:, [0, 2]])
    assert rbig(head=head).fit(X).score(X) < single + 16


@pytest.mark.parametrize(("n", "d"), [(6, 3), (10, 25), (39, 10), (39, 39), (30, 60)])
def test_tables_that_nobody_judges_get_one_rotation(n, d):
    """More layers would fit the rows given and no others: hundreds of nats worse at 39 x 39."""
    losses = []
    for seed in range(5):
        X, new = np.split(np.random.default_rng(seed).normal(size=(n + 500, d)), [n])
        model = rbig(random_state=seed).fit(X)
        assert model.n_layers_ <= 2
        losses.append((st.norm.logpdf(new).sum(axis=1).mean() - model.score(new)) / d)
    assert np.mean(losses) < (1.0 if n < 10 else 0.5)


def test_copies_of_rows_with_a_continuous_column_are_not_held_out_from_each_other():
    """With noise on the discrete column they look like rows of their own, and are not."""
    rng = np.random.default_rng(0)

    def rows(n):
        count = rng.poisson(3, n)
        return np.column_stack([count, rng.normal(size=n) + 0.5 * count, rng.normal(size=n)])

    X, new = rows(200), rows(2000)
    new[:, 0] += rng.uniform(-0.5, 0.5, 2000)
    single, copied = (
        rbig(dequantize=True).fit(X, sample_weight=np.full(200, weight)) for weight in (1.0, 20.0)
    )
    assert copied.score(new) > single.score(new) - 0.5
