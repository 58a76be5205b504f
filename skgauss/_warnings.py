"""Warnings that name the user's line, however deep in the library something was found."""

from __future__ import annotations

import inspect
import os
import warnings
from pathlib import Path

import joblib
import sklearn

__all__ = ["warn"]

_FILES = (__file__, sklearn.__file__, joblib.__file__)
_INSIDE = tuple(str(Path(where).parent) + os.sep for where in _FILES)


def warn(message: str, category: type[Warning]) -> None:
    """Warn in the name of the innermost call from outside skgauss, scikit-learn and joblib."""
    frame, level = inspect.currentframe(), 0
    while frame is not None and frame.f_code.co_filename.startswith(_INSIDE):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level + 1)
