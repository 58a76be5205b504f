"""What RBIGTransformer costs and what it is good for: ``python benchmarks/rbig.py [PART ...]``.

Every part is measured by itself and kept, with its provenance, beside the others in
``benchmarks/results/rbig.json``: run again, it takes the place of the old one. ``--quick`` cuts
every part down to see that it runs, and keeps nothing.

- ``speed``: seconds, memory and size on made-up tables, beside QuantileTransformer;
- ``quality``: held-out likelihood on the benchmark tables, beside the best GaussianMixture;
- ``power``: the whole of POWER, with and without noise on the minute of the day;
- ``rotations``, ``learning_rates``: the choices behind these two defaults;
- ``gaussian``: whether it stops where there is nothing left to learn.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import rbig_choices
import rbig_gaussian
import rbig_quality
import rbig_speed
from datasets import SETS, default_data_dir
from result_parts import ResultFile, measured_now, parse_parts, parts_parser

HERE = Path(__file__).resolve().parent

#: name -> (title, function that yields the part's tables, again after every measurement)
PARTS = {
    "speed": ("Seconds, memory, size", rbig_speed.tables),
    "quality": ("Held-out likelihood", rbig_quality.tables),
    "power": ("The whole of POWER", rbig_quality.power_tables),
    "rotations": ("Which rotation", rbig_choices.rotation_tables),
    "learning_rates": ("Which learning rate", rbig_choices.learning_rate_tables),
    "gaussian": ("Where there is nothing to learn", rbig_gaussian.tables),
}


def arguments() -> argparse.Namespace:
    """Command line."""
    parser = parts_parser(__doc__, PARTS, HERE / "results" / "rbig.json")
    parser.add_argument("--sets", nargs="+", choices=SETS, help="tables of quality and of choices")
    parser.add_argument(
        "--heads",
        nargs="+",
        default=["none", "mixture", "auto"],
        choices=["none", "mixture", "auto"],
        help="of quality; of power, 'auto' is left out",
    )
    parser.add_argument("--max-layers", type=int, help="of quality and power (default: RBIG's)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--runs", type=int, default=5, help="of speed, whose medians are kept")
    parser.add_argument("--timeout", type=float, default=7200.0, help="seconds for one fit")
    parser.add_argument("--data", type=Path, default=default_data_dir(), help="the .npz files")
    parser.add_argument("--quick", action="store_true", help="small tables; keeps nothing")
    return parse_parts(parser, PARTS)


def main() -> None:
    """Run, keep, print."""
    args = arguments()
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch, "rbig.json") if args.quick else args.out
        results = ResultFile(out, {name: title for name, (title, _) in PARTS.items()})
        for name in args.parts:
            provenance = measured_now(PARTS, name)
            for tables in PARTS[name][1](args):
                results.keep(name, provenance, tables)
            results.show([name])
    if not args.quick:
        print(f"\nWritten to {args.out}", file=sys.stderr)


if __name__ == "__main__":
    main()
