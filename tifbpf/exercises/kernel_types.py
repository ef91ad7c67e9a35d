"""What the running kernel is built with, told by the types that it has."""

from __future__ import annotations

from pathlib import Path

from tifbpf.errors import ExerciseUnavailableError

BTF = Path("/sys/kernel/btf/vmlinux")


def has_type(name: str) -> bool:
    """Whether the kernel's BTF names it.

    Raises:
        ExerciseUnavailableError: the kernel has no BTF.
    """
    try:
        return b"\0%s\0" % name.encode() in BTF.read_bytes()
    except OSError as error:
        raise ExerciseUnavailableError(
            f"which bit is set depends on the kernel, and this one has no BTF to tell (struct {name})"
        ) from error
