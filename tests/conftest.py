"""Property tests draw the same examples every time, and keep no files."""

import gc

from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, database=None, deadline=None)
settings.load_profile("repeatable")

# What JAX traced and compiled stays alive to the end; to search it again and again takes time.
gc.set_threshold(200_000, 50, 100)
