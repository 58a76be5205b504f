"""The density that a detector has by default: what kernels and what Gaussians make of a table."""

from __future__ import annotations

import numpy as np

from skgauss.crossed_mixture import CrossedMixture
from skgauss.kernel_ensemble import KernelEnsemble

__all__ = ["RankingDensity"]

_SHARE = 0.5  # of the Gaussians, where rows are many
_HALF_ROWS = 500  # a table of so many different rows gives them half of it


class RankingDensity:
    """Weighted mean of two log-densities: kernels, and a few Gaussians.

    Kernels of small subsamples follow any shape, Gaussians the directions in which columns vary
    together, of which few rows tell little, and discrete columns nothing: in a table of n different
    rows they have the share ``0.5 n / (n + 500)``.

    Parameters
    ----------
    Y, weight, n_members, max_samples, rng, trim
        As for `skgauss.kernel_ensemble.KernelEnsemble`.

    Attributes
    ----------
    kernels : KernelEnsemble
    gaussians : CrossedMixture
    share : float
        Of the Gaussians.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.content import ranked_columns
    >>> from skgauss.ranking_density import RankingDensity
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(500, 2))
    >>> density = RankingDensity(*ranked_columns(X, None, 0), 10, 256, rng)
    >>> far, near = density.log_density(np.array([[4.0, 4.0], [0.0, 0.0]]))
    >>> bool(far < near - 5)
    True
    """

    def __init__(self, Y, weight, n_members, max_samples, rng, trim="auto"):
        self.kernels = KernelEnsemble(Y, weight, n_members, max_samples, rng, trim)
        self.gaussians = CrossedMixture(Y, weight, self.kernels.single)
        self.share = _SHARE * Y.shape[1] / (Y.shape[1] + _HALF_ROWS)

    @property
    def stiffness(self) -> float:
        """What the variance of the kernels was multiplied by."""
        return self.kernels.stiffness

    def log_density(self, X: np.ndarray) -> np.ndarray:
        """Weighted mean of the log-densities of rows.

        Parameters
        ----------
        X : array of float64 of shape (n_rows, n_features)
            A block.

        Returns
        -------
        log_density : array of shape (n_rows,)
        """
        return self._mean(self.kernels.log_density(X), self.gaussians.log_density(X))

    def along(self, X: np.ndarray, order: np.ndarray) -> np.ndarray:
        """That of the first columns of an order, for every number of them.

        Parameters
        ----------
        X : array of float64 of shape (n_rows, n_features)
        order : array of int of shape (n_features,)

        Returns
        -------
        log_density : array of shape (n_features, n_rows)
        """
        return self._mean(self.kernels.along(X, order), self.gaussians.along(X, order))

    def _mean(self, kernels, gaussians):
        return (1 - self.share) * kernels + self.share * gaussians
