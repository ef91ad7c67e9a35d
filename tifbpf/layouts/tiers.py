"""Which masks decide how slow an exit is, by the names that kernels gave them."""

from __future__ import annotations

from collections.abc import Iterable

from tifbpf.layouts.model import Bit, Context, Mask, Tier, Word

_EVERYWHERE = (Context.SYSCALL, Context.INTERRUPT, Context.EXCEPTION)


def from_masks(masks: Iterable[Mask], bits: Iterable[Bit]) -> tuple[Tier, ...]:
    """Return the tiers that the masks make, by their names; () where no mask decides."""
    values = {mask.name: mask.value for mask in masks}
    source = next((mask.source for mask in masks), "")
    rseq = next((bit.value for bit in bits if bit.name == "RSEQ"), 0)

    def tier(name: str, mask: str, value: int, contexts: tuple[Context, ...] = _EVERYWHERE) -> Tier:
        word = Word.SYSCALL_WORK if mask == "SYSCALL_WORK_EXIT" else Word.TIF
        return Tier(name=name, word=word, value=value, mask=mask, contexts=contexts, source=source)

    found = []
    if (work := values.get("EXIT_TO_USER_MODE_WORK")) is not None:
        if rseq:
            # 6.19: the loop's own mask, EXIT_TO_USER_MODE_WORK_LOOP, is in kernel/entry/common.c.
            loop = "EXIT_TO_USER_MODE_WORK_LOOP"
            found.append(
                tier("loop", loop, values[loop])
                if loop in values
                else tier("loop", "EXIT_TO_USER_MODE_WORK & ~_TIF_RSEQ", work & ~rseq)
            )
            found.append(tier("rseq", "EXIT_TO_USER_MODE_WORK & _TIF_RSEQ", work & rseq))
        else:
            found.append(tier("loop", "EXIT_TO_USER_MODE_WORK", work))
        if interrupts := values.get("EXIT_TO_USER_MODE_WORK_IRQ", 0) & ~values.get(
            "EXIT_TO_USER_MODE_WORK_SYSCALL", 0
        ):
            name = "EXIT_TO_USER_MODE_WORK_IRQ & ~EXIT_TO_USER_MODE_WORK_SYSCALL"
            found.append(tier("hrtimer_rearm", name, interrupts, (Context.INTERRUPT, Context.EXCEPTION)))
    elif "EXIT_TO_USERMODE_LOOP_FLAGS" in values:
        found.append(tier("loop", "EXIT_TO_USERMODE_LOOP_FLAGS", values["EXIT_TO_USERMODE_LOOP_FLAGS"]))
    elif "_TIF_WORK_MASK" in values:
        found.append(tier("loop", "_TIF_WORK_MASK", values["_TIF_WORK_MASK"]))
    else:
        return ()
    syscall = (Context.SYSCALL,)
    for name in ("SYSCALL_WORK_EXIT", "SYSCALL_EXIT_WORK", "SYSCALL_EXIT_WORK_FLAGS"):
        if name in values:
            found.append(tier("syscall_work", name, values[name], syscall))
            break
    else:
        if "_TIF_ALLWORK_MASK" in values and "_TIF_WORK_MASK" in values:
            rest = values["_TIF_ALLWORK_MASK"] & ~values["_TIF_WORK_MASK"]
            found.append(tier("syscall_work", "_TIF_ALLWORK_MASK & ~_TIF_WORK_MASK", rest, syscall))
    return tuple(found)
