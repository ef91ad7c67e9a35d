"""From planned hooks to BPF programs: the C functions that a kernel calls, and how each is attached.

One place may serve several routes (and what else wants to look there): it becomes one program, which calls
each of their functions in turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum

import msgspec

from tifbpf.layouts.model import Context
from tifbpf.recorder.abi import ContextNumber


class Way(StrEnum):
    """How a program is attached, by the names that a plan gives."""

    FENTRY = "fentry"
    FEXIT = "fexit"
    KPROBE = "kprobe"
    KRETPROBE = "kretprobe"
    KPROBE_MULTI = "kprobe multi"
    """One program at many functions."""
    BREAKPOINT = "breakpoint"
    RAW_TRACEPOINT = "raw tracepoint"


ARGUMENTS = 5
"""How many arguments of a hooked function can be looked at: members of struct at."""

# For each way: the prefix of the function's name, which for fentry and fexit is how bcc finds the target; the
# program type, as bcc's BPF class calls it; the context that the kernel passes; the arguments, and an address
# on the stack, as expressions of it.
_TRACED = tuple(f"ctx[{i}]" for i in range(ARGUMENTS))
_REGISTERS = ("ctx->di", "ctx->si", "ctx->dx", "ctx->cx", "ctx->r8")
_TRACEPOINT = tuple(f"ctx->args[{i}]" for i in range(ARGUMENTS))
_KINDS: Mapping[Way, tuple[str, str, str, tuple[str, ...], str]] = {
    Way.FENTRY: ("kfunc__", "TRACING", "u64 *", _TRACED, "address_of(ctx)"),
    Way.FEXIT: ("kretfunc__", "TRACING", "u64 *", _TRACED, "address_of(ctx)"),
    Way.KPROBE: ("kprobe_", "KPROBE", "struct hook_regs *", _REGISTERS, "ctx->sp"),
    Way.KRETPROBE: ("kretprobe_", "KPROBE", "struct hook_regs *", ("0",) * ARGUMENTS, "ctx->sp"),
    Way.KPROBE_MULTI: ("multi_", "KPROBE", "struct hook_regs *", _REGISTERS, "ctx->sp"),
    Way.BREAKPOINT: ("breakpoint_", "PERF_EVENT", "struct hook_regs *", _REGISTERS, "ctx->sp"),
    Way.RAW_TRACEPOINT: (
        "raw_",
        "RAW_TRACEPOINT",
        "struct bpf_raw_tracepoint_args *",
        _TRACEPOINT,
        "address_of(ctx)",
    ),
}


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """One function of probes/ that wants to be called at a place."""

    way: Way
    symbol: str
    """The function, or the tracepoint as `system:event`."""
    function: str
    """What to call: `static void function(struct at *at)`."""
    contexts: frozenset[Context] = frozenset()
    """Whose exits it is to see."""
    arguments: int = 0
    """How many of the hooked function's arguments it looks at, up to `ARGUMENTS`."""
    stack: bool = False
    """It wants an address on the stack."""


class HookProgram(msgspec.Struct, frozen=True, kw_only=True):
    """One BPF program and the place where it goes."""

    name: str
    """The C function."""
    kind: str
    """The program type, as bcc's BPF class calls it."""
    way: Way
    symbol: str
    text: str
    """C."""


def programs(looks: Iterable[Look]) -> tuple[HookProgram, ...]:
    """Return one program for each place, in the order of the first look there."""
    places: dict[tuple[Way, str], list[Look]] = {}
    for look in looks:
        places.setdefault((look.way, look.symbol), []).append(look)
    return tuple(_program(way, symbol, there) for (way, symbol), there in places.items())


def _program(way: Way, symbol: str, looks: list[Look]) -> HookProgram:
    prefix, kind, context, values, stack = _KINDS[way]
    name = prefix + symbol.rpartition(":")[2].replace(" ", "_")
    lines = [f"int {name}({context}ctx)", "{", "\tstruct at at = {};", ""]
    if way is Way.BREAKPOINT:
        lines.append("\tbreakpoint_ran();")
    # Only what somebody wants: the verifier knows how many arguments the function has, and refuses to look
    # further.
    arguments = max(look.arguments for look in looks)
    lines += [f"\tat.arg{i} = {value};" for i, value in enumerate(values[:arguments], 1)]
    if any(look.stack for look in looks):
        lines.append(f"\tat.stack = {stack};")
    for look in looks:
        lines += [f"\tat.contexts = {_set(look.contexts):#x};", f"\t{look.function}(&at);"]
    lines += ["\treturn 0;", "}", ""]
    return HookProgram(name=name, kind=kind, way=way, symbol=symbol, text="\n".join(lines))


def _set(contexts: Iterable[Context]) -> int:
    return sum(1 << ContextNumber[context.name] for context in contexts)
