"""How blocks of columns depend on each other, through the normal scores of the columns."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import ndtri

from skgauss.information._cells import cells_of, log_ratio, together, upper_scores
from skgauss.information._crossfit import (
    Estimate,
    Options,
    log_normal,
    of_positive_weight,
    varying,
)
from skgauss.information._redundant import telling
from skgauss.moments import Moments
from skgauss.resolution import column_resolution

__all__ = ["Scores", "dependence", "normal_scores"]

_ATOM = 0.1  # of all weight, in one row: no copies and no proportions are so many
_MANY_ROWS, _SOME_ROWS = 100_000, 20_000
_MOST_CELLS, _ROWS_PER_CELL = 16, 30  # for a density in every one


class Scores(NamedTuple):
    """Normal scores of the columns of several blocks.

    Attributes
    ----------
    parts : list of arrays of shape (n_rows, n_columns)
        One per block.
    weight : array of shape (n_rows,)
    upper : list of lists
        Per block and column, where its values end: see `skgauss.information._cells.upper_scores`.
    """

    parts: list[np.ndarray]
    weight: np.ndarray
    upper: list[list[np.ndarray | None]]


def normal_scores(
    blocks: list[np.ndarray],
    weight: np.ndarray | None,
    options: Options,
    known: int | None = None,
) -> Scores:
    """Normal scores of blocks without columns that tell nothing.

    These are the constant ones, and those that others of the block, or of the one numbered `known`,
    determine. The first two blocks come in an order that depends on the scores alone.
    """
    blocks, weight = of_positive_weight(blocks, weight)
    n_given = len(blocks[0])
    blocks = _without_known([block[:, varying(block)] for block in blocks], known)
    ends = np.cumsum([block.shape[1] for block in blocks])
    if not ends[-1]:
        return Scores(blocks, np.ones(n_given) if weight is None else weight, [[] for _ in blocks])
    X, weight = options.rows(np.hstack(blocks), weight)
    if _are_tied(X, weight):
        X, weight = _copies(X, weight, n_given)
    scores = [_column_scores(column, weight, options.rng) for column in X.T]
    upper = [upper_scores(*column, weight) for column in zip(X.T, scores, strict=True)]
    parts = np.split(np.array(scores).T, ends[:-1], axis=1)
    of_parts = [upper[end - part.shape[1] : end] for part, end in zip(parts, ends, strict=True)]
    two = len(parts) > 1 and parts[0].shape[1] and parts[1].shape[1]
    if two and _sorted_bytes(parts[1::-1]) < _sorted_bytes(parts[:2]):
        parts[:2], of_parts[:2] = parts[1::-1], of_parts[1::-1]
    X, weight = options.rows(np.hstack(parts), weight)
    parts = np.split(X, np.cumsum([part.shape[1] for part in parts])[:-1], axis=1)
    return Scores(parts, weight, of_parts)


def _without_known(blocks, known):
    """Blocks without columns that others of the block, or of the one given, determine."""
    told = [
        np.hstack([blocks[known], block]) if known not in (None, i) else block
        for i, block in enumerate(blocks)
    ]
    return [
        block[:, telling(table)[table.shape[1] - block.shape[1] :]]
        for block, table in zip(blocks, told, strict=True)
    ]


def _are_tied(X, weight):
    """Whether values repeat, of single columns or in rows that are equal by more than copying."""
    return (
        any(len(np.unique(column)) < len(X) for column in X.T)
        or weight.max() > max(_ATOM * weight.sum(), 2 * np.median(weight))
        or column_resolution(X, weight).any()
    )


def _copies(X, weight, n_given):
    """Rows of weight k as k rows if these are numbers, and not too many; else as some thousands.

    Random ranks of equal values, each counted many times over, would be learned as if they told.
    """
    is_whole, total = np.all(weight == np.round(weight)), weight.sum()
    is_plain = is_whole and total <= max(_MANY_ROWS, n_given)
    unit = 1.0 if is_plain else max(1.0, total / max(_SOME_ROWS, n_given))
    n_copies = np.maximum(np.round(weight / unit), 1).astype(int)
    share, place = np.repeat(weight / n_copies, n_copies), np.arange(n_copies.sum())
    if is_whole:  # and stays so
        place -= np.repeat(np.cumsum(n_copies) - n_copies, n_copies)
        share = np.floor(share) + (place < np.repeat(weight % n_copies, n_copies))
    return np.repeat(X, n_copies, axis=0), share


def _sorted_bytes(parts):
    """Content of blocks side by side, whatever the order of the rows."""
    table = np.hstack(parts)
    return parts[0].shape[1], table[np.lexsort(table.T[::-1])].tobytes()


def _column_scores(column, weight, rng):
    """Normal quantiles of the ranks of a column, equal values in random order."""
    order = np.lexsort((rng.random(len(column)), column))
    place = np.cumsum(weight[order])
    scores = np.empty(len(column))
    scores[order] = ndtri((place - weight[order] / 2) / place[-1])
    return scores


def dependence(
    scores: Scores, subsets: list[tuple[int, ...]], options: Options
) -> list[np.ndarray]:
    """Log-ratio, row by row, of the density of several blocks to the product of the blocks'.

    `subsets` says which blocks are taken together, all of them first; one array of shape (n_rows,)
    for each of these. Densities are those of the scores, or of the latents of the blocks' own maps
    to normals, or probabilities of the cells of discrete columns, whichever find more dependence in
    rows held out.
    """
    parts, weight, upper = scores
    subsets = [tuple(i for i in subset if parts[i].shape[1]) for subset in subsets]
    gains = [np.zeros(len(weight)) for _ in subsets]
    wanted = [s for s, subset in enumerate(subsets) if len(subset) > 1]
    if not wanted:
        return gains
    folds = options.cross_fit(weight, "X")
    widest = subsets[wanted[0]]

    def estimate(k, coordinates, log_blocks):
        """Of the blocks' coordinates, and their log-densities there."""
        log_ratios = [
            folds.log_density(np.hstack([coordinates[i] for i in subsets[s]]), k)
            - sum(log_blocks[i] for i in subsets[s])
            for s in wanted
        ]
        return Estimate(np.array(log_ratios), folds.held_out_mean(log_ratios[0], k))

    def rows(k):
        return estimate(k, parts, {i: _log_density(folds, parts[i], k) for i in widest})

    def latents(k):
        Z = {i: _unfolded(folds, options.unfolding, parts[i], k) for i in widest}
        return estimate(k, Z, {i: _log_latents(folds, Z[i], k) for i in widest})

    cells = _cells(parts, upper, weight, widest) if options.is_default else {}

    def within_cells(k):
        """Counts of what is discrete, and densities of the rest in every cell of it."""
        blocks = {i: _log_density(folds, parts[i], k) for i in widest if i not in cells}
        log_ratios = [_of_cells(folds, parts, cells, blocks, subsets[s], k) for s in wanted]
        return Estimate(np.array(log_ratios), folds.held_out_mean(log_ratios[0], k))

    ways = {"rows": rows}
    if cells:
        ways["cells"] = within_cells
    if options.unfolding and any(parts[i].shape[1] > 1 for i in widest):
        ways["latents"] = latents
    values, _ = folds.run(ways)
    for s, gain in zip(wanted, values, strict=True):
        gains[s] = gain
    return gains


def _cells(parts, upper, weight, blocks):
    """Cells of the discrete ones among blocks; none where they are too many for the rest."""
    discrete = [i for i in blocks if all(u is not None for u in upper[i])]
    cells = {i: cells_of(parts[i], upper[i]) for i in discrete}
    if len(discrete) < len(blocks) and discrete:
        n_cells = together(list(cells.values())).max() + 1
        if n_cells > min(_MOST_CELLS, weight.sum() / _ROWS_PER_CELL):
            return {}
    return cells


def _of_cells(folds, parts, cells, log_blocks, subset, k):
    """Log-ratio of blocks, of which some are discrete."""
    given = [cells[i] for i in subset if i in cells]
    rest = [i for i in subset if i not in cells]
    found = np.zeros(len(folds.fold))
    if len(given) > 1:
        found += log_ratio(given, np.where(folds.fold == k, 0.0, folds.weight))
    if rest:
        scores = np.hstack([parts[i] for i in rest])
        cell = together(given) if given else np.zeros(len(scores), int)
        found += folds.log_density_within(scores, cell, k) - sum(log_blocks[i] for i in rest)
    return found


def _log_density(folds, scores, k):
    """Log-density of a block."""
    return _of_one(folds, scores, k) if scores.shape[1] == 1 else folds.log_density(scores, k)


def _log_latents(folds, Z, k):
    """Log-density of a block's latents, or of the scores of a single column."""
    return _of_one(folds, Z, k) if Z.shape[1] == 1 else log_normal(Z)


def _of_one(folds, scores, k):
    """Log-density of the normal scores of one column: normal, of the moments not in fold `k`.

    Those of all rows are known; but then the errors of the joint density, which is fitted to the
    others, would not cancel.
    """
    train = folds.fold != k
    mean, variance = Moments.of(scores[train].T, folds.weight[train]).mean_and_covariance()
    scale = np.sqrt(variance[0])
    return log_normal((scores - mean) / scale) - np.log(scale[0])


def _unfolded(folds, estimators, scores, k):
    """Latents of a block, by one map after the other; a single column's scores are its own."""
    if scores.shape[1] > 1:
        for estimator in estimators:
            scores = np.asarray(folds.fit(scores, k, estimator).transform(scores))
    return scores
