"""Threads for many short steps, kept from one step to the next, and joblib's for long ones.

``joblib.Parallel`` looks for results every hundredth of a second, about as long as a step takes,
and new threads would begin with memory that is not yet theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from joblib import cpu_count, effective_n_jobs
from joblib.parallel import BACKENDS, get_active_backend
from sklearn.utils.parallel import Parallel

__all__ = ["Threads", "parallel"]


class Threads:
    """Threads of one computation; they end with this object.

    Parameters
    ----------
    n_jobs : int or None
        Number of threads, in the `joblib` context of now.

    Attributes
    ----------
    n_jobs : int or None
    count : int
        Number of threads, at most one per processor.

    Examples
    --------
    >>> from skgauss._threads import Threads
    >>> Threads(2).map(abs, [-1, 2, -3])
    [1, 2, 3]
    """

    def __init__(self, n_jobs: int | None = None):
        self.n_jobs = n_jobs
        self.count = max(1, min(effective_n_jobs(n_jobs), cpu_count()))
        self._pool = ThreadPoolExecutor(self.count) if self.count > 1 else None

    def map(self, function: Callable, items: Iterable) -> list[Any]:
        """Call a function for every item; results in order. The function must not call `map`."""
        return list(self._pool.map(function, items) if self._pool else map(function, items))


def parallel(n_jobs: int | None, prefer: str | None = "threads", **options: Any) -> Parallel:
    """Workers of the joblib context, by default threads; never forks, where JAX waits forever.

    Parameters
    ----------
    n_jobs : int or None
        How many; None means what the context says.
    prefer : {"threads", "processes"} or None, default="threads"
        What to take where the context does not say.
    **options
        Further ones of `joblib.Parallel`.

    Returns
    -------
    parallel : sklearn.utils.parallel.Parallel

    Examples
    --------
    >>> from sklearn.utils.parallel import delayed
    >>> from skgauss._threads import parallel
    >>> parallel(2)(delayed(abs)(i) for i in [-1, 2, -3])
    [1, 2, 3]
    """
    backend, _ = get_active_backend(prefer=prefer)
    if isinstance(backend, BACKENDS.get("multiprocessing", ())):
        return Parallel(n_jobs=effective_n_jobs(n_jobs), require="sharedmem", **options)
    return Parallel(n_jobs=n_jobs, prefer=prefer, **options)
