"""One first fit in this process: ``python cold_start_child.py MODEL ROWS.npy EPOCHS``.

EPOCHS 0 leaves our own default. Nothing but the standard library is imported before the clock
starts, and nothing that the model does not need after it. Prints the seconds and epochs as JSON.
"""

from __future__ import annotations

import json
import sys
import time


def fit_ours(rows, epochs: int) -> tuple[float, int]:
    """Fit ``GlowGaussianizer``; returns when the import was done and ``n_iter_``."""
    from skgauss import GlowGaussianizer

    imported = time.perf_counter()
    chosen = {"max_iter": epochs} if epochs else {}
    estimator = GlowGaussianizer(random_state=0, **chosen).fit(rows)
    return imported, int(estimator.n_iter_)


def fit_flowjax(rows, epochs: int, *, affine: bool = False) -> tuple[float, int]:
    """Fit ``coupling_flow`` by ``fit_to_data`` for exactly this number of epochs."""
    import jax.numpy as jnp
    import jax.random as jr
    from flowjax.bijections import RationalQuadraticSpline
    from flowjax.distributions import Normal
    from flowjax.flows import coupling_flow
    from flowjax.train import fit_to_data

    imported = time.perf_counter()
    flow_key, train_key = jr.split(jr.key(0))
    flow = coupling_flow(
        flow_key,
        base_dist=Normal(jnp.zeros(rows.shape[1])),
        transformer=None if affine else RationalQuadraticSpline(knots=8, interval=4.0),
    )
    _, losses = fit_to_data(
        train_key,
        flow,
        jnp.asarray(rows),
        max_epochs=epochs,
        max_patience=epochs,
        show_progress=False,
    )
    return imported, len(losses["train"])


def fit_flowjax_affine(rows, epochs: int) -> tuple[float, int]:
    """The same with affine couplings, which are flowjax's default and compile faster."""
    return fit_flowjax(rows, epochs, affine=True)


MODELS = {"skgauss": fit_ours, "flowjax": fit_flowjax, "flowjax_affine": fit_flowjax_affine}


def main() -> None:
    """Entry point of the child process."""
    start = time.perf_counter()
    import numpy as np

    model, rows_path, epochs = sys.argv[1:]
    imported, n_epochs = MODELS[model](np.load(rows_path), int(epochs))
    end = time.perf_counter()
    told = {"import_seconds": imported - start, "fit_seconds": end - imported, "epochs": n_epochs}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
