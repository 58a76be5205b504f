"""The displays draw what they say: asserted on the data of the artists, not on pixels."""

from __future__ import annotations

import subprocess
import sys
from copy import copy

import jax
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import stats
from sklearn.base import BaseEstimator
from sklearn.datasets import make_moons
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError

from skgauss import DensityOutlierDetector, GlowGaussianizer, RBIGTransformer
from skgauss.bijections import ActNorm, Chain, Invertible1x1Conv
from skgauss.diagnosis import pairwise_dependence
from skgauss.display import (
    AnomalyDisplay,
    ConvergenceDisplay,
    DensityDisplay,
    GaussianizationDisplay,
    LUDisplay,
)
from skgauss.marginals import SplineMarginal
from tests.estimators import fitted, small_table


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def marginal():
    return SplineMarginal().fit(small_table())


class Layered(BaseEstimator):
    """Stands in for an estimator that adds layers while they remove negentropy."""

    def __init__(self):
        self.negentropy_ = np.array([3.0, 1.0, 0.2, 0.01, -0.01])
        self.negentropy_stderr_ = np.array([0.02, 0.02, 0.01, 0.01, 0.01])
        self.n_layers_ = 3

    def fit(self, X, y=None):
        return self


CONV = Invertible1x1Conv.init(jax.random.key(0), 4)
MAKERS = {
    "anomaly": lambda **kw: AnomalyDisplay.from_estimator(
        DensityOutlierDetector(n_estimators=2, random_state=0).fit(small_table()),
        small_table(),
        **{"n_strangest": 3, **kw},
    ),
    "gaussianization": lambda **kw: GaussianizationDisplay.from_estimator(
        SplineMarginal().fit(small_table()), small_table(), **kw
    ),
    "convergence": lambda **kw: ConvergenceDisplay.from_estimator(Layered().fit(None), **kw),
    "lu": lambda **kw: LUDisplay.from_layer(CONV, **kw),
    "density": lambda **kw: DensityDisplay.from_estimator(
        SplineMarginal().fit(small_table()[:, :2]), small_table()[:, :2], grid_resolution=9, **kw
    ),
}


# What all share


@pytest.mark.parametrize("name", MAKERS)
def test_plot_returns_the_display_and_draws_again(name):
    display = MAKERS[name]()
    figure = display.figure_
    assert display.plot() is display
    assert display.figure_ is not figure


@pytest.mark.parametrize("of_a_grid", [True, False])
@pytest.mark.parametrize("name", MAKERS)
def test_an_axis_of_the_user_is_drawn_on(name, of_a_grid):
    figure = plt.figure()
    ax = figure.add_subplot() if of_a_grid else figure.add_axes((0.1, 0.1, 0.8, 0.8))
    display = MAKERS[name](ax=ax)
    assert display.figure_ is figure
    if hasattr(display, "axes_"):
        assert display.bounding_ax_ is ax
        assert all(axis.figure is figure for axis in display.axes_.ravel())
        with pytest.raises(ValueError, match="already used"):
            display.plot(ax=ax)
    else:
        assert display.ax_ is ax


@pytest.mark.parametrize(("name", "shape"), [("gaussianization", (2, 4)), ("lu", (4,))])
def test_several_axes_of_the_user_are_drawn_on(name, shape):
    _, axes = plt.subplots(2, 4)
    display = MAKERS[name](ax=axes if len(shape) == 2 else axes[0])
    assert display.axes_.shape == shape
    assert display.axes_.ravel()[0] is axes[0, 0]
    with pytest.raises(ValueError, match=r"or [12] x 4 of them"):
        MAKERS[name](ax=axes[0, :3])


def test_without_matplotlib_the_extra_is_named():
    code = (
        "import sys; sys.modules['matplotlib'] = None; sys.modules['matplotlib.pyplot'] = None\n"
        "import numpy as np, skgauss\n"
        "assert 'jax' not in sys.modules\n"
        "display = skgauss.display.ConvergenceDisplay(training=np.zeros(2), held_out=[])\n"
        "try: display.plot()\n"
        "except ImportError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == (
        "ConvergenceDisplay.plot needs matplotlib: pip install 'skgauss[plot]'."
    )


@pytest.mark.parametrize(
    "draw",
    [
        lambda: GaussianizationDisplay.from_estimator(SplineMarginal(), small_table()),
        lambda: ConvergenceDisplay.from_estimator(SplineMarginal()),
        lambda: DensityDisplay.from_estimator(SplineMarginal(), small_table(n_features=2)),
    ],
)
def test_an_estimator_must_be_fitted(draw):
    with pytest.raises(NotFittedError):
        draw()


# GaussianizationDisplay


def test_gaussianization_shows_rows_and_latents(marginal):
    X = small_table()
    display = GaussianizationDisplay.from_estimator(marginal, X, features=[2, 0], latents=[1, 2])
    Z = marginal.transform(X)
    for scatter, values in zip(display.scatters_, (X[:, [2, 0]], Z[:, [1, 2]]), strict=True):
        np.testing.assert_allclose(scatter.get_offsets(), values)
    for lines, standard in zip(display.lines_, ((X - X.mean(0)) / X.std(0), Z), strict=True):
        for line, column in zip(lines, standard.T, strict=True):
            np.testing.assert_allclose(line.get_ydata(), np.sort(column))
            np.testing.assert_allclose(
                stats.norm.cdf(line.get_xdata()), (np.arange(300) + 0.5) / 300
            )
    labels = [axis.get_xlabel() for axis in display.axes_[1, :3]]
    assert labels == ["latent 1", "latent 1", "latent 2"]


def test_gaussianization_compares_with_the_right_normal(marginal):
    X = small_table()
    display = GaussianizationDisplay.from_estimator(marginal, X, features=[1, 2])
    for axis, mean, std in (
        (display.axes_[0, 1], X[:, 1].mean(), X[:, 1].std()),
        (display.axes_[1, 1], 0, 1),
    ):
        grid, density = axis.lines[0].get_data()
        np.testing.assert_allclose(density, stats.norm.pdf(grid, mean, std))
        area = sum(bar.get_width() * bar.get_height() for bar in axis.patches)
        assert area == pytest.approx(1)


def test_gaussianization_picks_the_most_dependent_pair():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 4))
    X[:, 3] = np.exp(X[:, 1]) + 0.01 * X[:, 0]
    X = np.column_stack([X, np.full(200, 7.0)])
    marginal = SplineMarginal().fit(X)
    display = GaussianizationDisplay.from_estimator(marginal, X)
    assert display.features == (1, 3)
    assert GaussianizationDisplay.from_estimator(marginal, X, features=[4, 0]).features == (4, 0)


def test_gaussianization_picks_and_prints_a_parabola():
    X = np.random.default_rng(0).normal(size=(1000, 3))
    X[:, 2] = X[:, 0] ** 2
    display = GaussianizationDisplay.from_estimator(SplineMarginal().fit(X), X)
    assert display.features == display.shown_latents == (0, 2)
    assert display.axes_[0, 0].get_title() == f"dependence {pairwise_dependence(X)[0, 2]:.2f}"
    assert pairwise_dependence(X)[0, 2] > 0.9


def test_gaussianization_takes_names_and_says_which_there_are():
    frame = pd.DataFrame(small_table(), columns=["a", "b", "c"])
    marginal = SplineMarginal().fit(frame)
    display = GaussianizationDisplay.from_estimator(marginal, frame, features=["c", "a"])
    assert display.features == (2, 0)
    assert display.axes_[0, 0].get_xlabel() == "c"
    for wrong in (["c", "d"], ["a"], [0, 3]):
        with pytest.raises(ValueError, match=r"features must name 2 of \['a', 'b', 'c'\]"):
            GaussianizationDisplay.from_estimator(marginal, frame, features=wrong)


def test_gaussianization_refuses_one_latent_of_several_columns():
    with pytest.raises(ValueError, match="PCA makes 1 latent of 3 columns"):
        GaussianizationDisplay.from_estimator(PCA(1).fit(small_table()), small_table())


def test_gaussianization_of_a_single_feature():
    X = small_table(n_features=1)
    display = GaussianizationDisplay.from_estimator(SplineMarginal().fit(X), X)
    assert display.axes_.shape == (2, 2)
    assert not display.scatters_


@pytest.mark.parametrize("container", [np.asarray, pd.DataFrame, pl.DataFrame])
def test_a_subsample_keeps_rows_whole(container):
    table = container(small_table())
    draw = GaussianizationDisplay.from_estimator
    display = draw(SplineMarginal().fit(table), table, subsample=50, random_state=0)
    assert display.columns.shape == display.latents.shape == (50, 3)
    rows = {tuple(row) for row in small_table()}
    assert all(tuple(row) in rows for row in display.columns)


# ConvergenceDisplay


def test_convergence_of_a_flow():
    glow = fitted("glow", "small")
    display = ConvergenceDisplay.from_estimator(glow, line_kwargs={"linewidth": 3})
    training, held_out = display.lines_
    np.testing.assert_allclose(training.get_ydata(), -np.array(glow.loss_curve_))
    np.testing.assert_allclose(held_out.get_ydata(), glow.validation_scores_)
    np.testing.assert_array_equal(training.get_xdata(), np.arange(1, glow.n_iter_ + 1))
    assert display.stop_.get_xdata()[0] == glow.best_iter_
    assert training.get_linewidth() == 3


def test_convergence_tells_that_no_iteration_was_kept_and_that_there_was_none():
    scores = np.array([-3.0, -2.9])
    display = ConvergenceDisplay(training=scores, held_out=scores, best_iter=0).plot()
    assert display.stop_.get_label() == "kept: the start, and no iteration"
    assert display.stop_.get_xdata()[0] == 0
    untrained = GlowGaussianizer(max_time=1.0, random_state=0).fit(small_table(100))
    assert untrained.best_iter_ == 0
    with pytest.raises(ValueError, match=r"was not trained.*max_time"):
        ConvergenceDisplay.from_estimator(untrained)


@pytest.mark.slow
def test_convergence_without_rows_held_out():
    glow = fitted("glow-float64", "small")
    display = ConvergenceDisplay.from_estimator(glow)
    assert len(display.lines_) == 1
    assert display.stop_.get_xdata()[0] == glow.n_iter_


def test_convergence_of_layers():
    layered = Layered().fit(None)
    display = ConvergenceDisplay.from_estimator(layered)
    kept, dropped = display.lines_
    np.testing.assert_array_equal(kept.get_ydata(), layered.negentropy_[:3])
    np.testing.assert_array_equal(dropped.get_xdata(), [4, 5])
    assert display.stop_.get_xdata()[0] == 3.5
    assert display.first_.get_xydata().tolist() == [[1, 3.0]]
    low, high = (
        layered.negentropy_ - 2 * layered.negentropy_stderr_,
        layered.negentropy_ + (2 * layered.negentropy_stderr_),
    )
    drawn = display.band_.get_paths()[0].vertices
    for layer in range(1, 6):
        at = drawn[drawn[:, 0] == layer, 1]
        assert (at.min(), at.max()) == pytest.approx((low[layer - 1], high[layer - 1]))


def test_convergence_shows_every_layer_of_rbig():
    rbig = RBIGTransformer(random_state=0).fit(make_moons(1000, noise=0.1, random_state=0)[0])
    display = ConvergenceDisplay.from_estimator(rbig)
    drawn = np.concatenate([line.get_ydata() for line in display.lines_])
    np.testing.assert_array_equal(drawn, rbig.negentropy_)
    assert display.stop_.get_xdata()[0] == rbig.n_layers_ + 0.5
    low, high = display.ax_.get_ylim()
    assert low > -0.1  # layers in their noise are not squeezed by the first, large one
    assert high > rbig.negentropy_.max()


def test_convergence_needs_rows_held_out():
    rbig = RBIGTransformer(max_layers=2, stopping=None).fit(small_table())
    with pytest.raises(ValueError, match="held out no rows"):
        ConvergenceDisplay.from_estimator(rbig)


def test_convergence_of_an_estimator_that_keeps_no_record(marginal):
    with pytest.raises(TypeError, match="SplineMarginal keeps no record"):
        ConvergenceDisplay.from_estimator(marginal)


# LUDisplay


def test_lu_panels_multiply_to_the_weight():
    display = LUDisplay.from_layer(CONV)
    p, lower, upper, weight = (np.asarray(image.get_array()) for image in display.images_)
    np.testing.assert_allclose(p @ lower @ upper, weight, atol=1e-6)
    np.testing.assert_allclose(weight, CONV.weight)
    np.testing.assert_array_equal(np.triu(lower, 1), 0)
    np.testing.assert_array_equal(np.tril(upper, -1), 0)
    assert display.axes_[3].texts[0].get_text() == f"{weight[0, 0]:.2f}"
    limits = {image.get_clim() for image in display.images_}
    assert len(limits) == 1
    assert sum(limits.pop()) == 0


def test_lu_shows_no_permutation_that_is_the_identity():
    conv = Invertible1x1Conv.init(jax.random.key(0), 12, start="identity")
    display = LUDisplay.from_layer(conv, colorbar=False)
    assert [axis.get_title() for axis in display.axes_] == ["L", "U", "W = L U"]
    assert display.colorbar_ is None
    assert not display.axes_[0].texts


def test_lu_of_a_step_of_a_flow():
    glow = fitted("glow", "small")
    steps = glow.flow_.bijections[-1].steps
    for step in (0, 1):
        display = LUDisplay.from_estimator(glow, step=step)
        diagonal = np.diag(np.asarray(display.upper))
        np.testing.assert_allclose(np.log(np.abs(diagonal)), steps.mixer.log_diag_u[step])
        assert display.weight.dtype == np.float64
    with pytest.raises(ValueError, match="2 convolutions, one per step"):
        LUDisplay.from_layer(steps.mixer)
    with pytest.raises(TypeError, match=r"mixer='lu'.*CayleyRotation"):
        LUDisplay.from_estimator(fitted("glow-cayley", "small"))


def test_lu_says_what_it_draws():
    glow = fitted("glow", "small")
    for layer in (ActNorm.init(2), glow.flow_.bijections[-1]):
        with pytest.raises(TypeError, match=f"an Invertible1x1Conv, got {type(layer).__name__}"):
            LUDisplay.from_layer(layer)
    for step in (2, -3, 0.5, True):
        with pytest.raises(ValueError, match=rf"step={step}: this flow has the steps 0 to 1"):
            LUDisplay.from_estimator(glow, step=step)
    assert LUDisplay.from_estimator(glow, step=-1).weight.shape == (3, 3)
    head_alone = copy(glow)
    head_alone.flow_ = Chain(glow.flow_.bijections[:-1])
    for estimator in (head_alone, SplineMarginal().fit(small_table())):
        with pytest.raises(TypeError, match=f"this {type(estimator).__name__} has no steps"):
            LUDisplay.from_estimator(estimator)
