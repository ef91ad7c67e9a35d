"""Who sets bits, and whose work they stand for: from the plan to what the programs look at, and back."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from tifbpf.errors import NoTypesError
from tifbpf.host.btf import KernelTypes
from tifbpf.layouts.model import Layout, Word
from tifbpf.recorder.abi import CONTEXTS, ContextNumber, thread_name
from tifbpf.recorder.bpf import Map
from tifbpf.recorder.hooks import Look, Way
from tifbpf.recording.metadata import HandlerRuns, Setter
from tifbpf.routes.choose import PlannedHook
from tifbpf.routes.setters import SettersPlan, catalogue

PROBE = "setters.c"
MAPS = ("set_by", "ran_for", "set_by_lost")
MAX_SETTERS = 8192
"""Who set which bit in whom: distinct answers that a recording has room for."""
KEY = struct.Struct("<Q16s16sI4x")
"""bit, comm, target, setter: struct setting_key of probes/setters.c."""

_TRACE_SIGNAL_DELIVERED = 0
"""include/trace/events/signal.h."""
_NOTIFY_MODES = {"TWA_RESUME": 1, "TWA_SIGNAL": 2}
"""`notify` of task_work_add() before it became an enumeration (5.10)."""


def _numbers() -> dict[str, int]:
    """Return a number for each function of the probe."""
    functions = dict.fromkeys(str(hook.function) for hook in catalogue().hooks)
    return {function: number for number, function in enumerate(functions)}


def looks(plan: SettersPlan) -> Iterator[Look]:
    """Yield what the probe wants to see."""
    for hook in plan.hooks:
        yield Look(
            way=Way(hook.way.partition(" or ")[0]),
            symbol=hook.symbol,
            function=str(hook.function),
            arguments=hook.arguments,
            stack=hook.stack,
        )


def task_members(types: KernelTypes) -> dict[str, int]:
    """Return the members of task_struct, with their offsets.

    Raises:
        NoTypesError: BTF has none.
    """
    return _members(types, "task_struct")


def _members(types: KernelTypes, structure: str) -> dict[str, int]:
    members = types.struct_members(structure)
    if members is None:
        raise NoTypesError(f"the kernel's BTF has no struct {structure}; please report this kernel")
    return members


def definitions(types: KernelTypes, layout: Layout) -> dict[str, int | str | None]:
    """Return what the probe needs to know of this kernel.

    Raises:
        NoTypesError: a structure is not as every kernel with BTF has had it.
    """
    task = task_members(types)
    numbers = _numbers()
    found: dict[str, int | str | None] = {
        "MAX_SETTERS": MAX_SETTERS,
        "NR_HANDLERS": len(numbers),
        "RQ_CURR": _members(types, "rq")["curr"],
        "SIGNAL_CURR_TARGET": _members(types, "signal_struct")["curr_target"],
        "TASK_MM": task["mm"],
        "TRACE_SIGNAL_DELIVERED": _TRACE_SIGNAL_DELIVERED,
        # What is not planned for want of a member is compiled all the same, and called by nobody.
        "TASK_RSEQ": task.get("rseq", 0),
        "TASK_MEMCG_NR_PAGES_OVER_HIGH": task.get("memcg_nr_pages_over_high", 0),
        "TASK_THROTTLE": task.get("throttle_disk", task.get("throttle_queue", 0)),
        **notify_modes(types.enum_values("task_work_notify_mode") or _NOTIFY_MODES),
    }
    for name in dict.fromkeys(bit for setter in catalogue().setter for bit in setter.bits):
        bit = layout.named(name, Word.TIF)
        found[f"SET_{name}"] = bit.value if bit else 0
    for function, number in numbers.items():
        found[f"SETTER_{function.upper()}"] = found[f"HANDLER_{function.upper()}"] = number
    return found


def notify_modes(modes: Mapping[str, int]) -> dict[str, int]:
    """Return the ways to notify, from enum task_work_notify_mode.

    One that this kernel has not is another name for one that it has.
    """
    return {
        "TWA_RESUME": modes["TWA_RESUME"],
        "TWA_NMI_CURRENT": modes.get("TWA_NMI_CURRENT", modes["TWA_RESUME"]),
        "TWA_SIGNAL": modes["TWA_SIGNAL"],
        "TWA_SIGNAL_NO_IPI": modes.get("TWA_SIGNAL_NO_IPI", modes["TWA_SIGNAL"]),
        "TWA_FLAGS": modes.get("TWA_FLAGS", 0),
    }


class Seen:
    """What the probe's maps hold more than at the beginning."""

    def __init__(
        self, plan: SettersPlan, layout: Layout, maps: Mapping[str, Map], skipped: Callable[[], int]
    ) -> None:
        """Read these maps from now on.

        Args:
            plan: what is being seen.
            layout: names the bits.
            maps: `MAPS`, by name.
            skipped: hits of the plan's hooks so far that the kernel skipped.
        """
        self._skipped = skipped
        self._set_by, self._ran_for, self._lost = (maps[name] for name in MAPS)
        numbers = _numbers()
        self._hooks = {numbers[str(hook.function)]: hook for hook in plan.setters}
        self._handlers = {numbers[str(handler.hook.function)]: handler for handler in plan.handlers}
        self._names = {bit.value: bit.name for bit in layout.bits if bit.word is Word.TIF}
        self.unseen = plan.unseen
        self.begin()

    def begin(self) -> None:
        """Forget what was seen so far."""
        self._settings_before = self._read_settings()
        self._runs_before = self._read_runs()
        self._lost_before = self._read_lost()

    def setters(self) -> tuple[Setter, ...]:
        """Return who set bits since `begin`, most first."""
        counts: Counter[tuple[str, PlannedHook, str, str]] = Counter()
        for key, count in (self._read_settings() - self._settings_before).items():
            bit, comm, target, number = KEY.unpack(key)
            counts[self._name(bit), self._hooks[number], thread_name(comm), thread_name(target)] += count
        return tuple(
            Setter(word=Word.TIF, bit=bit, by=hook.symbol, comm=comm, target=target, count=count)
            for (bit, hook, comm, target), count in counts.most_common()
        )

    def handlers(self) -> tuple[HandlerRuns, ...]:
        """Return which handlers had work since `begin`, most first."""
        return tuple(
            HandlerRuns(
                handler=self._handlers[number].hook.symbol,
                bit=self._handlers[number].bit,
                context=CONTEXTS[ContextNumber(context)],
                count=count,
            )
            for index, count in (self._read_runs() - self._runs_before).most_common()
            for number, context in [divmod(index, len(ContextNumber))]
        )

    def lost(self) -> int:
        """Return how many settings there was no room for, and hits that the kernel skipped, since `begin`."""
        return self._read_lost() - self._lost_before

    def _read_lost(self) -> int:
        no_room = int.from_bytes(self._lost.lookup(bytes(4)) or b"", "little")
        return no_room + self._skipped()

    def _read_settings(self) -> Counter[bytes]:
        return Counter({key: int.from_bytes(value, "little") for key, value in self._set_by.items()})

    def _read_runs(self) -> Counter[int]:
        now: Counter[int] = Counter()
        for number in self._handlers:
            for context in ContextNumber:
                index = number * len(ContextNumber) + context
                now[index] = int.from_bytes(self._ran_for.lookup(struct.pack("<I", index)) or b"", "little")
        return now

    def _name(self, bit: int) -> str:
        return self._names.get(bit, f"bit {bit.bit_length() - 1}")
