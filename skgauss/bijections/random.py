"""Random starts are drawn on the host: no compilation for numbers that are used once."""

from __future__ import annotations

import jax
import numpy as np
from scipy.stats import ortho_group

__all__ = ["generator", "random_rotation"]


def generator(key) -> np.random.Generator:
    """Turn a JAX random key into a NumPy generator; pass a generator through.

    Parameters
    ----------
    key : JAX random key or numpy.random.Generator
        A concrete key: random starts cannot be drawn under ``jax.jit``.

    Returns
    -------
    rng : numpy.random.Generator

    Raises
    ------
    TypeError
        If `key` is neither.

    Examples
    --------
    >>> import jax
    >>> from skgauss.bijections.random import generator
    >>> float(generator(jax.random.key(0)).random()) == float(generator(jax.random.key(0)).random())
    True
    """
    if isinstance(key, np.random.Generator):
        return key
    if isinstance(key, jax.core.Tracer):
        raise TypeError("Random starts are drawn on the host: draw them outside of jax.jit.")
    if jax.dtypes.issubdtype(getattr(key, "dtype", None), jax.dtypes.prng_key):
        key = jax.random.key_data(key)
    if getattr(key, "dtype", None) != np.uint32:  # that of the keys of jax.random.PRNGKey
        raise TypeError(
            "key must be a JAX random key, such as jax.random.key(0), or a "
            f"numpy.random.Generator, got {key!r}."
        )
    return np.random.default_rng(np.asarray(key).ravel())


def random_rotation(rng: np.random.Generator, n_channels: int) -> np.ndarray:
    """Draw an orthogonal matrix of shape (C, C) from the Haar measure.

    Parameters
    ----------
    rng : numpy.random.Generator
    n_channels : int

    Returns
    -------
    rotation : array of shape (C, C)

    References
    ----------
    Stewart (1980), The efficient generation of random orthogonal matrices with an application
    to condition estimators, SIAM Journal on Numerical Analysis 17(3).

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.bijections.random import random_rotation
    >>> Q = random_rotation(np.random.default_rng(0), 3)
    >>> bool(np.allclose(Q @ Q.T, np.eye(3)))
    True
    """
    if n_channels == 1:
        return np.ones((1, 1))
    return ortho_group.rvs(n_channels, random_state=rng)
