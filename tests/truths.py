"""Tables whose information measures are known: in closed form, or by quadrature in one dimension.

`CASES` holds one line per table: how it is drawn, what is measured of it, and the truth in nats.
Sources: Cover & Thomas (2006), Elements of Information Theory, 2nd edition, chapter 8, for the
Gaussian; scipy.stats for the entropies of its distributions, the multivariate Student t's included.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, partial
from typing import NamedTuple

import numpy as np
from scipy import stats
from scipy.integrate import quad

LOG_2_PI_E = math.log(2 * math.pi * math.e)


class Case(NamedTuple):
    """A table, a measure of `skgauss.information` by name, and the truth.

    ``draw(rng, n_rows)`` returns the arguments of the measure.
    """

    measure: str
    draw: Callable[[np.random.Generator, int], tuple]
    truth: float
    options: dict = {}  # noqa: RUF012  (never changed)


# Densities and their measures


def equicorrelation(n_features: int, correlation: float) -> np.ndarray:
    """Correlation matrix with the same value everywhere off the diagonal."""
    return (1 - correlation) * np.eye(n_features) + correlation


def autoregression(n_features: int, correlation: float) -> np.ndarray:
    """Correlation matrix of a stationary AR(1) series."""
    steps = np.arange(n_features)
    return correlation ** np.abs(steps[:, None] - steps)


def paired(n_pairs: int, correlation: float) -> np.ndarray:
    """Correlation matrix of two white blocks whose coordinates are correlated in pairs."""
    eye = np.eye(n_pairs)
    return np.block([[eye, correlation * eye], [correlation * eye, eye]])


def log_det(matrix: np.ndarray) -> float:
    """Logarithm of the determinant of a positive definite matrix."""
    return float(np.linalg.slogdet(matrix)[1])


def gaussian_total_correlation(correlation: np.ndarray) -> float:
    """-log det(R) / 2."""
    return -0.5 * log_det(correlation)


def gaussian_mutual_information(covariance: np.ndarray, n_first: int) -> float:
    """log(det(C_x) det(C_y) / det(C)) / 2, of the first `n_first` columns and the rest."""
    first, rest = slice(None, n_first), slice(n_first, None)
    parts = log_det(covariance[first, first]) + log_det(covariance[rest, rest])
    return 0.5 * (parts - log_det(covariance))


def gaussian_kl(mean, covariance, mean_q, covariance_q) -> float:
    """Divergence from one Gaussian to another."""
    precision, shift = np.linalg.inv(covariance_q), np.subtract(mean_q, mean)
    spread = np.trace(precision @ covariance) + shift @ precision @ shift - len(shift)
    return 0.5 * (spread + log_det(covariance_q) - log_det(covariance))


def student_entropy(dof: float, shape: np.ndarray) -> float:
    """Entropy of a multivariate Student t."""
    if len(shape) == 1:
        return float(stats.t(dof, scale=math.sqrt(shape[0, 0])).entropy())
    return float(stats.multivariate_t(np.zeros(len(shape)), shape, dof).entropy())


def student_total_correlation(dof: float, shape: np.ndarray) -> float:
    """Sum of the columns' entropies, less that of the table."""
    columns = sum(student_entropy(dof, shape[[j]][:, [j]]) for j in range(len(shape)))
    return columns - student_entropy(dof, shape)


def student_mutual_information(dof: float, shape: np.ndarray, n_first: int) -> float:
    """Of the first `n_first` columns and the rest; not zero even if these are uncorrelated."""
    first, rest = shape[:n_first, :n_first], shape[n_first:, n_first:]
    return sum(student_entropy(dof, block) for block in (first, rest)) - student_entropy(dof, shape)


def differential_entropy(density: Callable[[float], float], low: float, high: float) -> float:
    """Entropy of a density on an interval, by quadrature."""

    def integrand(x):
        p = density(x)
        return -p * math.log(p) if p > 0 else 0.0

    return quad(integrand, low, high, limit=500, epsabs=1e-10)[0]


MIXTURE = ((0.5, -2.0, 0.5), (0.5, 1.5, 1.0))  # weight, mean, standard deviation


def mixture_density(x: float) -> float:
    """Density of `MIXTURE`."""
    return sum(w * float(stats.norm.pdf(x, loc, scale)) for w, loc, scale in MIXTURE)


@cache
def mixture_entropy() -> float:
    """Entropy of `MIXTURE`."""
    return differential_entropy(mixture_density, -8, 10)


@cache
def noisy_information(function: Callable[[np.ndarray], np.ndarray], noise: float) -> float:
    """Mutual information of x, uniform on [-1, 1], and function(x) with normal noise."""
    x = np.linspace(-1, 1, 4001)
    values = function((x[1:] + x[:-1]) / 2)

    def density(y):
        return float(np.mean(stats.norm.pdf(y, values, noise)))

    reach = 8 * noise
    of_y = differential_entropy(density, values.min() - reach, values.max() + reach)
    return of_y - 0.5 * LOG_2_PI_E - math.log(noise)


@cache
def blurred_information(width: float) -> float:
    """Mutual information of x, uniform on [0, 1], and x plus uniform noise of some width <= 1."""
    # The density of the sum rises over `width`, is flat at 1, and falls again; of a ramp of unit
    # height the entropy is width / 4.
    return 2 * width / 4 - math.log(width)


# Tables


def normal_table(covariance, rng, n_rows):
    """Rows of a Gaussian."""
    return rng.multivariate_normal(np.zeros(len(covariance)), covariance, n_rows, method="cholesky")


def student_table(dof, shape, rng, n_rows):
    """Rows of a multivariate Student t."""
    scale = np.sqrt(dof / rng.chisquare(dof, n_rows))
    return normal_table(shape, rng, n_rows) * scale[:, None]


def mixture_table(n_features, rng, n_rows):
    """Independent columns of `MIXTURE`."""
    which = rng.integers(2, size=(n_rows, n_features))
    _, loc, scale = np.array(MIXTURE).T
    return loc[which] + scale[which] * rng.normal(size=which.shape)


def ring(angle, rng):
    """Points on a unit circle with noise on the radius."""
    radius = 1 + 0.1 * rng.normal(size=len(angle))
    return radius[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])


def rings(rng, n_rows):
    """Two rings; the angle on the second is that on the first with noise."""
    angle = rng.uniform(0, 2 * math.pi, n_rows)
    return ring(angle, rng), ring(angle + rng.vonmises(0, 4, n_rows), rng)


def bent_blocks(rng, n_rows):
    """Two Gaussian blocks of two columns, each behind an invertible map of its own."""
    X, Y = np.hsplit(normal_table(paired(2, 0.6), rng, n_rows), 2)
    mix = np.array([[1.0, 0.8], [-0.3, 1.0]])
    return np.sinh(X) @ mix, np.cbrt(Y) @ mix


def noisy(function, noise, rng, n_rows):
    """Uniform x, and a function of it with normal noise."""
    x = rng.uniform(-1, 1, n_rows)
    return x, function(x) + noise * rng.normal(size=n_rows)


def blurred(width, rng, n_rows):
    """Uniform x, and x with uniform noise."""
    x = rng.uniform(size=n_rows)
    return x, x + width * (rng.uniform(size=n_rows) - 0.5)


def _sine(x):
    return np.sin(4 * math.pi * x)


def _split(draw, sizes):
    """Draw a table and cut it into blocks of columns."""

    def blocks(rng, n_rows):
        return tuple(np.split(draw(rng, n_rows), np.cumsum(sizes)[:-1], axis=1))

    return blocks


def _one(draw):
    """Draw a single table."""
    return lambda rng, n_rows: (draw(rng, n_rows),)


def _gaussian_blocks(d, correlation):
    covariance = paired(d, correlation)
    return Case(
        "mutual_information",
        _split(partial(normal_table, covariance), (d, d)),
        gaussian_mutual_information(covariance, d),
    )


def _student_blocks(d, dof):
    shape = equicorrelation(2 * d, 0.5)
    return Case(
        "mutual_information",
        _split(partial(student_table, dof, shape), (d, d)),
        student_mutual_information(dof, shape, d),
    )


def _student_columns(d, dof):
    shape = equicorrelation(d, 0.5)
    return Case(
        "total_correlation",
        _one(partial(student_table, dof, shape)),
        student_total_correlation(dof, shape),
    )


def _gaussian_columns(correlation):
    return Case(
        "total_correlation",
        _one(partial(normal_table, correlation)),
        gaussian_total_correlation(correlation),
    )


def _uniform(d):
    return _one(lambda rng, n: rng.uniform(size=(n, d)))


def _exponential(d, scale=1.0):
    return _one(lambda rng, n: rng.exponential(scale, size=(n, d)))


def _shifted(d):
    """Two Gaussians with different means and covariances."""
    covariance = autoregression(d, 0.5)
    return Case(
        "kl_divergence",
        lambda rng, n: (
            normal_table(covariance, rng, n) + 0.5,
            normal_table(np.eye(d), rng, n),
        ),
        gaussian_kl(np.full(d, 0.5), covariance, np.zeros(d), np.eye(d)),
    )


def _twice(draw):
    """Two tables from one distribution."""
    return lambda rng, n: (*draw(rng, n), *draw(rng, n))


CHAIN = autoregression(3, 0.7)  # x, z, y: independent given the one in the middle
COMMON = equicorrelation(3, 0.5)


CASES: dict[str, Case] = {
    **{
        f"Gaussian blocks {d}+{d}, correlation {r}": _gaussian_blocks(d, r)
        for d in (1, 2, 5, 10)
        for r in (0.3, 0.6, 0.9)
    },
    **{f"Student t blocks {d}+{d}, 3 dof": _student_blocks(d, 3) for d in (1, 2, 5)},
    "bent Gaussian blocks 2+2, correlation 0.6": Case(
        "mutual_information", bent_blocks, gaussian_mutual_information(paired(2, 0.6), 2)
    ),
    "two rings 2+2": Case(
        "mutual_information", rings, math.log(2 * math.pi) - float(stats.vonmises(4).entropy())
    ),
    "parabola with noise": Case(
        "mutual_information", partial(noisy, np.square, 0.3), noisy_information(np.square, 0.3)
    ),
    "four half waves with noise": Case(
        "mutual_information", partial(noisy, _sine, 0.3), noisy_information(_sine, 0.3)
    ),
    "uniform, blurred by a quarter": Case(
        "mutual_information", partial(blurred, 0.25), blurred_information(0.25)
    ),
    "independent exponentials 1+1": Case(
        "mutual_information", _split(lambda rng, n: rng.exponential(size=(n, 2)), (1, 1)), 0.0
    ),
    "equicorrelated Gaussian, 5 columns": _gaussian_columns(equicorrelation(5, 0.5)),
    "equicorrelated Gaussian, 10 columns": _gaussian_columns(equicorrelation(10, 0.5)),
    "AR(1) Gaussian, 10 columns": _gaussian_columns(autoregression(10, 0.8)),
    **{f"Student t, {d} columns, 5 dof": _student_columns(d, 5) for d in (2, 5, 10)},
    **{f"Student t, {d} columns, 3 dof": _student_columns(d, 3) for d in (2, 5, 10)},
    "independent exponentials, 5 columns": Case("total_correlation", _exponential(5), 0.0),
    "uniform": Case("entropy", _uniform(1), 0.0),
    "uniform, 5 columns": Case("entropy", _uniform(5), 0.0),
    "exponential": Case("entropy", _exponential(1), 1.0),
    "exponential, 5 columns": Case("entropy", _exponential(5), 5.0),
    "Gaussian mixture": Case("entropy", _one(partial(mixture_table, 1)), mixture_entropy()),
    "Gaussian mixture, 3 columns": Case(
        "entropy", _one(partial(mixture_table, 3)), 3 * mixture_entropy()
    ),
    "Student t, 3 dof": Case(
        "entropy", _one(partial(student_table, 3, np.eye(1))), student_entropy(3, np.eye(1))
    ),
    "AR(1) Gaussian, 10 columns, entropy": Case(
        "entropy",
        _one(partial(normal_table, autoregression(10, 0.8))),
        5 * LOG_2_PI_E + 0.5 * log_det(autoregression(10, 0.8)),
    ),
    "equicorrelated Gaussian, 5 columns, negentropy": Case(
        "negentropy", _one(partial(normal_table, equicorrelation(5, 0.5))), 0.0
    ),
    "uniform, negentropy": Case("negentropy", _uniform(1), 0.5 * (LOG_2_PI_E - math.log(12))),
    "exponential, negentropy": Case("negentropy", _exponential(1), 0.5 * LOG_2_PI_E - 1),
    "three uniforms, mixed": Case(
        "negentropy",
        _one(lambda rng, n: rng.uniform(size=(n, 3)) @ np.linalg.cholesky(COMMON)),
        1.5 * (LOG_2_PI_E - math.log(12)),
    ),
    "AR(1) Gaussian, 5 columns, to N(0, I)": Case(
        "negentropy",
        _one(partial(normal_table, autoregression(5, 0.5))),
        gaussian_total_correlation(autoregression(5, 0.5)),
        {"reference": "standard_normal"},
    ),
    "AR(1) and white Gaussian, 1 column": _shifted(1),
    "AR(1) and white Gaussian, 5 columns": _shifted(5),
    "one exponential twice": Case("kl_divergence", _twice(_exponential(1)), 0.0),
    "one Student t twice, 5 columns": Case(
        "kl_divergence", _twice(_one(partial(student_table, 5, equicorrelation(5, 0.5)))), 0.0
    ),
    "exponentials of means 1 and 2": Case(
        "kl_divergence",
        lambda rng, n: (*_exponential(1)(rng, n), *_exponential(1, 2.0)(rng, n)),
        math.log(2) + 0.5 - 1,
    ),
    "Gaussian chain, ends given the middle": Case(
        "conditional_mutual_information",
        lambda rng, n: tuple(normal_table(CHAIN, rng, n)[:, [0, 2, 1]].T),
        0.0,
    ),
    "equicorrelated Gaussian, two given the third": Case(
        "conditional_mutual_information",
        _split(partial(normal_table, COMMON), (1, 1, 1)),
        0.5 * (2 * log_det(COMMON[:2, :2]) - log_det(COMMON)),
    ),
}
