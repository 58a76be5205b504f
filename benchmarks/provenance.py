"""What a benchmark result must carry to be believed: versions, machine, revision, a cold child."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib import metadata

from datasets import ROOT

DISTRIBUTIONS = (
    "numpy",
    "scipy",
    "scikit-learn",
    "jax",
    "jaxlib",
    "optax",
    "equinox",
    "flowjax",
    "torch",
    "zuko",
    "nflows",
    "pyod",
    "skgauss",
)


def describe() -> dict:
    """Date, git revision, machine and the versions of all that takes part."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "git_revision": git_revision(),
        "machine": machine(),
        "versions": versions(),
    }


def told_when() -> dict:
    """When a record is made, at which revision, and how busy the machine is."""
    found = describe()
    load = round(os.getloadavg()[0], 1)
    return {"date": found["date"], "git_revision": found["git_revision"], "load_average": load}


def versions() -> dict:
    """Installed version of each package that takes part, None where it is not installed."""
    found: dict = {"python": platform.python_version()}
    for name in DISTRIBUTIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def machine() -> dict:
    """Processor, the CPUs this process may use, memory in GiB; no host name."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (AttributeError, ValueError, OSError):
        memory = float("nan")
    return {
        "system": platform.system(),
        "architecture": platform.machine(),
        "processor": processor_name(),
        "cpus": cpu_count(),
        "memory_gib": round(memory, 1),
        "accelerators": accelerator_names(),
    }


def accelerator_names() -> list[str]:
    """Names of NVIDIA's accelerators, none where their tool is not there."""
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        found = subprocess.run(command, check=True, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in found.stdout.splitlines()]


def cpu_count() -> int:
    """CPUs that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processor_name() -> str:
    """The processor's model name where the system tells it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            named = [line.split(":", 1)[1].strip() for line in lines if "model name" in line]
    except OSError:
        named = []
    return named[0] if named else platform.processor()


def git_revision() -> str:
    """Commit of the checkout, with ``+changes`` where the work tree differs, results aside."""
    try:
        commit = _git("rev-parse", "--short=12", "HEAD")
        changed = _git("status", "--porcelain", "--", ".", ":(exclude)benchmarks/results")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit + ("+changes" if changed else "")


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def cold_environment() -> dict:
    """Environment of a child that compiles everything anew and imports this checkout's skgauss."""
    environment = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    environment["JAX_ENABLE_COMPILATION_CACHE"] = "false"
    inherited = [p for p in [os.environ.get("PYTHONPATH")] if p]
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), *inherited])
    return environment
