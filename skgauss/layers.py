"""The fitted layers of a Gaussianization that was built layer by layer, in NumPy.

Every layer maps columns, an array of shape (n_features, n_rows): ``forward(Y) -> (Z, log_det)``
and ``inverse(Z) -> Y``. Layers hold NumPy arrays and estimators only.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from skgauss.base import BaseGaussianizer
from skgauss.grid_spline import GridSpline

__all__ = ["MapLayer", "MarginalColumns", "RotationLayer"]


class MapLayer(NamedTuple):
    """A fitted map of whole rows as a layer: a marginal Gaussianization, or a mixture's map.

    Attributes
    ----------
    map : object
        With ``forward(X) -> (Z, log_det)`` and ``inverse(Z) -> X`` of rows, of shape
        (n_rows, n_features).

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.layers import MapLayer
    >>> from skgauss.marginals import SplineMarginal
    >>> X = np.random.default_rng(0).exponential(size=(100, 2))
    >>> layer = MapLayer(SplineMarginal().fit(X))
    >>> bool(np.allclose(layer.inverse(layer.forward(X.T)[0]), X.T))
    True
    """

    map: Any

    def forward(self, Y: np.ndarray, *, log_det: bool = True):
        """Map columns; see the module."""
        forward, _ = _both_ways(self.map)
        Z, log_dets = forward(np.ascontiguousarray(Y.T))
        return np.ascontiguousarray(Z.T), log_dets

    def inverse(self, Z: np.ndarray) -> np.ndarray:
        """Map columns back; see the module."""
        _, inverse = _both_ways(self.map)
        return np.ascontiguousarray(inverse(np.ascontiguousarray(Z.T)).T)


def _both_ways(fitted):
    """The two methods of an estimator or of a plain map."""
    if isinstance(fitted, BaseGaussianizer):
        return fitted._forward, fitted._inverse
    return fitted.forward, fitted.inverse


class MarginalColumns(NamedTuple):
    """A fitted marginal estimator that moves some columns and leaves the others.

    Attributes
    ----------
    columns : array of int of shape (n_moved,)
    marginal : estimator or None
        Fitted to these columns; None where none is moved.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.layers import MarginalColumns
    >>> MarginalColumns(np.arange(0), None).forward(np.ones((1, 2)))[1].tolist()
    [0.0, 0.0]
    """

    columns: np.ndarray
    marginal: Any

    def forward(self, Y: np.ndarray, *, log_det: bool = True):
        """Map columns in place; see the module."""
        if not len(self.columns):
            return Y, np.zeros(Y.shape[1])
        Y[self.columns], log_dets = MapLayer(self.marginal).forward(Y[self.columns])
        return Y, log_dets

    def inverse(self, Z: np.ndarray) -> np.ndarray:
        """Map columns back; see the module."""
        Y = Z.copy()
        if len(self.columns):
            Y[self.columns] = MapLayer(self.marginal).inverse(Z[self.columns])
        return Y


class RotationLayer(NamedTuple):
    """Rotate, then move every column that is worth it.

    Attributes
    ----------
    mean : array of shape (n_features,)
        Taken off first.
    components : array of shape (n_features, n_features)
        The linear map, one direction per row; invertible.
    marginal : GridSpline or MarginalColumns

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.layers import MarginalColumns, RotationLayer
    >>> layer = RotationLayer(np.zeros(2), 2 * np.eye(2), MarginalColumns(np.arange(0), None))
    >>> Z, log_det = layer.forward(np.array([[1.0], [3.0]]))
    >>> Z.ravel().tolist(), log_det.round(4).tolist()
    ([2.0, 6.0], [1.3863])
    """

    mean: np.ndarray
    components: np.ndarray
    marginal: GridSpline | MarginalColumns

    def rotate(self, Y: np.ndarray) -> np.ndarray:
        """Apply the linear part."""
        return self.components @ (Y - self.mean[:, None])

    def forward(self, Y: np.ndarray, *, log_det: bool = True):
        """Map columns; see the module."""
        Z, log_slope = self.marginal.forward(self.rotate(Y), log_det=log_det)
        if not log_det:
            return Z, None
        return Z, log_slope + np.linalg.slogdet(self.components)[1]

    def inverse(self, Z: np.ndarray) -> np.ndarray:
        """Map columns back; see the module."""
        return np.linalg.solve(self.components, self.marginal.inverse(Z)) + self.mean[:, None]
