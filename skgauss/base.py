"""What all Gaussianizers share: from one invertible map come features, density and samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from numbers import Integral
from typing import Any, Self

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    DensityMixin,
    TransformerMixin,
)
from sklearn.utils import check_scalar
from sklearn.utils.parallel import delayed
from sklearn.utils.validation import check_is_fitted

from skgauss._blas import one_blas_thread
from skgauss._documentation import DocumentationLinkMixin
from skgauss._threads import parallel
from skgauss._validation import (
    LARGEST,
    all_or_nothing,
    numpy_generator,
    validate_latents,
    validate_rows,
)
from skgauss._version import VersionedStateMixin
from skgauss.diagnosis import Diagnosis, diagnose

__all__ = ["BaseGaussianizer"]

FIT_AGAIN_BELOW = 5_000  # rows; what those held out say is best is then fitted to all of them
_BLOCKS_PER_TASK = 4
_STRAY = 10.0  # ranges of the table beyond it
_MOST_DRAWS = 20


def _evaluate(function, X, block_size):
    """Apply `function` to float64 blocks of the rows given; works in other processes too."""
    with one_blas_thread():
        starts = range(0, len(X), block_size)
        return [function(np.asarray(X[i : i + block_size], np.float64)) for i in starts]


class BaseGaussianizer(
    DocumentationLinkMixin,
    VersionedStateMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    DensityMixin,
    BaseEstimator,
):
    """Base of the estimators that learn an invertible map to independent standard normals.

    A subclass implements three methods on validated rows:

    - ``_fit(X, sample_weight)``: learn the map; `sample_weight` may be None;
    - ``_forward(X) -> (Z, log_det)``: the map of a float64 block of at most ``_block_size``
      rows, with the logarithm of its Jacobian determinant per row;
    - ``_inverse(Z) -> X``: the way back.

    Everything else follows from these, so that there is one density, that of the map.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.base import BaseGaussianizer
    >>> class Standardizer(BaseGaussianizer):
    ...     _parameter_constraints = {"n_jobs": [None, int]}  # checked by fit
    ...
    ...     def __init__(self, *, n_jobs=None):
    ...         self.n_jobs = n_jobs
    ...
    ...     def _fit(self, X, sample_weight):
    ...         self._note_range(X, sample_weight)
    ...         weight = np.ones(len(X)) if sample_weight is None else sample_weight
    ...         self.loc_ = weight @ X / weight.sum()
    ...         self.scale_ = np.sqrt(weight @ (X - self.loc_) ** 2 / weight.sum())
    ...
    ...     def _forward(self, X):
    ...         return (X - self.loc_) / self.scale_, np.full(len(X), -np.log(self.scale_).sum())
    ...
    ...     def _inverse(self, Z):
    ...         return Z * self.scale_ + self.loc_
    >>> X = np.random.default_rng(0).normal(10, 2, size=(1000, 1))
    >>> model = Standardizer().fit(X)
    >>> entropy = 0.5 + 0.5 * np.log(2 * np.pi * X.var())  # of the Gaussian with this variance
    >>> bool(np.isclose(model.score(X), -entropy))
    True
    """

    _block_size = 1024

    n_jobs: int | None
    data_min_: np.ndarray
    data_max_: np.ndarray

    def _fit(self, X: np.ndarray, sample_weight: np.ndarray | None) -> None:
        raise TypeError(f"{type(self).__name__} does not define _fit")

    def _forward(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        raise TypeError(f"{type(self).__name__} does not define _forward")

    def _inverse(self, Z: np.ndarray) -> np.ndarray:
        raise TypeError(f"{type(self).__name__} does not define _inverse")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Learn the map from a table to independent standard normals.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Numbers, finite; at least two rows.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_rows,), default=None
            Frequencies: a row of weight k counts as k rows, one of weight 0 as absent. Where they
            sum to less than the number of rows, only their proportions count.

        Returns
        -------
        self : object
            If anything fails, or is interrupted, `self` is left as it was.

        Raises
        ------
        ValueError
            If a parameter, the table or the weights are not as described; the message names
            the parameter or the column.
        """
        with all_or_nothing(self):
            self._validate_params()
            X, sample_weight = validate_rows(self, X, sample_weight, reset=not self._carries_on())
            self._fit(X, sample_weight)
        return self

    def _carries_on(self) -> bool:
        """Whether `fit` goes on from what was fitted before, hence to the same columns."""
        return False

    @property
    def _n_features_out(self) -> int:
        return self.n_features_in_

    def _blocks(self, function: Callable, X: np.ndarray) -> Iterator[tuple[slice, Any]]:
        """Apply `function` to float64 blocks of rows, ``n_jobs`` at a time, in order."""
        size = self._rows_at_once()
        starts = range(0, len(X), size * _BLOCKS_PER_TASK)
        tasks = [slice(i, min(i + starts.step, len(X))) for i in starts]
        evaluate = delayed(_evaluate)
        try:
            workers = parallel(self.n_jobs, return_as="generator")
        except ValueError:  # the backend in force gives no results one by one
            workers = parallel(self.n_jobs)
        with one_blas_thread():
            results = workers(evaluate(function, X[task], size) for task in tasks)
            for task, blocks in zip(tasks, results, strict=True):
                for i, value in enumerate(blocks):
                    start = task.start + i * size
                    yield slice(start, min(start + size, task.stop)), value

    def _rows_at_once(self) -> int:
        """Rows of a block; no property, which looking at an estimator would evaluate."""
        return self._block_size

    def _latents(self, X: np.ndarray) -> np.ndarray:
        """Latents of validated rows, in their precision."""
        Z = np.empty(X.shape, X.dtype)
        for part, (z, _) in self._blocks(self._forward, X):
            Z[part] = z
        return Z

    def _rows(self, Z: np.ndarray) -> np.ndarray:
        """Rows of validated latents, in their precision."""
        X = np.empty(Z.shape, Z.dtype)
        farthest = min(LARGEST, float(np.finfo(Z.dtype).max))
        for part, x in self._blocks(self._inverse, Z):
            X[part] = np.clip(x, -farthest, farthest)  # or it could not be scored again
        return X

    def _weigh(self, X: np.ndarray) -> np.ndarray:
        """Log-density of a block of rows."""
        z, log_det = self._forward(X)
        total = np.full(len(z), z.shape[1] * math.log(2 * math.pi))
        with np.errstate(over="ignore"):  # of a latent beyond 1e154, the density is zero
            for column in z.T:  # a sum over an axis adds one row in another order
                total += column**2
        return log_det - 0.5 * total

    def _log_density(self, X: np.ndarray) -> np.ndarray:
        """Log-density of validated rows."""
        log_density = np.empty(len(X))
        for part, of_block in self._blocks(self._weigh, X):
            log_density[part] = of_block
        return log_density

    def transform(self, X: Any) -> np.ndarray:
        """Map rows to independent standard normals.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)

        Returns
        -------
        Z : array of shape (n_rows, n_features)
            In the precision of `X`.
        """
        check_is_fitted(self)
        X, _ = validate_rows(self, X, reset=False)
        return self._latents(X)

    def inverse_transform(self, X: Any) -> np.ndarray:
        """Map latents back to rows.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Latents, as `transform` returns them.

        Returns
        -------
        rows : array of shape (n_rows, n_features)
            In the precision of `X`.

        Raises
        ------
        ValueError
            If the number of columns, or a frame's column names, are not those of `transform`.
        """
        check_is_fitted(self)
        return self._rows(validate_latents(X, self._n_features_out, self.get_feature_names_out()))

    def score_samples(self, X: Any) -> np.ndarray:
        """Log-density of every row, in nats, in the units of `X`.

        Rescaling a column by c shifts it by ``-log|c|``: a log-density ranks rows in the
        coordinates that the table is given in.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)

        Returns
        -------
        log_density : array of float64 of shape (n_rows,)
            Minus infinity where the squares of latents are not finite.
        """
        check_is_fitted(self)
        X, _ = validate_rows(self, X, reset=False)
        return self._log_density(X)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Mean log-likelihood per row, in nats.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
        y : None
            Ignored.
        sample_weight : array-like of shape (n_rows,), default=None

        Returns
        -------
        score : float
        """
        check_is_fitted(self)
        X, sample_weight = validate_rows(self, X, sample_weight, reset=False)
        return float(np.average(self._log_density(X), weights=sample_weight))

    def sample(self, n_samples: int = 1, random_state: Any = None) -> np.ndarray:
        """Draw new rows from the learned density.

        A row that lies farther beyond the training rows than ten times their range, in any column
        that varies, is drawn again: a map that follows a thin, curved set of rows leaves some of
        its latents no place near it. Mostly these are less than one row in a thousand; seven in a
        thousand were the most that was seen.

        Parameters
        ----------
        n_samples : int, default=1
        random_state : int, RandomState instance or None, default=None

        Returns
        -------
        X : array of shape (n_samples, n_features)
        """
        check_is_fitted(self)
        check_scalar(n_samples, "n_samples", Integral, min_val=1)
        rng = numpy_generator(random_state)

        def draw(n):
            return self.inverse_transform(rng.standard_normal((n, self.n_features_in_)))

        X = draw(n_samples)
        for _ in range(_MOST_DRAWS):
            strays = np.flatnonzero(self._strays(X))
            if not strays.size:
                break
            X[strays] = draw(len(strays))
        return X

    def _strays(self, X: np.ndarray) -> np.ndarray:
        """Which rows lie far beyond the training rows in a column that varies."""
        with np.errstate(over="ignore"):  # of columns near the end of float64
            reach = _STRAY * (self.data_max_ - self.data_min_)
            low, high = self.data_min_ - reach, self.data_max_ + reach
        return np.any(((X < low) | (X > high)) & (reach > 0), axis=1)

    def diagnose(self, X: Any) -> Diagnosis:
        """Tell how good the map is on rows that it was not fitted on.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Held-out rows, at least two.

        Returns
        -------
        diagnosis : skgauss.diagnosis.Diagnosis
            Normality per latent, remaining dependence, largest round-trip error, share of
            rows outside the training range. It prints as a table.
        """
        check_is_fitted(self)
        X, _ = validate_rows(self, X, reset=False, min_rows=2)
        X = np.asarray(X, np.float64)
        Z = self._latents(X)
        return diagnose(X, Z, self._rows(Z), self.data_min_, self.data_max_)

    def _note_range(self, X: np.ndarray, weight: Any = None, *, widen: bool = False) -> None:
        """Keep, or widen, the range of the training rows of positive weight, for `diagnose`."""
        if weight is not None and not np.all(weight):
            X = X[weight > 0]
        low, high = np.asarray(X.min(axis=0), float), np.asarray(X.max(axis=0), float)
        if widen:
            low, high = np.minimum(low, self.data_min_), np.maximum(high, self.data_max_)
        self.data_min_, self.data_max_ = low, high
