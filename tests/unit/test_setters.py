"""Which hooks show who sets bits, on recorded facts; what the probe and its reader share."""

from __future__ import annotations

import ctypes
from pathlib import Path

import msgspec
import pytest

from tifbpf.host import facts as host_facts
from tifbpf.host.facts import Finding, KernelFacts, SymbolFacts
from tifbpf.layouts import catalogue as layouts
from tifbpf.layouts.model import Layout
from tifbpf.recorder import hooks, setters
from tifbpf.recorder.hooks import Look, Way
from tifbpf.routes import setters_page
from tifbpf.routes.setters import SettersPlan, catalogue, interest, plan

FACTS = Path(__file__).parents[1] / "data" / "facts" / "setters"
MEMBERS = {"rseq", "memcg_nr_pages_over_high", "throttle_disk"}

QUEUED = "fentry on task_work_add"
SWITCHED = "raw tracepoint on sched:sched_switch"
SIGNAL = "raw tracepoint on signal:signal_generate"
RESCHED = "raw tracepoint on sched:sched_set_need_resched_tp"
REST = (
    "fentry on blkcg_schedule_throttle",
    "fexit on uprobe_pre_sstep_notifier",
    "fentry on user_return_notifier_register",
)

HANDLERS = (
    "fentry on task_work_run",
    "fentry on __rseq_handle_notify_resume",
    "fentry on __mem_cgroup_handle_over_high",
    "fentry on blkcg_maybe_throttle_current",
    "fentry on klp_update_patch_state",
)
EARLIER_HANDLERS = tuple(text.replace("__mem_cgroup", "mem_cgroup") for text in HANDLERS)

# Kernel to what is looked at, setters and handlers.
LOOKS = {
    "debian-cloud-5.10": (("fentry on resched_curr", SIGNAL, QUEUED, SWITCHED, *REST), EARLIER_HANDLERS),
    "debian-cloud-6.1": (("fentry on resched_curr", SIGNAL, QUEUED, SWITCHED, *REST), EARLIER_HANDLERS),
    "debian-cloud-6.16": (("fentry on __resched_curr", SIGNAL, QUEUED, SWITCHED, *REST), EARLIER_HANDLERS),
    "debian-cloud-6.18": ((RESCHED, SIGNAL, QUEUED, SWITCHED, *REST), HANDLERS),
    "lockdown-6.18": ((RESCHED, SIGNAL, SWITCHED), ()),
}


def facts(name: str) -> KernelFacts:
    return msgspec.json.decode((FACTS / f"{name}.json").read_bytes(), type=KernelFacts)


def layout(kernel: KernelFacts) -> Layout:
    return layouts.for_kernel(kernel.release)


def planned(kernel: KernelFacts, refused: dict[tuple[str, str], str] | None = None) -> SettersPlan:
    return plan(kernel, layout(kernel), MEMBERS, refused or {})


def test_every_recorded_kernel_is_tested() -> None:
    assert {path.stem for path in FACTS.glob("*.json")} == LOOKS.keys()


@pytest.mark.parametrize("name", LOOKS)
def test_what_is_looked_at(name: str) -> None:
    found = planned(facts(name))
    assert (
        tuple(map(str, found.setters)),
        tuple(str(handler.hook) for handler in found.handlers),
    ) == LOOKS[name]


YES = SymbolFacts(present=True, traceable=True, blacklisted=False, btf=True)
NO = SymbolFacts(present=False)


def kernel(**symbols: SymbolFacts) -> KernelFacts:
    """Return a 6.12 in which everything can be hooked, and every function is called by whom it is for."""
    known = dict.fromkeys(interest().functions, YES) | {
        name: msgspec.structs.replace(YES, called_by=dict.fromkeys(callers, True))
        for name, callers in interest().callers.items()
    }
    return KernelFacts(
        provenance="test",
        release="6.12.117",
        symbols=known | symbols,
        events=dict.fromkeys(interest().events, True),
        ways=dict.fromkeys(host_facts.Way, Finding(answer=True)),
    )


def names(found: SettersPlan) -> set[str]:
    return {hook.symbol for hook in found.setters}


def test_a_setter_with_a_copy_of_its_own_is_not_missed() -> None:
    whole = kernel()
    assert "signal_wake_up_state" in names(planned(whole))
    half = msgspec.structs.replace(YES, called_by={"complete_signal": False})
    assert "signal_wake_up_state" not in names(planned(kernel(signal_wake_up_state=half)))
    assert "signal:signal_generate" in names(planned(kernel(signal_wake_up_state=half)))
    assert "signal:signal_generate" in names(planned(kernel(signal_wake_up_state=YES)))


def test_what_the_kernel_refused_is_left_out_and_named() -> None:
    found = planned(kernel(), {("fentry", "task_work_add"): "the verifier says no"})
    assert "task_work_add" not in names(found)
    assert (
        "NOTIFY_RESUME, NOTIFY_SIGNAL: somebody queued work for the thread (task_work_add): "
        "the verifier says no" in found.unseen
    )


def test_a_refused_handler_is_named() -> None:
    found = planned(kernel(), {("fentry", "task_work_run"): "the verifier says no"})
    assert "task_work_run" not in {handler.hook.symbol for handler in found.handlers}
    assert "NOTIFY_RESUME: runs of task_work_run: the verifier says no" in found.unseen


def test_restartable_sequences_that_have_a_bit_of_their_own() -> None:
    assert "sched:sched_switch" in names(planned(kernel()))
    found = planned(kernel(__rseq_handle_notify_resume=NO))
    assert "sched:sched_switch" not in names(found)
    assert "__rseq_handle_slowpath" in {handler.hook.symbol for handler in found.handlers}


def test_a_member_that_is_not_there() -> None:
    found = plan(kernel(), layout(kernel()), {"rseq", "throttle_queue"}, {})
    assert {handler.hook.symbol for handler in found.handlers} == {
        "task_work_run",
        "__rseq_handle_notify_resume",
        "blkcg_maybe_throttle_current",
        "klp_update_patch_state",
    }
    assert (
        "NOTIFY_RESUME: runs of mem_cgroup_handle_over_high: "
        "this kernel has no task_struct.memcg_nr_pages_over_high" in found.unseen
    )


def test_bits_that_the_kernel_has_not_are_not_missed() -> None:
    without = planned(kernel()).unseen
    assert not any(line.startswith(("RSEQ", "HRTIMER_REARM", "NEED_RESCHED_LAZY")) for line in without)
    later = msgspec.structs.replace(kernel(), release="7.3.4")
    assert {line.partition(":")[0] for line in planned(later).unseen} >= {"RSEQ", "HRTIMER_REARM"}


def test_a_source_that_lacks_a_bit() -> None:
    later = msgspec.structs.replace(
        kernel(__resched_curr=NO), release="7.3.4", events={"sched:sched_set_need_resched_tp": False}
    )
    assert "NEED_RESCHED_LAZY: resched_curr does not set it" in planned(later).unseen


@pytest.mark.parametrize(
    ("modes", "expected"),
    [
        (
            {"TWA_NONE": 0, "TWA_RESUME": 1, "TWA_SIGNAL": 2},
            {"RESUME": 1, "NMI_CURRENT": 1, "SIGNAL": 2, "SIGNAL_NO_IPI": 2, "FLAGS": 0},
        ),
        (
            {
                "TWA_RESUME": 1,
                "TWA_SIGNAL": 2,
                "TWA_SIGNAL_NO_IPI": 3,
                "TWA_NMI_CURRENT": 4,
                "TWA_FLAGS": 0xFF00,
            },
            {"RESUME": 1, "NMI_CURRENT": 4, "SIGNAL": 2, "SIGNAL_NO_IPI": 3, "FLAGS": 0xFF00},
        ),
    ],
)
def test_ways_to_notify(modes: dict[str, int], expected: dict[str, int]) -> None:
    assert setters.notify_modes(modes) == {f"TWA_{name}": value for name, value in expected.items()}


class SettingKey(ctypes.Structure):
    # struct setting_key of probes/setters.c, laid out by C's rules instead of ours.
    _fields_ = (
        ("bit", ctypes.c_uint64),
        ("comm", ctypes.c_char * 16),
        ("target", ctypes.c_char * 16),
        ("setter", ctypes.c_uint32),
        ("pad", ctypes.c_uint32),
    )


def test_a_key_is_read_as_c_wrote_it() -> None:
    assert setters.KEY.size == ctypes.sizeof(SettingKey)
    raw = bytes(SettingKey(0x10, b"make", b"cc1", 3, 0))
    assert setters.KEY.unpack(raw) == (0x10, b"make".ljust(16, b"\0"), b"cc1".ljust(16, b"\0"), 3)


def test_every_function_of_the_catalogue_is_in_the_probe() -> None:
    text = (Path(__file__).parents[2] / "probes" / setters.PROBE).read_text()
    functions = [str(hook.function) for hook in catalogue().hooks]
    assert len(functions) == len(set(functions))
    for function in functions:
        assert f"static __always_inline void {function}(struct at *at)" in text


def test_a_place_that_a_route_looks_at_too_is_one_program() -> None:
    route = Look(way=Way.FENTRY, symbol="task_work_run", function="resume_handler")
    (mine,) = (look for look in setters.looks(planned(kernel())) if look.symbol == "task_work_run")
    (program,) = hooks.programs([route, mine])
    assert "resume_handler(&at);" in program.text
    assert "task_work_ran(&at);" in program.text


def test_arguments_are_handed_on() -> None:
    (look,) = (look for look in setters.looks(planned(kernel())) if look.function == "need_resched_traced")
    (program,) = hooks.programs([look])
    assert "at.arg3 = ctx->args[2];" in program.text
    assert "arg4" not in program.text


def test_the_page_is_in_step() -> None:
    text = (Path(__file__).parents[2] / "docs" / "setters.md").read_text()
    assert setters_page.update(text) == text, "run `make docs`"
