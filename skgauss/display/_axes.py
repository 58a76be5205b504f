"""What all displays share: matplotlib where it is installed, axes to draw on, two colours."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.utils import check_random_state, check_scalar
from sklearn.utils.validation import check_is_fitted

__all__ = [
    "BLUE",
    "ORANGE",
    "axes_grid",
    "check_fitted_with",
    "column_names",
    "counted",
    "merged",
    "pyplot",
    "random_rows",
]

BLUE, ORANGE = "#0072B2", "#D55E00"
_REPLACED = {  # by keyword: defaults that it cannot stand beside, or that would hide it
    "c": ("color",),
    "color": ("facecolor",),
    "colors": ("cmap",),
    "norm": ("vmin", "vmax"),
    "fontproperties": ("fontsize",),
    "histtype": ("edgecolor",),
    "edgecolor": ("linewidth",),
    "facecolor": ("linewidth",),
    "marker": ("linewidth",),
}


def check_fitted_with(display: type, estimator: Any, method: str) -> None:
    """Refuse an estimator that is not fitted, or lacks what the display draws."""
    check_is_fitted(estimator)
    if not hasattr(estimator, method):
        raise TypeError(
            f"{display.__name__} needs a fitted estimator with {method}; "
            f"{type(estimator).__name__} has none."
        )


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
    """Keyword arguments for matplotlib: the display's, overridden by the user's.

    A default gives way to all names of its property, and to keywords that take its place. The
    names of the defaults are those that matplotlib writes in full.
    """
    from matplotlib.cbook import normalize_kwargs
    from matplotlib.collections import Collection
    from matplotlib.lines import Line2D
    from matplotlib.text import Text

    given = given or {}
    said = {
        full
        for name in given
        for artist in (Collection, Line2D, Text)
        for full in normalize_kwargs({name: None}, artist)
    }
    said.update(*(_REPLACED.get(name, ()) for name in said))
    return {name: value for name, value in defaults.items() if name not in said} | {**given}


def random_rows(X: Any, subsample: int | None, random_state: Any) -> Any:
    """Draw at most `subsample` rows of an array or a frame, in their order."""
    n_rows = len(X)
    if subsample is not None:
        check_scalar(subsample, "subsample", Integral, min_val=1)
    if subsample is None or n_rows <= subsample:
        return X
    rows = check_random_state(random_state).choice(n_rows, subsample, replace=False)
    rows.sort()
    return X.iloc[rows] if hasattr(X, "iloc") else X[rows]


def column_names(X: Any, n_columns: int) -> list[str]:
    """Names of the columns: those of a frame, else their numbers."""
    names = getattr(X, "columns", None)
    return [f"column {j}" for j in range(n_columns)] if names is None else list(map(str, names))


def counted(n: int, noun: str) -> str:
    """A number of things in words: 1 row, 2 rows."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
