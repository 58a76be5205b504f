"""What an AnomalyDisplay draws: scores, the threshold, and reasons of the strangest rows."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.ticker import ScalarFormatter
from sklearn.compose import make_column_transformer
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skgauss import DensityOutlierDetector
from skgauss.display import AnomalyDisplay
from tests.estimators import small_table


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def detector():
    return DensityOutlierDetector(n_estimators=2, random_state=0).fit(small_table())


def shown(scores, threshold, reasons=()):
    """A display of scores, with reasons of the first rows."""
    n_rows = len(reasons)
    return AnomalyDisplay(
        scores=np.asarray(scores, float),
        threshold=threshold,
        rows=list(range(n_rows)),
        row_scores=scores[:n_rows],
        reasons=list(reasons),
    ).plot()


def test_the_strangest_rows_are_listed_with_reasons_and_the_threshold_is_drawn():
    X = small_table().copy()
    X[7, 1] = X[:, 1].max() * 10
    frame = pd.DataFrame(X, columns=["a", "b", "c"], index=[f"row {i}" for i in range(300)])
    detector = DensityOutlierDetector(contamination=0.05, random_state=0).fit(frame)
    display = AnomalyDisplay.from_estimator(detector, frame, n_strangest=4)
    assert display.rows[0] == "row 7"
    assert display.reasons[0][0][0] == "b"
    assert len(display.reasons_) == 4
    assert display.reasons_[0].get_text().startswith("row 7")
    assert display.threshold_.get_xdata()[0] == detector.offset_
    assert sum(bar.get_height() for bar in display.bars_) == 300
    assert "15 rows below" in display.threshold_.get_label()


def test_rows_of_a_subsample_keep_their_numbers():
    X = small_table().copy()
    X[250:, 1] += 100 * np.ptp(X[:, 1])
    detector = DensityOutlierDetector(random_state=0).fit(X[:200])
    display = AnomalyDisplay.from_estimator(detector, X, subsample=100, random_state=0)
    assert min(display.rows) >= 250


@pytest.mark.parametrize("apart", [0.0, 1e-15])
@pytest.mark.parametrize("score", [-1e100, 1e12])
def test_equal_scores_have_a_histogram(score, apart):
    scores = score * np.linspace(1, 1 + apart, 20)
    display = AnomalyDisplay(
        scores=scores, threshold=score, rows=[], row_scores=[], reasons=[]
    ).plot()
    assert sum(bar.get_height() for bar in display.bars_) == 20


def test_an_estimator_without_reasons_is_refused():
    with pytest.raises(TypeError, match="KernelDensity gives no reasons"):
        AnomalyDisplay.from_estimator(KernelDensity().fit(small_table()), small_table())


@pytest.mark.parametrize(
    ("before", "named"),
    [
        (StandardScaler(), "b"),
        (make_column_transformer((StandardScaler(), ["b", "a"])), "standardscaler__b"),
        (FunctionTransformer(np.asarray), "column 1"),  # that gives no names
        (None, "b"),
    ],
    ids=str,
)
def test_reasons_of_a_pipeline_are_the_columns_that_its_last_step_sees(before, named):
    X = small_table().copy()
    X[7, 1] = X[:, 1].max() * 10
    frame = pd.DataFrame(X, columns=["a", "b", "c"], index=[f"row {i}" for i in range(300)])
    model = DensityOutlierDetector(n_estimators=2, random_state=0)
    pipeline = make_pipeline(*([] if before is None else [before]), model).fit(frame)
    display = AnomalyDisplay.from_estimator(pipeline, frame, n_strangest=2)
    assert display.rows[0] == "row 7"
    assert display.reasons[0][0][0] == named
    assert display.threshold == pipeline[-1].offset_
    np.testing.assert_array_equal(display.scores, pipeline.score_samples(frame))


def test_reasons_of_a_pipeline_without_names_are_numbered():
    pipeline = make_pipeline(StandardScaler(), DensityOutlierDetector(n_estimators=2))
    X = small_table().copy()
    X[7, 1] = X[:, 1].max() * 10
    display = AnomalyDisplay.from_estimator(pipeline.fit(X), X, n_strangest=1)
    assert (display.rows, display.reasons[0][0][0]) == ([7], "column 1")
    with pytest.raises(TypeError, match="KernelDensity gives no reasons"):
        AnomalyDisplay.from_estimator(make_pipeline(StandardScaler(), KernelDensity()).fit(X), X)


@pytest.mark.parametrize(
    ("name", "value", "least"),
    [("n_strangest", 0, 1), ("n_strangest", -1, 1), ("n_reasons", -1, 0), ("subsample", 0, 1)],
)
def test_too_few_rows_or_reasons_are_refused_by_name(detector, name, value, least):
    with pytest.raises(ValueError, match=f"{name} == {value}, must be >= {least}"):
        AnomalyDisplay.from_estimator(detector, small_table(), **{name: value})


def test_columns_that_add_to_a_score_are_no_reasons():
    X = small_table()
    model = DensityOutlierDetector(n_estimators=2, random_state=0).fit(X)
    assert (model.explain(X).contributions > 0).any()
    display = AnomalyDisplay.from_estimator(model, X, n_strangest=300, n_reasons=3)
    assert all(share < 0 for reasons in display.reasons for _, share in reasons)
    assert not any("+" in text.get_text() for text in display.reasons_)


def test_scores_far_below_the_threshold_share_a_bar_of_its_colour():
    rng = np.random.default_rng(0)
    scores = np.concatenate([rng.normal(size=950), -1e6 - 1e4 * np.arange(50)])
    for threshold in (-3.0, np.quantile(scores, 0.02)):
        reasons = [[("a", -1.0)]]
        display = AnomalyDisplay(
            scores=scores, threshold=threshold, rows=[0], row_scores=[-2e6], reasons=reasons
        ).plot()
        first, *others = display.bars_
        assert first.get_height() >= np.sum(scores < threshold) - 20
        assert first.get_facecolor() != others[-1].get_facecolor()
        assert "lower ones" in display.axes_[0].get_xlabel()


def test_one_strange_row_is_a_bar_beside_the_threshold(detector):
    display = AnomalyDisplay.from_estimator(detector, [[1e3, 1e3, 1e3]])
    assert display.threshold_.get_label() == "threshold: 1 row below"
    (bar,) = [bar for bar in display.bars_ if bar.get_height()]
    low, high = display.axes_[0].get_xlim()
    assert low < bar.get_x() < display.threshold < high
    assert bar.get_width() > (high - low) / 100


def test_one_lower_score_is_told_as_one():
    display = shown([*np.linspace(0, 1, 100), -1e6], -1.0)
    assert display.axes_[0].get_xlabel() == ("score (high is normal; 1 lower one in the first bar)")


def test_few_rows_are_counted_in_whole_numbers_and_many_on_a_logarithmic_scale():
    few = shown(np.repeat([-9.0, 0.0], [1, 6]), -5.0).axes_[0]
    ticks = [tick for tick in few.get_yticks() if 0 <= tick <= few.get_ylim()[1]]
    assert few.get_yscale() == "linear"
    assert isinstance(few.yaxis.get_major_formatter(), ScalarFormatter)
    assert len(ticks) > 2
    assert np.array_equal(ticks, np.round(ticks))
    assert shown(np.repeat([-9.0, 0.0], [1, 600]), -5.0).axes_[0].get_yscale() == "symlog"


def test_what_rounds_to_zero_is_no_reason():
    display = shown([-9.0, -1.0], -5.0, [[("a", -4.0), ("b", -0.04)], [("c", -0.01)]])
    assert [text.get_text() for text in display.reasons_] == ["0  [-9.0]  a (-4.0)", "1  [-1.0]"]


def test_reasons_of_scores_in_small_units_are_told_in_their_digits():
    X = small_table()
    forest = DensityOutlierDetector(IsolationForest(random_state=0), random_state=0).fit(X)
    display = AnomalyDisplay.from_estimator(forest, X, n_strangest=3)
    (name, value), *_ = display.reasons[0]
    assert 0.05 < -value < 1
    assert f"{name} ({value:+.2f})" in display.reasons_[0].get_text()
