"""How what passes over many rows is compiled."""

from __future__ import annotations

import functools

import jax

__all__ = ["jit"]

#: ``jax.jit`` that fills the widest vectors a CPU has; XLA's choice is half of 512 bits.
jit = functools.partial(jax.jit, compiler_options={"xla_cpu_prefer_vector_width": 512})
