"""How far out rows lie behind Gaussianizations of random subsamples: their squared latent norm."""

from __future__ import annotations

import numpy as np

from skgauss._margin import Margin
from skgauss.content import draw_rows, n_weighted
from skgauss.iteration import IterationOptions, add_layers
from skgauss.table import Columns

__all__ = ["LatentEnsemble"]

_MARGIN_ROWS = 10_000
_N_LAYERS = 3
_SHARE = 0.8


class LatentEnsemble:
    """Rotation-based iterative Gaussianizations that share their first layer.

    The first layer, one map per column, is fitted once; every member adds three layers of random
    rotations, fitted to a subsample of its latents.

    Parameters
    ----------
    Y : array of shape (n_features, n_distinct)
        Rows as columns, in an order that is as good as random.
    weight : array of shape (n_distinct,)
    n_members, max_samples : int
        Number of subsamples, and rows in each; at most 80 % of all.
    rng : numpy.random.Generator
    kept : array of bool of shape (n_distinct,), default=None
        Rows that subsamples are drawn from.

    Attributes
    ----------
    margin : Margin
    members : list of lists of RotationLayer

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.content import ranked_columns
    >>> from skgauss.latent_ensemble import LatentEnsemble
    >>> rng = np.random.default_rng(0)
    >>> ensemble = LatentEnsemble(*ranked_columns(rng.normal(size=(500, 2)), None, 0), 5, 256, rng)
    >>> far, near = ensemble.log_density(np.array([[4.0, 4.0], [0.0, 0.0]]))
    >>> bool(far < near - 5)
    True
    """

    def __init__(self, Y, weight, n_members, max_samples, rng, kept=None):
        self.margin = Margin.fit(Y[:, :_MARGIN_ROWS], weight[:_MARGIN_ROWS])
        Z = self.margin.forward(Y.T)[0].T
        weight = weight if kept is None else np.where(kept, weight, 0.0)
        n_drawn = min(max_samples, max(1, int(np.ceil(_SHARE * n_weighted(weight)))))
        options = IterationOptions(_N_LAYERS, 0.5, rotation="random", stopping=None)
        self.members = []
        for _ in range(n_members):
            counts = draw_rows(weight, n_drawn, rng)
            rows = np.flatnonzero(counts)
            table = Columns(np.ascontiguousarray(Z[:, rows]), counts[rows].astype(float))
            self.members.append(add_layers(table, None, options, rng))

    def log_density(self, X: np.ndarray) -> np.ndarray:
        """Minus half the squared latent norm, averaged over the members.

        Up to a constant this is the log-density of the latents under the standard normal.

        Parameters
        ----------
        X : array of float64 of shape (n_rows, n_features)

        Returns
        -------
        score : array of shape (n_rows,)
        """
        Z = np.ascontiguousarray(self.margin.forward(X)[0].T)
        total = np.zeros(len(X))
        for layers in self.members:
            Y = Z.copy()
            for layer in layers:
                Y, _ = layer.forward(Y, log_det=False)
            total -= 0.5 * np.einsum("ij,ij->j", Y, Y)
        return total / len(self.members)
