"""One BLAS thread at a time: products of small matrices are slower on more, and vary with them."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Iterator
from typing import Any

from threadpoolctl import ThreadpoolController

__all__ = ["one_blas_thread"]

_lock = threading.Lock()
_active: list[Any] = []  # one entry per block being executed; the first holds what to restore


@functools.cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


def _forget() -> None:
    """In a forked process no other thread is inside a block, nor holds the lock."""
    global _lock
    _lock = threading.Lock()
    _active.clear()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_forget)


@contextlib.contextmanager
def _control() -> Iterator[None]:
    """Let this thread set limits, and afterwards any: from threadpoolctl 3.8 on, only one could."""
    clear = [
        library.clear_controlling_thread
        for library in _controller().lib_controllers
        if hasattr(library, "clear_controlling_thread")
    ]
    for release in clear:
        release(force=True)
    try:
        yield
    finally:
        for release in clear:
            release(force=True)


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold BLAS to one thread inside the block; afterwards it is as it was.

    Blocks may overlap in different threads: the first one in sets the limit, the last one out
    lifts it, so that no order of leaving can make it stay.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss._blas import one_blas_thread
    >>> with one_blas_thread():
    ...     product = np.ones((2, 2)) @ np.ones((2, 2))
    """
    with _lock:
        if _active:
            limits = _active[0]
        else:
            with _control():
                limits = _controller().limit(limits=1, user_api="blas")
        _active.append(limits)
    try:
        yield
    finally:
        with _lock:
            if _active:  # not forked since
                _active.pop()
            if not _active:
                with _control():
                    limits.restore_original_limits()
