"""Parameters out of range are refused by name, with the value, by every estimator."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from skgauss import DensityOutlierDetector, GlowGaussianizer, RBIGTransformer
from skgauss.marginals import (
    HistogramMarginal,
    KDEMarginal,
    MixtureMarginal,
    SplineMarginal,
)
from tests.estimators import small_table

BAD_MARGINAL_PARAMETERS = [
    ("subsample", 9),
    ("subsample", 0.5),
    ("n_jobs", "all"),
    ("random_state", "seed"),
]
OUT_OF_RANGE = {
    GlowGaussianizer: [
        ("n_steps", 0),
        ("n_steps", 1.5),
        ("n_steps", "many"),
        ("mixer", "conv"),
        ("mixer", None),
        ("coupling", "rqs"),
        ("head", "gaussian"),
        ("hidden_layer_sizes", (0,)),
        ("hidden_layer_sizes", (8, -1)),
        ("hidden_layer_sizes", (1.5,)),
        ("hidden_layer_sizes", 8),
        ("hidden_layer_sizes", "large"),
        ("n_bins", 1),
        ("n_bins", 65),
        ("n_bins", 8.0),
        ("max_iter", 0),
        ("max_iter", None),
        ("batch_size", 1),
        ("batch_size", 0),
        ("learning_rate_init", 0),
        ("learning_rate_init", -1e-3),
        ("learning_rate_init", np.nan),
        ("alpha", -1e-9),
        ("alpha", "none"),
        ("ema_decay", 1.0),
        ("ema_decay", -0.1),
        ("early_stopping", "yes"),
        ("validation_fraction", 0.0),
        ("validation_fraction", 1.0),
        ("n_iter_no_change", 0),
        ("tol", -1.0),
        ("max_time", 0),
        ("max_time", -5),
        ("dequantize", 2),
        ("dtype", "float16"),
        ("dtype", np.float32),
        ("warm_start", None),
        ("n_jobs", 1.5),
        ("n_jobs", "all"),
        ("random_state", -1),
        ("random_state", "seed"),
        ("verbose", -1),
    ],
    RBIGTransformer: [
        ("max_layers", 0),
        ("max_layers", 2.0),
        ("learning_rate", 0.0),
        ("learning_rate", 1.1),
        ("head", "spline"),
        ("marginal", "splines"),
        ("marginal", StandardScaler()),
        ("rotation", None),
        ("stopping", "never"),
        ("n_iter_no_change", 0),
        ("validation_fraction", 0.0),
        ("validation_fraction", 1.0),
        ("dequantize", 2),
        ("n_jobs", "all"),
        ("random_state", "seed"),
        ("verbose", -1),
    ],
    DensityOutlierDetector: [
        ("contamination", 0.6),
        ("contamination", 0.0),
        ("contamination", "often"),
        ("criterion", "norm"),
        ("n_estimators", 0),
        ("max_samples", 0),
        ("trim", 0.7),
        ("calibration", 1.0),
        ("calibration", "fold"),
        ("estimator", "rbig"),
        ("n_jobs", "all"),
        ("random_state", "seed"),
        ("verbose", -1),
    ],
    SplineMarginal: [("n_knots", 1), ("n_knots", "many"), *BAD_MARGINAL_PARAMETERS],
    HistogramMarginal: [("n_bins", 0), ("n_bins", 2.5), *BAD_MARGINAL_PARAMETERS],
    KDEMarginal: [
        ("bandwidth", 0),
        ("bandwidth", "narrow"),
        ("n_knots", 3),
        *BAD_MARGINAL_PARAMETERS,
    ],
    MixtureMarginal: [("n_components", 0), ("n_components", "many"), *BAD_MARGINAL_PARAMETERS],
}


@pytest.mark.parametrize(
    ("cls", "name", "value"), [(cls, *bad) for cls, own in OUT_OF_RANGE.items() for bad in own]
)
def test_a_parameter_out_of_range_is_named_with_its_value(cls, name, value):
    model = cls().set_params(**{name: value})
    with pytest.raises(ValueError, match=name) as error:
        model.fit(small_table())
    assert str(value) in str(error.value)


@pytest.mark.parametrize("cls", OUT_OF_RANGE)
def test_no_parameter_is_left_out_above(cls):
    assert {name for name, _ in OUT_OF_RANGE[cls]} == set(cls().get_params())
