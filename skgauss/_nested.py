"""Parameters of an estimator and of those inside it, by the last part of their names."""

from __future__ import annotations

from typing import Any

__all__ = ["called", "unseeded"]


def called(name: str, estimator: Any) -> list[str]:
    """Parameters that have a name, of a pipeline's steps too."""
    return sorted(p for p in estimator.get_params() if p.rpartition("__")[2] == name)


def unseeded(estimator: Any) -> list[str]:
    """Seeds that were left open."""
    params = estimator.get_params()
    return [p for p in called("random_state", estimator) if params[p] is None]
