"""How a fit went: likelihood per iteration of a flow, negentropy per layer of an iteration."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skgauss.display._axes import BLUE, ORANGE, axes_grid, counted, merged

__all__ = ["ConvergenceDisplay"]

_BAND = 2  # standard errors
_LEAST = 1e-4  # nats; layers that move nothing gain rounding errors
_MOST_MARKED = 100  # layers with a marker each


class ConvergenceDisplay:
    """How a fit converged, and where it stopped.

    For a flow, the log-likelihood per row of the training rows and of the rows held out, after
    every iteration, and which iteration was kept. For layers fitted one after the other, the
    negentropy that each took from the rows held out, with a band of two standard errors, and
    how many layers were kept. The first of these, which takes the columns by themselves, usually
    removes far more than any later one: it is marked, and what is large is read on a logarithmic
    scale.

    It is recommended to use `from_estimator` to create a display.

    Parameters
    ----------
    training : array of shape (n_iterations,), default=None
        Mean log-likelihood of the training rows, in nats per row.
    held_out : array of shape (n_iterations,), default=None
        The same of the rows held out; empty where none were.
    negentropy : array of shape (n_layers_tried,), default=None
        Nats that each layer removed. Drawn if given, and the likelihoods are not.
    negentropy_stderr : array of shape (n_layers_tried,), default=None
        Their standard errors.
    n_layers : int, default=None
        Layers kept.
    best_iter : int, default=None
        Iteration kept, 0 for none; None takes that of the best held-out likelihood, or the last.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : list of matplotlib Line2D
        Training and, where rows were held out, held-out likelihood; or negentropy of the layers
        kept and of those tried and dropped.
    band_ : matplotlib collection or None
        The band of two standard errors.
    stop_ : matplotlib Line2D
        The iteration, or the number of layers, that was kept.
    first_ : matplotlib Line2D or None
        Mark of the first layer.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_wine
    >>> from skgauss import GlowGaussianizer
    >>> from skgauss.display import ConvergenceDisplay
    >>> X = load_wine().data
    >>> glow = GlowGaussianizer(dequantize=True, max_iter=5, random_state=0).fit(X)
    >>> display = ConvergenceDisplay.from_estimator(glow)
    >>> [line.get_label() for line in display.lines_]
    ['training rows', 'held-out rows']
    >>> plt.show()
    """

    ax_: Any
    figure_: Any

    def __init__(
        self,
        *,
        training=None,
        held_out=None,
        negentropy=None,
        negentropy_stderr=None,
        n_layers=None,
        best_iter=None,
    ):
        self.training = training
        self.held_out = held_out
        self.negentropy = negentropy
        self.negentropy_stderr = negentropy_stderr
        self.n_layers = n_layers
        self.best_iter = best_iter

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None, **kwargs: Any) -> Self:
        """Draw how the fit of an estimator converged.

        Parameters
        ----------
        estimator : fitted estimator
            With ``loss_curve_`` and ``validation_scores_``, or with ``negentropy_``,
            ``negentropy_stderr_`` and ``n_layers_``.
        ax : matplotlib Axes, default=None
            None makes a figure.
        **kwargs
            Further arguments of `plot`.

        Returns
        -------
        display : ConvergenceDisplay

        Raises
        ------
        TypeError
            If the estimator has neither.
        ValueError
            If its layers were fitted without rows held out, so that none judged them, or if it was
            not trained.
        """
        check_is_fitted(estimator)
        if hasattr(estimator, "negentropy_"):
            if not len(estimator.negentropy_):
                raise ValueError(
                    f"{estimator!r} held out no rows, so that no layer's negentropy was measured: "
                    "stopping=None and tables of fewer than 40 rows, or 4 distinct ones, hold "
                    "out none."
                )
            display = cls(
                negentropy=np.asarray(estimator.negentropy_, float),
                negentropy_stderr=np.asarray(estimator.negentropy_stderr_, float),
                n_layers=int(estimator.n_layers_),
            )
        elif hasattr(estimator, "loss_curve_"):
            if not len(estimator.loss_curve_):
                raise ValueError(
                    f"{estimator!r} was not trained, so that there is no curve: all of max_time "
                    "went to its head. Give it more."
                )
            display = cls(
                training=-np.asarray(estimator.loss_curve_, float),
                held_out=np.asarray(getattr(estimator, "validation_scores_", ()), float),
                best_iter=getattr(estimator, "best_iter_", None),
            )
        else:
            raise TypeError(
                f"{type(estimator).__name__} keeps no record of its convergence: it has neither "
                "loss_curve_ nor negentropy_."
            )
        return display.plot(ax=ax, **kwargs)

    def plot(
        self,
        *,
        ax: Any = None,
        line_kwargs: dict | None = None,
        band_kwargs: dict | None = None,
        stop_kwargs: dict | None = None,
    ) -> Self:
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a figure.
        line_kwargs, band_kwargs, stop_kwargs : dict, default=None
            For the curves, the band of two standard errors, and the line of the stop.

        Returns
        -------
        display : ConvergenceDisplay
            This display.
        """
        if ax is None:
            ax = axes_grid(self, None, (1, 1), figsize=(6.4, 4.4))[0, 0]
        self.ax_, self.figure_, self.band_, self.first_ = ax, ax.figure, None, None
        if self.training is not None:
            where, label = self._likelihood(ax, line_kwargs)
        else:
            where, label = self._negentropy(ax, line_kwargs, band_kwargs)
        stop = {"color": "0.4", "linestyle": ":", "linewidth": 1.5, "label": label}
        self.stop_ = ax.axvline(where, **merged(stop, stop_kwargs))
        ax.spines[["top", "right"]].set_visible(False)
        ax.legend(frameon=False)
        return self

    def _likelihood(self, ax, line_kwargs):
        """Draw the curves; return where the stop is, and what it is called."""
        style = {"color": BLUE, "linestyle": "--", "label": "training rows"}
        curves = [(self.training, style)]
        if len(self.held_out):
            curves.append((self.held_out, {"color": ORANGE, "label": "held-out rows"}))
        self.lines_ = [
            ax.plot(np.arange(1, len(values) + 1), values, **merged(style, line_kwargs))[0]
            for values, style in curves
        ]
        kept = self.best_iter
        if kept is None:
            kept = int(np.argmax(self.held_out)) + 1 if len(self.held_out) else len(self.training)
        ax.set(xlabel="iteration", ylabel="log-likelihood (nats per row)")
        return kept, f"kept: iteration {kept}" if kept else "kept: the start, and no iteration"

    def _negentropy(self, ax, line_kwargs, band_kwargs):
        """Draw the layers; return where the stop is, and what it is called."""
        layers = np.arange(1, len(self.negentropy) + 1)
        noise = _BAND * self.negentropy_stderr
        band = merged({"facecolor": "0.85", "label": "± 2 standard errors"}, band_kwargs)
        low, high = self.negentropy - noise, self.negentropy + noise
        self.band_ = ax.fill_between(layers, low, high, **band)
        kept = layers <= self.n_layers
        size = 4 if len(layers) <= _MOST_MARKED else 0
        self.lines_ = [
            ax.plot(layers[part], self.negentropy[part], **merged(style, line_kwargs))[0]
            for part, style in (
                (kept, {"color": BLUE, "marker": "o", "markersize": size, "label": "kept"}),
                (~kept, {"color": ORANGE, "marker": "s", "markersize": size, "label": "dropped"}),
            )
            if part.any()
        ]
        (self.first_,) = ax.plot(
            *(1, self.negentropy[0]), "D", color="black", label="columns by themselves", zorder=3
        )
        ax.axhline(0, color="0.6", linewidth=0.8, zorder=0)
        # Below its noise a layer's gain is read on a linear scale, above on a logarithmic one.
        if noise.any():
            threshold = 10.0 ** np.ceil(np.log10(max(np.median(noise[noise > 0]), _LEAST)))
            if 10 * threshold < np.abs(self.negentropy).max():
                ax.set_yscale("symlog", linthresh=threshold)
                ax.autoscale(axis="y")
        ax.set(xlabel="layer", ylabel="negentropy removed (nats, held-out rows)")
        return self.n_layers + 0.5, f"stop: {counted(self.n_layers, 'layer')}"
