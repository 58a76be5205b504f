"""What the estimators cost as tables grow: ``python benchmarks/scaling.py [PART ...]``.

Every part is kept, with its provenance and its raw records, in ``benchmarks/results/scaling.json``:
run again, it takes the place of the old one. ``--quick`` cuts every part down to see that it runs,
and keeps nothing; ``--print`` makes the tables anew, and measures nothing.

- ``epochs``: seconds per epoch of GlowGaussianizer by rows, columns and steps;
- ``fits``: seconds and memory of GlowGaussianizer's fit by rows and columns;
- ``scores``: seconds and memory of score_samples by rows and columns;
- ``peers``: rows per second in training and in scoring, beside flowjax and nflows.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import scaling_epochs
import scaling_fits
import scaling_peers
import scaling_scores
from result_parts import parse_parts, parts_parser, run_parts

HERE = Path(__file__).resolve().parent

#: name -> (title, function that yields the part's records, function that makes their tables)
PARTS = {
    "epochs": ("Seconds per epoch", scaling_epochs.records, scaling_epochs.tables),
    "fits": ("Fitting: seconds and memory", scaling_fits.records, scaling_fits.tables),
    "scores": ("Scoring: seconds and memory", scaling_scores.records, scaling_scores.tables),
    "peers": ("Rows per second beside other flows", scaling_peers.records, scaling_peers.tables),
}


def arguments() -> argparse.Namespace:
    """Command line."""
    parser = parts_parser(__doc__, PARTS, HERE / "results" / "scaling.json", quick="small tables")
    parser.add_argument("--runs", type=int, default=5, help="of which medians are kept")
    args = parse_parts(parser, PARTS)
    args.runs = 1 if args.quick else args.runs
    return args


if __name__ == "__main__":
    run_parts(PARTS, arguments())
