"""How this kernel preempts itself."""

from __future__ import annotations

import gzip
import os
import re
from pathlib import Path

_DEBUGFS = Path("/sys/kernel/debug/sched/preempt")
_FEATURES = Path("/sys/kernel/debug/sched/features")
_COMMAND_LINE = Path("/proc/cmdline")
_CONFIG_OF_RUNNING = Path("/proc/config.gz")

_BY_OPTION = (
    ("CONFIG_PREEMPT_RT", "full"),
    ("CONFIG_PREEMPT_NONE", "none"),
    ("CONFIG_PREEMPT_VOLUNTARY", "voluntary"),
    ("CONFIG_PREEMPT_LAZY", "lazy"),
    ("CONFIG_PREEMPT", "full"),
)


def preemption() -> str | None:
    """Return `none`, `voluntary`, `full` or `lazy`; None where the kernel does not say."""
    version = os.uname().version
    if "PREEMPT" not in version:
        # init/version.c names every other model; between these two there is no difference here.
        return "voluntary"
    if "PREEMPT_DYNAMIC" not in version:
        return configured(_config())
    return (
        chosen(_text(_DEBUGFS), r"\((\w+)\)")
        or chosen(_text(_COMMAND_LINE), r"\bpreempt=(\w+)")
        or configured(_config())
    )


def fair_is_lazy() -> bool | None:
    """Whether the fair class asks for the CPU by NEED_RESCHED_LAZY; None where the kernel does not say."""
    return lazy(
        os.uname().version,
        model=_text(_DEBUGFS),
        features=_text(_FEATURES),
        command_line=_text(_COMMAND_LINE),
        config=_config(),
    )


def lazy(version: str, *, model: str, features: str, command_line: str, config: str) -> bool | None:
    """Return whether these files of a kernel say that it preempts lazily; each is empty where it is missing.

    Since Linux 6.13 it is a model of preemption, with PREEMPT_RT too (7c70cb94d29c "sched: Add Lazy
    preemption model"). The real-time patches before made it a feature of the scheduler, on by default.
    """
    if "PREEMPT" not in version:
        return False
    if current := chosen(model, r"\((\w+)\)"):
        return current == "lazy"
    if feature := chosen(features, r"\b((?:NO_)?PREEMPT_LAZY)\b"):
        return feature == "PREEMPT_LAZY"
    if "PREEMPT_DYNAMIC" in version and (option := chosen(command_line, r"\bpreempt=(\w+)")):
        return option == "lazy"
    return "CONFIG_PREEMPT_LAZY=y" in config.splitlines() if config else None


def chosen(text: str, pattern: str) -> str | None:
    """Return the last match's group; None if nothing matches."""
    found = re.findall(pattern, text)
    return found[-1] if found else None


def configured(config: str) -> str | None:
    """Return the model that a kernel's .config selects; None if it has none of the options."""
    lines = set(config.splitlines())
    return next((model for option, model in _BY_OPTION if f"{option}=y" in lines), None)


def _config() -> str:
    try:
        return gzip.decompress(_CONFIG_OF_RUNNING.read_bytes()).decode()
    except OSError:
        return _text(Path(f"/boot/config-{os.uname().release}"))


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
