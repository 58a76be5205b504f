"""What the three flows of ``scaling_peers.py`` have in common, and ours.

A flow is built and compiled from rows and a batch size; ``train()`` and ``score(rows)`` return
rows per second.
"""

from __future__ import annotations

from scaling_epochs import passes_per_iteration
from skgauss import GlowGaussianizer
from worker import timed

N_TRANSFORMS, WIDTH, DEPTH, N_BINS = 8, 64, 2, 8
LEARNING_RATE = 1e-3
EPOCHS = 4  # that are timed


class Ours:
    """GlowGaussianizer with a spline head: a long fit less a short one is its training."""

    def __init__(self, rows, batch):
        self.rows = rows
        self.parameters = {
            "head": "spline",
            "n_steps": N_TRANSFORMS,
            "hidden_layer_sizes": (WIDTH,) * DEPTH,
            "n_bins": N_BINS,
            "batch_size": batch,
            "learning_rate_init": LEARNING_RATE,
            "early_stopping": False,
            "random_state": 0,
        }
        self.glow = self.fitted(1)  # compiles
        self.n_parameters = int(self.glow.n_parameters_)

    def fitted(self, n_iter):
        """Fitted for so many iterations."""
        return GlowGaussianizer(max_iter=n_iter, **self.parameters).fit(self.rows)

    def train(self) -> float:
        _, short = timed(self.fitted, 1)
        _, long = timed(self.fitted, 1 + EPOCHS)
        passes = EPOCHS * passes_per_iteration(len(self.rows), self.parameters["batch_size"])
        return passes * len(self.rows) / (long - short)

    def score(self, rows) -> float:
        self.glow.set_params(n_jobs=-1)
        return len(rows) / timed(self.glow.score_samples, rows)[1]
