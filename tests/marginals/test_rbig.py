"""Every marginal in RBIGTransformer, by name and as an instance."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_wine

from skgauss import RBIGTransformer
from skgauss.marginals import MARGINALS, KDEMarginal, MixtureMarginal
from tests.estimators import two_moons

CHOICES = {name: name for name in MARGINALS} | {
    "KDEMarginal": KDEMarginal(n_knots=8),
    "MixtureMarginal": MixtureMarginal(n_components=5),
}
every_choice = pytest.mark.parametrize("marginal", CHOICES.values(), ids=CHOICES)


@every_choice
def test_two_moons_gain_by_layers(marginal):
    X, held_out = two_moons(2000, seed=0), two_moons(2000, seed=1)
    rbig = RBIGTransformer(marginal=marginal, max_layers=8, random_state=0).fit(X)
    first = RBIGTransformer(marginal=marginal, max_layers=1, random_state=0).fit(X)
    assert rbig.score(held_out) > first.score(held_out) + 0.2
    np.testing.assert_allclose(rbig.inverse_transform(rbig.transform(X)), X, atol=1e-9)


@pytest.mark.filterwarnings("ignore::skgauss.exceptions.TiedColumnWarning")
@every_choice
def test_wine_is_likelier_than_under_independent_normals(marginal):
    X = load_wine().data
    train, held_out = X[::2], X[1::2]
    rbig = RBIGTransformer(marginal=marginal, max_layers=3, random_state=0).fit(train)
    z = (held_out - train.mean(axis=0)) / train.std(axis=0)
    normal = -0.5 * np.sum(z**2 + np.log(2 * np.pi), axis=1) - np.log(train.std(axis=0)).sum()
    assert rbig.score(held_out) > normal.mean()


@every_choice
def test_normal_rows_are_left_as_they_are(marginal):
    X = np.random.default_rng(0).normal(size=(1000, 4))
    rbig = RBIGTransformer(marginal=marginal, n_iter_no_change=5, random_state=0).fit(X)
    assert rbig.n_layers_ <= 2


def test_the_instance_given_stays_unfitted():
    marginal = KDEMarginal(n_knots=8)
    RBIGTransformer(marginal=marginal, max_layers=2, random_state=0).fit(two_moons(300, seed=0))
    assert not hasattr(marginal, "pilot_")
    assert marginal.n_jobs is None
