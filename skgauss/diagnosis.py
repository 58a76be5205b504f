"""Is the map good? What `diagnose` measures on rows that it was not fitted on."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from scipy import stats

from skgauss._validation import validate_table

__all__ = ["Diagnosis", "diagnose", "pairwise_dependence"]


@dataclasses.dataclass(frozen=True, eq=False)
class Diagnosis:
    """How close held-out latents are to independent standard normals.

    Attributes
    ----------
    mean, std : array of shape (n_features,)
        Of each latent; 0 and 1 where the map is right.
    normality_distance : array of shape (n_features,)
        Kolmogorov-Smirnov distance of each latent to N(0, 1). NaN for one that is the same in all
        rows, such as that of a constant column: its `std` of 0 says what there is to say.
    normality_p_value : array of shape (n_features,)
        Of the Kolmogorov-Smirnov test; NaN likewise.
    dependence : float
        Largest absolute correlation of two latents, of one with the size of another, or of two
        sizes, by ranks (`pairwise_dependence`); 0 for a single feature.
    dependence_noise : float
        What independence would show: the 95 % point of that maximum, by Bonferroni's bound.
    round_trip_error : float
        Largest ``|inverse_transform(transform(x)) - x|``, relative to the largest absolute
        value of the column.
    outside_range : float
        Share of the rows with a value outside the range of the training rows.
    n_rows : int

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.marginals import SplineMarginal
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(2000, 2)) @ np.array([[1.0, 0.9], [0.0, 0.5]])  # two dependent columns
    >>> diagnosis = SplineMarginal().fit(X[:1000]).diagnose(X[1000:])
    >>> diagnosis.dependence > diagnosis.dependence_noise  # each by itself leaves them dependent
    True
    >>> print(diagnosis)
    1000 rows
    latent    mean     std   KS distance   p-value
    ...
    """

    mean: np.ndarray
    std: np.ndarray
    normality_distance: np.ndarray
    normality_p_value: np.ndarray
    dependence: float
    dependence_noise: float
    round_trip_error: float
    outside_range: float
    n_rows: int

    def __str__(self) -> str:
        lines = [f"{self.n_rows} rows", "latent    mean     std   KS distance   p-value"]
        columns = (self.mean, self.std, self.normality_distance, self.normality_p_value)
        for j, (mean, std, distance, p_value) in enumerate(zip(*columns, strict=True)):
            lines.append(f"{j:6d} {mean:7.3f} {std:7.3f} {distance:13.3f} {p_value:9.3g}")
        return "\n".join(
            [
                *lines,
                f"largest dependence of two latents  {self.dependence:.3f} "
                f"(independent ones stay below {self.dependence_noise:.3f})",
                f"largest round-trip error           {self.round_trip_error:.1e}",
                f"rows outside the training range    {self.outside_range:.1%}",
            ]
        )


def _normal_scores(ranks: np.ndarray) -> np.ndarray:
    return stats.norm.ppf((ranks - 0.5) / len(ranks))


def pairwise_dependence(X: Any) -> np.ndarray:
    """How much every two columns depend on each other, by ranks.

    A column is seen as its normal scores, which tell large from small, and as those of its
    distance from the median, which tell far out from near. The dependence of two columns is the
    largest absolute correlation of either of one with either of the other: it sees lines, parabolas
    and variances that move together, and no increasing map of a column changes it.

    Parameters
    ----------
    X : array-like of shape (n_rows, n_features)
        Numbers, finite.

    Returns
    -------
    dependence : array of shape (n_features, n_features)
        Symmetric, from 0 to 1; 0 on the diagonal and for constant columns.

    Raises
    ------
    ValueError
        If X is not as described; the message names the column.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.diagnosis import pairwise_dependence
    >>> X = np.random.default_rng(0).normal(size=(500, 3))
    >>> X[:, 1] = X[:, 0] ** 2  # uncorrelated
    >>> pairwise_dependence(X).round(1)
    array([[0. , 0.9, 0.1],
           [0.9, 0. , 0.1],
           [0.1, 0.1, 0. ]])
    """
    X, _ = validate_table(X, "X")
    ranks = stats.rankdata(X, axis=0)
    sizes = stats.rankdata(np.abs(ranks - (len(X) + 1) / 2), axis=0)  # ranks: exactly symmetric
    scores = np.hstack([_normal_scores(ranks), _normal_scores(sizes)])
    scores -= scores.mean(axis=0)
    norm = np.sqrt(np.sum(scores**2, axis=0))
    scores /= np.where(norm > 0, norm, 1)
    n_features = X.shape[1]
    correlations = np.abs(scores.T @ scores).reshape(2, n_features, 2, n_features)
    dependence = correlations.max(axis=(0, 2))
    np.fill_diagonal(dependence, 0)
    return dependence


def _distance_to_normal(z: np.ndarray) -> tuple[float, float]:
    """Kolmogorov-Smirnov distance and its p-value; NaN where nothing varies."""
    if z.min() == z.max():
        return np.nan, np.nan
    test = stats.kstest(z, "norm", method="asymp")
    return test.statistic, test.pvalue


def diagnose(X: Any, Z: Any, X_back: Any, data_min: Any, data_max: Any) -> Diagnosis:
    """Compare latents with independent standard normals.

    Parameters
    ----------
    X, Z, X_back : array-like of shape (n_rows, n_features)
        Rows, their latents, and the way back from these.
    data_min, data_max : array-like of shape (n_features,)
        Range of the training rows.

    Returns
    -------
    diagnosis : Diagnosis

    Raises
    ------
    ValueError
        If X or Z does not hold finite numbers, or the shapes differ.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.diagnosis import diagnose
    >>> Z = np.random.default_rng(0).normal(size=(1000, 2))
    >>> report = diagnose(Z, Z, Z, Z.min(0), Z.max(0))
    >>> report.round_trip_error, report.outside_range, report.dependence < 0.1
    (0.0, 0.0, True)
    """
    (X, _), (Z, _) = validate_table(X, "X"), validate_table(Z, "Z")
    X_back = np.asarray(X_back, np.float64)  # may be anything: that is what is asked
    if not X.shape == Z.shape == X_back.shape:
        raise ValueError(
            f"X has the shape {X.shape}, Z {Z.shape} and X_back {X_back.shape}: all three need the "
            "same one."
        )
    data_min, data_max = np.asarray(data_min, np.float64), np.asarray(data_max, np.float64)
    n_rows, n_features = Z.shape
    tests = np.array([_distance_to_normal(z) for z in Z.T])
    n_pairs = 2 * n_features * (n_features - 1)  # of two latents: values and sizes, either way
    magnitude = np.abs(X).max(axis=0)
    error = np.abs(X_back - X) / np.where(magnitude > 0, magnitude, 1)
    return Diagnosis(
        mean=Z.mean(axis=0),
        std=Z.std(axis=0),
        normality_distance=tests[:, 0],
        normality_p_value=tests[:, 1],
        dependence=float(pairwise_dependence(Z).max()),
        dependence_noise=float(stats.norm.isf(0.025 / max(n_pairs, 1)) / np.sqrt(n_rows)),
        round_trip_error=float(error.max()),
        outside_range=float(np.mean(np.any((X < data_min) | (X > data_max), axis=1))),
        n_rows=n_rows,
    )
