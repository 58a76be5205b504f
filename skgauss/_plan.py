"""What a flow's parameters mean for a table: its head, its steps, and how these are trained."""

from __future__ import annotations

import dataclasses
import inspect
import math
from typing import Any

import jax
import numpy as np

from skgauss._warnings import warn
from skgauss.bijections._arguments import is_own, layer_sizes
from skgauss.head import fitted_kind
from skgauss.ladder import Configuration, configuration
from skgauss.mixture_head import MAX_MIXTURE_ROWS
from skgauss.training import MIN_UPDATES, TrainingOptions

__all__ = [
    "check_unchanged",
    "configured",
    "head_kind",
    "head_rows",
    "leaves_steps_alone",
    "step_arguments",
    "training_options",
    "warn_of_untrained",
]

_SMALL_BATCH = 512  # rows; a larger batch is no larger than the table makes it
_TRAINED_FROM = 30.0  # seconds of `max_time`: fewer are for a mixture in the head alone


def leaves_steps_alone(glow, kind):
    """Whether steps would take time that a mixture in the head makes more of, or would overfit.

    Untrained, steps of layers that are known here leave the density alone; others may not. Behind
    a mixture, which has followed the rows already, nobody knows how long to train but rows held
    out, or who says so.
    """
    if is_own(glow.mixer) or is_own(glow.coupling):
        return False
    if not glow.early_stopping and glow.max_iter == "auto":
        return kind in ("auto", "mixture", "warped")
    return kind in ("auto", "mixture") and _is_hurried(glow)


def _is_hurried(glow):
    return (glow.max_time or math.inf) < _TRAINED_FROM


def warn_of_untrained(glow):
    """Say that what was asked of the steps, or of their training, is not had, and how it is."""
    names = [f.name for f in dataclasses.fields(Configuration)] + ["n_bins"]
    defaults = {name: p.default for name, p in inspect.signature(type(glow)).parameters.items()}
    given = {name: getattr(glow, name) for name in names if name in defaults}
    asked = [f"{k}={v!r}" for k, v in given.items() if not _same(v, defaults[k])]
    why, cure = "early_stopping=False: no rows tell how long to train behind a mixture", "max_iter"
    if _is_hurried(glow):
        why = f"max_time={glow.max_time!r} is below {_TRAINED_FROM:g}: a mixture gets it all"
        cure = f"max_time={_TRAINED_FROM:g}"
    if asked:
        warn(
            f"{why}, and steps are not trained, whatever {', '.join(asked)} may ask of them. "
            f"head='spline' trains them in any case, and a given {cure} behind a mixture in the "
            "head.",
            UserWarning,
        )


def warn_of_too_few(n_rows):
    """Say that a warm start is not trained on so few rows."""
    warn(
        f"{n_rows} rows are too few to judge whether training on them gains anything: what was "
        "fitted stays. Give 20 or more, or set early_stopping=False.",
        UserWarning,
    )


def _same(value, default):
    """Whether a parameter has its default, as whatever sequence."""
    return np.asarray(value).tolist() == np.asarray(default).tolist()


def head_kind(glow, table, n_train):
    """The head to fit; "auto" where it is left to the rows what a mixture is like."""
    n_rows, n_features = table.X.shape
    is_large = n_train > MAX_MIXTURE_ROWS or not table.is_cached(n_rows)
    return "spline" if glow.head == "auto" and (is_large or n_features == 1) else glow.head


def head_rows(train, rng):
    """The training rows that a head is fitted to: all, or as many as a mixture wants."""
    if len(train) <= MAX_MIXTURE_ROWS:
        return train
    return np.sort(rng.choice(train, MAX_MIXTURE_ROWS, replace=False))


def configured(glow, table, behind_mixture):
    """What "auto" means for such a table, where the parameters leave it open."""
    auto = configuration(
        float(table.weight.sum()),
        behind_mixture=behind_mixture,
        timed=glow.max_time is not None,
        accelerated=jax.default_backend() != "cpu",
    )
    parameters = {f.name: getattr(glow, f.name) for f in dataclasses.fields(Configuration)}
    given = {k: v for k, v in parameters.items() if not (isinstance(v, str) and v == "auto")}
    config = dataclasses.replace(auto, **given)
    sizes = layer_sizes(config.hidden_layer_sizes)
    batch_size = min(config.batch_size, max(_SMALL_BATCH, 1 << (len(table.X) - 1).bit_length()))
    return dataclasses.replace(config, hidden_layer_sizes=sizes, batch_size=batch_size)


def step_arguments(glow, config) -> dict[str, Any]:
    """What the steps are made of."""
    kwargs = {"hidden_layer_sizes": config.hidden_layer_sizes}
    if is_own(config.coupling):
        kwargs = {}
    elif config.coupling != "affine":
        kwargs["n_bins" if config.coupling == "spline" else "n_components"] = glow.n_bins
    return {
        "n_steps": config.n_steps,
        "mixer": glow.mixer,
        "coupling": config.coupling,
        "coupling_kwargs": kwargs,
    }


def training_options(glow, config, one_pass, spent):
    """How to train, in what `spent` seconds have left of the time."""
    return TrainingOptions(
        max_iter=1 if one_pass else config.max_iter,
        min_updates=1 if one_pass else MIN_UPDATES,
        batch_size=config.batch_size,
        learning_rate_init=config.learning_rate_init,
        alpha=config.alpha,
        ema_decay=glow.ema_decay,
        tol=glow.tol,
        n_iter_no_change=config.n_iter_no_change,
        max_time=None if one_pass or glow.max_time is None else max(glow.max_time - spent, 1e-3),
        dtype=np.dtype(glow.dtype),
        constant_rate=one_pass,
        verbose=glow.verbose,
    )


def check_unchanged(glow, config, head, stack, tied):
    """A warm start needs the head, the steps and, where columns are `tied`, the noise fitted."""
    fitted = stack.configuration | {"head": fitted_kind(head)}
    if glow.noise_width_.any() or tied:
        fitted["dequantize"] = bool(glow.noise_width_.any())
    for name, was in fitted.items():
        now = getattr(config if hasattr(config, name) else glow, name)
        given = getattr(glow, name)
        if not (isinstance(given, str) and given == "auto") and now != was:
            raise ValueError(
                f"{name}={now!r} differs from the fitted {was!r}: training can only carry on "
                "with what was fitted. Set it back, or fit with warm_start=False."
            )
