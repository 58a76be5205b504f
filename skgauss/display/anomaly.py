"""What a detector finds: the scores with their threshold, and the strangest rows with reasons."""

from __future__ import annotations

import math
from numbers import Integral
from typing import Any, Self

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils import check_scalar
from sklearn.utils.validation import check_is_fitted

from skgauss.display._axes import (
    BLUE,
    ORANGE,
    axes_grid,
    column_names,
    counted,
    merged,
    random_rows,
)
from skgauss.explanation import Explanation

__all__ = ["AnomalyDisplay"]

_FARTHEST = 50.0  # interquartile ranges below the first quartile that a histogram shows
_FEW = 50  # rows; up to as many, bars are counted on a linear scale


def _rows(X, index):
    return X.iloc[index] if hasattr(X, "iloc") else X[index]


def _explained(detector, before, X) -> Explanation:
    """Reasons in the columns that the steps before a detector give it, by the names they give."""
    if not before:
        return detector.explain(X)
    explanation = detector.explain(before.transform(X))
    given = getattr(before, "feature_names_in_", None)
    given = column_names(X, np.shape(X)[1]) if given is None else given
    try:
        names = before.get_feature_names_out(given)
    except AttributeError:  # a step gives none: the names are the detector's own
        return explanation
    return explanation._replace(columns=list(names))


def _told(number, form):
    """A number for reading; a large one by its power of ten."""
    return format(number, form if abs(number) < 1e6 else form.replace("f", "e"))


def _decimals(rows):
    """Decimals that show two digits of the largest contribution, one at least."""
    largest = max((abs(value) for reasons in rows for _, value in reasons), default=0) or 1
    return max(1, 1 - math.floor(math.log10(largest)))


def _distinct_ends(values, threshold):
    """Ends of a range of values and a threshold, so far apart that numbers lie between them."""
    low, high = float(min(values.min(), threshold)), float(max(values.max(), threshold))
    room = 0.5 if high == low else 0.0
    room = max(room, 1e-9 * max(abs(low), abs(high)) - (high - low))
    return low - room, high + room


class AnomalyDisplay:
    """Scores of rows with the threshold, and why the strangest ones are strange.

    On the left a histogram of the scores and the threshold below which rows are outliers; if a bar
    has more than 50 rows, numbers above ten are read on a logarithmic scale. On the right the
    lowest-scoring rows, with what the columns that count most take from their score; columns that
    add to it, or take what rounds to zero, are no reasons.

    It is recommended to use `from_estimator` to create a display.

    Parameters
    ----------
    scores : array of shape (n_rows,)
        High is normal.
    threshold : float
    rows : list
        Labels of the strangest rows, the strangest first.
    row_scores : array of shape (n_strangest,)
    reasons : list of lists of (str, float)
        For each of these rows, columns and their contributions, the first reason first; see
        `skgauss.explanation.Explanation.reasons`.

    Attributes
    ----------
    axes_ : array of matplotlib axes, of shape (2,)
    figure_ : matplotlib Figure
    bounding_ax_ : matplotlib Axes or None
        The axis in whose place the panels stand, if one was given.
    bars_ : matplotlib BarContainer
        The histogram.
    threshold_ : matplotlib Line2D
    reasons_ : list of matplotlib Text
        One line per row.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import numpy as np
    >>> from skgauss import DensityOutlierDetector
    >>> from skgauss.display import AnomalyDisplay
    >>> X = np.random.default_rng(0).normal(size=(300, 3))
    >>> X[7, 1] = 6
    >>> detector = DensityOutlierDetector(random_state=0).fit(X)
    >>> display = AnomalyDisplay.from_estimator(detector, X, n_strangest=5)
    >>> display.rows[0], display.reasons[0][0][0]
    (7, 'column 1')
    >>> plt.show()
    """

    axes_: np.ndarray
    figure_: Any
    bounding_ax_: Any

    def __init__(self, *, scores, threshold, rows, row_scores, reasons):
        self.scores = scores
        self.threshold = threshold
        self.rows = rows
        self.row_scores = row_scores
        self.reasons = reasons

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        n_strangest: int = 10,
        n_reasons: int = 2,
        subsample: int | None = None,
        random_state: Any = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Score rows, and explain the strangest.

        Parameters
        ----------
        estimator : fitted DensityOutlierDetector, or Pipeline that ends with one
            Behind a pipeline, reasons are the columns that its last step sees, by the names of
            its ``get_feature_names_out`` if all steps have it.
        X : array-like of shape (n_rows, n_features)
        n_strangest, n_reasons : int
            How many rows to explain, at least 1, and with how many columns at most, at least 0.
        subsample : int or None, default=None
            Rows drawn at random that are scored, at least 1; None means all.
        random_state : int, RandomState instance or None, default=None
            Of the subsample.
        ax : matplotlib Axes or two of them, default=None
            None makes a figure.
        **kwargs
            Further arguments of `plot`.

        Returns
        -------
        display : AnomalyDisplay

        Raises
        ------
        TypeError
            If the estimator cannot explain its scores, or a number of rows is no integer.
        ValueError
            If a number of rows or reasons is less than described.
        """
        check_scalar(n_strangest, "n_strangest", Integral, min_val=1)
        check_scalar(n_reasons, "n_reasons", Integral, min_val=0)
        check_is_fitted(estimator)
        before, detector = None, estimator
        if isinstance(estimator, Pipeline):
            before, detector = estimator[:-1], estimator[-1]
        if not hasattr(detector, "explain"):
            raise TypeError(
                f"{type(detector).__name__} gives no reasons: an estimator with explain is "
                "needed, such as DensityOutlierDetector(estimator=...) around it, or a Pipeline "
                "that ends with one."
            )
        X = X if hasattr(X, "columns") else np.asarray(X)
        drawn = random_rows(np.arange(len(X)), subsample, random_state)
        X = _rows(X, drawn)
        scores = estimator.score_samples(X)
        order = np.argsort(scores, kind="stable")[:n_strangest]
        index = getattr(X, "index", None)
        explanation = _explained(detector, before, _rows(X, order))
        display = cls(
            scores=scores,
            threshold=float(detector.offset_),
            rows=[int(drawn[i]) if index is None else index[i] for i in order],
            row_scores=scores[order],
            reasons=[explanation.reasons(i, n_reasons) for i in range(len(order))],
        )
        return display.plot(ax=ax, **kwargs)

    def plot(
        self,
        *,
        ax: Any = None,
        bar_kwargs: dict | None = None,
        line_kwargs: dict | None = None,
        text_kwargs: dict | None = None,
    ) -> Self:
        """Draw both panels.

        Parameters
        ----------
        ax : matplotlib Axes or two of them, default=None
            None makes a figure.
        bar_kwargs, line_kwargs, text_kwargs : dict, default=None
            For the histogram, the threshold and the reasons.

        Returns
        -------
        display : AnomalyDisplay
            This display.
        """
        axes = axes_grid(self, ax, (1, 2), figsize=(9.6, 4.4), width_ratios=[1.1, 1])
        self.axes_ = axes.ravel()
        self._histogram(self.axes_[0], bar_kwargs, line_kwargs)
        self._list(self.axes_[1], text_kwargs)
        return self

    def _histogram(self, ax, bar_kwargs, line_kwargs):
        low, high, top = np.quantile(self.scores, [0.25, 0.75, 1.0])
        room = max(high - low, (top - self.threshold) / _FARTHEST)  # of a bar below the threshold
        lowest = min(low - _FARTHEST * (high - low), self.threshold - room)
        shown, n_beyond = np.maximum(self.scores, lowest), int(np.sum(self.scores < lowest))
        edges = np.histogram_bin_edges(shown, 60, _distinct_ends(shown, self.threshold))
        counts, _ = np.histogram(shown, edges)
        middles = (edges[1:] + edges[:-1]) / 2
        colours = np.where(middles < self.threshold, ORANGE, BLUE)
        bars = merged({"width": np.diff(edges), "color": colours}, bar_kwargs)
        self.bars_ = ax.bar(middles, counts, **bars)
        n_below = int(np.sum(self.scores < self.threshold))
        label = f"threshold: {counted(n_below, 'row')} below"
        line = merged({"color": "0.3", "linestyle": "--", "label": label}, line_kwargs)
        self.threshold_ = ax.axvline(self.threshold, **line)
        if counts.max() > _FEW:
            ax.set_yscale("symlog", linthresh=10)
        else:
            ax.set_yscale("linear")
            ax.locator_params(axis="y", integer=True)
        beyond = f"; {counted(n_beyond, 'lower one')} in the first bar" if n_beyond else ""
        ax.set(xlabel=f"score (high is normal{beyond})", ylabel="rows")
        ax.spines[["top", "right"]].set_visible(False)
        ax.legend(framealpha=1, edgecolor="none")

    def _list(self, ax, text_kwargs):
        ax.set_axis_off()
        ax.set_title("strangest rows, and what takes most from their score", fontsize="medium")
        style = {"verticalalignment": "top", "fontsize": "small", "transform": ax.transAxes}
        style, self.reasons_ = merged(style, text_kwargs), []
        n_decimals = _decimals(self.reasons)
        for i, (row, score, reasons) in enumerate(
            zip(self.rows, self.row_scores, self.reasons, strict=True)
        ):
            why = ", ".join(
                f"{name} ({_told(value, f'+.{n_decimals}f')})"
                for name, value in reasons
                if round(value, n_decimals)
            )
            place = 1 - (i + 0.5) / (len(self.rows) + 0.5)
            line = f"{row}  [{_told(score, f'.{n_decimals}f')}]  {why}".rstrip()
            self.reasons_.append(ax.text(0, place, line, **style))
