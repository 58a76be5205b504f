"""Information measures of tables, in nats, through densities that Gaussianize.

Every measure here is a Kullback-Leibler divergence from a reference, the mean over the rows of
``log p(x) - log r(x)``, except the entropy, which has no reference. The density is estimated by
`skgauss.RBIGTransformer`, or by any estimator with ``fit`` and ``score_samples``; density and
reference are fitted to the same rows, so that standard errors are those of paired differences.
"""

from skgauss.information._dependence import (
    conditional_mutual_information,
    mutual_information,
    total_correlation,
)
from skgauss.information._divergence import entropy, kl_divergence, negentropy

__all__ = [
    "conditional_mutual_information",
    "entropy",
    "kl_divergence",
    "mutual_information",
    "negentropy",
    "total_correlation",
]
