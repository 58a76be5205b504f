"""What all marginals share: standardised columns, each fitted by itself, all mapped at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import ndtri
from sklearn.base import OneToOneFeatureMixin

from skgauss._threads import Threads
from skgauss._validation import numpy_generator
from skgauss.base import BaseGaussianizer
from skgauss.canonical import canonical_columns
from skgauss.marginals.columns import standardisation
from skgauss.resolution import column_resolution

__all__ = ["BaseMarginal"]

_BY_CHANCE = 0.005  # probability that any column of normals is bent


class BaseMarginal(BaseGaussianizer):
    """Base of the estimators that Gaussianize every column by itself.

    Rows enter by content, in the order of `skgauss.canonical.canonical_columns`: a row of weight
    k is exactly k copies of it. Every column is standardised by its median and interquartile
    range. A subclass implements, on standardised columns,

    - ``_fit_column(column, weight, resolution, n_errors)``: fit one column of shape (n_rows,) and
      return anything; `resolution` is the step of a column whose values repeat on a grid, else 0;
      `n_errors` are the standard errors by which a map should beat the straight line;
    - ``_keep(fitted)``: turn the list of what these returned into fitted attributes;
    - ``_columns_forward(Y) -> (Z, log_slope)``: map columns of shape (n_features, n_rows);
    - ``_columns_inverse(Z) -> Y``: the way back.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.marginals.base import BaseMarginal
    >>> class Standardizer(BaseMarginal):
    ...     _parameter_constraints = {}
    ...     subsample = n_jobs = random_state = None
    ...
    ...     def _fit_column(self, column, weight, resolution, n_errors):
    ...         return None
    ...
    ...     def _keep(self, fitted):
    ...         pass
    ...
    ...     def _columns_forward(self, Y):
    ...         return Y, np.zeros(Y.shape)
    ...
    ...     def _columns_inverse(self, Z):
    ...         return Z
    >>> X = np.random.default_rng(0).normal(10, 2, size=(1000, 1))
    >>> round(float(Standardizer().fit_transform(X).std()), 1)
    1.0
    """

    subsample: int | None
    random_state: Any
    loc_: np.ndarray
    scale_: np.ndarray

    def _fit_column(
        self, column: np.ndarray, weight: np.ndarray, resolution: float, n_errors: float
    ) -> Any:
        raise TypeError(f"{type(self).__name__} does not define _fit_column")

    def _keep(self, fitted: list) -> None:
        raise TypeError(f"{type(self).__name__} does not define _keep")

    def _columns_forward(self, Y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        raise TypeError(f"{type(self).__name__} does not define _columns_forward")

    def _columns_inverse(self, Z: np.ndarray) -> np.ndarray:
        raise TypeError(f"{type(self).__name__} does not define _columns_inverse")

    def _fit(self, X, sample_weight):
        self._note_range(X, sample_weight)
        salt = int(numpy_generator(self.random_state).integers(2**63))
        self._fit_columns(*canonical_columns(X, sample_weight, salt))

    def _fit_columns(self, Y: np.ndarray, weight: np.ndarray) -> None:
        """Fit to canonical columns of shape (n_features, n_rows)."""
        if self.subsample is not None:
            Y, weight = Y[:, : self.subsample], weight[: self.subsample]
        steps = column_resolution(Y.T, weight)
        n_errors = -ndtri(_BY_CHANCE / len(Y))

        def fit(column, step):
            loc, scale = standardisation(column, weight)
            standardised = (column - loc) / scale
            return loc, scale, self._fit_column(standardised, weight, step / scale, n_errors)

        fitted = Threads(self.n_jobs).map(lambda pair: fit(*pair), zip(Y, steps, strict=True))
        loc, scale, columns = zip(*fitted, strict=True)
        self.loc_, self.scale_ = np.array(loc), np.array(scale)
        self._keep(list(columns))

    def _forward(self, X):
        Z, log_slope = self._columns_forward(((X - self.loc_) / self.scale_).T)
        return Z.T, np.sum(log_slope, axis=0) - np.sum(np.log(self.scale_))

    def _inverse(self, Z):
        return self._columns_inverse(Z.T).T * self.scale_ + self.loc_

    def _log_density_by_column(self, Y: np.ndarray) -> np.ndarray:
        """Log-density of columns of shape (n_features, n_rows), less the normal's constant."""
        scale = self.scale_[:, None]
        Z, log_slope = self._columns_forward((Y - self.loc_[:, None]) / scale)
        return log_slope - 0.5 * Z**2 - np.log(scale)

    def get_feature_names_out(self, input_features=None):
        """Names of the latents: those of the columns, which keep their meaning.

        Parameters
        ----------
        input_features : array-like of str or None, default=None

        Returns
        -------
        feature_names_out : array of str of shape (n_features,)
        """
        return OneToOneFeatureMixin.get_feature_names_out(self, input_features)
