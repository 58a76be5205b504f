"""Rows held out of a detector's fit, and the p-values that they give new rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from skgauss._scoring import Scorer
from skgauss._thresholds import rounding
from skgauss.conformal import conformal_p_values

__all__ = ["HeldOut", "held_out_rows", "pooled_p_values"]

_N_FOLDS = 5


class HeldOut(NamedTuple):
    """A fit, and the scores of rows that were not in it, with their frequencies."""

    scorer: Scorer
    scores: np.ndarray
    weight: np.ndarray


def held_out_rows(calibration, n_rows, rng) -> list[np.ndarray]:
    """Masks of the rows that fits leave out: none, one for a share, five for "cross"."""
    if calibration is None:
        return []
    if isinstance(calibration, str):
        n_folds = min(_N_FOLDS, n_rows // 2)
        if n_folds < 2:
            raise ValueError(f"calibration='cross' needs at least 4 rows, got {n_rows}.")
        fold = rng.permutation(n_rows) % n_folds
        return [fold == k for k in range(n_folds)]
    n_held_out = round(calibration * n_rows)
    if not 0 < n_held_out < n_rows - 1:
        raise ValueError(
            f"calibration={calibration} of {n_rows} rows leaves {n_held_out} for "
            "calibration and the others for the fit: one and two are needed at least."
        )
    held_out = np.zeros(n_rows, bool)
    held_out[rng.permutation(n_rows)[:n_held_out]] = True
    return [held_out]


def pooled_p_values(calibration: list[HeldOut], X: np.ndarray, n_jobs: int | None) -> np.ndarray:
    """Share of all rows held out that are at least as strange, each to the fit that left it out.

    Scores that differ by rounding are equal.
    """
    n_rows = sum(part.weight.sum() for part in calibration)
    n_stranger = np.zeros(len(X))
    for scorer, scores, weight in calibration:
        found = scorer(X, n_jobs)
        share = conformal_p_values(found + rounding(found), scores, weight)
        n_stranger += share * (weight.sum() + 1) - 1
    return (n_stranger + 1) / (n_rows + 1)
