"""Warnings of skgauss."""

__all__ = ["InconsistentVersionWarning", "TiedColumnWarning"]


class TiedColumnWarning(UserWarning):
    """A column repeats its values, so that its density is a row of spikes.

    Examples
    --------
    >>> import warnings
    >>> from skgauss.exceptions import TiedColumnWarning
    >>> warnings.simplefilter("ignore", TiedColumnWarning)  # when ties are expected
    """


class InconsistentVersionWarning(UserWarning):
    """A fitted estimator was saved by another version of skgauss.

    Examples
    --------
    >>> import warnings
    >>> from skgauss.exceptions import InconsistentVersionWarning
    >>> warnings.simplefilter("error", InconsistentVersionWarning)  # to refuse such models
    """
