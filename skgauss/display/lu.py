"""The matrix of an invertible 1x1 convolution and its triangular factors."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from skgauss.display._axes import axes_grid, counted, merged

__all__ = ["LUDisplay"]

_ANNOTATED = 8  # channels; in a larger matrix the numbers would not be readable


class LUDisplay:
    """The factors of an invertible 1x1 convolution, ``W = P L U``.

    P is drawn only where it is not the identity. The colours are centred on zero and shared by
    the panels; up to 8 channels, the entries are written into them.

    It is recommended to use `from_layer` or `from_estimator` to create a display.

    Parameters
    ----------
    lower, upper, weight : array of shape (n_channels, n_channels)
        L, U and W.
    permutation : array of int of shape (n_channels,)
        ``P v = v[permutation]``.

    Attributes
    ----------
    axes_ : array of matplotlib axes, of shape (n_panels,)
    figure_ : matplotlib Figure
    bounding_ax_ : matplotlib Axes or None
        The axis in whose place the panels stand, if one was given.
    images_ : list of matplotlib AxesImages
    colorbar_ : matplotlib Colorbar

    Examples
    --------
    >>> import jax
    >>> import matplotlib.pyplot as plt
    >>> from skgauss.bijections import Invertible1x1Conv
    >>> from skgauss.display import LUDisplay
    >>> conv = Invertible1x1Conv.init(jax.random.key(0), 4, start="identity")
    >>> display = LUDisplay.from_layer(conv)
    >>> [axis.get_title() for axis in display.axes_]
    ['L', 'U', 'W = L U']
    >>> plt.show()
    """

    axes_: np.ndarray
    figure_: Any
    bounding_ax_: Any

    def __init__(self, *, lower, upper, weight, permutation):
        self.lower = lower
        self.upper = upper
        self.weight = weight
        self.permutation = permutation

    @classmethod
    def from_layer(cls, layer: Any, *, ax: Any = None, **kwargs: Any) -> Self:
        """Draw a layer.

        Parameters
        ----------
        layer : skgauss.bijections.Invertible1x1Conv
        ax : matplotlib Axes or array of them, default=None
            See `plot`.
        **kwargs
            Further arguments of `plot`.

        Returns
        -------
        display : LUDisplay

        Raises
        ------
        TypeError
            If it is another layer.
        ValueError
            If it holds the convolutions of several steps.
        """
        from skgauss.bijections import Invertible1x1Conv

        if not isinstance(layer, Invertible1x1Conv):
            raise TypeError(
                f"LUDisplay.from_layer draws an Invertible1x1Conv, got {type(layer).__name__}. "
                "That of a step of a fitted flow is drawn by "
                "LUDisplay.from_estimator(estimator, step=0)."
            )
        if np.ndim(layer.lower) != 2:
            raise ValueError(
                f"The layer holds {counted(len(layer.lower), 'convolution')}, one per step: draw "
                "one of them with LUDisplay.from_estimator(estimator, step=0)."
            )
        import jax

        with jax.enable_x64(True):  # a fitted flow's arrays are float64
            display = cls(
                lower=np.asarray(layer.lower_factor),
                upper=np.asarray(layer.upper_factor),
                weight=np.asarray(layer.weight),
                permutation=np.asarray(layer.permutation),
            )
        return display.plot(ax=ax, **kwargs)

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, step: int = 0, ax: Any = None, **kwargs: Any
    ) -> Self:
        """Draw the convolution of one step of a fitted flow.

        Parameters
        ----------
        estimator : fitted GlowGaussianizer with ``mixer="lu"``
        step : int, default=0
            A negative one counts from the last.
        ax : matplotlib Axes or array of them, default=None
            See `plot`.
        **kwargs
            Further arguments of `plot`.

        Returns
        -------
        display : LUDisplay

        Raises
        ------
        TypeError
            If there are no steps, or they mix the columns in another way.
        ValueError
            If there is no such step.
        """
        from sklearn.utils.validation import check_is_fitted

        from skgauss.bijections import GlowStack, Invertible1x1Conv

        check_is_fitted(estimator)
        layers = getattr(getattr(estimator, "flow_", None), "bijections", ())
        stack = next((layer for layer in layers if isinstance(layer, GlowStack)), None)
        if stack is None:
            raise TypeError(
                "LUDisplay draws a step of a fitted GlowGaussianizer with mixer='lu'; this "
                f"{type(estimator).__name__} has no steps."
            )
        mixer = stack.steps.mixer
        if not isinstance(mixer, Invertible1x1Conv):
            raise TypeError(
                f"LUDisplay draws a flow with mixer='lu'; its steps hold a {type(mixer).__name__}."
            )
        n_steps = len(mixer.lower)
        is_number = isinstance(step, int | np.integer) and not isinstance(step, bool)
        if not is_number or not -n_steps <= step < n_steps:
            raise ValueError(f"step={step!r}: this flow has the steps 0 to {n_steps - 1}.")
        layer = Invertible1x1Conv(
            *(
                np.asarray(array)[step]
                for array in (
                    mixer.lower,
                    mixer.upper,
                    mixer.log_diag_u,
                    mixer.permutation,
                    mixer.signs,
                )
            )
        )
        return cls.from_layer(layer, ax=ax, **kwargs)

    def plot(
        self, *, ax: Any = None, image_kwargs: dict | None = None, colorbar: bool = True
    ) -> Self:
        """Draw the panels.

        Parameters
        ----------
        ax : matplotlib Axes or array of them, default=None
            One axis gives its place to the panels; an array must hold 3 axes, 4 if P is not
            the identity. None makes a figure.
        image_kwargs : dict, default=None
            For ``Axes.imshow``.
        colorbar : bool, default=True

        Returns
        -------
        display : LUDisplay
            This display.
        """
        n_channels = len(self.permutation)
        factors = {"L": self.lower, "U": self.upper, "W = L U": self.weight}
        if not np.array_equal(self.permutation, np.arange(n_channels)):
            factors = {
                "P": np.eye(n_channels)[self.permutation],
                "L": self.lower,
                "U": self.upper,
                "W = P L U": self.weight,
            }
        size = (2.6 * len(factors) + 0.6, 2.9)
        axes = axes_grid(self, ax, (1, len(factors)), figsize=size)
        self.axes_ = axes.ravel()
        largest = max(float(np.abs(factor).max()) for factor in factors.values())
        kwargs = merged({"cmap": "RdBu_r", "vmin": -largest, "vmax": largest}, image_kwargs)
        norm: Any = kwargs.get("norm")
        if hasattr(norm, "autoscale_None"):
            norm.autoscale_None(np.stack(list(factors.values())))  # not to the first panel alone
        self.images_ = []
        for axis, (name, factor) in zip(self.axes_, factors.items(), strict=True):
            self.images_.append(axis.imshow(factor, **kwargs))
            axis.set(title=name, xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
            if n_channels <= _ANNOTATED:
                self._annotate(axis, factor, self.images_[-1])
        self.colorbar_ = None
        if colorbar:
            self.colorbar_ = self.figure_.colorbar(
                self.images_[-1], ax=list(self.axes_), shrink=0.8
            )
        return self

    def _annotate(self, axis, factor, image):
        size = min(8.0, 40 / len(factor))
        for (i, j), value in np.ndenumerate(np.round(factor, 2) + 0.0):  # no rounded -0
            dark = 0.15 < image.norm(value) < 0.85
            axis.text(
                j,
                i,
                f"{value:.2f}",
                ha="center",
                va="center",
                fontsize=size,
                color="black" if dark else "white",
            )
