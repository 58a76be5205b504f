"""The benchmark tables, prepared as their protocol says and standardised by the training part.

``load("magic", seed=0, data_dir=...)`` returns the three parts and one line that states the
preparation. A held-out log-density of these rows is in nats of standardised units.

``python benchmarks/datasets.py`` prints the shapes; with ``--check-power`` it also scores a
full-covariance Gaussian on the whole of POWER, which has to give about -7.73 nats.
"""

from __future__ import annotations

import argparse
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine

ROOT = Path(__file__).resolve().parent.parent
SETS = ("magic", "gas_turbine", "protein_casp", "flowcyt_aria16", "POWER")
#: All of POWER, for those who have hours; the second with U(0, 1) minute noise on time.
WHOLE = ("POWER_full", "POWER_full_minute_noise")
#: scikit-learn's own, of a few hundred rows.
OWN = {
    "wine": load_wine,
    "breast_cancer": load_breast_cancer,
    "diabetes": lambda: load_diabetes(scaled=False),  # scaled, its grid is no longer seen
}

FLOWCYT_ROWS = 50_000
POWER_TRAIN_ROWS = 100_000
POWER_VALIDATION_ROWS = 12_500
POWER_TEST_ROWS = 50_000


@dataclass(frozen=True)
class Split:
    """Standardised float64 parts of one table.

    Attributes
    ----------
    train, validation, test : arrays of shape (n_rows, n_features)
    preparation : str
        What was done to the raw file, to be printed beside every number.
    sha256 : str
        Of the raw file, so that two results can be known to speak of the same rows.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    preparation: str
    sha256: str = field(default="")


def default_data_dir() -> Path:
    """The directory of the .npz files: ``$SKGAUSS_DATA``, else ``../shared/data``."""
    return Path(os.environ.get("SKGAUSS_DATA") or ROOT.parent / "shared" / "data")


def load(name: str, *, seed: int = 0, data_dir: Path | None = None) -> Split:
    """Read one table and prepare it by its protocol."""
    if name in OWN:
        raw = OWN[name]().data
        return replace(gridded(name, raw, seed), sha256=hashlib.sha256(raw.tobytes()).hexdigest())
    if name not in SETS + WHOLE:
        raise ValueError(f"set {name!r} is unknown; accepted: {', '.join((*SETS, *WHOLE, *OWN))}")
    path = Path(data_dir or default_data_dir()) / f"{'POWER' if name in WHOLE else name}.npz"
    if not path.exists():
        raise FileNotFoundError(f"{path} not found; give --data or set SKGAUSS_DATA")
    if name in WHOLE:
        split = power_in_full(data_dir, minute_noise=name != WHOLE[0], seed=seed)
    else:
        with np.load(path) as archive:
            raw = archive["X"]
        split = power(raw, seed) if name == "POWER" else gridded(name, raw, seed)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Split(split.train, split.validation, split.test, split.preparation, digest)


# ---------------------------------------------------------------- tables in one piece


def gridded(name: str, raw: np.ndarray, seed: int) -> Split:
    """Distinct rows, noise of one grid step, 80/10/10, standardised by the training part."""
    rng = np.random.default_rng(seed)
    rows = np.unique(raw, axis=0)
    steps = np.array([grid_step(column) for column in rows.T])
    # The sort of np.unique is undone by this permutation, which is the split as well.
    rows = rows[rng.permutation(len(rows))].astype(np.float64)
    said = f"{len(raw) - len(rows)} duplicate rows dropped"
    if name == "flowcyt_aria16":
        rows = rows[:FLOWCYT_ROWS]
        said += f"; {len(rows)} rows drawn"
    rows += steps * rng.random(rows.shape)
    said += f"; U(0, step) noise on {np.count_nonzero(steps)} of {len(steps)} columns on a grid"
    if name == "flowcyt_aria16":
        rows = np.arcsinh(rows / 150.0)
        said += "; asinh(x/150)"
    n_held_out = round(0.1 * len(rows))
    train, validation, test = np.split(rows, [-2 * n_held_out, -n_held_out])
    said += f"; 80/10/10 split, seed {seed}; standardised by the training part"
    return standardise(train, validation, test, train, said)


def grid_step(column: np.ndarray, *, share: float = 0.99) -> float:
    """The coarsest decimal step whose multiples hold nearly all values, 0 where there is none.

    Steps of 1, 1/2 and 1/4 in each decade from 1 to 1e-6 are tried. A step as fine as
    the column's own float32 spacing would hold every value there is, so none below four spacings
    counts.
    """
    spacing = np.spacing(np.abs(column)).astype(np.float64)
    values = column.astype(np.float64)
    candidates = (c * 10.0**-k for k in range(7) for c in (1.0, 0.5, 0.25))
    for step in candidates:
        if step < 4.0 * np.median(spacing):
            return 0.0
        distance = np.abs(values - step * np.round(values / step))
        if np.mean(distance <= np.maximum(0.75 * spacing, 1e-9)) >= share:
            return step
    return 0.0


# ---------------------------------------------------------------- POWER


def power(raw: np.ndarray, seed: int) -> Split:
    """POWER as in the papers, then seeded subsamples of its three parts."""
    train, validation, test = power_parts(raw)
    seen = np.concatenate([train, validation])
    rng = np.random.default_rng(seed)
    drawn = [
        part[rng.permutation(len(part))[:n_rows]]
        for part, n_rows in (
            (train, POWER_TRAIN_ROWS),
            (validation, POWER_VALIDATION_ROWS),
            (test, POWER_TEST_ROWS),
        )
    ]
    said = (
        "papers' protocol (RandomState(42) shuffle and noise, none on time; test the last 10 %), "
        f"standardised by all train and validation rows; then {POWER_TRAIN_ROWS} training, "
        f"{POWER_VALIDATION_ROWS} validation and {POWER_TEST_ROWS} test rows drawn, seed {seed}"
    )
    return standardise(*drawn, seen, said)


def power_parts(raw: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The full POWER parts of Papamakarios et al. (2017), arXiv:1705.07057, not standardised."""
    rng = np.random.RandomState(42)
    order = np.arange(len(raw))
    rng.shuffle(order)  # the same draws as shuffling the rows themselves, a hundred times faster
    rows = np.delete(raw[order].astype(np.float64), (1, 3), axis=1)
    n = len(rows)
    voltage, active = 0.01 * rng.rand(n, 1), 0.001 * rng.rand(n, 1)
    rows += np.hstack([active, voltage, rng.rand(n, 3), np.zeros((n, 1))])
    n_test = int(0.1 * n)
    rest, test = rows[:-n_test], rows[-n_test:]
    n_validation = int(0.1 * len(rest))
    return rest[:-n_validation], rest[-n_validation:], test


def power_in_full(
    data_dir: Path | None = None, *, minute_noise: bool = False, seed: int = 0
) -> Split:
    """All of POWER by the papers' protocol, or with U(0, 1) minute noise on time besides."""
    with np.load(Path(data_dir or default_data_dir()) / "POWER.npz") as archive:
        train, validation, test = power_parts(archive["X"])
    said = (
        "papers' protocol in full (RandomState(42) shuffle and noise, none on time; test the last "
        "10 %, validation the last 10 % of the rest), standardised by all train and validation rows"
    )
    if minute_noise:
        rng = np.random.default_rng(seed)
        for part in (train, validation, test):
            part[:, -1] += rng.random(len(part))
        said += f"; U(0, 1) minute noise on time, seed {seed}"
    return standardise(train, validation, test, np.concatenate([train, validation]), said)


def power_gaussian_nats(data_dir: Path | None = None) -> float:
    """Mean test log-density, in nats, of a full Gaussian fitted to all of POWER's training rows."""
    split = power_in_full(data_dir)
    return float(gaussian_log_density(split.train)(split.test).mean())


# ---------------------------------------------------------------- shared pieces


def first_rows(split: Split, n_rows: int) -> Split:
    """The first training rows, and a quarter as many for validation; all test rows."""
    few = {"train": split.train[:n_rows], "validation": split.validation[: n_rows // 4]}
    return replace(split, **few)


def standardise(train, validation, test, reference, preparation: str) -> Split:
    """Centre and scale every part by the mean and standard deviation of ``reference``."""
    mean, std = reference.mean(axis=0), reference.std(axis=0)
    parts = ((part - mean) / std for part in (train, validation, test))
    return Split(*parts, preparation=preparation)


def gaussian_log_density(train: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Log-density in nats, rows -> (n_rows,), of the Gaussian with the moments of ``train``."""
    mean = train.mean(axis=0)
    factor = np.linalg.cholesky(np.cov(train, rowvar=False))
    log_norm = np.log(np.diag(factor)).sum() + 0.5 * len(mean) * np.log(2.0 * np.pi)

    def score_samples(rows: np.ndarray) -> np.ndarray:
        z = np.linalg.solve(factor, (rows - mean).T)
        return -0.5 * (z**2).sum(axis=0) - log_norm

    return score_samples


def main() -> None:
    """Print what ``load`` makes of each set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=default_data_dir())
    parser.add_argument("--sets", nargs="*", default=SETS, choices=SETS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--check-power", action="store_true", help="reads and scores all of POWER")
    args = parser.parse_args()
    for name in args.sets:
        split = load(name, seed=args.seed, data_dir=args.data)
        shapes = [part.shape for part in (split.train, split.validation, split.test)]
        print(f"{name}: train, validation, test {shapes}: {split.preparation}")
    if args.check_power:
        nats = power_gaussian_nats(args.data)
        print(f"POWER in full, Gaussian: {nats:.3f} nats on test (-7.73 expected, -7.74 published)")


if __name__ == "__main__":
    main()
