"""What likelihood does not show: ``python benchmarks/beyond_nats.py [PART ...]``.

The default GlowGaussianizer, RBIGTransformer(head="mixture") and the GaussianMixture that is best
on validation rows. Every part is kept, with its provenance and its raw records, in
``benchmarks/results/beyond_nats.json``: run again, it takes the place of the old one. ``--quick``
cuts every part down to see that it runs, and keeps nothing; ``--print`` makes the tables anew.

- ``sets``: calibration on held-out rows of the benchmark tables, and how good samples are;
- ``tails``: Student's t: extremes of the samples, and the divergence from the truth;
- ``divergence``: the divergence from other densities in closed form.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import beyond_laws
import beyond_sets
from beyond_models import MODELS
from datasets import SETS, default_data_dir
from result_parts import parse_parts, parts_parser, run_parts

HERE = Path(__file__).resolve().parent

#: name -> (title, function that yields the part's records, function that makes their tables)
PARTS = {
    "sets": ("Calibration and samples", beyond_sets.records, beyond_sets.tables),
    "tails": ("Heavy tails", beyond_laws.tail_records, beyond_laws.tail_tables),
    "divergence": (
        "Divergence from known densities",
        beyond_laws.divergence_records,
        beyond_laws.divergence_tables,
    ),
}


def arguments() -> argparse.Namespace:
    """Command line."""
    parser = parts_parser(__doc__, PARTS, HERE / "results" / "beyond_nats.json", quick="few rows")
    parser.add_argument("--sets", nargs="+", default=SETS, choices=SETS)
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=MODELS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--data", type=Path, default=default_data_dir(), help="the .npz files")
    return parse_parts(parser, PARTS)


if __name__ == "__main__":
    run_parts(PARTS, arguments())
