"""The defaults that adapt to the number of rows: a ladder of a few fixed configurations."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

__all__ = ["LADDER", "Configuration", "configuration", "ladder_table"]


@dataclasses.dataclass(frozen=True)
class Configuration:
    """What "auto" means on one rung; see `skgauss.GlowGaussianizer` for the parameters.

    Examples
    --------
    >>> from skgauss.ladder import configuration
    >>> rung = configuration(1_000)
    >>> rung.n_steps, rung.hidden_layer_sizes
    (4, (32,))
    """

    n_steps: int
    coupling: str | type  # behind a mixture
    hidden_layer_sizes: tuple[int, ...]
    alpha: float
    learning_rate_init: float  # likewise
    batch_size: int
    max_iter: float  # an int, or infinity: until the time is up
    n_iter_no_change: float  # an int, or infinity


LADDER = (
    (100, Configuration(2, "affine", (16,), 1e-1, 5e-3, 512, 20, 10)),
    (500, Configuration(2, "affine", (16,), 1e-1, 5e-3, 512, 30, 10)),
    (2_000, Configuration(4, "affine", (32,), 1e-1, 1e-2, 512, 40, 10)),
    (20_000, Configuration(8, "affine", (64, 64), 1e-1, 2e-2, 512, 60, 15)),
    (40_000, Configuration(8, "affine", (64, 64), 5e-2, 2e-2, 512, 80, 15)),
    (100_000, Configuration(8, "affine", (64, 64), 1e-1, 2e-2, 512, 40, 15)),
    (300_000, Configuration(8, "spline", (64, 64), 1e-2, 2e-2, 512, 40, 15)),
    (float("inf"), Configuration(8, "spline", (64, 64), 1e-2, 5e-3, 512, 40, 15)),
)


_RATE_OF_SPLINES = 5e-3  # at most, where they have all to learn
_ACCELERATED_BATCH = 4096  # rows that keep an accelerator busy


def configuration(
    n_rows: float, *, behind_mixture: bool = False, timed: bool = False, accelerated: bool = False
) -> Configuration:
    """Return the configuration for a table of `n_rows` rows (the sum of their weights).

    Parameters
    ----------
    n_rows : float
    behind_mixture : bool, default=False
        Whether the head ends in a mixture, which leaves little for splines to bend. Behind the
        maps of single columns, couplings are splines on every rung, and learn more slowly.
    timed : bool, default=False
        Whether the user said how long training should take. On the last rung, where rows are
        too many to be overfitted soon, time alone then ends it.
    accelerated : bool, default=False
        Whether an accelerator trains. On the last rung its batches are then larger.

    Returns
    -------
    configuration : Configuration

    Examples
    --------
    >>> from skgauss.ladder import configuration
    >>> configuration(150).n_steps, configuration(20_000).n_steps
    (2, 8)
    """
    rung = next(rung for limit, rung in LADDER if n_rows < limit)
    changes: dict[str, Any] = {}
    if not behind_mixture:
        rate = min(_RATE_OF_SPLINES, rung.learning_rate_init)
        changes = {"coupling": "spline", "learning_rate_init": rate}
    if rung is LADDER[-1][1]:
        changes |= {"max_iter": math.inf, "n_iter_no_change": math.inf} if timed else {}
        changes |= {"batch_size": _ACCELERATED_BATCH} if accelerated else {}
    return dataclasses.replace(rung, **changes)


def ladder_table(indent: int = 4) -> str:
    """Return the ladder as a reStructuredText table for a docstring.

    Parameters
    ----------
    indent : int, default=4
        Spaces before every line but the first.

    Returns
    -------
    table : str

    Examples
    --------
    >>> from skgauss.ladder import ladder_table
    >>> print(ladder_table(indent=0).splitlines()[1][:20])
    rows below  n_steps
    """
    names = [field.name for field in dataclasses.fields(Configuration)]
    rows = [["rows below", *names]]
    for limit, rung in LADDER:
        label = "any" if limit == float("inf") else f"{limit:,}"
        rows.append([label, *(str(getattr(rung, name)) for name in names)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rule = "  ".join("=" * width for width in widths)
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return ("\n" + " " * indent).join([rule, lines[0], rule, *lines[1:], rule])
