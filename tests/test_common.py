"""scikit-learn's own checks, on the default constructors: no check is expected to fail."""

import pytest
import sklearn.utils.estimator_checks as checks
from sklearn.utils.estimator_checks import parametrize_with_checks

from skgauss import GlowGaussianizer, RBIGTransformer
from skgauss.marginals import (
    HistogramMarginal,
    KDEMarginal,
    MixtureMarginal,
    SplineMarginal,
)
from tests.estimators import glow

# scikit-learn's checks use small integers: a column that repeats its values is warned of.
pytestmark = pytest.mark.filterwarnings("ignore::skgauss.exceptions.TiedColumnWarning")

ESTIMATORS = [
    GlowGaussianizer(),
    RBIGTransformer(),
    SplineMarginal(),
    HistogramMarginal(),
    KDEMarginal(),
    MixtureMarginal(),
]

# The further checks are of names, frames and messages: a flow that is quick to train will do.
QUICK = [glow(), *ESTIMATORS[1:]]

# What scikit-learn runs on its own estimators beyond `check_estimator`. Versions name them
# differently; a name that the installed one lacks is skipped.
FURTHER_CHECKS = [
    "check_all_zero_sample_weights_error",
    "check_dataframe_column_names_consistency",
    "check_estimators_partial_fit_n_features",
    "check_get_feature_names_out_error",
    "check_global_output_transform_pandas",
    "check_global_set_output_transform_polars",
    "check_inplace_ensure_writeable",
    "check_n_features_in",
    "check_n_features_in_after_fitting",
    "check_param_validation",
    "check_set_output_transform",
    "check_set_output_transform_pandas",
    "check_set_output_transform_polars",
    "check_transformer_get_feature_names_out",
    "check_transformer_get_feature_names_out_pandas",
]


@parametrize_with_checks(ESTIMATORS)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


# These checks mix frames and arrays on purpose, which scikit-learn warns of.
MIXING_CHECKS = {name for name in FURTHER_CHECKS if "output_transform" in name}
mixing = pytest.mark.filterwarnings("ignore:X (has|does not have valid) feature names:UserWarning")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            n,
            marks=[
                *([mixing] if n in MIXING_CHECKS else []),
                *([pytest.mark.slow] if "global" in n else []),  # the same through a global setting
            ],
        )
        for n in FURTHER_CHECKS
    ],
)
@pytest.mark.parametrize("estimator", QUICK, ids=lambda estimator: type(estimator).__name__)
def test_further_scikit_learn_checks(estimator, name):
    check = getattr(checks, name, None)
    if check is None:
        pytest.skip(f"this version of scikit-learn has no {name}")
    check(type(estimator).__name__, estimator)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda estimator: type(estimator).__name__)
def test_most_further_checks_are_found(estimator):
    """Guards the list above against a misspelled name."""
    assert sum(hasattr(checks, name) for name in FURTHER_CHECKS) >= len(FURTHER_CHECKS) - 2
