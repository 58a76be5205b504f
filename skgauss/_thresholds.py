"""Quantiles of weighted values, and thresholds below which scores are those of outliers."""

from __future__ import annotations

import numpy as np

__all__ = ["ZERO_DENSITY", "lower_fence", "rounding", "threshold", "weighted_quantile"]

_FENCE = 1.5  # interquartile ranges
ZERO_DENSITY = -1e80  # a score that comes from a density of zero is below


def rounding(scores):
    """How far scores of equal rows may be apart: other rows beside them round them otherwise."""
    return 1e-9 * (1 + np.abs(scores))


def weighted_quantile(values, weight, share):
    """Quantile by linear interpolation, a value of weight k being k values."""
    order = np.argsort(values, kind="stable")
    upto = np.cumsum(weight[order])
    place = share * max(upto[-1] - 1, 0)
    low, high = np.searchsorted(upto, [np.floor(place), np.floor(place) + 1], side="right")
    last = len(values) - 1
    low, high = values[order[min(low, last)]], values[order[min(high, last)]]
    if not np.isfinite(low):
        return float(low)
    return float(low + (place % 1) * (high - low))


def lower_fence(values, weight, n_ranges, least_range=0.0):
    """So many interquartile ranges below the first quartile, as Tukey has it."""
    low, high = (weighted_quantile(values, weight, share) for share in (0.25, 0.75))
    return low - n_ranges * max(high - low, least_range)


def threshold(scores, weight, contamination, least_range):
    """Score below which rows are flagged: a quantile, or for "auto" the inner fence.

    The fence is that of scores which do not come from a density of zero, unless all do.
    """
    if contamination == "auto":
        seen = scores > ZERO_DENSITY
        if seen.any():
            scores, weight = scores[seen], weight[seen]
        offset = lower_fence(scores, weight, _FENCE, least_range)
    else:
        offset = weighted_quantile(scores, weight, contamination)
        if offset < ZERO_DENSITY < scores.max():  # all of density zero, and no others
            offset = ZERO_DENSITY
    return float(offset - rounding(offset))
