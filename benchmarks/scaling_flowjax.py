"""flowjax's coupling flow for ``scaling_peers.py``: the jitted step of its own training loop."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import jax.random as jr
import paramax
from flowjax.bijections import RationalQuadraticSpline
from flowjax.distributions import Normal
from flowjax.flows import coupling_flow

from flowjax_models import Clock, Recipe, Training, blockwise_log_density, count_parameters
from scaling_flows import DEPTH, EPOCHS, LEARNING_RATE, N_BINS, N_TRANSFORMS, WIDTH
from worker import timed


class Flowjax:
    """``coupling_flow`` with rational-quadratic splines, one less inner knot than bins."""

    def __init__(self, rows, batch):
        flow_key, train_key = jr.split(jr.key(0))
        flow = coupling_flow(
            flow_key,
            base_dist=Normal(jnp.zeros(rows.shape[1])),
            transformer=RationalQuadraticSpline(knots=N_BINS - 1, interval=4.0),
            flow_layers=N_TRANSFORMS,
            nn_width=WIDTH,
            nn_depth=DEPTH,
        )
        recipe = Recipe(batch_size=batch, learning_rate=LEARNING_RATE)
        # The loop holds out a tenth, which is not trained on: rows are counted by its steps.
        self.training = Training(flow, jnp.asarray(rows, dtype=jnp.float32), recipe, train_key)
        self.log_density = blockwise_log_density(paramax.unwrap(flow))
        self.n_parameters = count_parameters(self.training.params)
        self.epochs(1)  # compiles

    def epochs(self, n_epochs):
        for _ in range(n_epochs):
            self.training.epoch(Clock(math.inf))
        jax.block_until_ready(self.training.params)

    def train(self) -> float:
        before = self.training.n_steps
        _, seconds = timed(self.epochs, EPOCHS)
        return (self.training.n_steps - before) * self.training.recipe.batch_size / seconds

    def score(self, rows) -> float:
        return len(rows) / timed(self.log_density, rows)[1]
