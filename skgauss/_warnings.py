"""Warnings that name the user's line, however deep in the library something was found."""

from __future__ import annotations

import inspect
import warnings
from pathlib import Path

import sklearn

__all__ = ["warn"]

_INSIDE = tuple(str(Path(where).parent) for where in (__file__, sklearn.__file__))


def warn(message: str, category: type[Warning]) -> None:
    """Warn as if the innermost call from outside this package and scikit-learn had done so."""
    frame, level = inspect.currentframe(), 0
    while frame is not None and frame.f_code.co_filename.startswith(_INSIDE):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level + 1)
