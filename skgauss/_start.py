"""Where the training of a flow starts: a head, and steps initialised from the data behind it."""

from __future__ import annotations

import time

import jax
import numpy as np

from skgauss._plan import configured, head_kind, head_rows, step_arguments, training_options
from skgauss.bijections import ActNorm, Chain, GlowStack
from skgauss.head import fitted_kind, has_mixture, head_forward
from skgauss.head_selection import fit_head
from skgauss.noise import noise_scale
from skgauss.rows import FULL_BATCH, INIT_ROWS, pad_rows
from skgauss.training import N_THREADS, compiling_ahead

__all__ = ["compiling_steps", "started_flow"]


def started_flow(glow, table, train, held_out, rng, *, share_of_time=1.0, like=None):
    """Fit the head, which takes longest, and initialise the steps from the data behind it.

    Parameters
    ----------
    glow : GlowGaussianizer
        Its parameters say what to make.
    table : Table
    train, held_out : arrays of int
        Rows to fit to, and to choose the head by.
    rng : numpy.random.Generator
    share_of_time : float, default=1.0
        Of ``glow.max_time``, that the head may take.
    like : Chain, default=None
        A head to be like: one of its kind and size is fitted, and nothing is chosen.

    Returns
    -------
    flow : Chain
    training_noise : array of shape (n_features,)
        Standard deviations of what is added to rows in training, behind the head.
    """
    kind = head_kind(glow, table, len(train))
    train = head_rows(train, rng)
    X, weight = table.load(train), table.weight[train]
    _tell(glow, f"fitting the head to {len(train)} rows")
    begun = time.monotonic()
    head = fit_head(
        kind,
        X,
        weight,
        table.load(held_out),
        table.weight[held_out],
        like=like,
        max_time=None if glow.max_time is None else share_of_time * glow.max_time,
        n_jobs=N_THREADS,  # as many threads as training takes
        rng=rng,
    )
    _tell(glow, f"head={fitted_kind(head)!r} fitted in {time.monotonic() - begun:.1f} s")
    sample = rng.permutation(len(X))[:INIT_ROWS]
    Z, _ = head_forward(head, X[sample])
    noise = noise_scale(Z, weight[sample], rng)
    # Of few rows, one draw of noise would say where the steps start.
    n_draws = 1 if has_mixture(head) else max(1, FULL_BATCH // len(Z))
    Z = np.tile(Z, (n_draws, 1))
    Z += noise * rng.standard_normal(Z.shape)
    steps = step_arguments(glow, configured(glow, table, has_mixture(head)))
    with jax.enable_x64(True):  # a rotation fitted in float32 would not be one in float64
        if has_mixture(head):
            identity = ActNorm.identity(X.shape[1])
            stack = GlowStack.init(rng, X.shape[1], actnorm=identity, **steps)
        else:
            rows = pad_rows(Z, np.tile(weight[sample] / n_draws, n_draws))
            if glow.mixer == "lu":  # a rotation would spread over all what a few columns share
                steps["mixer_kwargs"] = {"start": "permutation"}
            stack = GlowStack.from_data(rng, *rows, **steps)
    return Chain((head, stack.astype(np.float64))), noise


def _tell(glow, what):
    """Say what is done while no bar tells."""
    if glow.verbose:
        print(f"[{type(glow).__name__}] {what}")


def compiling_steps(glow, config, n_features, n_held_out):
    """Compile what trains such steps while the head is still being fitted."""
    with jax.enable_x64(True):
        stack = GlowStack.init(np.random.default_rng(0), n_features, **step_arguments(glow, config))
    options = training_options(glow, config, one_pass=False, spent=0.0)
    return compiling_ahead(stack.astype(np.float64), n_features, options, n_held_out)
