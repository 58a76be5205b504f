"""What happened in a training so far, and what it says about going on."""

from __future__ import annotations

import dataclasses

import numpy as np

__all__ = ["Progress"]


@dataclasses.dataclass
class Progress:
    """What happened in training.

    Attributes
    ----------
    best : array of shape (n_parameters,)
        The best averaged parameters so far.
    tolerated : float
        Nats that the loss may rise above the lowest before it has left the way.
    loss_curve : list of float
        Mean training loss per iteration: minus the log-likelihood per row, in nats.
    validation_scores : list of float
        Mean held-out log-likelihood per row of the averaged flow, in nats.
    best_score : float
    best_iter : int
        Iterations made when the best parameters were found; 0 is the start.
    n_stale : int
        Iterations since the score last rose by more than the tolerance.
    lowest_loss : float
        Since training last went astray.
    astray : bool
        Whether the loss of the last iteration is far above the lowest: the learning rate is too
        high, and training goes on from the best at a lower one. The training rows are asked,
        since overfitting, which is not cured so, shows on the others alone.
    pending : bool
        Whether training ended where it is likeliest, but not by enough to be kept: going on from
        there may make it so.
    stopped : {"max_iter", "early_stopping", "max_time", "diverged", "callback"}
        Why training ended.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.progress import Progress
    >>> progress = Progress(best=np.zeros(2))
    >>> progress.loss_curve.append(1.0)
    >>> progress.judge(np.ones(2), tol=1e-4, n_iter_no_change=5)  # whether to go on
    True
    >>> progress.best.tolist()
    [1.0, 1.0]
    """

    best: np.ndarray
    tolerated: float = 1.0
    loss_curve: list[float] = dataclasses.field(default_factory=list)
    validation_scores: list[float] = dataclasses.field(default_factory=list)
    best_score: float = -np.inf
    best_iter: int = 0
    n_stale: int = 0
    lowest_loss: float = np.inf
    astray: bool = False
    pending: bool = False
    stopped: str = "max_iter"

    def judge(self, average: np.ndarray, tol: float, n_iter_no_change: float) -> bool:
        """Judge the last iteration, keep the best parameters, and say whether to go on.

        Parameters
        ----------
        average : array of shape (n_parameters,)
            The averaged parameters after it.
        tol : float
        n_iter_no_change : float
            An int, or infinity.

        Returns
        -------
        go_on : bool
        """
        held_out, loss = bool(self.validation_scores), self.loss_curve[-1]
        score = self.validation_scores[-1] if held_out else -loss
        if not np.isfinite([score, loss, np.asarray(average).sum()]).all():
            self.stopped = "diverged"
            return False
        self.astray = loss > self.lowest_loss + self.tolerated
        self.lowest_loss = np.inf if self.astray else min(loss, self.lowest_loss)
        self.n_stale = 0 if score > self.best_score + tol else self.n_stale + 1
        if score > self.best_score or not (held_out or self.astray):
            self.best_score, self.best = score, np.array(average)
            self.best_iter = len(self.loss_curve)
        if held_out and self.n_stale >= n_iter_no_change:
            self.stopped = "early_stopping"
            return False
        return True
