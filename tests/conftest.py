"""Property tests draw the same examples every time; what JAX compiles is kept for the next run."""

import gc
import os
from pathlib import Path

from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, database=None, deadline=None)
settings.load_profile("repeatable")

# Most of the time goes into compilation, much of it the same in every process and every run.
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache" / "jax")
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

# What JAX traced and compiled stays alive to the end; to search it again and again takes time.
gc.set_threshold(200_000, 50, 100)
