"""Fit and score one model in a process of its own, so that cold is cold and memory is its own.

Called by ``density.py``: ``python worker.py MODEL SPLIT.npz SCORES.npy SEED BUDGET OPTIONS``, where
OPTIONS is JSON, parameters of the model beyond its defaults. The last line of standard output is
the result as JSON; the log-density of every test row goes to SCORES.npy.
"""

from __future__ import annotations

import importlib
import json
import resource
import sys
import time

import numpy as np

#: name -> (module, function); the module is imported in the worker alone, and that is timed.
MODELS = {
    "gaussian": ("sklearn_models", "fit_gaussian"),
    "gmm": ("sklearn_models", "fit_mixture"),
    "gmm_budget": ("sklearn_models", "fit_mixture_within_budget"),
    "kde": ("sklearn_models", "fit_kernel_density"),
    "flowjax": ("flowjax_models", "fit_default"),
    "flowjax_tuned": ("flowjax_models", "fit_tuned"),
    "flowjax_accelerated": ("flowjax_models", "fit_accelerated"),
    "flowjax_maf": ("flowjax_models", "fit_autoregressive"),
    "zuko_nsf": ("torch_models", "fit_zuko_spline"),
    "zuko_nsf_accelerated": ("torch_models", "fit_zuko_accelerated"),
    "zuko_gf": ("torch_models", "fit_zuko_gaussianization"),
    "nflows_rqnsf_c": ("torch_models", "fit_nflows_spline_coupling"),
    "nflows_rqnsf_c_paper": ("torch_models", "fit_nflows_paper"),
    "nflows_rqnsf_c_accelerated": ("torch_models", "fit_nflows_accelerated"),
    "skgauss": ("skgauss_models", "fit_default"),
    "skgauss_budget": ("skgauss_models", "fit_within_budget"),
    "skgauss_long": ("skgauss_models", "fit_long"),
    "skgauss_accelerated": ("skgauss_models", "fit_accelerated"),
    "rbig": ("rbig_models", "fit_default"),
    "rbig_mixture": ("rbig_models", "fit_mixture"),
    "rbig_auto": ("rbig_models", "fit_auto"),
}
#: Those that stop at a budget, and are fitted anew for each; the others stop where they like.
WITHIN_BUDGET = frozenset(
    {
        "gmm_budget",
        "flowjax",
        "flowjax_tuned",
        "flowjax_accelerated",
        "flowjax_maf",
        "zuko_nsf",
        "zuko_nsf_accelerated",
        "zuko_gf",
        "nflows_rqnsf_c",
        "nflows_rqnsf_c_paper",
        "nflows_rqnsf_c_accelerated",
        "skgauss_budget",
        "skgauss_long",
        "skgauss_accelerated",
    }
)


def measure(
    model: str, parts: dict, seed: int, budget: float, options: dict
) -> tuple[dict, np.ndarray]:
    """Import, fit and score; returns what is to be reported and the test log-densities."""
    module, function = MODELS[model]
    memory_before = peak_mib()
    imported, import_seconds = timed(importlib.import_module, module)
    fit = getattr(imported, function)
    rows = parts["train"], parts["validation"]
    fitted, fit_seconds = timed(fit, *rows, seed=seed, budget=budget, **options)
    score_samples, details = fitted
    memory_fit = peak_mib()
    scores, first_seconds = timed(score_samples, parts["test"])
    _, warm_seconds = timed(score_samples, parts["test"])
    peak = peak_mib()
    warm_fit_seconds = None
    if model not in WITHIN_BUDGET:  # those take what they are given
        _, warm_fit_seconds = timed(fit, *rows, seed=seed, budget=budget, **options)
    measured = {
        "import_seconds": import_seconds,
        "fit_seconds": fit_seconds,
        "warm_fit_seconds": warm_fit_seconds,
        "first_score_seconds": first_seconds,
        "score_rows_per_second": len(scores) / warm_seconds,
        "peak_mib_before": memory_before,
        "peak_mib_fit": memory_fit,
        "peak_mib": peak,
        "details": details,
    }
    return measured, np.asarray(scores, dtype=np.float64)


def timed(function, *args, **kwargs):
    """The function's value and the wall seconds it took."""
    start = time.perf_counter()
    value = function(*args, **kwargs)
    return value, time.perf_counter() - start


def peak_mib() -> float:
    """Largest resident memory of this process so far, in MiB.

    On Linux ``ru_maxrss`` starts from the parent's value, kept across exec; VmHWM does not.
    """
    try:
        with open("/proc/self/status", encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) / 2**10
    except OSError:
        pass  # no /proc on this system: getrusage below
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def main() -> None:
    """Entry point of the child process."""
    model, split_path, scores_path, seed, budget, options = sys.argv[1:]
    with np.load(split_path) as archive:
        parts = dict(archive)
    measured, scores = measure(model, parts, int(seed), float(budget), json.loads(options))
    np.save(scores_path, scores)
    print(json.dumps(measured))


if __name__ == "__main__":
    main()
