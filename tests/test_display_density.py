"""What a DensityDisplay draws: contours that hold shares of the rows, rows and samples."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KernelDensity

from skgauss.display import DensityDisplay
from skgauss.marginals import SplineMarginal
from tests.estimators import small_table


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.mark.parametrize("container", [np.asarray, pd.DataFrame, pl.DataFrame])
def test_density_contours_hold_the_share_of_rows_they_name(container):
    X = container(small_table(1000, 2))
    marginal = SplineMarginal(random_state=0).fit(X)
    display = DensityDisplay.from_estimator(marginal, X, shares=(0.3, 0.8), grid_resolution=11)
    np.testing.assert_allclose(display.contours_.levels, display.levels)
    legend = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert legend[1:] == ["samples", "80 % of the rows", "30 % of the rows"]
    for level, share in zip(display.levels, (0.8, 0.3), strict=True):
        assert np.mean(marginal.score_samples(X) >= level) == pytest.approx(share, abs=0.002)
    grid = np.column_stack([display.xx0.ravel(), display.xx1.ravel()])
    log_density = SplineMarginal(random_state=0).fit(np.asarray(X)).score_samples(grid)
    np.testing.assert_allclose(display.log_density.ravel(), log_density)


def test_density_shows_rows_and_samples():
    X = small_table(100, 2)
    marginal = SplineMarginal().fit(X)
    display = DensityDisplay.from_estimator(marginal, X, n_samples=7, random_state=3)
    np.testing.assert_allclose(display.rows_.get_offsets(), X)
    np.testing.assert_allclose(display.samples_.get_offsets(), marginal.sample(7, random_state=3))
    display = DensityDisplay.from_estimator(marginal, X, n_samples=0, subsample=10, random_state=3)
    assert display.samples_ is None
    assert display.rows_.get_offsets().shape == (10, 2)


@pytest.mark.parametrize("estimator", [GaussianMixture(2, random_state=0), KernelDensity()])
def test_density_of_other_estimators(estimator):
    X = small_table(100, 2)
    display = DensityDisplay.from_estimator(estimator.fit(X), X, n_samples=5, grid_resolution=9)
    assert display.samples_.get_offsets().shape == (5, 2)


def test_density_with_a_single_level():
    X = np.repeat(small_table(2, 2), 10, axis=0)
    display = DensityDisplay.from_estimator(KernelDensity(bandwidth=500).fit(X), X, shares=(0.5,))
    assert len(display.contours_.levels) == 1


def test_density_refuses_other_tables_and_shares():
    with pytest.raises(ValueError, match=r"two columns, X has shape \(300, 3\)"):
        DensityDisplay.from_estimator(SplineMarginal().fit(small_table()), small_table())
    X = small_table(n_features=2)
    for shares in [(0.5, 1), ()]:
        with pytest.raises(ValueError, match=r"shares must be one or more in \(0, 1\)"):
            DensityDisplay.from_estimator(SplineMarginal().fit(X), X, shares=shares)


def test_density_of_zero_is_in_no_contour():
    X = np.arange(20.0).reshape(10, 2)
    finite = KernelDensity(bandwidth=1, kernel="tophat").fit(X[:8])  # 80 % of the rows
    display = DensityDisplay.from_estimator(finite, X, shares=(0.5, 0.7))
    assert np.isfinite(display.levels).all()
    with pytest.raises(ValueError, match=r"gives 20.0% of the rows a density of zero: no contour"):
        DensityDisplay.from_estimator(finite, X, shares=(0.5, 0.9))


def test_density_spans_all_rows_where_none_is_far():
    X = np.random.default_rng(0).normal(size=(300, 2))
    display = DensityDisplay.from_estimator(SplineMarginal().fit(X), X, grid_resolution=9)
    (low, _), (high, _) = X.min(axis=0), X.max(axis=0)
    room = 0.1 * (high - low)
    assert display.ax_.get_xlim() == pytest.approx((low - room, high + room))
    assert display.rows_.get_label() == "rows"


def test_a_far_row_does_not_squeeze_a_density_and_is_counted():
    table = np.vstack([np.random.default_rng(0).normal(size=(300, 2)), [[500, 0]]])
    display = DensityDisplay.from_estimator(
        KernelDensity().fit(table), table, grid_resolution=9, n_samples=0
    )
    assert display.xx0.max() < 10
    legend = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert legend[0] == "rows (1 beyond the picture)"
    wide = DensityDisplay.from_estimator(
        KernelDensity().fit(table), table, shares=0.999, grid_resolution=9
    )
    assert wide.xx0.max() > 500
