"""Densities in closed form: how to draw rows from them, and their log-density in nats."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.special import logsumexp


@dataclass(frozen=True)
class Law:
    """A density on rows.

    Attributes
    ----------
    name : str
    n_columns : int
    draw : callable
        ``(rng, n_rows) -> array of shape (n_rows, n_columns)``.
    log_density : callable
        ``rows -> array of shape (n_rows,)``, in nats.
    """

    name: str
    n_columns: int
    draw: Callable[[np.random.Generator, int], np.ndarray]
    log_density: Callable[[np.ndarray], np.ndarray]


def independent_t(df: float, n_columns: int) -> Law:
    """Independent columns of Student's t."""
    return Law(
        "independent",
        n_columns,
        lambda rng, n: rng.standard_t(df, (n, n_columns)),
        lambda X: stats.t.logpdf(X, df).sum(axis=1),
    )


def spherical_t(df: float, n_columns: int) -> Law:
    """The multivariate t: uncorrelated columns that are large together."""
    law = stats.multivariate_t(shape=np.eye(n_columns), df=df)

    def draw(rng, n):
        return rng.standard_normal((n, n_columns)) / np.sqrt(rng.chisquare(df, (n, 1)) / df)

    return Law("spherical", n_columns, draw, law.logpdf)


def correlated_gaussian(n_columns: int, correlation: float = 0.9) -> Law:
    """A Gaussian whose columns i and j correlate by ``correlation ** |i - j|``."""
    apart = np.abs(np.subtract.outer(np.arange(n_columns), np.arange(n_columns)))
    law = stats.multivariate_normal(cov=correlation**apart)
    return Law(
        f"Gaussian, correlation {correlation:g}",
        n_columns,
        lambda rng, n: law.rvs(n, random_state=rng).reshape(n, n_columns),
        law.logpdf,
    )


def gaussian_mixture(n_columns: int, n_components: int = 8) -> Law:
    """Equally likely Gaussians of random means and covariances, always the same."""
    fixed = np.random.default_rng(0)
    means = 3 * fixed.standard_normal((n_components, n_columns))
    maps = fixed.standard_normal((n_components, n_columns, n_columns)) / np.sqrt(n_columns)
    covariances = maps @ maps.transpose(0, 2, 1) + 0.1 * np.eye(n_columns)
    parts = [stats.multivariate_normal(*pair) for pair in zip(means, covariances, strict=True)]

    def draw(rng, n):
        which = rng.integers(n_components, size=n)
        factors = np.linalg.cholesky(covariances)[which]
        noise = rng.standard_normal((n, n_columns))
        return means[which] + np.einsum("nij,nj->ni", factors, noise)

    def log_density(X):
        densities = [part.logpdf(X) for part in parts]
        return logsumexp(densities, axis=0) - np.log(n_components)

    return Law(f"mixture of {n_components} Gaussians", n_columns, draw, log_density)


def rotated_exponential(n_columns: int) -> Law:
    """Independent exponentials, rotated: a density with a sharp edge that no column sees.

    The log-density is that of rows within the edge, which all rows drawn are.
    """
    rotation = stats.special_ortho_group.rvs(n_columns, random_state=0)
    return Law(
        "exponentials, rotated",
        n_columns,
        lambda rng, n: rng.exponential(size=(n, n_columns)) @ rotation.T,
        lambda X: -(X @ rotation).sum(axis=1),
    )
