"""The flows of zuko and nflows, trained within a wall budget by one loop.

Adam on shuffled batches, a cosine to zero at the budget's end, a tenth of the training rows held
for validation after every epoch, the best parameters returned: what ``flowjax_models.py`` does. The
clock starts before the flow is built. Where validation stands still or a loss is not finite,
training goes on from the best parameters at a lower rate: a long budget on a small table would
otherwise end in a high rate's overfit. The rows come standardised, in the units of the scores, and
are used as they are, in float32.

Sizes and rates are the better ones of a few runs of 8-10 s on magic, on one CPU. Where there is an
accelerator, it is used, by the "accelerated" ones in batches that keep it busy.
"""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import zuko
from nflows import distributions, flows, transforms
from nflows.nn.nets import ResidualNet
from nflows.utils.torchutils import create_alternating_binary_mask

from clock import Clock
from provenance import cpu_count

SCORE_BLOCK = 8192
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
ACCELERATED_BATCH = 4096  # ours takes as many


@dataclass(frozen=True)
class Recipe:
    """How a flow is trained; the norm of the gradients is the neural spline flows' paper's."""

    learning_rate: float
    batch_size: int = 256
    clip_norm: float = 5.0
    patience: int = 5  # epochs without a better validation before the rate is cut
    rate_cut: float = 0.3
    n_cuts: int = 4  # the last ends the training


def fit_zuko_spline(train, validation, *, seed, budget, batch_size=512):
    """zuko's NSF: five autoregressive spline layers of 8 bins, two hidden layers of 128."""

    def build(n_features):
        flow = zuko.flows.NSF(n_features, transforms=5, hidden_features=(128, 128))
        return flow, lambda rows: flow().log_prob(rows)

    recipe = Recipe(learning_rate=5e-3, batch_size=batch_size)
    return fit_flow(build, train, recipe, seed=seed, budget=budget)


def fit_zuko_accelerated(train, validation, *, seed, budget):
    """`fit_zuko_spline` in larger batches."""
    return fit_zuko_spline(
        train, validation, seed=seed, budget=budget, batch_size=ACCELERATED_BATCH
    )


def fit_zuko_gaussianization(train, validation, *, seed, budget):
    """zuko's GF, arXiv:2003.01941: eight layers of 16-component marginals and rotations.

    It has no network, and so few parameters that it bears the highest rate of all.
    """

    def build(n_features):
        flow = zuko.flows.GF(n_features, transforms=8, components=16)
        return flow, lambda rows: flow().log_prob(rows)

    return fit_flow(build, train, Recipe(learning_rate=5e-2), seed=seed, budget=budget)


def fit_nflows_spline_coupling(train, validation, *, seed, budget, batch_size=256):
    """RQ-NSF (C) at a size that learns within seconds: 5 steps, one residual block of 64."""
    build = partial(spline_coupling_flow, n_steps=5, hidden_features=64, n_blocks=1)
    recipe = Recipe(learning_rate=5e-3, batch_size=batch_size)
    return fit_flow(build, train, recipe, seed=seed, budget=budget)


def fit_nflows_accelerated(train, validation, *, seed, budget):
    """`fit_nflows_spline_coupling` in larger batches."""
    return fit_nflows_spline_coupling(
        train, validation, seed=seed, budget=budget, batch_size=ACCELERATED_BATCH
    )


def fit_nflows_paper(train, validation, *, seed, budget):
    """RQ-NSF (C) at the size and the rate that its paper takes for POWER, meant for hours."""
    build = partial(spline_coupling_flow, n_steps=10, hidden_features=256, n_blocks=2)
    recipe = Recipe(learning_rate=5e-4, batch_size=512)
    return fit_flow(build, train, recipe, seed=seed, budget=budget)


def spline_coupling_flow(n_features: int, *, n_steps: int, hidden_features: int, n_blocks: int):
    """The tabular RQ-NSF (C) of Durkan et al. (2019), arXiv:1906.04032, appendix B.

    Every step is a permutation, an LU product, and a coupling by rational-quadratic splines of 8
    bins on [-3, 3] with linear tails, whose conditioner is a residual network.
    """

    def conditioner(n_in, n_out):
        return ResidualNet(n_in, n_out, hidden_features, num_blocks=n_blocks)

    layers = []
    for i in range(n_steps):
        coupling = transforms.PiecewiseRationalQuadraticCouplingTransform(
            create_alternating_binary_mask(n_features, even=i % 2 == 0),
            conditioner,
            num_bins=8,
            tails="linear",
            tail_bound=3.0,
            apply_unconditional_transform=True,
        )
        layers += [*mixing(n_features), coupling]
    layers += mixing(n_features)
    base = distributions.StandardNormal([n_features])
    flow = flows.Flow(transforms.CompositeTransform(layers), base)
    return flow, flow.log_prob


def mixing(n_features: int) -> list:
    """The linear part of a step: a fixed permutation and a trainable LU product."""
    return [
        transforms.RandomPermutation(n_features),
        transforms.LULinear(n_features, identity_init=True),
    ]


def fit_flow(build, train, recipe: Recipe, *, seed: int, budget: float):
    """Build and train a flow within ``budget`` seconds; returns its log-density and details.

    `build` takes the number of columns, and returns the module and its log-density.
    """
    clock = Clock(budget)
    torch.set_num_threads(cpu_count())
    torch.manual_seed(seed)
    flow, log_prob = build(train.shape[1])
    rows = torch.as_tensor(train, dtype=torch.float32, device=DEVICE)
    training = Training(flow.to(DEVICE), log_prob, rows, recipe)
    training.run(clock)
    details = {
        "recipe": vars(recipe),
        "n_epochs": training.n_epochs,
        "n_steps": training.n_steps,
        "n_cuts": training.n_cuts,
        "stopped_by": training.stopped_by,
        "best_validation_score": -training.best_loss,
        "n_parameters": sum(p.numel() for p in flow.parameters() if p.requires_grad),
        "platform": DEVICE,
    }
    return blockwise_log_density(log_prob), details


class Training:
    """The state of the loop: the flow, its optimiser, its best parameters so far, the rows."""

    def __init__(self, flow, log_prob, rows: torch.Tensor, recipe: Recipe):
        self.flow, self.log_prob, self.recipe = flow, log_prob, recipe
        self.optimizer = torch.optim.Adam(flow.parameters(), lr=recipe.learning_rate)
        rows = rows[torch.randperm(len(rows), device=DEVICE)]
        n_held_out = round(0.1 * len(rows))
        self.held_out, self.rows = rows[:n_held_out], rows[n_held_out:]
        self.best_loss, self.best_state = math.inf, copy.deepcopy(flow.state_dict())
        self.rate, self.n_fruitless, self.n_cuts = recipe.learning_rate, 0, 0
        self.n_epochs = self.n_steps = 0
        self.stopped_by = ""

    def run(self, clock: Clock) -> None:
        """Epochs, each with a validation pass, until something ends them; the best is restored."""
        while not self.stopped_by:
            self.n_epochs += self.epoch(clock)
            self.validate(clock)
        if not math.isfinite(self.best_loss):
            raise FloatingPointError("the validation loss was never finite")
        self.flow.load_state_dict(self.best_state)

    def epoch(self, clock: Clock) -> bool:
        """One pass over the shuffled rows; False where it ended early."""
        self.flow.train()
        n_batches = max(1, len(self.rows) // self.recipe.batch_size)
        order = torch.randperm(len(self.rows), device=DEVICE)[: n_batches * self.recipe.batch_size]
        for chosen in order.split(self.recipe.batch_size):
            if clock.share_spent() >= 1.0:
                self.stopped_by = "budget"
                return False
            for group in self.optimizer.param_groups:
                group["lr"] = self.rate * clock.cosine()
            if not self.step(self.rows[chosen]):
                self.cut_rate()
                return False
        return True

    def step(self, batch: torch.Tensor) -> bool:
        """One step of Adam, its gradient clipped; False, and none, where the loss is not finite."""
        self.optimizer.zero_grad()
        loss = -self.log_prob(batch).mean()
        if not torch.isfinite(loss):
            return False
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.flow.parameters(), self.recipe.clip_norm)
        self.optimizer.step()
        self.n_steps += 1
        return True

    def validate(self, clock: Clock) -> None:
        """Score the held-out tenth, keep the best parameters, reserve the time that it took."""
        start = time.perf_counter()
        self.flow.eval()
        loss = -float(np.mean(blockwise_log_density(self.log_prob)(self.held_out)))
        clock.reserve = time.perf_counter() - start
        if loss < self.best_loss:
            self.best_loss, self.best_state = loss, copy.deepcopy(self.flow.state_dict())
            self.n_fruitless = 0
            return
        self.n_fruitless += 1
        if self.n_fruitless == self.recipe.patience:
            self.cut_rate()

    def cut_rate(self) -> None:
        """Go on from the best parameters at a lower rate, or end where it was cut often enough."""
        self.flow.load_state_dict(self.best_state)
        self.optimizer.state.clear()  # its averages are those of the path that was left
        self.rate *= self.recipe.rate_cut
        self.n_fruitless = 0
        self.n_cuts += 1
        if self.n_cuts == self.recipe.n_cuts:
            self.stopped_by = "patience"


def blockwise_log_density(log_prob):
    """A function from rows to log-densities, in blocks that bound the memory."""

    def score_samples(rows) -> np.ndarray:
        blocks = torch.as_tensor(rows, dtype=torch.float32).split(SCORE_BLOCK)
        with torch.no_grad():
            scores = [log_prob(block.to(DEVICE)).cpu().numpy() for block in blocks]
        return np.concatenate(scores).astype(np.float64)

    return score_samples
