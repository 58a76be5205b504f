"""What the displays take: matplotlib's keywords by any of their names, and numbers in range."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import CenteredNorm, same_color, to_rgba
from matplotlib.font_manager import FontProperties
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder, StandardScaler

from skgauss.display import (
    AnomalyDisplay,
    ConvergenceDisplay,
    DensityDisplay,
    GaussianizationDisplay,
    LUDisplay,
)
from skgauss.marginals import SplineMarginal
from tests.estimators import small_table


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


X = small_table(100, 2)


@pytest.fixture(scope="module")
def marginal():
    return SplineMarginal().fit(X)


def drawn(name, marginal=None, **kwargs):
    """Draw a display with keyword arguments."""
    steps = np.linspace(-3, -2, 9)
    noise = np.full(3, 0.02)
    match name:
        case "gaussianization":
            return GaussianizationDisplay.from_estimator(marginal, X, **kwargs)
        case "density":
            return DensityDisplay.from_estimator(marginal, X, grid_resolution=9, **kwargs)
        case "flow":
            return ConvergenceDisplay(training=steps, held_out=steps - 0.1).plot(**kwargs)
        case "layers":
            tried = np.array([1, 0.1, 0.01])
            return ConvergenceDisplay(negentropy=tried, negentropy_stderr=noise, n_layers=1).plot(
                **kwargs
            )
        case "anomaly":
            return AnomalyDisplay(
                scores=steps, threshold=-2.9, rows=[0], row_scores=[-3], reasons=[[("a", -1.0)]]
            ).plot(**kwargs)
    eye = np.eye(2)
    return LUDisplay(lower=eye, upper=3 * eye, weight=3 * eye, permutation=[0, 1]).plot(**kwargs)


LINES = [  # display, argument, and the line it is for
    ("gaussianization", "line_kwargs", lambda display: display.lines_[0][0]),
    ("gaussianization", "reference_kwargs", lambda display: display.axes_[0, 1].lines[0]),
    ("gaussianization", "reference_kwargs", lambda display: display.axes_[0, 3].lines[-1]),
    ("flow", "line_kwargs", lambda display: display.lines_[0]),
    ("flow", "stop_kwargs", lambda display: display.stop_),
    ("layers", "line_kwargs", lambda display: display.lines_[1]),
    ("layers", "stop_kwargs", lambda display: display.stop_),
    ("anomaly", "line_kwargs", lambda display: display.threshold_),
]
POINTS = [
    ("gaussianization", "scatter_kwargs", lambda display: display.scatters_[0]),
    ("density", "rows_kwargs", lambda display: display.rows_),
    ("density", "samples_kwargs", lambda display: display.samples_),
]
AREAS = [
    ("gaussianization", "hist_kwargs", lambda display: display.axes_[0, 1].patches[0]),
    ("anomaly", "bar_kwargs", lambda display: display.bars_[0]),
    ("layers", "band_kwargs", lambda display: display.band_),
]


def color_of(values):
    """One color, of a patch or of a collection."""
    return tuple(np.reshape(values, (-1, 4))[0])


@pytest.mark.parametrize("names", [("c", "lw", "ls"), ("color", "linewidth", "linestyle")], ids=str)
@pytest.mark.parametrize(("name", "argument", "line"), LINES)
def test_lines_take_their_keywords_by_any_name(marginal, name, argument, line, names):
    given = dict(zip(names, ("red", 3.0, "-."), strict=True), label="mine")
    artist = line(drawn(name, marginal, **{argument: given}))
    assert (artist.get_color(), artist.get_linewidth()) == ("red", 3)
    assert (artist.get_linestyle(), artist.get_label()) == ("-.", "mine")


@pytest.mark.parametrize(
    "names",
    [("linewidths", "edgecolors"), ("linewidth", "edgecolor"), ("lw", "ec")],
    ids=str,
)
@pytest.mark.parametrize(("name", "argument", "points"), POINTS)
def test_points_take_their_keywords_by_any_name(marginal, name, argument, points, names):
    width, edge = names
    artist = points(drawn(name, marginal, **{argument: {width: 2.0, edge: "red"}}))
    assert artist.get_linewidths()[0] == 2
    assert same_color(artist.get_edgecolors()[0, :3], "red")


@pytest.mark.parametrize(("name", "argument", "points"), POINTS)
def test_points_take_one_color_each(marginal, name, argument, points):
    n_points = len(points(drawn(name, marginal)).get_offsets())
    values = np.arange(n_points)
    artist = points(drawn(name, marginal, **{argument: {"c": values, "cmap": "viridis"}}))
    np.testing.assert_array_equal(artist.get_array(), values)


@pytest.mark.parametrize("seen", [{"marker": "x"}, {"facecolors": "none"}, {"ec": "k"}], ids=str)
@pytest.mark.parametrize(("name", "argument", "points"), POINTS)
def test_points_that_have_but_an_edge_are_seen(marginal, name, argument, points, seen):
    assert points(drawn(name, marginal, **{argument: seen})).get_linewidths()[0] > 0
    assert points(drawn(name, marginal)).get_linewidths()[0] == 0


@pytest.mark.parametrize("keyword", ["color", "facecolor", "fc"])
@pytest.mark.parametrize(("name", "argument", "area"), AREAS)
def test_areas_take_their_color_by_any_name(marginal, name, argument, area, keyword):
    artist = area(drawn(name, marginal, **{argument: {keyword: "red"}}))
    assert color_of(artist.get_facecolor()) == to_rgba("red")


def test_an_outlined_histogram_is_not_drawn_in_white(marginal):
    kwargs = {"histtype": "step", "color": "red"}
    display = drawn("gaussianization", marginal, hist_kwargs=kwargs)
    assert same_color(display.axes_[0, 1].patches[0].get_edgecolor(), "red")


@pytest.mark.parametrize(
    ("kwargs", "size"),
    [({"size": 5}, 5), ({"fontsize": 5}, 5), ({"font": FontProperties(size=5)}, 5)],
    ids=["size", "fontsize", "font"],
)
def test_reasons_take_the_size_of_their_font_by_any_name(kwargs, size):
    (text,) = drawn("anomaly", text_kwargs={**kwargs, "va": "bottom"}).reasons_
    assert (text.get_fontsize(), text.get_verticalalignment()) == (size, "bottom")


def test_contours_take_colors_and_refuse_levels_by_name(marginal):
    colors = ["white", "yellow", "orange", "red"]
    display = drawn("density", marginal, contour_kwargs={"colors": colors})
    assert same_color(display.surface_.get_facecolor()[0, :3], "white")
    with pytest.raises(ValueError, match=r"contour_kwargs takes no levels.*`shares`"):
        drawn("density", marginal, contour_kwargs={"levels": 5})


def test_images_take_a_norm_that_all_panels_share():
    display = drawn("lu", image_kwargs={"norm": CenteredNorm()})
    assert {image.get_clim() for image in display.images_} == {(-3.0, 3.0)}


def test_one_name_twice_is_refused_by_matplotlib():
    with pytest.raises(TypeError, match="aliases"):
        drawn("flow", line_kwargs={"lw": 1, "linewidth": 2})


# Numbers, tables and estimators


@pytest.mark.parametrize(
    ("name", "kwargs", "message"),
    [
        ("density", {"padding": -1}, "padding == -1, must be >= 0"),
        ("density", {"n_samples": -1}, "n_samples == -1, must be >= 0"),
        ("density", {"subsample": 0}, "subsample == 0, must be >= 1"),
        ("gaussianization", {"subsample": 0}, "subsample == 0, must be >= 1"),
        ("gaussianization", {"features": 1}, r"features must name 2 of .*; got \[1\]"),
        ("gaussianization", {"latents": "ab"}, r"latents must name 2 of .*; got \['ab'\]"),
    ],
)
def test_values_out_of_range_are_refused_by_name(marginal, name, kwargs, message):
    with pytest.raises(ValueError, match=message):
        drawn(name, marginal, **kwargs)


@pytest.mark.parametrize("grid_resolution", [0, 1])
def test_a_grid_has_two_points_a_side(marginal, grid_resolution):
    with pytest.raises(ValueError, match=f"grid_resolution == {grid_resolution}, must be >= 2"):
        DensityDisplay.from_estimator(marginal, X, grid_resolution=grid_resolution)


@pytest.mark.parametrize(
    ("name", "parameter", "value"),
    [
        ("density", "padding", "a"),
        ("density", "n_samples", 2.5),
        ("gaussianization", "subsample", 2.5),
    ],
)
def test_other_types_are_refused_by_name(marginal, name, parameter, value):
    with pytest.raises(TypeError, match=f"{parameter} must be an instance of"):
        drawn(name, marginal, **{parameter: value})


def test_a_single_share_needs_no_list(marginal):
    assert drawn("density", marginal, shares=0.5).shares.tolist() == [0.5]


def test_what_an_estimator_lacks_is_named():
    scaler = StandardScaler().fit(X)
    with pytest.raises(
        TypeError, match=r"DensityDisplay needs .* score_samples; StandardScaler has"
    ):
        DensityDisplay.from_estimator(scaler, X)
    with pytest.raises(TypeError, match=r"GaussianizationDisplay needs .* transform; KernelD"):
        GaussianizationDisplay.from_estimator(KernelDensity().fit(X), X)


def test_columns_that_are_no_numbers_are_named_with_what_can_be_drawn():
    table = pd.DataFrame({"size": list("smlm") * 25, "price": X[:, 0]})
    encoder = OrdinalEncoder().set_output(transform="pandas")
    pipeline = make_pipeline(encoder, SplineMarginal()).fit(table)
    with pytest.raises(ValueError, match=r"Columns \['size'\] of X.*draw its last step") as error:
        GaussianizationDisplay.from_estimator(pipeline, table)
    assert "from_estimator(pipeline[-1], pipeline[:-1].transform(X))" in str(error.value)
    GaussianizationDisplay.from_estimator(pipeline[-1], pipeline[:-1].transform(table))
    with pytest.raises(ValueError, match=r"Columns \['size'\] of X"):
        DensityDisplay.from_estimator(KernelDensity().fit(X), table)
