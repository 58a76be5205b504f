"""Before and after: the columns of a table and the latents that an estimator makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any, Self

import numpy as np
from scipy import stats
from sklearn.pipeline import Pipeline

from skgauss._validation import validate_table
from skgauss.diagnosis import pairwise_dependence
from skgauss.display._axes import (
    BLUE,
    axes_grid,
    check_fitted_with,
    column_names,
    counted,
    merged,
    random_rows,
)

__all__ = ["GaussianizationDisplay"]


def _most_dependent(values: np.ndarray) -> tuple[int, ...]:
    """Pair of columns that depend on each other most; a single column alone."""
    n_columns = values.shape[1]
    if n_columns == 1:
        return (0,)
    dependence = pairwise_dependence(values)
    pairs = np.triu_indices(n_columns, 1)
    best = int(np.argmax(dependence[pairs]))
    return int(pairs[0][best]), int(pairs[1][best])


def _numbers(estimator: Any, X: Any) -> np.ndarray:
    """Columns as numbers, or a message that says which are none and what to draw instead."""
    try:
        return validate_table(X, "X")[0]
    except ValueError as error:
        if not isinstance(estimator, Pipeline):
            raise
        raise ValueError(
            f"{error} Where steps of the pipeline do so, draw its last step: "
            "GaussianizationDisplay.from_estimator(pipeline[-1], pipeline[:-1].transform(X))."
        ) from error


def _pair(chosen: Any, values: np.ndarray, names: list[str], what: str):
    """Numbers of the columns to show, from numbers or names."""
    if chosen is None:
        return _most_dependent(values)
    chosen = [chosen] if isinstance(chosen, str | Integral) else list(chosen)
    numbers = tuple(names.index(c) if c in names else c for c in chosen)
    expected = min(2, len(names))
    if len(numbers) != expected or any(
        not isinstance(j, int | np.integer) or not 0 <= j < len(names) for j in numbers
    ):
        raise ValueError(
            f"{what} must name {expected} of {names}, or be their numbers; got {chosen}."
        )
    return numbers


class GaussianizationDisplay:
    """A table before and after Gaussianization.

    Above the columns, below the latents: a scatter of two of them, with their dependence from 0 to
    1, how each of the two is distributed, and the quantiles of all against those of a normal.
    Dashed lines are normal: for a column, of its own mean and standard deviation; for a latent,
    N(0, 1).

    It is recommended to use `from_estimator` to create a display.

    Parameters
    ----------
    columns, latents : array of shape (n_rows, n_features)
        The rows before and after.
    feature_names, latent_names : list of str
    features, shown_latents : tuple of int
        The two (or, of a single feature, the one) drawn by themselves.

    Attributes
    ----------
    axes_ : array of matplotlib axes, of shape (2, 4); (2, 2) for a single feature
    figure_ : matplotlib Figure
    bounding_ax_ : matplotlib Axes or None
        The axis in whose place the panels stand, if one was given.
    scatters_ : list of two matplotlib PathCollections
        Empty for a single feature.
    lines_ : list of two lists of matplotlib Line2D
        The quantiles, one line per column and per latent.

    See Also
    --------
    skgauss.display.DensityDisplay : The learned density of two columns.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_iris
    >>> from skgauss.display import GaussianizationDisplay
    >>> from skgauss.marginals import SplineMarginal
    >>> X = load_iris(as_frame=True).data
    >>> marginal = SplineMarginal().fit(X)
    >>> display = GaussianizationDisplay.from_estimator(marginal, X)
    >>> display.axes_[0, 0].get_xlabel(), display.axes_[0, 0].get_ylabel()
    ('sepal length (cm)', 'petal length (cm)')
    >>> plt.show()
    """

    axes_: np.ndarray
    figure_: Any
    bounding_ax_: Any
    scatters_: list
    lines_: list

    def __init__(self, *, columns, latents, feature_names, latent_names, features, shown_latents):
        self.columns = columns
        self.latents = latents
        self.feature_names = feature_names
        self.latent_names = latent_names
        self.features = features
        self.shown_latents = shown_latents

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        features: Sequence | None = None,
        latents: Sequence | None = None,
        subsample: int | None = 2_000,
        random_state: Any = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw what a fitted transformer makes of a table.

        Parameters
        ----------
        estimator : fitted estimator with `transform`
        X : array-like of shape (n_rows, n_features)
            Rows that the estimator was not fitted on tell more.
        features, latents : pair of int or str, default=None
            Which columns and latents to draw by themselves. None takes the two that depend on
            each other most (`skgauss.diagnosis.pairwise_dependence`), of columns and of latents.
        subsample : int or None, default=2_000
            Rows drawn at random, for everything shown, if `X` has more; None shows all.
        random_state : int, RandomState instance or None, default=None
            Of the subsample.
        ax : matplotlib Axes or array of them, default=None
            See `plot`.
        **kwargs
            Further arguments of `plot`.

        Returns
        -------
        display : GaussianizationDisplay

        Raises
        ------
        TypeError
            If the estimator has no `transform`.
        ValueError
            If a column does not hold finite numbers, several columns have a single latent, or one
            has several.
        """
        check_fitted_with(cls, estimator, "transform")
        X = X if hasattr(X, "columns") else np.asarray(X)
        shown = random_rows(X, subsample, random_state)
        columns = _numbers(estimator, shown)
        values = np.asarray(estimator.transform(shown), dtype=float)
        numbers = columns.shape[1], values.shape[1]
        if min(numbers) == 1 and max(numbers) > 1:
            raise ValueError(
                f"{type(estimator).__name__} makes {counted(numbers[1], 'latent')} of "
                f"{counted(numbers[0], 'column')}: pairs are drawn, so both must be several, or "
                "both one."
            )
        feature_names = column_names(shown, columns.shape[1])
        latent_names = [f"latent {j}" for j in range(values.shape[1])]
        display = cls(
            columns=columns,
            latents=values,
            feature_names=feature_names,
            latent_names=latent_names,
            features=_pair(features, columns, feature_names, "features"),
            shown_latents=_pair(latents, values, latent_names, "latents"),
        )
        return display.plot(ax=ax, **kwargs)

    def plot(
        self,
        *,
        ax: Any = None,
        scatter_kwargs: dict | None = None,
        hist_kwargs: dict | None = None,
        line_kwargs: dict | None = None,
        reference_kwargs: dict | None = None,
    ) -> Self:
        """Draw the panels.

        Parameters
        ----------
        ax : matplotlib Axes or array of them, default=None
            One axis gives its place to the panels; an array must hold 2 x 4 axes, 2 x 2 for a
            single feature. None makes a figure.
        scatter_kwargs, hist_kwargs, line_kwargs, reference_kwargs : dict, default=None
            For ``Axes.scatter``, ``Axes.hist``, the lines of quantiles, and the dashed lines.

        Returns
        -------
        display : GaussianizationDisplay
            This display.
        """
        n_shown = len(self.features)
        width_ratios = [1.25, 1, 1, 1.1] if n_shown == 2 else [1, 1.1]
        axes = axes_grid(
            self,
            ax,
            (2, len(width_ratios)),
            figsize=(3.5 * len(width_ratios), 6.6),
            width_ratios=width_ratios,
        )
        self.axes_, self.scatters_, self.lines_ = axes, [], []
        reference = merged(
            {"color": "black", "linestyle": "--", "linewidth": 1.2}, reference_kwargs
        )
        mean, std = self.columns.mean(axis=0), self.columns.std(axis=0)
        std = np.where(np.ptp(self.columns, axis=0) > 0, std, 1)
        zeros, ones = np.zeros(self.latents.shape[1]), np.ones(self.latents.shape[1])
        for panels, values, names, shown, loc, scale in (
            (axes[0], self.columns, self.feature_names, self.features, mean, std),
            (axes[1], self.latents, self.latent_names, self.shown_latents, zeros, ones),
        ):
            if n_shown == 2:
                self._scatter(
                    panels[0], values[:, shown], [names[j] for j in shown], scatter_kwargs
                )
            for axis, j in zip(panels[-1 - n_shown : -1], shown, strict=True):
                self._histogram(
                    axis, values[:, j], names[j], loc[j], scale[j], hist_kwargs, reference
                )
            self._quantiles(panels[-1], (values - loc) / scale, line_kwargs, reference)
            for axis in panels:
                axis.spines[["top", "right"]].set_visible(False)
        return self

    def _scatter(self, axis, values, labels, kwargs):
        kwargs = merged({"s": 9, "alpha": 0.6, "linewidth": 0, "color": BLUE}, kwargs)
        self.scatters_.append(axis.scatter(*values.T, **kwargs))
        axis.set(xlabel=labels[0], ylabel=labels[1])
        dependence = pairwise_dependence(values)[0, 1]
        axis.set_title(f"dependence {dependence:.2f}", fontsize="medium")

    def _histogram(self, axis, values, label, mean, std, kwargs, reference):
        kwargs = merged(
            {"bins": 30, "density": True, "facecolor": (BLUE, 0.35), "edgecolor": "white"}, kwargs
        )
        axis.hist(values, **kwargs)
        grid = np.linspace(min(values.min(), mean - std), max(values.max(), mean + std), 200)
        axis.plot(grid, stats.norm.pdf(grid, mean, std), **reference)
        axis.set(xlabel=label, yticks=[])
        skewness = stats.skew(values) if np.ptp(values) else 0.0
        axis.set_title(f"skewness {skewness:+.2f}", fontsize="medium")

    def _quantiles(self, axis, standard, kwargs, reference):
        kwargs = merged({"color": BLUE, "alpha": 0.6, "linewidth": 1.2}, kwargs)
        normal = stats.norm.ppf((np.arange(len(standard)) + 0.5) / len(standard))
        self.lines_.append(axis.plot(normal, np.sort(standard, axis=0), **kwargs))
        axis.axline((0, 0), slope=1, **reference)
        axis.set(xlabel="normal quantile", ylabel="quantile")
        axis.set_title("against normal quantiles", fontsize="medium")
