"""A fitted estimator says which version of skgauss saved it."""

from __future__ import annotations

import skgauss
from skgauss._warnings import warn
from skgauss.exceptions import InconsistentVersionWarning

__all__ = ["VersionedStateMixin"]


class VersionedStateMixin:
    """Put skgauss's version into the pickled state, and warn where another one loads it."""

    def __getstate__(self):
        return {**super().__getstate__(), "_skgauss_version": skgauss.__version__}  # type: ignore

    def __setstate__(self, state):
        version = state.pop("_skgauss_version", None)
        if version != skgauss.__version__:
            warn(
                f"This {type(self).__name__} was saved by skgauss {version} and is loaded by "
                f"skgauss {skgauss.__version__}: its results may differ. Fit it again, or "
                "install the version that saved it.",
                InconsistentVersionWarning,
            )
        super().__setstate__(state)  # type: ignore[misc]
