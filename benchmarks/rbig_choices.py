"""The measurements behind two defaults of RBIGTransformer: its rotation and its learning rate.

Each candidate is fitted with the default stop, and once to a fixed depth, all of whose prefixes are
scored on the same held-out rows: that shows equal numbers of layers and equal seconds alike. The
seconds are those of the processor, so that what else the machine does hardly matters.
"""

from __future__ import annotations

import math
import sys
import time

import numpy as np

from datasets import load
from report import mean_and_error
from result_tables import column, table
from skgauss import RBIGTransformer

SETS = ("magic", "gas_turbine", "protein_casp")
DEPTHS = (10, 30, 100, 300, 600)
_EQUAL = 100  # layers of the default, whose seconds all candidates get
ROTATIONS = ("auto", "pca", "ica", "random")
LEARNING_RATES = (0.5, 1.0, 0.7, 0.3)


def rotation_tables(args):
    """Yield the table of rotations."""
    return _compare(args, "rotation", ROTATIONS)


def learning_rate_tables(args):
    """Yield the table of learning rates."""
    return _compare(args, "learning_rate", LEARNING_RATES)


def timed_fit(X, **parameters):
    """A fitted estimator and the CPU seconds it took, on one thread."""
    start = time.process_time()
    fitted = RBIGTransformer(n_jobs=1, **parameters).fit(X)
    return fitted, time.process_time() - start


def prefix_nats(layers, X) -> np.ndarray:
    """Mean log-density of rows behind every number of layers, from one on."""
    Y, log_det, nats = X.T, 0.0, []
    for layer in layers:
        Y, increment = layer.forward(Y)
        log_det = log_det + increment
        squares = np.einsum("ij,ij->j", Y, Y)
        nats.append(np.mean(log_det - 0.5 * squares) - 0.5 * len(Y) * math.log(2 * math.pi))
    return np.array(nats)


def measured(split, depths, **parameters):
    """One candidate on one split: its record, its log-densities, and its prefixes."""
    RBIGTransformer(max_layers=1, stopping=None, **parameters).fit(split.train)  # warms caches
    _, first = timed_fit(split.train, max_layers=1, stopping=None, **parameters)
    deep, seconds = timed_fit(split.train, max_layers=max(depths), stopping=None, **parameters)
    nats = prefix_nats(deep.layers_, split.test)
    stopped, stopped_seconds = timed_fit(split.train, **parameters)
    scores = stopped.score_samples(split.test)
    record = {
        "n_layers": stopped.n_layers_,
        "fit_seconds": stopped_seconds,
        "first_seconds": first,
        "layer_seconds": (seconds - first) / (max(depths) - 1),
        **{f"nats_{depth}": float(nats[depth - 1]) for depth in depths},
    }
    record["nats"], record["nats_error"] = mean_and_error(scores)
    return record, scores, nats


def _compare(args, parameter, candidates):
    """Yield the table, again after every table and seed; the default is the first candidate."""
    depths = (3, 5, 10) if args.quick else DEPTHS
    records: list[dict] = []
    for name in ("magic",) if args.quick else (args.sets or SETS):
        for seed in args.seeds:
            split = load(name, seed=seed, data_dir=args.data)
            of_default = None
            for candidate in candidates:
                found = measured(split, depths, random_state=seed, **{parameter: candidate})
                of_default = of_default or found
                record = {"set": name, "n_train": len(split.train), parameter: candidate}
                record.update(found[0], seed=seed, **_against(of_default, found, depths))
                records.append(record)
                print(record, file=sys.stderr, flush=True)
            yield [_table(parameter, candidates[0], depths, records)]


def _against(of_default, found, depths):
    """Paired difference to the default, and the nats reached in the default's seconds."""
    start, nats = found[0], found[2]
    base = of_default[0]
    seconds = base["first_seconds"] + (min(_EQUAL, max(depths)) - 1) * base["layer_seconds"]
    depth = 1 + int((seconds - start["first_seconds"]) / start["layer_seconds"])
    told = {"equal_seconds": seconds, "nats_equal": float(nats[np.clip(depth, 1, len(nats)) - 1])}
    told["equal_layers"] = int(np.clip(depth, 1, len(nats)))
    if found is not of_default:
        difference, error = mean_and_error(found[1] - of_default[1])
        told.update(minus_default=difference, minus_default_error=error)
    return told


def _table(parameter, default, depths, records):
    told = parameter.replace("_", " ")
    equal = min(_EQUAL, max(depths))
    return table(
        f"Held-out nats by {told}, all other parameters at their defaults. With the default stop: "
        f"the difference is paired over the same rows, the {told} of the line minus {default!r}. "
        f"Then without a stop: at fixed depths, and in the seconds of one processor that "
        f"{default!r} takes for {equal} layers.",
        [
            column("set", "table"),
            column(parameter, told),
            column("nats", "nats, with stop", ".3f", "nats_error"),
            column("minus_default", f"minus {default!r}", "+.3f", "minus_default_error"),
            column("n_layers", "layers", "d"),
            column("fit_seconds", "fit, CPU s", ".1f"),
            column("layer_seconds", "a layer, CPU s", ".4f"),
            *(column(f"nats_{depth}", f"nats at {depth} layers", ".3f") for depth in depths),
            column("nats_equal", "nats in equal seconds", ".3f"),
            column("equal_layers", "layers then", "d"),
            column("equal_seconds", "these CPU s", ".2f"),
            column("seed", "seed", "d"),
        ],
        records,
    )
