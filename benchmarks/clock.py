"""The wall clock of a training budget, the same for every flow that trains under one."""

from __future__ import annotations

import math
import time


class Clock:
    """Seconds since it was made, and what is left of a budget less the reserve."""

    def __init__(self, budget: float):
        self.start = time.perf_counter()
        self.budget = budget
        self.reserve = 0.0

    def share_spent(self) -> float:
        """Elapsed part of the budget, from 0 to 1; 1 means that training must stop."""
        elapsed = time.perf_counter() - self.start
        return min(1.0, elapsed / max(self.budget - self.reserve, 1e-9))

    def cosine(self) -> float:
        """Factor of a learning rate that falls from 1 to 0 along the budget."""
        return 0.5 * (1.0 + math.cos(math.pi * self.share_spent()))
