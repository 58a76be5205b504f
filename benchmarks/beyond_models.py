"""The models of ``beyond_nats.py``, fitted, and what each of them can be asked."""

from __future__ import annotations

import numpy as np

from skgauss import GlowGaussianizer, RBIGTransformer
from sklearn_models import MIXTURE_GRID, best_mixture

MODELS = {
    "glow": "GlowGaussianizer",
    "rbig": 'RBIGTransformer, head="mixture"',
    "gmm": "GaussianMixture, best of a grid",
}
_GRID = (1, 2, *MIXTURE_GRID)  # one component is the truth of some


def fitted(name: str, train: np.ndarray, validation: np.ndarray, seed: int):
    """A model of the training rows; the mixture alone chooses by the validation rows."""
    if name == "glow":
        return GlowGaussianizer(random_state=seed).fit(train)
    if name == "rbig":
        return RBIGTransformer(head="mixture", random_state=seed).fit(train)
    return best_mixture(train, validation, seed=seed, grid=_GRID)[0]


def drawn(model, n_samples: int, seed: int) -> np.ndarray:
    """New rows from a fitted model."""
    if has_latents(model):
        return model.sample(n_samples, random_state=seed)
    # GaussianMixture draws by its own random_state, and component by component.
    return model.set_params(random_state=seed).sample(n_samples)[0]


def has_latents(model) -> bool:
    """Whether there is a map to independent normals."""
    return hasattr(model, "transform")
