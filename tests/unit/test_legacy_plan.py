"""What the instrument of kernels with small BPF takes of a plan."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tifbpf.errors import TifbpfError
from tifbpf.host.facts import KernelFacts
from tifbpf.layouts import catalogue
from tifbpf.layouts.model import Context
from tifbpf.recorder.filters import Filters
from tifbpf.recorder.instrument import HookRefusedError, Words
from tifbpf.recorder.legacy import LegacyInstrument
from tifbpf.routes.choose import Choice, PlannedCount, PlannedHook, choose
from tifbpf.routes.model import HookKind
from tifbpf.routes.setters import SettersPlan

FACTS = Path(__file__).parents[1] / "data" / "facts" / "ubuntu-4.15.json"


def plan() -> list[Choice]:
    facts = msgspec.json.decode(FACTS.read_bytes(), type=KernelFacts)
    return [msgspec.structs.replace(choice, count=None) for choice in choose(facts).covered]


def make(choices: list[Choice], **given: object) -> LegacyInstrument:
    options = {"dimensions": (), "filters": Filters(), **given}
    return LegacyInstrument(
        choices,
        layout=catalogue.load("4.15"),
        own_bit=Words(),
        max_classes=16,
        **options,  # type: ignore[arg-type]
    )


def test_a_count_of_all_exits_is_refused_by_its_place() -> None:
    choices = plan()
    hook = PlannedHook(kind=HookKind.EVERY_SYSCALL, symbol="every system call", word="", way="kprobe multi")
    choices[0] = msgspec.structs.replace(choices[0], count=PlannedCount(probe="all.c", hook=hook))
    with pytest.raises(HookRefusedError) as caught:
        make(choices)
    assert (caught.value.hook.way, caught.value.hook.symbol) == ("kprobe multi", "every system call")
    assert (
        str(caught.value) == "kprobe multi on every system call cannot be had beside the routes of legacy.c"
    )


def test_another_route_beside_it_is_refused_by_its_place() -> None:
    choices = plan()
    hook = PlannedHook(kind=HookKind.ENTRY, symbol="task_work_run", word="", way="fentry or kprobe")
    choices[2] = Choice(context=Context.EXCEPTION, route="handlers", probe="handlers.c", hooks=(hook,))
    with pytest.raises(HookRefusedError) as caught:
        make(choices)
    assert (caught.value.hook.way, caught.value.hook.symbol) == ("fentry", "task_work_run")


@pytest.mark.parametrize("given", [{"dimensions": ("cgroup",)}, {"filters": Filters(cgroups=(Path("/"),))}])
def test_cgroups_are_refused(given: dict[str, object]) -> None:
    with pytest.raises(TifbpfError) as caught:
        make(plan(), **given)
    assert str(caught.value) == (
        "this kernel's route cannot tell cgroups apart: leave out --cgroup and --by cgroup"
    )


def test_setters_are_refused() -> None:
    with pytest.raises(TifbpfError) as caught:
        make(plan(), setters_plan=SettersPlan(setters=(), handlers=(), unseen=()))
    assert str(caught.value) == "this kernel's route cannot be combined with --setters: leave that out"
