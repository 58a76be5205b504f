"""nflows' RQ-NSF (C) for ``scaling_peers.py``: a plain torch loop.

Built as in Durkan, Bekasov, Murray & Papamakarios (2019), Neural spline flows, arXiv:1906.04032:
permutation, LU-parameterised linear map, spline coupling with an unconditional spline on the half
that conditions. The networks are plain ones in place of residual ones, to be of one size with
those of the other flows.
"""

from __future__ import annotations

import numpy as np
import torch
from nflows.distributions.normal import StandardNormal
from nflows.flows.base import Flow
from nflows.nn.nets import MLP
from nflows.transforms import (
    CompositeTransform,
    LULinear,
    PiecewiseRationalQuadraticCouplingTransform,
    RandomPermutation,
)
from nflows.utils import create_alternating_binary_mask

from provenance import cpu_count
from scaling_flows import DEPTH, EPOCHS, LEARNING_RATE, N_BINS, N_TRANSFORMS, WIDTH
from worker import timed

SCORE_BLOCK = 8192


class Network(MLP):
    """nflows' perceptron, as a coupling calls it."""

    hidden_features = WIDTH  # by which a coupling scales what goes into its softmax

    def __init__(self, n_in, n_out):
        super().__init__((n_in,), (n_out,), [WIDTH] * DEPTH)

    def forward(self, inputs, context=None):
        return super().forward(inputs)


def spline_flow(n_features: int):
    """The flow, untrained."""
    transforms = []
    for k in range(N_TRANSFORMS):
        coupling = PiecewiseRationalQuadraticCouplingTransform(
            mask=create_alternating_binary_mask(n_features, even=k % 2 == 0),
            transform_net_create_fn=Network,
            num_bins=N_BINS,
            tails="linear",
            tail_bound=4.0,
            apply_unconditional_transform=True,
        )
        linear = LULinear(n_features, identity_init=True)
        transforms += [RandomPermutation(n_features), linear, coupling]
    return Flow(CompositeTransform(transforms), StandardNormal([n_features]))


class Nflows:
    """The flow, its Adam and its rows; on all CPUs or on one, whichever is faster."""

    def __init__(self, rows, batch):
        torch.manual_seed(0)
        self.rows, self.batch = torch.as_tensor(np.float32(rows)), batch
        self.flow = spline_flow(rows.shape[1])
        self.optimizer = torch.optim.Adam(self.flow.parameters(), lr=LEARNING_RATE)
        self.n_parameters = sum(p.numel() for p in self.flow.parameters())
        # OpenMP's threads wait for each other, which costs more than it gains on a busy machine.
        self.epochs(1)
        self.threads = min((1, cpu_count()), key=self.seconds_on)
        torch.set_num_threads(self.threads)

    def seconds_on(self, n_threads):
        torch.set_num_threads(n_threads)
        return timed(self.epochs, 1)[1]

    def epochs(self, n_epochs):
        for _ in range(n_epochs):
            for indices in torch.randperm(len(self.rows)).split(self.batch):
                self.optimizer.zero_grad()
                loss = -self.flow.log_prob(self.rows[indices]).mean()
                loss.backward()
                self.optimizer.step()

    def train(self) -> float:
        return EPOCHS * len(self.rows) / timed(self.epochs, EPOCHS)[1]

    def log_density(self, rows):
        with torch.no_grad():
            blocks = torch.as_tensor(np.float32(rows)).split(SCORE_BLOCK)
            return torch.cat([self.flow.log_prob(block) for block in blocks]).numpy()

    def score(self, rows) -> float:
        return len(rows) / timed(self.log_density, rows)[1]
