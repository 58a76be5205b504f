"""The anomaly sets and their two protocols, which are never to be mixed in one table."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from datasets import default_data_dir

PROTOCOLS = ("unsupervised", "one-class")
MAX_ROWS = 10_000


class Task(NamedTuple):
    """Rows to learn from, rows to score, and which of these are anomalies (1)."""

    train: np.ndarray
    test: np.ndarray
    labels: np.ndarray


def set_names(data_dir: Path | None = None) -> list[str]:
    """Names of the sets found."""
    folder = Path(data_dir or default_data_dir()) / "adbench"
    return sorted(path.stem for path in folder.glob("*.npz"))


def load_anomalies(name: str, seed: int, data_dir: Path | None = None, max_rows: int = MAX_ROWS):
    """Rows, labels and the file's digest; larger sets are subsampled, by the seed."""
    path = Path(data_dir or default_data_dir()) / "adbench" / f"{name}.npz"
    with np.load(path) as archive:
        X, y = archive["X"].astype(np.float64), archive["y"].astype(int)
    if len(X) > max_rows:
        chosen = np.random.default_rng(seed).permutation(len(X))[:max_rows]
        X, y = X[chosen], y[chosen]
    return X, y, hashlib.sha256(path.read_bytes()).hexdigest()


def one_class(X: np.ndarray, y: np.ndarray, seed: int) -> Task:
    """Fit on a random half of the normal rows, score the rest and all anomalies."""
    normal = np.random.default_rng(1000 + seed).permutation(np.flatnonzero(y == 0))
    train, rest = np.split(normal, [len(normal) // 2])
    test = np.concatenate([rest, np.flatnonzero(y == 1)])
    return Task(X[train], X[test], y[test])


def task(protocol: str, X: np.ndarray, y: np.ndarray, seed: int) -> Task:
    """One set under one protocol."""
    return Task(X, X, y) if protocol == "unsupervised" else one_class(X, y, seed)


def contaminated(X: np.ndarray, y: np.ndarray, shares, seed: int) -> Iterator[Task]:
    """The same normal training rows, with ever more anomalies among them; one test table.

    Half of the anomalies may enter the training rows; where they are too few for the largest share,
    there are fewer normal rows.
    """
    rng = np.random.default_rng(2000 + seed)
    normal, strange = (rng.permutation(np.flatnonzero(y == label)) for label in (0, 1))
    enter, test_strange = np.split(strange, [len(strange) // 2])
    largest = max(shares)
    n_normal = min(len(normal) // 2, int(len(enter) * (1 - largest) / largest))
    test = np.concatenate([normal[len(normal) // 2 :], test_strange])
    for share in shares:
        n_strange = round(n_normal * share / (1 - share))
        train = np.concatenate([normal[:n_normal], enter[:n_strange]])
        yield Task(X[train], X[test], y[test])
