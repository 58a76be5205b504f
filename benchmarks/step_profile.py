"""Where a training step's time goes: ``python benchmarks/step_profile.py [PART ...]``.

Every part is kept, with its provenance and its raw records, in
``benchmarks/results/step_profile.json``: run again, it takes the place of the old one. ``--quick``
only sees that it runs, and keeps nothing; ``--print`` makes the tables anew.

- ``kernels``: the compiled loops of one update's loss and gradient, by what they compute;
- ``compilation``: seconds to trace, lower and compile it, from nothing.

What changes of the code predicted and did is written down in ``benchmarks/PROFILE.md``.
"""

from __future__ import annotations

import argparse
import collections
import re
import statistics
import tempfile
import time
from pathlib import Path

import jax
import numpy as np

from result_parts import parse_parts, parts_parser, run_parts
from result_tables import column, table
from skgauss.bijections import GlowStack, partition
from skgauss.training_step import Layout, gradient_and_log_density, start_state

HERE = Path(__file__).resolve().parent
#: What a thread gets of a batch of 512, on two rungs of the ladder.
SHAPES = (
    {"columns": 4, "steps": 2, "hidden": (16,), "rows": 256},
    {"columns": 10, "steps": 8, "hidden": (64, 64), "rows": 256},
    {"columns": 50, "steps": 8, "hidden": (64, 64), "rows": 256},
)
#: Kinds of loops, the first that fits: what they are called, operations that tell them.
KINDS = (
    ("matrix products", ("dot", "custom-call")),
    ("exponentials, logarithms", ("exponential", "log", "tanh", "log-plus-one", "logistic")),
    ("roots and quotients", ("sqrt", "rsqrt", "divide")),
    ("sums", ("reduce",)),
    ("copies and slices", ("copy", "dynamic-update-slice", "pad", "concatenate", "broadcast")),
)
REPEATS = 50


def lowered(shape: dict):
    """The traced step of one shape, its arguments, and the seconds of tracing and lowering."""
    with jax.enable_x64(True):
        stack = GlowStack.init(
            np.random.default_rng(0),
            shape["columns"],
            n_steps=shape["steps"],
            mixer="lu",
            coupling="spline",
            coupling_kwargs={"hidden_layer_sizes": shape["hidden"], "n_bins": 8},
        ).astype(np.float64)
    template, held = partition(stack)
    x = np.random.default_rng(1).standard_normal((shape["columns"], shape["rows"]), np.float32)
    rows = held, x, np.ones(shape["rows"], np.float32)
    arguments = start_state(stack, np.float32).params, *rows
    start = time.perf_counter()
    traced = gradient_and_log_density.trace(Layout.of(template), *arguments)
    middle = time.perf_counter()
    return traced.lower(), arguments, middle - start, time.perf_counter() - middle


def compilation_records(args):
    """Yield the seconds that every shape takes to compile, nothing being cached."""
    for shape in SHAPES[:1] if args.quick else SHAPES:
        found = collections.defaultdict(list)
        for _ in range(1 if args.quick else args.runs):
            jax.clear_caches()
            program, _, tracing, lowering = lowered(shape)
            start = time.perf_counter()
            compiled = program.compile()
            found["compile_seconds"].append(time.perf_counter() - start)
            found["trace_seconds"].append(tracing)
            found["lower_seconds"].append(lowering)
        seconds = {name: statistics.median(values) for name, values in found.items()}
        lines = len(re.findall(r"^\s+(?:ROOT )?%\S+ = ", compiled.as_text(), re.MULTILINE))
        yield {**told(shape), **seconds, "instructions": lines}


def kernel_records(args):
    """Yield seconds and number of the loops of every kind, for every shape."""
    for shape in SHAPES[:1] if args.quick else SHAPES:
        program, arguments, *_ = lowered(shape)
        compiled = program.compile()
        jax.block_until_ready(compiled(*arguments))
        start = time.perf_counter()
        for _ in range(REPEATS):
            jax.block_until_ready(compiled(*arguments))
        step = (time.perf_counter() - start) / REPEATS
        spent, runs = traced_seconds(compiled, arguments)
        kinds = kinds_of(compiled.as_text())
        by_kind: dict = {}
        for name, seconds in spent.items():
            if name in kinds:
                total = by_kind.setdefault(kinds[name], [0.0, 0.0, ""])
                total[0] += seconds
                total[1] += runs[name]
                total[2] = max(total[2], f"{seconds:.9f} {name}")
        known = sum(seconds for seconds, *_ in by_kind.values())
        for kind, (seconds, n, largest) in sorted(by_kind.items(), key=lambda k: -k[1][0]):
            yield {
                **told(shape),
                "kind": kind,
                "share": seconds / known,
                "milliseconds": 1e3 * step * seconds / known,
                "loops": n,
                "largest": largest.split()[1],
                "step_milliseconds": 1e3 * step,
            }


def told(shape: dict) -> dict:
    """A shape as entries of a record."""
    return {**shape, "hidden": " x ".join(map(str, shape["hidden"]))}


def traced_seconds(compiled, arguments):
    """Seconds in, and runs of, every instruction per call, by the profiler."""
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            for _ in range(REPEATS):
                jax.block_until_ready(compiled(*arguments))
        (path,) = Path(folder).rglob("*.xplane.pb")
        profile = jax.profiler.ProfileData.from_file(str(path))
    spent, runs = collections.Counter(), collections.Counter()
    for plane in profile.planes:
        for line in plane.lines:
            for event in line.events:
                spent[event.name] += event.duration_ns / 1e9 / REPEATS
                runs[event.name] += 1 / REPEATS
    return spent, runs


def kinds_of(program: str) -> dict[str, str]:
    """What every instruction that runs as a loop of its own computes."""
    bodies = {}
    for block in program.split("\n\n"):
        head, *lines = block.strip().splitlines() or [""]
        bodies[head.split(" ")[0].lstrip("%")] = " ".join(
            re.findall(r" = \S+ ([\w-]+)\(", "\n".join(lines))
        ).split()
    found = {}
    for name, operation, rest in re.findall(r"%(\S+) = \S+ ([\w-]+)\((.*)", program):
        if operation in ("while", "call", "tuple", "get-tuple-element", "parameter", "conditional"):
            continue
        called = re.search(r"calls=%([\w.\-]+)", rest)
        inside = [operation, *bodies.get(called.group(1), ())] if called else [operation]
        kinds = (kind for kind, words in KINDS if any(word in inside for word in words))
        found[name] = next(kinds, "other arithmetic")
    return found


def kernel_tables(records):
    """Kinds of loops, by shape."""
    columns = [
        column("columns", "columns", "d"),
        column("steps", "Glow steps", "d"),
        column("hidden", "hidden layers"),
        column("kind", "loops that hold"),
        column("milliseconds", "ms", ".2f"),
        column("share", "share", ".0%"),
        column("loops", "loops run", ".0f"),
        column("largest", "the longest of them"),
        column("step_milliseconds", "all, ms", ".2f"),
    ]
    caption = (
        "Loss and gradient of one update for the 256 rows that a thread gets of a batch of 512, "
        "RQ-spline couplings of 8 bins, float32, one thread. A loop counts as the first kind that "
        "fits. The milliseconds are those of the step without a profiler, shared out by the "
        "profiler's."
    )
    return [table(caption, columns, records)]


def compilation_tables(records):
    """Seconds of compilation, by shape."""
    columns = [
        column("columns", "columns", "d"),
        column("steps", "Glow steps", "d"),
        column("hidden", "hidden layers"),
        column("trace_seconds", "traced, s", ".2f"),
        column("lower_seconds", "lowered, s", ".2f"),
        column("compile_seconds", "compiled, s", ".2f"),
        column("instructions", "instructions", ",d"),
    ]
    caption = "Compilation of the same, from nothing, median of the runs."
    return [table(caption, columns, records)]


#: name -> (title, function that yields the part's records, function that makes their tables)
PARTS = {
    "kernels": ("Loops of a training step", kernel_records, kernel_tables),
    "compilation": ("Compilation of a training step", compilation_records, compilation_tables),
}


def arguments() -> argparse.Namespace:
    """Command line."""
    parser = parts_parser(__doc__, PARTS, HERE / "results" / "step_profile.json", quick="one shape")
    parser.add_argument("--runs", type=int, default=3, help="of which medians are kept")
    return parse_parts(parser, PARTS)


if __name__ == "__main__":
    run_parts(PARTS, arguments())
