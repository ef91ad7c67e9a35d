"""Whether the bits of a layout guard, in the machine code, what their names say."""

from __future__ import annotations

from collections.abc import Iterator

from tifbpf.layouts.model import Evidence, Layout, Word
from tifbpf.layouts.tested import Guard, Role, Tested

_NAMES = {
    "schedule": {"NEED_RESCHED", "NEED_RESCHED_LAZY"},
    "arch_do_signal": {"SIGPENDING", "NOTIFY_SIGNAL"},
    "arch_do_signal_or_restart": {"SIGPENDING", "NOTIFY_SIGNAL"},
    "do_signal": {"SIGPENDING"},
    "uprobe_notify_resume": {"UPROBE"},
    "klp_update_patch_state": {"PATCH_PENDING"},
    "fire_user_return_notifiers": {"USER_RETURN_NOTIFY"},
    "switch_fpu_return": {"NEED_FPU_LOAD"},
    "user_single_step_report": {"SYSCALL_EXIT_TRAP", "SINGLESTEP"},
}
"""Functions that are called for one bit, or for a pair tested at once, on any kernel that has them."""
_PAIR = 2
_SOURCE = "machine code"


def misnamed(layout: Layout, tested: Tested) -> Iterator[str]:
    """Yield, one sentence each, where a bit guards what no bit of its name does."""
    for guard, names in _named(layout, tested):
        known = [callee for callee in guard.callees if callee in _NAMES]
        possible = {name for callee in known for name in _NAMES[callee]}
        for name in names:
            if possible and name not in possible:
                yield f"{layout.name} has {name} where {', '.join(known)} is guarded ({guard.where})"


def evidence(layout: Layout, tested: Tested) -> Iterator[Evidence]:
    """Yield what the guards say of the names, and what bits without a name guard."""
    wrong = tuple(misnamed(layout, tested))
    for fact in wrong:
        yield Evidence(fact=fact, source=_SOURCE, verdict="contradicts")
    right = {
        name: callee
        for guard, names in _named(layout, tested)
        for callee in guard.callees
        for name in names
        if name in _NAMES.get(callee, ())
    }
    if right and not wrong:
        pairs = ", ".join(f"{name} {callee}" for name, callee in right.items())
        yield Evidence(fact=f"bits guard what their names say: {pairs}", source=_SOURCE, verdict="confirms")
    for word, number in _unnamed(layout, tested):
        guarded = ", ".join(tested.callees(word, number)) or "nothing that can be seen"
        fact = f"bit {number} of {word}, in a mask, has no name in {layout.name}; it guards {guarded}"
        yield Evidence(fact=fact, source=_SOURCE, verdict="absent")


def _named(layout: Layout, tested: Tested) -> Iterator[tuple[Guard, tuple[str, ...]]]:
    """Yield what a bit or a pair guards on the way out, with the names that the layout has for them."""
    for guard in tested.guards:
        if not guard.entry and guard.value.bit_count() <= _PAIR:
            bits = (layout.at(guard.word, number) for number in _numbers(guard.value))
            yield guard, tuple(bit.name for bit in bits if bit is not None)


def _unnamed(layout: Layout, tested: Tested) -> Iterator[tuple[Word, int]]:
    for word in Word:
        value = 0
        for mask in tested.masks:
            value |= mask.value if mask.word is word and mask.role is not Role.ENTRY else 0
        for number in _numbers(value):
            if layout.at(word, number) is None:
                yield word, number


def _numbers(value: int) -> Iterator[int]:
    return (number for number in range(value.bit_length()) if value >> number & 1)
