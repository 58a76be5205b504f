"""Columns that break things, and smooth ones, by name."""

from __future__ import annotations

import numpy as np
import scipy.stats as st

N_ROWS = 2000
EPS = np.finfo(float).eps


def mixed(value, share, rest):
    """Column of which a `share` is tied at `value`."""
    tied = np.random.default_rng(1).random(N_ROWS) < share
    return np.where(tied, value, rest)


def drawn(distribution, seed=0):
    return distribution.rvs(N_ROWS, random_state=seed)


SMOOTH = {
    "normal": st.norm(3, 2),
    "exponential": st.expon(),
    "uniform": st.uniform(-1, 2),
    "student": st.t(3),
    "cauchy": st.cauchy(),
    "lognormal": st.lognorm(1),
}
NORMAL = drawn(st.norm())
COLUMNS = {name: drawn(distribution) for name, distribution in SMOOTH.items()} | {
    "bimodal": np.concatenate([NORMAL[:1000] - 5, NORMAL[1000:] / 5 + 5]),
    "constant": np.full(N_ROWS, 7.0),
    "two values": mixed(1.0, 0.3, 0.0),
    "rare value": mixed(1.0, 0.01, 0.0),
    "integers": np.round(NORMAL * 2),
    "half zeros": mixed(0.0, 0.6, NORMAL),
    "nearly all zeros": mixed(0.0, 0.99, NORMAL),
    "a rounding error apart": mixed(1.1, 0.3, mixed(1.1 + EPS, 0.3, NORMAL + 3)),
    "an ulp of noise": 1 + EPS * np.round(2 * drawn(st.uniform())),
    "offset": 1e9 + 1e-3 * NORMAL,
    "huge": 1e150 * NORMAL,
    "tiny": 1e-150 * NORMAL,
    "outlier": np.append(NORMAL[1:], 1e12),
    "offset outlier": np.append(1.7e9 + NORMAL[1:], 1.7e9 + 1e8),
    "sentinel": np.append(NORMAL[1:], -3.4e38),
    "twenty decades": np.exp(20 * NORMAL),
    "two rows": np.array([1.0, 3.0]),
    "three rows": np.array([1.0, 3.0, 3.0]),
}


def column(name):
    """A column as a table."""
    return COLUMNS[name][:, None]
