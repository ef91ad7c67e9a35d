"""The layout of the running kernel: what host/ finds out, put before what layouts/ knows."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from tifbpf.errors import NoTypesError
from tifbpf.host import collect, config, headers, kallsyms
from tifbpf.host.btf import KernelTypes
from tifbpf.host.facts import Interest, KernelFacts
from tifbpf.layouts import facts
from tifbpf.layouts.establish import Established, LayoutFacts, establish
from tifbpf.layouts.model import Layout
from tifbpf.layouts.tested import Tested
from tifbpf.machine import symbols
from tifbpf.recorder import machine_code
from tifbpf.routes.model import interest
from tifbpf.routes.setters import interest as setter_interest


class RunningFacts(KernelFacts, frozen=True, kw_only=True, omit_defaults=True):
    """What the running kernel offers, and what it tests."""

    tested: Tested


def host_facts(*, setters: bool = False) -> RunningFacts:
    """Return what the running kernel offers to the routes, and has of what tells layouts apart.

    Args:
        setters: and what it offers to those who want to see who sets bits.
    """
    wanted = interest()
    more = setter_interest() if setters else Interest(functions=frozenset(), callers={}, events=frozenset())
    interest_of_all = Interest(
        functions=wanted.functions | more.functions | facts.symbols(),
        callers={**wanted.callers, **more.callers},
        events=wanted.events | more.events,
    )
    # kallsyms is long: one pass for all.
    found = kallsyms.find(collect.names(interest_of_all) | symbols.names(every=False))
    reading = machine_code.Reading(found)
    try:
        kernel = collect.collect(interest_of_all, found)
    finally:
        tested = reading.result()
    return RunningFacts(**msgspec.structs.asdict(kernel), tested=tested)


def establish_running(
    headers_directory: Path | None = None, kernel: RunningFacts | None = None
) -> Established:
    """Return the running kernel's layout, and the evidence that it rests on.

    Args:
        headers_directory: a headers tree that decides, instead of the headers installed for this build.
        kernel: what `host_facts` returned; None: kallsyms and machine code are read here, with all names.

    Raises:
        UnknownKernelError: nothing that is known fits.
        NoTypesError: no BTF, and no headers of this build.
    """
    uname = os.uname()
    built = config.read()
    tree = headers_directory or headers.find()
    bits = members = task = flags = None
    try:
        with KernelTypes() as types:
            bits = types.enum_values("syscall_work_bit")
            members = types.struct_members("thread_info")
            task = types.struct_members("task_struct")
            flags = types.enum_values("trace_flag_type")
    except NoTypesError:
        if tree is None:
            raise
    return establish(
        LayoutFacts(
            release=uname.release,
            version=uname.version,
            config=built.options if built else None,
            headers=tree,
            syscall_work_bits=bits,
            thread_info_members=members,
            task_struct_members=frozenset(task) if task is not None else None,
            symbols=_symbols(kernel) or None,
            trace_flags=frozenset(flags) if flags is not None else None,
            tested=machine_code.running() if kernel is None else kernel.tested,
        )
    )


def _symbols(kernel: KernelFacts | None) -> frozenset[str]:
    wanted = facts.symbols()
    if kernel is None:
        return frozenset(kallsyms.find(wanted).places or ())
    return frozenset(name for name in wanted if kernel.symbol(name).present)


def running_layout(headers_directory: Path | None = None) -> Layout:
    """Return the running kernel's layout alone; raises as `establish_running` does."""
    return establish_running(headers_directory).layout
