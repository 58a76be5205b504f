"""Is the map good? What `diagnose` measures on rows that it was not fitted on."""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy import stats

__all__ = ["Diagnosis", "diagnose"]


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """How close held-out latents are to independent standard normals.

    Attributes
    ----------
    mean, std : array of shape (n_features,)
        Of each latent; 0 and 1 where the map is right.
    normality_distance : array of shape (n_features,)
        Kolmogorov-Smirnov distance of each latent to N(0, 1).
    normality_p_value : array of shape (n_features,)
        Of the Kolmogorov-Smirnov test.
    dependence : float
        Largest absolute correlation of two latents, or of the normal scores of their absolute
        values; 0 for a single feature.
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


def _largest_correlation(Z: np.ndarray) -> float:
    """Largest absolute correlation of two columns; a constant column correlates with none."""
    centred = Z - Z.mean(axis=0)
    norm = np.sqrt(np.sum(centred**2, axis=0))
    scaled = centred / np.where(norm > 0, norm, 1)
    return float(np.abs(np.triu(scaled.T @ scaled, 1)).max())


def _scores_of_size(Z: np.ndarray) -> np.ndarray:
    """Normal scores of absolute values: those, or their squares, correlate by single far rows."""
    ranks = stats.rankdata(np.abs(Z), axis=0)
    return stats.norm.ppf((ranks - 0.5) / len(Z))


def diagnose(
    X: np.ndarray,
    Z: np.ndarray,
    X_back: np.ndarray,
    data_min: np.ndarray,
    data_max: np.ndarray,
) -> Diagnosis:
    """Compare latents with independent standard normals.

    Parameters
    ----------
    X, Z, X_back : array of shape (n_rows, n_features)
        Rows, their latents, and the way back from these.
    data_min, data_max : array of shape (n_features,)
        Range of the training rows.

    Returns
    -------
    diagnosis : Diagnosis

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.diagnosis import diagnose
    >>> Z = np.random.default_rng(0).normal(size=(1000, 2))
    >>> report = diagnose(Z, Z, Z, Z.min(0), Z.max(0))
    >>> report.round_trip_error, report.outside_range, report.dependence < 0.1
    (0.0, 0.0, True)
    """
    n_rows, n_features = Z.shape
    tests = [stats.kstest(z, "norm", method="asymp") for z in Z.T]
    n_pairs = n_features * (n_features - 1)  # those of the latents and those of their sizes
    magnitude = np.abs(X).max(axis=0)
    error = np.abs(X_back - X) / np.where(magnitude > 0, magnitude, 1)
    return Diagnosis(
        mean=Z.mean(axis=0),
        std=Z.std(axis=0),
        normality_distance=np.array([test.statistic for test in tests]),
        normality_p_value=np.array([test.pvalue for test in tests]),
        dependence=(
            max(_largest_correlation(Z), _largest_correlation(_scores_of_size(Z)))
            if n_features > 1
            else 0.0
        ),
        dependence_noise=float(stats.norm.isf(0.025 / max(n_pairs, 1)) / np.sqrt(n_rows)),
        round_trip_error=float(error.max()),
        outside_range=float(np.mean(np.any((X < data_min) | (X > data_max), axis=1))),
        n_rows=n_rows,
    )
