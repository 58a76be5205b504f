"""The learned density of two columns, with rows and samples."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from sklearn.utils import check_scalar

from skgauss._thresholds import ZERO_DENSITY
from skgauss._validation import validate_table
from skgauss.display._axes import (
    BLUE,
    ORANGE,
    axes_grid,
    check_fitted_with,
    column_names,
    merged,
    random_rows,
)

__all__ = ["DensityDisplay"]

_LIKELY = 0.99  # share of the rows that the grid spans in any case


def _like(table: Any, values: np.ndarray) -> Any:
    """Put `values` into a frame of the kind of `table`, if it is one."""
    if not hasattr(table, "columns"):
        return values
    if hasattr(table, "iloc"):
        return type(table)(values, columns=table.columns)
    return type(table)(values, schema=list(table.columns))


def _draw(estimator: Any, n_samples: int, random_state: Any) -> np.ndarray:
    """Samples of any estimator: scikit-learn's mixtures return labels too, and take no seed."""
    takes_seed = "random_state" in inspect.signature(estimator.sample).parameters
    drawn = estimator.sample(n_samples, **({"random_state": random_state} if takes_seed else {}))
    return np.asarray(drawn[0] if isinstance(drawn, tuple) else drawn)


def _range(values: np.ndarray, likely: np.ndarray, padding: float) -> list[np.ndarray]:
    """Ends of the grid, per column: half the range of likely rows beyond these at most, padded."""
    low, high = likely.min(axis=0), likely.max(axis=0)
    room = 0.5 * (high - low)
    low, high = (
        np.maximum(values.min(axis=0), low - room),
        np.minimum(values.max(axis=0), high + room),
    )
    margin = padding * np.where(high > low, high - low, 1)
    return [low - margin, high + margin]


class DensityDisplay:
    """Density of two columns as contours, with rows and with samples.

    The contours are those of highest density: the one of 90 % holds the 90 % of the rows that are
    most likely. So they mean the same for every estimator and in all units.

    It is recommended to use `from_estimator` to create a display.

    Parameters
    ----------
    xx0, xx1 : array of shape (grid_resolution, grid_resolution)
        Grid of the first and the second column.
    log_density : array of shape (grid_resolution, grid_resolution)
        In nats, on the grid.
    levels : array of shape (n_levels,)
        Log-densities of the contours, increasing.
    shares : array of shape (n_levels,)
        Share of the rows inside each.
    rows : array of shape (n_rows, 2)
        To be drawn as points.
    samples : array of shape (n_samples, 2)
        Likewise; may be empty.
    xlabel, ylabel : str, default=""

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    surface_ : matplotlib QuadContourSet
        The filled contours.
    contours_ : matplotlib QuadContourSet
        The lines.
    rows_, samples_ : matplotlib PathCollection
        The points; `samples_` is None without samples.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import make_moons
    >>> from sklearn.mixture import GaussianMixture
    >>> from skgauss.display import DensityDisplay
    >>> X, _ = make_moons(500, noise=0.1, random_state=0)
    >>> mixture = GaussianMixture(8, random_state=0).fit(X)
    >>> display = DensityDisplay.from_estimator(mixture, X, shares=(0.5, 0.9))
    >>> inside = mixture.score_samples(X) > display.levels[0]
    >>> round(float(inside.mean()), 2)
    0.9
    >>> plt.show()
    """

    ax_: Any
    figure_: Any

    def __init__(
        self, *, xx0, xx1, log_density, levels, shares, rows, samples, xlabel="", ylabel=""
    ):
        self.xx0 = xx0
        self.xx1 = xx1
        self.log_density = log_density
        self.levels = levels
        self.shares = shares
        self.rows = rows
        self.samples = samples
        self.xlabel = xlabel
        self.ylabel = ylabel

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        shares: float | Sequence[float] = (0.5, 0.9, 0.99),
        grid_resolution: int = 100,
        padding: float = 0.1,
        n_samples: int = 300,
        subsample: int | None = 2_000,
        random_state: Any = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the density of an estimator fitted to two columns.

        Parameters
        ----------
        estimator : fitted estimator with `score_samples`
            Any of scikit-learn's density estimators fits. Samples are drawn if it has `sample`.
        X : array-like of shape (n_rows, 2)
            The contours hold shares of these rows.
        shares : float or sequence of float, default=(0.5, 0.9, 0.99)
            Share of the rows inside each contour, in (0, 1).
        grid_resolution : int, default=100
            Points per side of the grid, at least 2.
        padding : float, default=0.1
            How far the grid goes beyond the rows, as a share of their range; not negative.
            Before that, it ends at most half the range of the likeliest 99 % of the rows (or the
            largest share) beyond these: the legend counts rows that are farther out.
        n_samples : int, default=300
            Samples shown; 0 for none.
        subsample : int or None, default=2_000
            Rows drawn at random to be shown, if `X` has more. The levels come from all of them.
        random_state : int, RandomState instance or None, default=None
            Of the samples, where the estimator's `sample` takes it, and of the subsample.
        ax : matplotlib Axes, default=None
            None makes a figure.
        **kwargs
            Further arguments of `plot`.

        Returns
        -------
        display : DensityDisplay

        Raises
        ------
        TypeError
            If the estimator has no `score_samples`, or a number is of another type.
        ValueError
            If `X` has another number of columns, or does not hold finite numbers; if a share is not
            in (0, 1), or fewer rows than that have a positive density; or if another number is less
            than described.
        """
        check_scalar(grid_resolution, "grid_resolution", Integral, min_val=2)
        check_scalar(padding, "padding", Real, min_val=0)
        check_scalar(n_samples, "n_samples", Integral, min_val=0)
        check_fitted_with(cls, estimator, "score_samples")
        X = X if hasattr(X, "columns") else np.asarray(X)
        if np.ndim(X) != 2 or X.shape[1] != 2:
            raise ValueError(
                f"DensityDisplay draws the density of two columns, X has shape {np.shape(X)}. "
                "Fit an estimator to two of them."
            )
        inside = np.sort(np.ravel(np.asarray(shares, float)))[::-1]
        if not inside.size or not np.all((inside > 0) & (inside < 1)):
            raise ValueError(f"shares must be one or more in (0, 1), got {inside.tolist()}.")
        values, _ = validate_table(X, "X")
        shown = random_rows(values, subsample, random_state)
        samples = np.empty((0, 2))
        if n_samples and hasattr(estimator, "sample"):
            samples = _draw(estimator, n_samples, random_state)
        scores = np.asarray(estimator.score_samples(X))
        n_zero = np.sum(scores <= ZERO_DENSITY)
        if n_zero and (scores.size - 1) * (1 - inside[0]) < n_zero:
            share = n_zero / len(scores)
            raise ValueError(
                f"{type(estimator).__name__} gives {share:.1%} of the rows a density of zero: "
                f"no contour holds {inside[0]:.3g} of them. Give smaller shares."
            )
        likely = values[scores >= np.quantile(scores, 1 - max(_LIKELY, inside[0]), method="lower")]
        low, high = _range(values, likely, padding)
        sides = np.linspace(low, high, grid_resolution)
        xx0, xx1 = np.meshgrid(*sides.T)
        grid = _like(X, np.column_stack([xx0.ravel(), xx1.ravel()]))
        levels, kept = np.unique(np.quantile(scores, 1 - inside), return_index=True)
        names = column_names(X, 2)
        display = cls(
            xx0=xx0,
            xx1=xx1,
            log_density=np.reshape(estimator.score_samples(grid), xx0.shape),
            levels=levels,
            shares=inside[kept],
            rows=shown,
            samples=samples,
            xlabel=names[0],
            ylabel=names[1],
        )
        return display.plot(ax=ax, **kwargs)

    def plot(
        self,
        *,
        ax: Any = None,
        contour_kwargs: dict | None = None,
        rows_kwargs: dict | None = None,
        samples_kwargs: dict | None = None,
        labels: bool = True,
    ) -> Self:
        """Draw contours and points.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a figure.
        contour_kwargs, rows_kwargs, samples_kwargs : dict, default=None
            For ``Axes.contourf`` and, for the points, ``Axes.scatter``; the levels of the contours
            are the display's own.
        labels : bool, default=True
            Whether the legend names the share of the rows inside each contour.

        Returns
        -------
        display : DensityDisplay
            This display.

        Raises
        ------
        ValueError
            If `contour_kwargs` has levels.
        """
        if "levels" in (contour_kwargs or {}):
            raise ValueError(
                "contour_kwargs takes no levels: the contours are those of the `shares` of the "
                "rows, an argument of DensityDisplay.from_estimator."
            )
        if ax is None:
            ax = axes_grid(self, None, (1, 1), figsize=(6.4, 4.8))[0, 0]
        self.ax_, self.figure_ = ax, ax.figure
        where = (self.xx0, self.xx1, self.log_density)
        filled = merged({"cmap": "Greys", "alpha": 0.5, "extend": "max"}, contour_kwargs)
        edges = self.levels
        if len(edges) == 1:  # a band needs two edges
            edges = np.append(
                edges, max(float(self.log_density.max()), np.nextafter(edges[0], np.inf))
            )
        self.surface_ = ax.contourf(*where, levels=edges, **filled)
        self.contours_ = ax.contour(
            *where, levels=self.levels, colors="0.35", linewidths=0.7, linestyles="solid"
        )
        points = {"s": 8, "linewidth": 0, "alpha": 0.6}
        kwargs = merged({**points, "color": BLUE, "label": self._rows_label()}, rows_kwargs)
        self.rows_ = ax.scatter(*self.rows.T, **kwargs)
        self.samples_ = None
        if len(self.samples):
            style = {**points, "color": ORANGE, "marker": "s", "label": "samples"}
            self.samples_ = ax.scatter(*self.samples.T, **merged(style, samples_kwargs))
        ax.set(xlabel=self.xlabel, ylabel=self.ylabel)
        ax.set(xlim=(self.xx0.min(), self.xx0.max()), ylim=(self.xx1.min(), self.xx1.max()))
        handles, names = ax.get_legend_handles_labels()
        if labels:
            bands, _ = self.surface_.legend_elements()
            handles += bands[: len(self.shares)]
            names += [f"{100 * share:.3g} % of the rows" for share in self.shares]
        ax.legend(handles, names, frameon=False, loc="upper right")
        return self

    def _rows_label(self):
        low, high = (self.xx0.min(), self.xx1.min()), (self.xx0.max(), self.xx1.max())
        n_beyond = int(np.any((self.rows < low) | (self.rows > high), axis=1).sum())
        return f"rows ({n_beyond} beyond the picture)" if n_beyond else "rows"
