"""How a cost grows: the exponent of a power law through it, and the steepest part of it."""

from __future__ import annotations

import itertools

import numpy as np

from result_tables import column, table


def fitted_slope(x: list, y: list) -> float | None:
    """Slope of the least-squares line through ``(log x, log y)``; None below two points."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0]) if len(x) > 1 else None


def steepest_slope(x: list, y: list) -> float | None:
    """Largest slope between neighbours, in log-log."""
    pairs = itertools.pairwise(zip(np.log(x), np.log(y), strict=True))
    return max((float((b[1] - a[1]) / (b[0] - a[0])) for a, b in pairs), default=None)


def slope_record(records: list[dict], against: str, key: str, **told) -> dict:
    """The slopes of an entry of the records against another, with their range."""
    x, y = ([record[name] for record in records] for name in (against, key))
    return {
        **told,
        "against": against,
        "from": min(x),
        "to": max(x),
        "slope": fitted_slope(x, y),
        "steepest": steepest_slope(x, y),
    }


def slope_table(caption: str, rows: list[dict]) -> dict:
    """The slopes beside what is asked of them."""
    return table(
        f"{caption} The slope is that of a line through all points in log-log, the steepest that "
        "between neighbours.",
        [
            column("model", "model"),
            column("what", "what"),
            column("against", "against"),
            column("from", "from", ",d"),
            column("to", "to", ",d"),
            column("slope", "slope", ".2f"),
            column("steepest", "steepest", ".2f"),
            column("asked", "asked, at most", ".2f"),
        ],
        rows,
    )
