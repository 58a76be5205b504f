"""How often JAX compiles: once per configuration, whatever the number of rows."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.base import clone

from skgauss import GlowGaussianizer
from skgauss.ladder import LADDER
from tests.estimators import glow, small_table
from tests.registry import build

_COMPILED: list[str] = []
jax.monitoring.register_event_duration_secs_listener(
    lambda event, seconds, **_: (
        _COMPILED.append(event) if event == "/jax/core/compile/backend_compile_duration" else None
    )
)


@pytest.fixture(
    params=["affine", *(pytest.param(c, marks=pytest.mark.slow) for c in ("spline", "mixture"))]
)
def model(request):
    return glow(coupling=request.param, n_bins=4, hidden_layer_sizes=(5,))


@pytest.fixture
def compiled():
    """Events since the start of the test, or since they were last cleared."""
    _COMPILED.clear()
    return _COMPILED


def test_number_of_rows_compiles_nothing(model, compiled):
    """After one fit and one score: other fits on the same rung, and any rows to evaluate."""
    model.fit(small_table(150))
    assert compiled  # the event still has this name
    Z = model.transform(small_table(10))
    model.inverse_transform(Z)
    compiled.clear()
    for n_rows in (120, 151, 499):
        clone(model).set_params(random_state=1).fit(small_table(n_rows, seed=n_rows))
    for n_rows in (1, 7, 1024, 5000):
        X = small_table(n_rows, seed=1)
        model.score_samples(X)
        model.inverse_transform(model.transform(X))
    model.sample(3)
    model.diagnose(small_table(70))
    assert compiled == []


def test_other_values_of_parameters_compile_nothing(model, compiled):
    """Of those that are numbers in the loop, not shapes of the flow."""
    model.fit(small_table(150))
    compiled.clear()
    clone(model).set_params(
        learning_rate_init=1e-3, alpha=0.5, ema_decay=0.5, max_iter=3, tol=0.1, random_state=5
    ).fit(small_table(150))
    assert compiled == []


def test_partial_fit_compiles_nothing_more(model, compiled):
    model.fit(small_table(150))
    compiled.clear()
    model.partial_fit(small_table(333))
    model.partial_fit(small_table(90))
    assert compiled == []


def test_a_rung_of_the_default_compiles_once(compiled):
    """The default configuration, two sizes of the same rung."""
    first = LADDER[0][0]
    model = GlowGaussianizer(max_iter=1, random_state=0, hidden_layer_sizes=(17,))
    model.fit(small_table(first + 10))
    assert compiled
    compiled.clear()
    clone(model).fit(small_table(LADDER[1][0] - 10))
    assert compiled == []


@pytest.mark.slow
def test_depth_does_not_change_the_number_of_compilations(compiled):
    counts = []
    for n_steps in (23, 29, 31):  # no array of any other test has these sizes
        compiled.clear()
        sizes = (n_steps + 10,)
        glow(n_steps=n_steps, hidden_layer_sizes=sizes).fit(small_table(150))
        counts.append(len(compiled))
    assert 0 < counts[1] == counts[2]  # the first one compiled what has no such shape, too


@pytest.mark.parametrize(
    "name", ["GlowStack-rotation-affine", "HouseholderRotation", "MixtureCDFCoupling"]
)
def test_a_second_call_of_a_layer_compiles_nothing(name, compiled):
    """Without jax.jit, too: a loop over a function made in the call would be compiled again."""
    layer, x = build(name, 3, np.float32), jnp.ones(3)
    for _ in range(2):
        compiled.clear()
        layer.inverse(layer.transform(x)).block_until_ready()
    assert compiled == []
