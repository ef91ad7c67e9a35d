"""Where figures were taken, and with what."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import msgspec

import tifbpf
from tests.bench.harness import PYTHON

_PROGRAMS: Mapping[str, tuple[str, ...]] = {
    "bpftrace": ("bpftrace", "--version"),
    "perf": ("perf", "--version"),
    "cc": ("cc", "--version"),
    # In a process of its own: LLVM would stay in this one.
    "bcc": (PYTHON, "-c", "import bcc; print(bcc.__version__)"),
}
_PACKAGES = ("duckdb", "pandas", "polars", "pyarrow", "dask", "distributed")
_NONE = "not installed"


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Where."""

    cpu: str
    cpus: int
    memory_gb: float
    kernel: str
    python: str
    tifbpf: str
    versions: dict[str, str]
    """Of the peers, and of what we use ourselves."""

    def __str__(self) -> str:
        """Return one paragraph."""
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        return (
            f"{self.cpu}, {self.cpus} CPUs, {self.memory_gb:.1f} GB, Linux {self.kernel}; "
            f"tifbpf {self.tifbpf}, Python {self.python}, {versions}"
        )


def this() -> Machine:
    """Return this machine."""
    model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    uname = os.uname()
    return Machine(
        cpu=model[1] if model else uname.machine,
        cpus=os.cpu_count() or 1,
        memory_gb=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9,
        kernel=uname.release,
        python=platform.python_version(),
        tifbpf=tifbpf.__version__,
        versions={name: _version_of_program(command) for name, command in _PROGRAMS.items()}
        | {name: _version_of_package(name) for name in _PACKAGES},
    )


def _version_of_program(command: tuple[str, ...]) -> str:
    if shutil.which(command[0]) is None:
        return _NONE
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    found = re.search(r"\d+\.\d+(\.\d+)*", said)
    return found[0] if found else _NONE


def _version_of_package(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return _NONE
