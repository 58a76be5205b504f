"""The batch that a layer starts from."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from skgauss.bijections._arguments import is_traced
from skgauss.bijections.base import Array

__all__ = ["positions_and_weight"]


def positions_and_weight(batch: Array, sample_weight: Array | None) -> tuple[Array, Array]:
    """Turn a batch into one wide feature map, with weights along its last axis.

    Parameters
    ----------
    batch : array of shape (n, C) or (n, C, H, W)
    sample_weight : array-like of shape (n,), or None

    Returns
    -------
    x : array of shape (C, n) or (C, H, W, n)
        Of single precision at least.
    weight : array of shape (n,)
        Of the same dtype.

    Raises
    ------
    ValueError
        If the batch is empty or not finite, or the weights are not one a row, not negative, some
        positive.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.bijections._batch import positions_and_weight
    >>> x, weight = positions_and_weight(np.ones((5, 3, 2, 2), np.uint8), None)
    >>> x.shape, x.dtype, weight.tolist()
    ((3, 2, 2, 5), dtype('float32'), [1.0, 1.0, 1.0, 1.0, 1.0])
    """
    if batch.ndim < 2 or not batch.size:
        raise ValueError(
            f"batch must have rows, of shape (n, C) or (n, C, H, W), got shape {batch.shape}."
        )
    if not is_traced(batch) and not np.isfinite(batch).all():
        raise ValueError("batch must be finite, got NaN or infinity.")
    n, dtype = len(batch), jnp.promote_types(batch.dtype, jnp.float32)
    x = batch.transpose(*range(1, batch.ndim), 0).astype(dtype)
    if sample_weight is None:
        return x, np.ones(n, dtype)
    unknown = is_traced(sample_weight)
    weight = sample_weight if unknown else np.asarray(sample_weight, np.float64)
    if weight.shape != (n,):
        raise ValueError(
            f"sample_weight must have shape ({n},), one weight a row, got {weight.shape}."
        )
    if not unknown and not (weight.min() >= 0 and 0 < weight.sum() < np.inf):
        raise ValueError(
            "sample_weight must be finite and not negative, with a positive sum, got a minimum "
            f"of {weight.min()} and a sum of {weight.sum()}."
        )
    return x, weight.astype(dtype)
