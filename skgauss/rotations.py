"""Fitted rotations of a table: principal axes, independent components, random directions.

Each one whitens (a general linear map, whose log-determinant counts) and then rotates.
"""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
from scipy import linalg
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from skgauss._blas import one_blas_thread
from skgauss._documentation import DocumentationLinkMixin
from skgauss._validation import (
    Interval,
    StrOptions,
    all_or_nothing,
    numpy_generator,
    validate_latents,
    validate_rows,
)
from skgauss.canonical import canonical_columns
from skgauss.moments import Moments

__all__ = [
    "ROTATIONS",
    "ICARotation",
    "PCARotation",
    "RandomRotation",
    "ica_axes",
    "random_axes",
    "turned",
]

_ICA_ROWS = 10_000
_NO_VARIANCE = 1e-6  # of white rows
_FUNS = ("exp", "logcosh", "cube", "square")


def ica_axes(
    Y: np.ndarray,
    weight: np.ndarray | None,
    rng: np.random.Generator,
    fun: str = "exp",
    max_iter: int = 10,
    tol: float = 1e-3,
) -> np.ndarray:
    """Rotate whitened rows to the directions that look least normal.

    The symmetric fixed-point iteration of FastICA, with weights.

    Parameters
    ----------
    Y : array of shape (n_features, n_rows)
        White.
    weight : array of shape (n_rows,) or None
    rng : numpy.random.Generator
        Draws the start.
    fun : {"exp", "logcosh", "cube", "square"}, default="exp"
        Contrast: "exp" is robust, "cube" looks for kurtosis, "square" for skewness.
    max_iter : int, default=10
    tol : float, default=1e-3
        Ends when no axis turns by more.

    Returns
    -------
    axes : array of shape (n_features, n_features)
        Orthogonal, one axis per row.

    References
    ----------
    Hyvarinen (1999), Fast and robust fixed-point algorithms for independent component
    analysis, IEEE Transactions on Neural Networks 10(3), doi:10.1109/72.761722, equation 20.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.rotations import ica_axes
    >>> rng = np.random.default_rng(0)
    >>> sources = rng.uniform(-(3**0.5), 3**0.5, size=(2, 5000))
    >>> turned = np.array([[0.6, -0.8], [0.8, 0.6]]) @ sources
    >>> axes = ica_axes(turned, None, rng, max_iter=50)
    >>> np.abs(axes).round(1).tolist() in ([[0.6, 0.8], [0.8, 0.6]], [[0.8, 0.6], [0.6, 0.8]])
    True
    """
    return _ica_axes_and_count(Y, weight, rng, fun, max_iter, tol)[0]


def _ica_axes_and_count(Y, weight, rng, fun, max_iter, tol=1e-3):
    """Axes as of `ica_axes`, and the number of iterations made.

    In single precision: the axes are sought to `tol`, and made orthogonal in double.
    """
    Y = Y.astype(np.float32)
    share = None if weight is None else (weight / weight.sum()).astype(np.float32)
    axes = random_axes(len(Y), rng)
    for n_iter in range(1, max_iter + 1):
        U = axes.astype(np.float32) @ Y
        if fun == "exp":
            square = U * U
            value = np.exp(-0.5 * square)
            slope = (1 - square) * value
            value *= U
        elif fun == "logcosh":
            value = np.tanh(U)
            slope = 1 - value * value
        elif fun == "cube":
            value, slope = U**3, 3 * U * U
        else:
            value, slope = U * U, 2 * U
        if share is not None:
            value, slope = value * share, slope * share
        step = value @ Y.T - slope.sum(axis=1)[:, None] * axes  # its length is of no account
        left, _, right = np.linalg.svd(step)
        before, axes = axes, left @ right
        if np.min(np.abs(np.sum(before * axes, axis=1))) > 1 - tol:
            return axes, n_iter
    return axes, max_iter


def turned(white: np.ndarray, find: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Rotate the directions in which white rows vary, and leave the others where they are.

    Mixed with the others, a direction without variance would be bent by the marginal maps into
    one that has some, and stretched.

    Parameters
    ----------
    white : array of shape (n_features, n_rows)
    find : callable
        Maps the rows of `white` that vary to as many orthogonal axes.

    Returns
    -------
    axes : array of shape (n_features, n_features)

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.rotations import turned
    >>> white = np.array([[1.0, -1.0], [0.0, 0.0], [1.0, -1.0]])
    >>> turned(white, lambda varying: np.array([[0.0, 1.0], [1.0, 0.0]])).tolist()
    [[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]
    """
    varying = np.flatnonzero(np.einsum("ij,ij->i", white, white) > _NO_VARIANCE * white.shape[1])
    axes = np.eye(len(white))
    if len(varying) > 1:
        axes[np.ix_(varying, varying)] = find(white[varying])
    return axes


def random_axes(n_features: int, rng: np.random.Generator) -> np.ndarray:
    """Draw a rotation, uniformly (Haar).

    Parameters
    ----------
    n_features : int
    rng : numpy.random.Generator

    Returns
    -------
    axes : array of shape (n_features, n_features)

    References
    ----------
    Mezzadri (2007), How to generate random matrices from the classical compact groups, Notices
    of the AMS 54(5), arXiv:math-ph/0609050.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.rotations import random_axes
    >>> axes = random_axes(3, np.random.default_rng(0))
    >>> bool(np.allclose(axes @ axes.T, np.eye(3)))
    True
    """
    q, r = linalg.qr(rng.standard_normal((n_features, n_features)))
    return q * np.sign(np.diag(r))


class _Rotation(
    DocumentationLinkMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    BaseEstimator,
):
    """Base: whiten, then rotate by `_axes`."""

    mean_: np.ndarray
    components_: np.ndarray

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    @property
    def _n_features_out(self) -> int:
        return self.n_features_in_

    def _axes(self, Y, weight, rng):
        """Orthogonal axes of white columns; None for the principal ones."""
        return

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Find the axes.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
        y : None
            Ignored.
        sample_weight : array-like of shape (n_rows,), default=None
            Frequencies.

        Returns
        -------
        self : object
        """
        with all_or_nothing(self), one_blas_thread():
            self._validate_params()
            X, sample_weight = validate_rows(self, X, sample_weight, reset=True)
            rng = numpy_generator(getattr(self, "random_state", 0))
            Y, weight = canonical_columns(X, sample_weight, int(rng.integers(2**63)))
            self.mean_ = np.average(Y, axis=1, weights=weight)
            Y -= self.mean_[:, None]
            scale = np.abs(Y).max(axis=1)
            scale[scale == 0] = 1.0  # a constant column stays as it is
            Y /= scale[:, None]  # now squares neither over- nor underflow
            spread = np.sqrt(np.average(Y * Y, axis=1, weights=weight))
            spread[spread == 0] = 1.0
            Y /= spread[:, None]
            scale *= spread
            _, components = Moments.of(Y, weight).whitening()
            Y, weight = Y[:, :_ICA_ROWS], weight[:_ICA_ROWS]
            axes = self._axes(components @ Y, weight, rng)
            self.components_ = (components if axes is None else axes @ components) / scale
        return self

    @property
    def log_det_(self) -> float:
        """Logarithm of the absolute determinant of the map, in nats."""
        return float(np.linalg.slogdet(self.components_)[1])

    def transform(self, X: Any) -> np.ndarray:
        """Project rows onto the axes.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)

        Returns
        -------
        Y : array of shape (n_rows, n_features)
        """
        check_is_fitted(self)
        X, _ = validate_rows(self, X, reset=False)
        return ((X - self.mean_) @ self.components_.T).astype(X.dtype, copy=False)

    def inverse_transform(self, X: Any) -> np.ndarray:
        """Undo `transform`.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Rows as `transform` returns them.

        Returns
        -------
        rows : array of shape (n_rows, n_features)
            In the precision of `X`.
        """
        check_is_fitted(self)
        X = validate_latents(X, self._n_features_out, self.get_feature_names_out())
        rows = np.linalg.solve(self.components_, X.T).T + self.mean_
        return rows.astype(X.dtype, copy=False)


class PCARotation(_Rotation):
    """Whiten along the principal axes.

    Attributes
    ----------
    mean_ : array of shape (n_features,)
    components_ : array of shape (n_features, n_features)
        One scaled axis per row; ``transform`` is ``(X - mean_) @ components_.T``.
    log_det_ : float
        ``log|det components_|``, in nats.
    n_features_in_ : int
    feature_names_in_ : array of shape (n_features,)

    Notes
    -----
    Where there are fewer than 100 rows per column, the covariance of the standardised columns is
    shrunk towards the identity, by the share that is likeliest in five folds; variances below
    1e-9 of the largest are raised to that, so that columns that depend on each other are still
    mapped one to one.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.rotations import PCARotation
    >>> X = np.random.default_rng(0).normal(size=(5000, 2)) @ np.array([[2.0, 1.0], [0.0, 1.0]])
    >>> np.cov(PCARotation().fit_transform(X), rowvar=False).round(2).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """

    _parameter_constraints: ClassVar[dict] = {}


class ICARotation(_Rotation):
    """Whiten, then rotate to the directions that look least normal (FastICA).

    Unlike `sklearn.decomposition.FastICA` it takes sample weights and is made to be one step of
    many: few iterations, on at most 10,000 rows.

    Parameters
    ----------
    fun : {"exp", "logcosh", "cube", "square"}, default="exp"
        Contrast, see `ica_axes`.
    max_iter : int, default=10
    random_state : int, RandomState instance or None, default=None
        Of the start.

    Attributes
    ----------
    mean_ : array of shape (n_features,)
    components_ : array of shape (n_features, n_features)
        One scaled axis per row; ``transform`` is ``(X - mean_) @ components_.T``.
    log_det_ : float
        ``log|det components_|``, in nats.
    n_iter_ : int
        Iterations made.
    n_features_in_ : int
    feature_names_in_ : array of shape (n_features,)

    References
    ----------
    Hyvarinen (1999), doi:10.1109/72.761722.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.rotations import ICARotation
    >>> X = np.random.default_rng(0).uniform(size=(5000, 2)) @ np.array([[2.0, 1.0], [0.0, 1.0]])
    >>> Y = ICARotation(random_state=0).fit_transform(X)
    >>> round(float(abs(Y).max()), 1)  # a unit-variance uniform ends at the root of 3
    1.8
    """

    _parameter_constraints: ClassVar[dict] = {
        "fun": [StrOptions(set(_FUNS))],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(self, *, fun="exp", max_iter=10, random_state=None):
        self.fun = fun
        self.max_iter = max_iter
        self.random_state = random_state

    def _axes(self, Y, weight, rng):
        self.n_iter_ = 1

        def find(varying):
            axes, self.n_iter_ = _ica_axes_and_count(varying, weight, rng, self.fun, self.max_iter)
            return axes

        return turned(Y, find)


class RandomRotation(_Rotation):
    """Whiten, then rotate at random (Haar).

    Parameters
    ----------
    random_state : int, RandomState instance or None, default=None

    Attributes
    ----------
    mean_ : array of shape (n_features,)
    components_ : array of shape (n_features, n_features)
        One scaled axis per row; ``transform`` is ``(X - mean_) @ components_.T``.
    log_det_ : float
        ``log|det components_|``, in nats.
    n_features_in_ : int
    feature_names_in_ : array of shape (n_features,)

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.rotations import RandomRotation
    >>> X = np.random.default_rng(0).normal(size=(100, 3))
    >>> rotation = RandomRotation(random_state=0).fit(X)
    >>> bool(np.allclose(rotation.inverse_transform(rotation.transform(X)), X))
    True
    """

    _parameter_constraints: ClassVar[dict] = {"random_state": ["random_state"]}

    def __init__(self, *, random_state=None):
        self.random_state = random_state

    def _axes(self, Y, weight, rng):
        return turned(Y, lambda varying: random_axes(len(varying), rng))


ROTATIONS = {"pca": PCARotation, "ica": ICARotation, "random": RandomRotation}
