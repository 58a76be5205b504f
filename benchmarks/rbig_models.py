"""RBIGTransformer as the comparisons take it: defaults but for the head, training rows alone."""

from __future__ import annotations

from skgauss import RBIGTransformer


def fit_default(train, validation, *, seed, budget, **parameters):
    """``RBIGTransformer(random_state=seed)``, stopping where it likes; ``budget`` is not used."""
    estimator = RBIGTransformer(random_state=seed, **parameters).fit(train)
    details = {"n_layers": estimator.n_layers_, "n_layers_tried": len(estimator.negentropy_)}
    return estimator.score_samples, details


def fit_mixture(train, validation, **options):
    """The same with ``head="mixture"``."""
    return fit_default(train, validation, head="mixture", **options)


def fit_auto(train, validation, **options):
    """The same with ``head="auto"``."""
    return fit_default(train, validation, head="auto", **options)
