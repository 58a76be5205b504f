"""What all displays share: matplotlib where it is installed, axes to draw on, two colours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

__all__ = ["BLUE", "ORANGE", "axes_grid", "column_names", "merged", "pyplot", "random_rows"]

BLUE, ORANGE = "#0072B2", "#D55E00"


def pyplot(display: Any) -> Any:
    """Import ``matplotlib.pyplot``, or say for whom and how to install it."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            f"{type(display).__name__}.plot needs matplotlib: pip install 'skgauss[plot]'."
        ) from error
    return plt


def axes_grid(
    display: Any,
    ax: Any,
    shape: tuple[int, int],
    figsize: tuple[float, float],
    width_ratios: Any = None,
) -> np.ndarray:
    """Give axes of `shape`: in a new figure, in the place of one axis, or those given.

    Sets ``figure_`` and ``bounding_ax_`` of the display, as scikit-learn's displays of several
    panels do.
    """
    plt = pyplot(display)
    display.bounding_ax_ = None
    n_rows, n_columns = shape
    if ax is None:
        display.figure_, axes = plt.subplots(
            n_rows,
            n_columns,
            squeeze=False,
            figsize=figsize,
            width_ratios=width_ratios,
            layout="constrained",
        )
        return axes
    if isinstance(ax, plt.Axes):
        if not ax.axison:
            raise ValueError(
                "The axis was already used by another display: pass `ax=display.axes_` to draw on "
                "its panels, or another axis."
            )
        ax.set_axis_off()
        display.bounding_ax_, display.figure_ = ax, ax.figure
        if spec := ax.get_subplotspec():
            grid = spec.subgridspec(n_rows, n_columns, width_ratios=width_ratios)
        else:  # an axis put in its place by hand
            place = ax.get_position()
            sides = {"left": place.x0, "right": place.x1, "bottom": place.y0, "top": place.y1}
            grid = display.figure_.add_gridspec(
                n_rows, n_columns, width_ratios=width_ratios, **sides
            )
        cells = [display.figure_.add_subplot(cell) for cell in grid]
        return np.array(cells, dtype=object).reshape(shape)
    axes = np.asarray(ax, dtype=object)
    if axes.size != n_rows * n_columns:
        raise ValueError(
            f"ax must be one axis or {n_rows} x {n_columns} of them, got shape {axes.shape}."
        )
    display.figure_ = axes.flat[0].figure
    return axes.reshape(shape)


def merged(defaults: Mapping[str, Any], given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Keyword arguments for matplotlib: the display's, overridden by the user's."""
    return {**defaults, **(given or {})}


def random_rows(X: Any, subsample: int | None, random_state: Any) -> Any:
    """Draw at most `subsample` rows of an array or a frame, in their order."""
    n_rows = len(X)
    if subsample is None or n_rows <= subsample:
        return X
    rows = check_random_state(random_state).choice(n_rows, subsample, replace=False)
    rows.sort()
    return X.iloc[rows] if hasattr(X, "iloc") else X[rows]


def column_names(X: Any, n_columns: int) -> list[str]:
    """Names of the columns: those of a frame, else their numbers."""
    names = getattr(X, "columns", None)
    return [f"column {j}" for j in range(n_columns)] if names is None else list(map(str, names))
