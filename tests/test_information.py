"""Information measures: laws that the truth obeys, known truths, and input that they refuse."""

from __future__ import annotations

import math
import subprocess
import sys

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgauss import RBIGTransformer, information
from skgauss.exceptions import TiedColumnWarning
from skgauss.information import (
    conditional_mutual_information,
    entropy,
    kl_divergence,
    mutual_information,
    negentropy,
    total_correlation,
)
from skgauss.information._scores import _copies
from tests.truths import CASES, autoregression, normal_table, paired

ONE_TABLE = (entropy, negentropy, total_correlation)
TWO_BLOCKS = (mutual_information, kl_divergence)
MEASURES = (*ONE_TABLE, *TWO_BLOCKS, conditional_mutual_information)

# The laws hold whatever the estimator: a shallow one is enough where they are exact.
QUICK = {"estimator": RBIGTransformer(max_layers=4), "cv": 3, "random_state": 0}

# Rows, and the tolerance in nats of the mean over three seeds; the worst is within twice that.
FAST = {
    "Gaussian blocks 1+1, correlation 0.6": (2000, 0.03),
    "independent exponentials 1+1": (2000, 0.02),
    "equicorrelated Gaussian, 5 columns": (1000, 0.06),
    "uniform": (2000, 0.03),
    "exponential": (2000, 0.05),
    "Gaussian mixture": (2000, 0.04),
    "AR(1) and white Gaussian, 1 column": (2000, 0.03),
    "one exponential twice": (2000, 0.02),
}
# Where more than 0.02 nats and 2 % are allowed, at 10,000 rows: of fine or heavy-tailed structure
# less than all is seen.
HARD = {
    "Student t blocks 5+5, 3 dof": 0.1,
    "bent Gaussian blocks 2+2, correlation 0.6": 0.05,
    "two rings 2+2": 0.1,
    "uniform, blurred by a quarter": 0.1,
    "Student t, 5 columns, 5 dof": 0.05,
    "Student t, 10 columns, 5 dof": 0.1,
    "Student t, 5 columns, 3 dof": 0.06,
    "Student t, 10 columns, 3 dof": 0.1,
    "uniform, 5 columns": 0.05,
    "three uniforms, mixed": 0.08,
}


def blocks(measure, n_rows=400, seed=0):
    """Arguments of a measure: as many correlated Gaussian columns as it takes blocks."""
    n_blocks = 3 if measure is conditional_mutual_information else 2
    X = normal_table(autoregression(n_blocks, 0.6), np.random.default_rng(seed), n_rows)
    return (X,) if measure in ONE_TABLE else tuple(X.T)


def errors(name, n_rows, n_seeds=3, **options):
    """Estimate less truth, by seed."""
    case = CASES[name]
    measure = getattr(information, case.measure)
    return np.array(
        [
            measure(
                *case.draw(np.random.default_rng(seed), n_rows),
                random_state=seed,
                **case.options,
                **options,
            )
            - case.truth
            for seed in range(n_seeds)
        ]
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", FAST)
def test_the_truth_is_met(name):
    n_rows, tolerance = FAST[name]
    off = errors(name, n_rows, cv=2)
    assert abs(off.mean()) <= tolerance
    assert abs(off).max() <= 2 * tolerance


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_the_truth_is_met_at_ten_thousand_rows(name):
    off = errors(name, 10_000)
    tolerance = HARD.get(name, max(0.02, 0.02 * abs(CASES[name].truth)))
    assert abs(off.mean()) <= tolerance
    assert abs(off).max() <= 2 * tolerance


@pytest.mark.slow
@pytest.mark.parametrize("measure", MEASURES)
def test_the_standard_error_is_the_scatter_over_tables(measure):
    found = [
        measure(*blocks(measure, 1000, seed), random_state=seed, return_std=True)
        for seed in range(30)
    ]
    values, stds = np.array(found).T
    if measure is not negentropy:  # of a Gaussian: the error is of second order
        assert 0.6 < values.std() / stds.mean() < 1.6


# Laws


@pytest.mark.parametrize("measure", MEASURES)
def test_the_order_of_rows_is_irrelevant_and_the_seed_repeats(measure):
    tables = blocks(measure)
    value = measure(*tables, **QUICK)
    assert measure(*tables, **QUICK) == value
    order = np.random.default_rng(1).permutation(len(tables[0]))
    assert measure(*(table[order] for table in tables), **QUICK) == value


@pytest.mark.parametrize("measure", [*ONE_TABLE, mutual_information])
def test_a_row_of_weight_k_is_k_rows(measure):
    tables = blocks(measure, 200)
    weight = np.arange(200) % 4
    value = measure(*tables, sample_weight=weight, **QUICK)
    repeated = measure(*(np.repeat(table, weight, axis=0) for table in tables), **QUICK)
    assert value == pytest.approx(repeated, rel=1e-9)


def test_weights_make_another_distribution_of_the_rows():
    """Two normals, weighted by exp(-(x - y)^2 / 2): normal, of precision I + [[1, -1], [-1, 1]]."""
    X = np.random.default_rng(0).normal(size=(4000, 2))
    weight = np.exp(-0.5 * (X[:, 0] - X[:, 1]) ** 2)
    log_det, trace, trace_of_precision = -math.log(3), 4 / 3, 4
    truths = {
        entropy: math.log(2 * math.pi * math.e) + log_det / 2,
        negentropy: 0,
        total_correlation: -0.5 * math.log(0.75),
    }
    found = {measure: measure(X, sample_weight=weight, **QUICK) for measure in truths}
    assert found == pytest.approx(truths, abs=0.06)
    found = mutual_information(*X.T, sample_weight=weight, **QUICK)
    assert found == pytest.approx(-0.5 * math.log(0.75), abs=0.06)
    found = kl_divergence(X, X, sample_weight=weight, **QUICK)
    assert found == pytest.approx((trace - 2 - log_det) / 2, abs=0.06)
    found = kl_divergence(X, X, sample_weight_Y=weight, **QUICK)
    assert found == pytest.approx((trace_of_precision - 2 + log_det) / 2, abs=0.06)


def test_blocks_may_change_places():
    X, Y = np.hsplit(normal_table(paired(2, 0.5), np.random.default_rng(0), 500), [1])
    value = mutual_information(X, Y, **QUICK)
    assert mutual_information(Y, X, **QUICK) == value
    x, y, z = blocks(conditional_mutual_information)
    value = conditional_mutual_information(x, y, z, **QUICK)
    assert conditional_mutual_information(y, x, z, **QUICK) == value


def test_increasing_maps_of_columns_change_no_dependence():
    x, y, z = blocks(conditional_mutual_information)
    X = np.column_stack([x, y])
    mapped = np.column_stack([np.exp(x), y**3])
    assert total_correlation(mapped, **QUICK) == total_correlation(X, **QUICK)
    value = mutual_information(X, z, **QUICK)
    assert mutual_information(mapped, np.sinh(z), **QUICK) == value


@pytest.mark.slow
def test_an_invertible_map_of_a_block_changes_no_mutual_information():
    X, Y = np.hsplit(normal_table(paired(2, 0.8), np.random.default_rng(0), 1000), 2)
    value, std = mutual_information(X, Y, cv=2, random_state=0, return_std=True)
    mapped, other = mutual_information(
        X @ [[3.0, 1.0], [-2.0, 1.0]] + 5, Y @ [[0.0, 1.0], [1.0, 0.5]], cv=2, random_state=0,
        return_std=True,
    )  # fmt: skip
    assert abs(mapped - value) < 0.5 * math.hypot(std, other)


def test_dependence_of_two_columns_is_their_mutual_information():
    x, y = blocks(mutual_information)
    both = total_correlation(np.column_stack([x, y]), **QUICK)
    assert both == mutual_information(x, y, **QUICK)


@pytest.mark.slow
def test_chain_rule():
    x, y, z = blocks(conditional_mutual_information, 1000)
    both, std = mutual_information(
        x, np.column_stack([y, z]), cv=2, random_state=0, return_std=True
    )
    parts = mutual_information(x, z, cv=2, random_state=0)
    parts += conditional_mutual_information(x, y, z, cv=2, random_state=0)
    assert abs(both - parts) < 0.5 * std


def test_entropies_add_up_to_the_mutual_information():
    x, y = blocks(mutual_information, 2000)
    value, std = mutual_information(x, y, cv=2, random_state=0, return_std=True)
    parts = [entropy(t, cv=2, random_state=0) for t in (x, y, np.column_stack([x, y]))]
    assert abs(parts[0] + parts[1] - parts[2] - value) < std


def test_rescaling_a_column_adds_the_logarithm_to_the_entropy():
    (X,) = blocks(entropy)
    value = entropy(X, **QUICK)
    assert entropy(X * [8, 0.25], **QUICK) == pytest.approx(value + math.log(2))


@pytest.mark.slow
def test_an_affine_map_changes_no_negentropy_and_no_divergence():
    rng = np.random.default_rng(0)
    X, Y = rng.logistic(size=(2, 1000, 2)) + np.array([0.0, 0.8])[:, None, None]
    mix = np.array([[2.0, 1.0], [0.5, 3.0]])
    for measure, tables in ((negentropy, (X,)), (kl_divergence, (X, Y))):
        value, std = measure(*tables, cv=2, random_state=0, return_std=True)
        mapped = measure(*(table @ mix + 1 for table in tables), cv=2, random_state=0)
        assert abs(mapped - value) < 2 * std


def test_divergence_to_the_standard_normal_is_negentropy_and_that_of_the_moments():
    X = 1.5 * np.random.default_rng(0).uniform(-1, 1, size=(2000, 2)) + 0.4
    C, m = np.cov(X.T), X.mean(axis=0)
    moments = 0.5 * (np.trace(C) + m @ m - 2 - np.linalg.slogdet(C)[1])
    value, std = negentropy(X, reference="standard_normal", cv=2, random_state=0, return_std=True)
    assert abs(value - negentropy(X, cv=2, random_state=0) - moments) < 3 * std


@pytest.mark.slow
@pytest.mark.parametrize("measure", TWO_BLOCKS)
def test_nothing_is_found_where_there_is_nothing(measure):
    found = [
        measure(*np.random.default_rng(seed).exponential(size=(2, 1000)), cv=2, random_state=seed)
        for seed in range(5)
    ]
    assert abs(np.mean(found)) < 0.015
    assert np.abs(found).max() < 0.03


@pytest.mark.slow
def test_discrete_columns_share_their_entropy():
    rng = np.random.default_rng(0)
    coin, noise = rng.integers(2, size=(2, 4000))
    other = np.where(rng.random(4000) < 0.9, coin, 1 - coin)  # tells 90 % of the time
    truth = math.log(2) + 0.9 * math.log(0.9) + 0.1 * math.log(0.1)
    assert abs(mutual_information(coin, other, random_state=0) - truth) < 0.1
    assert abs(mutual_information(coin, noise, cv=2, random_state=0)) < 0.01


def test_rows_of_large_weight_are_no_ties():
    """Nor are copies of a few of them: nothing is found where there is nothing."""
    rng = np.random.default_rng(0)
    X, weight = rng.normal(size=(1000, 2)), np.where(rng.uniform(size=1000) < 0.05, 30, 1)
    assert abs(mutual_information(*X.T, sample_weight=weight, **QUICK)) < 0.15
    assert abs(mutual_information(*np.repeat(X, weight, axis=0).T, **QUICK)) < 0.15


def test_rows_that_repeat_by_accident_are_ties():
    """Two amounts that nobody has one of alone: which rows have none is all that they share."""
    rng = np.random.default_rng(0)
    pays = rng.uniform(size=2000) < 0.4
    X = pays[:, None] * rng.lognormal(size=(2000, 2))
    truth = -0.4 * math.log(0.4) - 0.6 * math.log(0.6)
    for weight in (None, np.full(2000, 1e9), np.full(2000, 0.3)):
        found = mutual_information(*X.T, sample_weight=weight, **QUICK)
        assert truth / 3 < found < truth + 0.05  # of four layers
    coin = rng.integers(2, size=2000)
    assert math.log(2) / 3 < mutual_information(coin, coin, **QUICK) < math.log(2) + 0.05


@pytest.mark.parametrize("weight", [1e6, 20_000, 2_000])
def test_cells_of_a_table_are_rows_as_often_as_they_weigh(weight):
    """The weights of a hundred cells, in thousands, or no whole numbers."""
    x, y = np.divmod(np.arange(100.0), 10)
    share = np.exp(-((x - y) ** 2) / 8)
    share /= share.sum()
    margins = [np.bincount(cells.astype(int), share)[cells.astype(int)] for cells in (x, y)]
    truth = share @ np.log(share / np.prod(margins, axis=0))
    weights = weight * share if weight < 1e6 else np.maximum(np.round(weight * share), 1)
    found = mutual_information(x, y, sample_weight=weights, **QUICK)
    assert 0.8 * truth < found < truth + 0.03


# Estimators


@pytest.mark.parametrize("measure", MEASURES)
def test_a_density_of_zero_is_refused(measure):
    estimator = KernelDensity(kernel="tophat", bandwidth=0.01)
    with pytest.raises(ValueError, match=r"log-density of -inf for .* positive everywhere"):
        measure(*blocks(measure), estimator=estimator, cv=3, random_state=0)


@pytest.mark.parametrize("measure", [total_correlation, mutual_information])
def test_independent_columns_have_no_bias(measure):
    """A normal estimator and a normal reference err alike, and the errors cancel."""
    estimator = GaussianMixture(covariance_type="diag", random_state=0)
    for seed in range(5):
        X = np.random.default_rng(seed).normal(size=(200, 2))
        tables = (X,) if measure is total_correlation else (X[:, 0], X[:, 1])
        assert abs(measure(*tables, estimator=estimator, random_state=0)) < 1e-4


@pytest.mark.parametrize("noise", [1e-6, 0.0])
def test_negentropy_of_collinear_normal_columns_is_zero(noise):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 2))
    X = np.column_stack([X, X.sum(axis=1) + noise * rng.normal(size=600)])
    assert abs(negentropy(1e3 + X, **QUICK)) < 0.01


def test_negentropy_of_fewer_rows_than_columns_is_finite():
    assert math.isfinite(negentropy(np.random.default_rng(0).normal(size=(12, 20)), **QUICK))


@pytest.mark.parametrize("weight", [1.0, 5.0])
@pytest.mark.parametrize("n_continuous", [0, 1])
def test_discrete_columns_of_one_distribution_diverge_by_nothing(n_continuous, weight):
    values = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        X, Y = (
            np.hstack([rng.poisson(3, (300, 1)), rng.normal(size=(300, n_continuous))])
            for _ in "XY"
        )
        weights = {"sample_weight": np.full(300, weight), "sample_weight_Y": np.full(300, weight)}
        values.append(kl_divergence(X, Y, **weights, **QUICK))
    assert abs(np.mean(values)) < 0.1


def test_a_density_of_zero_of_the_second_table_is_refused():
    rng = np.random.default_rng(0)
    X, Y = rng.uniform(size=300), rng.uniform(0.4, 1.4, size=300)
    estimator = KernelDensity(kernel="tophat", bandwidth=0.2)
    with pytest.raises(ValueError, match=r"log-density of -inf for .* positive everywhere"):
        kl_divergence(X, Y, estimator=estimator, random_state=0)


@pytest.mark.parametrize(
    "estimator",
    [
        GaussianMixture(2, random_state=0),
        KernelDensity(bandwidth="scott"),
        RBIGTransformer(max_layers=3),
        make_pipeline("passthrough", GaussianMixture(random_state=0)),
    ],
)
@pytest.mark.parametrize("measure", MEASURES)
def test_any_density_estimator_will_do(estimator, measure):
    value, std = measure(
        *blocks(measure), estimator=estimator, cv=3, random_state=0, return_std=True
    )
    assert isinstance(value, float)
    assert isinstance(std, float)
    assert math.isfinite(value)
    assert std >= 0


def test_weights_for_an_estimator_that_takes_none_must_be_whole_numbers():
    (X,) = blocks(entropy, 100)
    mixture = GaussianMixture(random_state=0)
    weight = np.arange(100) % 3
    value = entropy(X, estimator=mixture, sample_weight=weight, random_state=0)
    repeated = entropy(np.repeat(X, weight, axis=0), estimator=mixture, random_state=0)
    assert value == pytest.approx(repeated)
    with pytest.raises(ValueError, match="takes no sample_weight"):
        entropy(X, estimator=mixture, sample_weight=weight + 0.5, random_state=0)


def test_large_whole_weights_stay_whole():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.integers(5, size=100), rng.normal(size=100)])
    weight = np.where(np.arange(100) % 2, 1000.0, 3001.0)
    options = {"estimator": GaussianMixture(), "cv": 2, "random_state": 0}
    assert math.isfinite(information.total_correlation(X, sample_weight=weight, **options))
    rows, share = _copies(np.arange(100.0)[:, None], weight, 250)
    np.testing.assert_array_equal(np.bincount(rows[:, 0].astype(int), share), weight)
    np.testing.assert_array_equal(share, np.round(share))


def test_the_seed_reaches_estimators_inside_others():
    X = np.random.default_rng(0).normal(size=(200, 3))
    estimator = make_pipeline(RBIGTransformer(max_layers=2))
    first, second = (
        information.total_correlation(X, estimator=estimator, cv=2, random_state=0)
        for _ in range(2)
    )
    assert first == second


@pytest.mark.parametrize("name", ["negentropy", "kl_divergence", "mutual_information"])
def test_frames_as_output_do_no_harm(name):
    tables = np.random.default_rng(0).normal(size=(2, 100, 2))
    tables = tables[:1] if name == "negentropy" else tables
    options = {"estimator": RBIGTransformer(max_layers=2), "cv": 2, "random_state": 0}
    plain = getattr(information, name)(*tables, **options)
    with sklearn.config_context(transform_output="pandas"):
        assert getattr(information, name)(*tables, **options) == plain


def test_folds_in_parallel_give_the_same():
    (X,) = blocks(entropy)
    value = total_correlation(X, **QUICK)
    with joblib.parallel_config(backend="threading"):
        assert total_correlation(X, n_jobs=2, **QUICK) == value


def test_the_estimator_given_is_left_alone():
    estimator = RBIGTransformer(max_layers=2)
    entropy(blocks(entropy)[0], estimator=estimator, random_state=0)
    assert estimator.random_state is None
    assert not hasattr(estimator, "layers_")


def test_no_jax_is_imported():
    code = (
        "import sys, numpy as np, skgauss; skgauss.information.entropy(np.arange(9.0) ** 2);"
        "assert 'jax' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# Input


def test_frames_lists_and_single_precision():
    x, y = blocks(mutual_information)
    value = mutual_information(x, y, **QUICK)
    frame = pd.DataFrame({"a": x, "b": y})
    assert mutual_information(frame[["a"]], frame["b"], **QUICK) == value
    assert mutual_information(list(x), y[:, None].tolist(), **QUICK) == value
    single = mutual_information(x.astype(np.float32), y.astype(np.float32), **QUICK)
    assert single == pytest.approx(value, abs=0.01)


def test_constant_columns():
    x, y = blocks(mutual_information)
    c = np.full_like(x, 3.0)
    X = np.column_stack([x, c])
    assert entropy(X) == -math.inf
    assert negentropy(X, reference="standard_normal") == math.inf
    assert negentropy(X, **QUICK) == negentropy(x, **QUICK)
    assert total_correlation(X) == 0.0
    assert mutual_information(X, y, **QUICK) == mutual_information(x, y, **QUICK)
    assert mutual_information(c, y, return_std=True) == (0.0, 0.0)
    assert conditional_mutual_information(x, y, c, **QUICK) == mutual_information(x, y, **QUICK)
    assert kl_divergence(X, np.column_stack([y, c + 1])) == math.inf
    assert kl_divergence(X, np.column_stack([y, x])) == math.inf
    assert kl_divergence(np.column_stack([y, x]), X) == math.inf
    assert kl_divergence(c, c[:3]) == 0.0
    same = kl_divergence(X, np.column_stack([y, c]), **QUICK)
    assert same == kl_divergence(x, y, **QUICK)


def test_tied_columns_have_no_differential_entropy_and_say_so():
    X = np.random.default_rng(0).integers(5, size=(300, 2))
    with pytest.warns(TiedColumnWarning):
        assert math.isfinite(entropy(X, random_state=0))


HOSTILE = {
    "one column within another": lambda X: (X[:, :1], X),
    "the same": lambda X: (X, X),
    "nearly the same": lambda X: (X, X + 1e-12),
    "far apart": lambda X: (X, X + 1e6),
    "heavy tails": lambda X: (np.tan(1.5 * np.tanh(X)), X**9),
    "units": lambda X: (X * [1e-150, 1e150], X),
    "few rows": lambda X: (X[:4], X[4:8]),
    "one value and another once": lambda X: (np.eye(len(X))[:, :2], X),
    "mostly tied": lambda X: (np.where(X < 1.3, 0.0, X), X),
    "more columns than rows": lambda X: tuple(np.split(X[:126].reshape(6, 42), 2, 1)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_tables_give_finite_numbers(name):
    X, Y = HOSTILE[name](blocks(entropy, 150)[0])
    estimator = RBIGTransformer(max_layers=4)
    value, std = mutual_information(
        X, Y, estimator=estimator, cv=2, random_state=0, return_std=True
    )
    assert math.isfinite(value)
    assert math.isfinite(std)


def test_messages_name_the_parameter():
    x, y = blocks(mutual_information, 50)
    with pytest.raises(ValueError, match=r"Input Y contains NaN in column 0, first in row 3"):
        mutual_information(x, np.where(np.arange(50) == 3, np.nan, y))
    with pytest.raises(ValueError, match=r"Columns \['b'\] of Y do not hold numbers"):
        mutual_information(x, pd.DataFrame({"b": ["low", "high"] * 25}))
    with pytest.raises(ValueError, match="Z"):
        conditional_mutual_information(x, y, [])
    with pytest.raises(ValueError, match="X has 50 rows and Y 49"):
        mutual_information(x, y[:-1])
    with pytest.raises(ValueError, match="X has 50 rows and Z 49"):
        conditional_mutual_information(x, y, x[:-1])
    with pytest.raises(ValueError, match="X has 1 columns and Y 2"):
        kl_divergence(x, np.column_stack([x, y]))
    with pytest.raises(ValueError, match="cv == 1"):
        entropy(x, cv=1)
    with pytest.raises(ValueError, match="reference='uniform'"):
        negentropy(x, reference="uniform")
    with pytest.raises(ValueError, match="score_samples"):
        entropy(x, estimator=StandardScaler())
    with pytest.raises(ValueError, match="an instance"):
        entropy(x, estimator=RBIGTransformer)
    with pytest.raises(ValueError, match="X has 3 distinct rows"):
        entropy(x[:3])
    with pytest.raises(ValueError, match=r"sample_weight\[2\] is -1"):
        mutual_information(x, y, sample_weight=np.where(np.arange(50) == 2, -1, 1))
    with pytest.raises(ValueError, match="sample_weight"):
        mutual_information(x, y, sample_weight=np.ones(49))


def test_a_row_is_judged_by_half_who_saw_it():
    """Of p parameters and n rows, either half alone is p / (2n) = 0.58 nats off."""
    errors = []
    for seed in range(5):
        X = np.random.default_rng(seed).normal(size=(200, 20))
        truth = np.mean(0.5 * np.sum(X**2, axis=1)) + 10 * math.log(2 * math.pi)
        errors.append(entropy(X, estimator=GaussianMixture(1), random_state=seed) - truth)
    assert abs(np.mean(errors)) < 0.15


def test_what_a_fit_to_the_other_table_lacks_is_taken_off():
    """Left as it is, equal tables would be p / (2n) = 0.29 nats apart; twice taken off, -0.29."""
    found = []
    for seed in range(5):
        X, Y = np.random.default_rng(seed).normal(size=(2, 400, 20))
        found.append(kl_divergence(X, Y, estimator=GaussianMixture(1), random_state=seed))
    assert abs(np.mean(found)) < 0.12


@pytest.mark.parametrize(
    "n_shared", [400, *(pytest.param(n, marks=pytest.mark.slow) for n in (200, 1))]
)
@pytest.mark.parametrize("is_mixed", [pytest.param(False, marks=pytest.mark.slow), True])
def test_rows_of_both_tables_are_held_out_of_both_fits(n_shared, is_mixed):
    """Seen by one of the fits, they would bring equal tables up to p / n = 0.58 nats below zero."""
    found = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        X, Y = rng.normal(size=(2, 400, 20))
        if is_mixed:
            X[:, 0], Y[:, 0] = rng.poisson(9, size=(2, 400))
        Y[:n_shared] = X[:n_shared]
        options = {"estimator": GaussianMixture(1), "random_state": seed}
        value = kl_divergence(X, Y, **options)
        order = rng.permutation(400)
        assert kl_divergence(X[order], Y[order[::-1]], **options) == value
        found.append(value)
    assert abs(np.mean(found)) < 0.12
    if n_shared == 400 and not is_mixed:
        assert np.abs(found).max() < 1e-9


@pytest.mark.parametrize("n_rows", [4, 5, 7])
@pytest.mark.parametrize("n_shared", range(5))
def test_folds_of_few_rows_are_never_empty(n_shared, n_rows):
    X, Y = np.random.default_rng(0).normal(size=(2, n_rows, 1))
    Y[:n_shared] = X[:n_shared]
    for cv in (2, 5):
        value = kl_divergence(X, Y, estimator=KernelDensity(bandwidth=1.0), cv=cv, random_state=0)
        assert math.isfinite(value)


def test_tables_with_other_names_are_not_compared():
    X = np.random.default_rng(0).normal(size=(50, 2))
    with pytest.raises(ValueError, match=r"X has the columns \['a', 'b'\] and Y \['b', 'a'\]"):
        kl_divergence(pd.DataFrame(X, columns=["a", "b"]), pd.DataFrame(X, columns=["b", "a"]))
