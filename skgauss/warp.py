"""Couplings, trained from scratch, that bend a table until a mixture of Gaussians fits it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import jax
import numpy as np

from skgauss.bijections import ActNorm, GlowStack
from skgauss.table import Columns
from skgauss.training import (
    Rows,
    TrainingOptions,
    compiling_ahead,
    maximize_likelihood,
)
from skgauss.training_step import start_state, with_parameters

__all__ = ["fit_warp", "warp_compiled_ahead"]

# A permutation leaves columns what they are: relations between two or three of them, which a
# rotation would spread over all, stay plain. What is linear is left to the mixture behind.
_N_STEPS = 8
_STEP: dict[str, Any] = {
    "mixer": "permutation",
    "coupling": "spline",
    "coupling_kwargs": {"hidden_layer_sizes": (32,), "n_bins": 8},
}
_BATCH_SIZE = 512
_MANY_ROWS = 20_000  # fewer promised more of long training than it brought
_MAX_ITER, _FEWER_ITER, _TRIAL_ITER = 180, 60, 10
_MAX_UPDATES, _TRIAL_UPDATES = 12_000, 700  # a minute or so, and a few seconds


def _options(
    n_rows: int = 0, max_time: float | None = None, *, trial: bool = False
) -> TrainingOptions:
    n_batches = max(1, -(-n_rows // _BATCH_SIZE))
    most, updates = _MAX_ITER if n_rows >= _MANY_ROWS else _FEWER_ITER, _MAX_UPDATES
    if trial:
        most, updates = _TRIAL_ITER, _TRIAL_UPDATES
    return TrainingOptions(
        max_iter=max(1, min(most, updates // n_batches)),
        batch_size=_BATCH_SIZE,
        learning_rate_init=2e-2,
        alpha=1e-1,
        ema_decay=0.99,
        tol=1e-4,
        n_iter_no_change=max(15, most // 4),  # the rate is high for long
        max_time=max_time,
    )


def _start(n_features: int, rng: np.random.Generator) -> GlowStack:
    """The steps before training: but for permutations, the identity."""
    with jax.enable_x64(True):
        actnorm = ActNorm.identity(n_features)
        stack = GlowStack.init(rng, n_features, n_steps=_N_STEPS, actnorm=actnorm, **_STEP)
        return stack.astype(np.float64)


def warp_compiled_ahead(n_features: int, n_held_out: int) -> AbstractContextManager[None]:
    """Compile in threads, beside other work, what `fit_warp` will need.

    Parameters
    ----------
    n_features, n_held_out : int

    Examples
    --------
    >>> from skgauss.warp import warp_compiled_ahead
    >>> with warp_compiled_ahead(2, n_held_out=500):
    ...     pass  # something else
    """
    stack = _start(n_features, np.random.default_rng(0))
    return compiling_ahead(stack, n_features, _options(), n_held_out)


def fit_warp(
    table: Columns,
    held_out: Columns,
    noise: np.ndarray,
    rng: np.random.Generator,
    max_time: float | None = None,
    *,
    trial: bool = False,
) -> GlowStack:
    """Train steps of permutations and spline couplings by maximum likelihood.

    Parameters
    ----------
    table : skgauss.table.Columns
        Columns that are standardised, at least.
    held_out : skgauss.table.Columns
        To judge by.
    noise : array of shape (n_features,)
        Standard deviation of the noise added to the rows whenever they are seen.
    rng : numpy.random.Generator
        Draws the permutations, the networks' start, and the order of the rows.
    max_time : float or None, default=None
        Seconds of training.
    trial : bool, default=False
        Make some iterations only, a twentieth to a sixth of what such a table is worth.

    Returns
    -------
    warp : GlowStack
        With NumPy arrays.

    References
    ----------
    Durkan, Bekasov, Murray & Papamakarios (2019), Neural spline flows, section 5,
    arXiv:1906.04032; for a mixture seen through a warp, Iwata, Duvenaud & Ghahramani (2013),
    Warped mixtures for nonparametric cluster shapes, arXiv:1206.1846.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.table import Columns
    >>> from skgauss.warp import fit_warp
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=1200)
    >>> columns = np.stack([x, np.sin(2 * x) + 0.1 * rng.normal(size=1200)])
    >>> held_out, table = Columns(columns, np.ones(1200)).split(200)
    >>> fit_warp(table, held_out, np.zeros(2), rng).n_steps
    8
    """
    stack = _start(len(table.Y), rng)

    def rows(columns, noise):
        values = np.ascontiguousarray(columns.Y.T, np.float32)

        def take(indices):
            seen = values[indices]
            return seen + noise * rng.standard_normal(seen.shape) if noise.any() else seen

        return Rows(take, columns.weight)

    _, progress = maximize_likelihood(
        stack,
        start_state(stack),
        rows(table, noise),
        rows(held_out, np.zeros_like(noise)),
        _options(len(table.weight), max_time, trial=trial),
        rng,
    )
    warp = with_parameters(stack, progress.best)
    assert isinstance(warp, GlowStack)
    return warp
