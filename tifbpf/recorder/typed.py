"""What the verifier lets programs read of the running task by plain loads, asked by loading such programs.

A plain load takes about a nanosecond; bpf_probe_read_kernel() some thirty, bpf_get_current_comm() forty.
"""

from __future__ import annotations

import os

from tifbpf.errors import NoLibbpfError
from tifbpf.host import programs
from tifbpf.host.btf import KernelTypes
from tifbpf.host.programs import RETURN_0, ProgramType, instruction

_GET_CURRENT_TASK_BTF = 158
"""Since Linux 5.11: 3ca1032ab7ab ("bpf: Implement get_current_task_btf and RET_PTR_TO_BTF_ID")."""
_TASK_PT_REGS = 175
"""Since Linux 5.15: dd6e10fbd9fb ("bpf: Add bpf_task_pt_regs() helper")."""

_U32, _U64 = 0x61, 0x79
"""BPF_LDX with BPF_W and BPF_DW."""
_TASK = instruction(0x85, value=_GET_CURRENT_TASK_BTF)
_CGROUP = (
    ("TASK_CGROUPS", "task_struct", "cgroups"),
    ("CSS_SET_DFL_CGRP", "css_set", "dfl_cgrp"),
    ("CGROUP_KN", "cgroup", "kn"),
    ("KERNFS_NODE_ID", "kernfs_node", "id"),
)
"""The way from a task to its cgroup's id: definition, structure, member."""


def definitions(types: KernelTypes, offsets: dict[str, int | str | None]) -> dict[str, int | str | None]:
    """Return what else probes/exits.h needs: TYPED_*, and what belongs to them.

    Args:
        types: the kernel's.
        offsets: as definitions.
    """
    found: dict[str, int | str | None] = {}

    def at(*names: str) -> int:
        return sum(int(offsets[name] or 0) for name in names if name in offsets)

    thread_info = at("TASK_THREAD_INFO")
    comm = at("TASK_COMM")
    members = [
        _load(_U64, thread_info + at("THREAD_INFO_FLAGS")),
        _load(_U64, thread_info + at("THREAD_INFO_SYSCALL_WORK")),
        _load(_U32, thread_info + at("THREAD_INFO_STATUS")),
        _load(_U32, at("TASK_TGID")),
        _load(_U64, at("TASK_STACK")),
        _load(_U64, comm),
        _load(_U64, comm + 8),
    ]
    if not _loads(_TASK, *members):
        return found
    found |= {"TYPED_TASK": None, "GET_CURRENT_TASK_BTF": _GET_CURRENT_TASK_BTF}
    regs = (instruction(0xBF, 1, 0), instruction(0x85, value=_TASK_PT_REGS))
    if _loads(_TASK, *regs, _load(_U64, at("REGS_ORIG_AX"))):
        found |= {"TYPED_REGS": None, "TASK_PT_REGS": _TASK_PT_REGS}
    way = {name: (types.struct_members(struct) or {}).get(member) for name, struct, member in _CGROUP}
    if all(offset is not None for offset in way.values()) and _loads(
        _TASK, *(_load(_U64, offset or 0, to=0) for offset in way.values())
    ):
        found |= {"TYPED_CGROUP": None, **way}
    return found


def _load(size: int, offset: int, to: int = 1) -> bytes:
    """Return a load from where r0 points, into r1 or, to go on from there, r0."""
    return instruction(size, to, 0, offset)


def _loads(*instructions: bytes) -> bool:
    """Return whether the kernel lets such a program in."""
    try:
        os.close(programs.load(ProgramType.RAW_TRACEPOINT, b"".join(instructions) + RETURN_0))
    except (OSError, NoLibbpfError):
        return False
    return True
