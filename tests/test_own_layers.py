"""A researcher's own layers in the steps of a flow, given as classes."""

from __future__ import annotations

import dataclasses
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.linalg import solve_triangular
from scipy import stats
from sklearn.base import clone

from skgauss import GlowGaussianizer
from skgauss._turning import only_turns
from skgauss.bijections import (
    ActNorm,
    AffineCoupling,
    Bijection,
    FixedRotation,
    GlowStack,
    GlowStep,
    Invertible1x1Conv,
)
from skgauss.bijections.base import fixed, register
from tests.estimators import glow, small_table, two_moons
from tests.registry import quick_jit


@register
class Triangular(Bijection):
    """Mixer ``z = L x``; the diagonal of L is the exponential of that of the entries."""

    entries: jax.Array

    @classmethod
    def init(cls, key, n_channels):
        return cls(0.3 * key.standard_normal((n_channels, n_channels)))

    def _matrix(self):
        return jnp.tril(self.entries, -1) + jnp.diag(jnp.exp(jnp.diag(self.entries)))

    def _forward(self, x):
        log_det = jnp.broadcast_to(jnp.trace(self.entries), x.shape[1:])
        return jnp.tensordot(self._matrix(), x, 1), log_det

    def _inverse(self, z):
        log_det = jnp.broadcast_to(-jnp.trace(self.entries), z.shape[1:])
        return solve_triangular(self._matrix(), z.reshape(len(z), -1), lower=True).reshape(
            z.shape
        ), log_det


@register
class ShiftedCoupling(AffineCoupling):
    """An affine coupling that also shifts all channels, by more than nothing from the start."""

    @classmethod
    def init(cls, key, n_channels):
        return AffineCoupling.init.__func__(cls, key, n_channels, hidden_layer_sizes=(8,))

    def _forward(self, x):
        z, log_det = super()._forward(x)
        return z + 1, log_det

    def _inverse(self, z):
        return super()._inverse(z - 1)


@register
class Stretched(FixedRotation):
    """A rotation's subclass that is none."""

    def _forward(self, x):
        z, log_det = super()._forward(x)
        return 2 * z, log_det + len(x) * jnp.log(2.0)

    def _inverse(self, z):
        x, log_det = super()._inverse(z / 2)
        return x, log_det - len(z) * jnp.log(2.0)


@register
class Frozen(Bijection):
    """A mixer that is not trained, whatever it is."""

    inner: Bijection = fixed()

    @classmethod
    def init(cls, key, n_channels):
        return cls(Invertible1x1Conv.init(key, n_channels))

    def _forward(self, x):
        return self.inner._forward(x)

    def _inverse(self, z):
        return self.inner._inverse(z)


OWN = [
    {"coupling": ShiftedCoupling},
    pytest.param({"mixer": Triangular}, marks=pytest.mark.slow),
    pytest.param({"mixer": Stretched}, marks=pytest.mark.slow),
    pytest.param({"mixer": Frozen}, marks=pytest.mark.slow),
]


@pytest.mark.parametrize("own", OWN, ids=lambda own: next(iter(own.values())).__name__)
def test_a_flow_of_own_layers_is_a_density(own):
    X = two_moons(300, seed=0)
    model = glow(**own).fit(X)
    np.testing.assert_allclose(model.inverse_transform(model.transform(X)), X, atol=1e-7)
    with jax.enable_x64(True):
        jacobians = quick_jit(jax.vmap(jax.jacrev(model.flow_.transform)))(X[:20])
    expected = np.linalg.slogdet(jacobians)[1] + stats.norm.logpdf(model.transform(X[:20])).sum(1)
    np.testing.assert_allclose(model.score_samples(X[:20]), expected, atol=1e-7)


def test_own_layers_are_trained_in_any_time():
    """As nobody knows what they make of the density before."""
    model = GlowGaussianizer(mixer=Triangular, max_time=20, max_iter=2, random_state=0)
    assert model.fit(two_moons(300, seed=0)).stopped_by_ != "untrained"


def test_own_layers_learn():
    X, test = two_moons(2000, seed=0), two_moons(2000, seed=1)
    few, more = (glow(mixer=Triangular, max_iter=n) for n in (1, 30))
    assert more.fit(X).score(test) > few.fit(X).score(test) + 0.1


def test_an_estimator_with_a_class_is_cloned_pickled_and_carried_on():
    X = small_table(150)
    model = glow(mixer=Triangular, warm_start=True)
    assert clone(model).mixer is Triangular
    model = pickle.loads(pickle.dumps(model.fit(X)))
    assert model.fit(X).n_iter_ == 8
    with pytest.raises(ValueError, match=r"mixer='lu' differs from the fitted <class"):
        model.set_params(mixer="lu").fit(X)


@pytest.mark.parametrize(
    ("what", "cls", "name"),
    [("mixer", Invertible1x1Conv, "lu"), ("coupling", AffineCoupling, "affine")],
)
def test_a_layer_of_ours_goes_by_its_name(what, cls, name):
    with pytest.raises(ValueError, match=f"{what}=<class .* goes by its name, '{name}'"):
        glow(**{what: cls}).fit(small_table(150))


def test_a_subclass_with_parameters_of_its_own_is_fitted_in_little_time():
    class Quick(GlowGaussianizer):
        def __init__(self, max_time=2):
            super().__init__(max_time=max_time, n_steps=2, random_state=0)

    assert Quick().fit(two_moons(200, seed=0)).stopped_by_ == "untrained"


def test_a_subclass_of_a_rotation_is_not_taken_for_one():
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        identity = ActNorm.identity(3)
    for mixer, expected in (("rotation", True), (Stretched, False)):
        stack = GlowStack.init(rng, 3, n_steps=2, actnorm=identity, mixer=mixer)
        assert only_turns(stack) is expected


@pytest.mark.parametrize("what", ["mixer", "coupling"])
@pytest.mark.parametrize("cls", [int, Bijection, ActNorm])
def test_a_class_that_is_no_layer_is_refused(what, cls):
    message = rf"{what}=<class .* must derive from Bijection and have a class method init"
    with pytest.raises(ValueError, match=message):
        glow(**{what: cls}).fit(small_table(150))
    with pytest.raises(ValueError, match=message):
        GlowStep.init(np.random.default_rng(0), 3, **{what: cls})
    with pytest.raises(ValueError, match=f"{what} must be one of .* or a class derived"):
        GlowStep.init(np.random.default_rng(0), 3, **{what: "other"})


@register
class Signs(Bijection):
    """Mixer that flips channels, by integers that nobody has declared fixed."""

    signs: jax.Array

    @classmethod
    def init(cls, key, n_channels):
        return cls(np.ones(n_channels, int))

    def _forward(self, x):
        return x * self.signs.reshape(-1, *(1,) * (x.ndim - 1)), jnp.zeros(x.shape[1:])


@register
class OneLogDet(Triangular):
    """Mixer that adds its log-determinants up."""

    def _forward(self, x):
        z, log_det = super()._forward(x)
        return z, jnp.sum(log_det)


@pytest.mark.parametrize(
    ("mixer", "message"),
    [
        (Signs, r"Signs\.signs holds int\d\d: .* fixed\(\)"),
        (OneLogDet, r"OneLogDet must give a log_det of shape \(3,\).* got shape \(\)"),
    ],
)
def test_a_layer_that_would_train_to_no_density_is_refused(mixer, message):
    with pytest.raises(ValueError, match=message):
        glow(mixer=mixer).fit(two_moons(150, 0))


@register
class Scaled(Triangular):
    """Mixer with an argument of its own."""

    @classmethod
    def init(cls, key, n_channels, *, size):
        return cls(size * key.standard_normal((n_channels, n_channels)))


def test_arguments_of_a_layer_of_ones_own():
    rng = np.random.default_rng(0)
    step = GlowStep.init(rng, 3, mixer=Scaled, mixer_kwargs={"size": 0.0})
    assert not np.any(step.mixer.entries)
    with pytest.raises(ValueError, match=r"init\(key, n_channels, width\)"):
        GlowStep.init(rng, 3, mixer=Scaled, mixer_kwargs={"width": 0.0})


def test_a_stack_of_another_number_of_steps_is_no_stack():
    stack = GlowStack.init(np.random.default_rng(0), 3, n_steps=3)
    with pytest.raises(ValueError, match="scan"):
        dataclasses.replace(stack, n_steps=2).transform(np.ones(3))
