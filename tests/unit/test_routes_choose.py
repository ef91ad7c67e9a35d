"""The choice for every kernel in the tables, on recorded facts."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tifbpf.errors import NoRouteError
from tifbpf.host.facts import Finding, KernelFacts, SymbolFacts, Way
from tifbpf.layouts.model import Context
from tifbpf.routes.choose import NO_PROBE, NO_PROBE_EITHER, NO_PROBE_UNSURE, choose

FACTS = Path(__file__).parents[1] / "data" / "facts"

# Kernel to the route for syscall, interrupt and exception, if there were a probe for every route.
IDEAL = {
    "rhel7-3.10": ("notify", "notify", "notify"),
    "upstream-4.2": ("notify", "notify", "notify"),
    "upstream-4.3": ("prepare", "prepare", "prepare"),
    "ubuntu-4.4": ("usermode-loop", "usermode-loop", "usermode-loop"),
    "ubuntu-4.8": ("usermode-loop", "usermode-loop", "usermode-loop"),
    "ubuntu-4.10": ("usermode-loop", "usermode-loop", "usermode-loop"),
    "ubuntu-4.13": ("usermode-loop", "usermode-loop", "usermode-loop"),
    "ubuntu-4.15": ("usermode-loop", "usermode-loop", "usermode-loop"),
    "ubuntu-4.18": ("usermode-loop", "usermode-loop", "usermode-loop"),
    "ubuntu-5.0": ("usermode-loop", "usermode-loop", "usermode-loop"),
    "ubuntu-5.3": ("usermode-loop", "usermode-loop", "usermode-loop"),
    "ubuntu-5.4": ("usermode-loop", "usermode-loop", "usermode-loop"),
    "ubuntu-5.8": ("loop-breakpoint", "loop-breakpoint", "loop-breakpoint"),
    "ubuntu-5.11": ("prepare", "prepare", "prepare"),
    "ubuntu-5.13": ("prepare", "prepare", "prepare"),
    "ubuntu-5.15": ("prepare", "prepare", "prepare"),
    "ubuntu-5.19": ("prepare", "prepare", "prepare"),
    "ubuntu-6.2": ("prepare", "prepare", "prepare"),
    "ubuntu-6.5": ("prepare", "prepare", "prepare"),
    "ubuntu-6.8": ("return", "handlers", "handlers"),
    "debian-cloud-5.10": ("prepare", "prepare", "prepare"),
    "debian-cloud-6.1": ("prepare", "prepare", "prepare"),
    "debian-cloud-6.12": ("return", "handlers", "handlers"),
    "debian-cloud-6.16": ("loop-breakpoint", "handlers", "handlers"),
    "debian-cloud-6.18": ("loop-breakpoint", "handlers", "handlers"),
    "debian-cloud-6.19": ("loop-breakpoint", "handlers", "handlers"),
    "debian-cloud-7.0": ("loop-breakpoint", "handlers", "handlers"),
    "debian-cloud-7.1": ("loop-breakpoint", "handlers", "handlers"),
    "debian-cloud-7.2": ("loop-breakpoint", "handlers", "handlers"),
    "debian-cloud-7.3": ("loop-breakpoint", "irq-return", "handlers"),
    "lockdown-6.18": ("tracepoint", None, None),
}


def read(name: str) -> KernelFacts:
    return msgspec.json.decode((FACTS / f"{name}.json").read_bytes(), type=KernelFacts)


def refusal(facts: KernelFacts, context: Context, route: str) -> tuple[str, str | None]:
    found = [item for item in choose(facts).of(context).refused if item.route == route]
    assert len(found) == 1
    return found[0].reason, found[0].remedy


def test_every_recorded_kernel_has_an_expectation() -> None:
    assert {path.stem for path in FACTS.glob("*.json")} == IDEAL.keys()


@pytest.mark.parametrize("kernel", IDEAL)
def test_ideal_choice(kernel: str) -> None:
    plan = choose(read(kernel), implemented_only=False)
    assert [choice.context for choice in plan.choices] == ["syscall", "interrupt", "exception"]
    assert tuple(choice.route for choice in plan.choices) == IDEAL[kernel]


@pytest.mark.parametrize("kernel", IDEAL)
def test_this_release_falls_through_to_its_only_probe_and_says_so(kernel: str) -> None:
    plan = choose(read(kernel))
    assert [choice.route for choice in plan.choices] == ["tracepoint", None, None]
    assert [choice.probe for choice in plan.covered] == ["tracepoint.c"]
    no_probe = (NO_PROBE, NO_PROBE_EITHER, NO_PROBE_UNSURE)
    for choice, ideal in zip(plan.choices, IDEAL[kernel], strict=True):
        unprobed = [item.route for item in choice.refused if item.reason in no_probe]
        assert unprobed[:1] == ([ideal] if ideal not in (None, "tracepoint") else [])


def test_facts_say_where_they_come_from() -> None:
    assert all(len(read(kernel).provenance) > 40 for kernel in IDEAL)


@pytest.mark.parametrize("kernel", IDEAL)
def test_facts_round_trip(kernel: str) -> None:
    facts = read(kernel)
    assert msgspec.json.decode(msgspec.json.encode(facts), type=KernelFacts) == facts


def test_hooks_words_and_denominators_of_one_plan() -> None:
    syscall, interrupt, exception = choose(read("debian-cloud-7.3"), implemented_only=False).choices

    assert [str(hook) for hook in syscall.hooks] == ["breakpoint on exit_to_user_mode_loop"]
    assert syscall.hooks[0].word == "argument 2 (si)"
    assert syscall.exactness == "exact"
    assert syscall.denominator is None
    assert syscall.perturbs == "takes one of the four debug registers of every CPU"
    # 7.0 and later inline syscall_exit_work.
    assert any(text.startswith("syscalls whose only work is in syscall_work") for text in syscall.blind)

    assert str(interrupt.hooks[0]) == "fexit on irq_exit_rcu"
    assert interrupt.exactness == "to a few instructions"
    assert interrupt.denominator is not None

    assert [hook.symbol for hook in exception.hooks] == [
        "arch_do_signal_or_restart",
        "task_work_run",
        "schedule",
        "__rseq_handle_slowpath",
        "uprobe_notify_resume",
        "klp_update_patch_state",
        "fire_user_return_notifiers",
    ]
    assert exception.exactness == "after the fact"
    assert exception.denominator is None


def test_before_6_19_rseq_has_its_older_name() -> None:
    hooks = choose(read("debian-cloud-6.18"), implemented_only=False).of(Context.EXCEPTION).hooks
    assert "__rseq_handle_notify_resume" in [hook.symbol for hook in hooks]


def test_6_16_to_6_19_have_the_second_hook_too_and_for_syscalls_only() -> None:
    plan = choose(read("debian-cloud-6.18"), implemented_only=False)
    assert [str(hook) for hook in plan.of(Context.SYSCALL).hooks] == [
        "breakpoint on exit_to_user_mode_loop",
        "fentry on syscall_exit_work",
    ]


def test_6_12_loop_that_nobody_calls() -> None:
    reason, _ = refusal(read("debian-cloud-6.12"), Context.SYSCALL, "loop-breakpoint")
    assert reason == (
        "syscall_exit_to_user_mode and do_syscall_64 do not call exit_to_user_mode_loop, which is inlined "
        "there: it would see no syscall exit"
    )


def test_6_18_loop_that_interrupts_do_not_call() -> None:
    facts = read("debian-cloud-6.18")
    assert choose(facts, implemented_only=False).of(Context.SYSCALL).route == "loop-breakpoint"
    reason, _ = refusal(facts, Context.INTERRUPT, "loop-breakpoint")
    assert reason == (
        "irqentry_exit does not call exit_to_user_mode_loop, which is inlined there: "
        "it would see no interrupt exit"
    )


def test_what_fails_silently_must_be_known() -> None:
    # DepSurf says that Ubuntu 6.8 inlines the loop in some places; not who calls the copy.
    reason, remedy = refusal(read("ubuntu-6.8"), Context.SYSCALL, "loop-breakpoint")
    assert reason == "whether any syscall exit calls exit_to_user_mode_loop is unknown (not looked at)"
    assert remedy == "run as root: the machine code of its callers tells"
    reason, _ = refusal(read("ubuntu-6.8"), Context.INTERRUPT, "irq-return")
    assert reason == "whether there is a function irq_exit_rcu is unknown (not looked for)"


def test_what_fails_loudly_may_be_tried_and_is_named() -> None:
    choice = choose(read("ubuntu-5.15"), implemented_only=False).of(Context.SYSCALL)
    assert [str(hook) for hook in choice.hooks] == ["fentry or kprobe on exit_to_user_mode_prepare"]
    assert choice.unknown == (
        (
            "whether exit_to_user_mode_prepare is traceable is unknown (not looked at); "
            "whether BTF has exit_to_user_mode_prepare is unknown (not looked at); fentry: not tried"
        ),
    )


def test_refusals_under_lockdown_name_the_remedy() -> None:
    facts = read("lockdown-6.18")
    assert refusal(facts, Context.SYSCALL, "prepare") == (
        "this kernel has no function exit_to_user_mode_prepare: inlined, or of another era",
        None,
    )
    assert refusal(facts, Context.SYSCALL, "loop-breakpoint") == (
        "breakpoint: a kernel without kprobes allows no breakpoints in its text",
        "a kernel with CONFIG_KPROBES=y",
    )
    _, remedy = refusal(facts, Context.EXCEPTION, "handlers")
    assert remedy is not None
    assert "CONFIG_KPROBES=y" in remedy


def test_kprobes_on_notrace_functions_open_the_loop() -> None:
    facts = read("debian-cloud-6.18")
    assert refusal(facts, Context.SYSCALL, "loop") == (
        "exit_to_user_mode_loop is not traceable",
        "a kernel with CONFIG_KPROBE_EVENTS_ON_NOTRACE=y, where a kprobe may go there",
    )
    allowed = msgspec.structs.replace(facts, config={"KPROBE_EVENTS_ON_NOTRACE": "y"})
    plan = choose(allowed, implemented_only=False)
    assert plan.of(Context.SYSCALL).route == "loop"
    assert str(plan.of(Context.SYSCALL).hooks[0]) == "kprobe on exit_to_user_mode_loop"
    # irqentry_exit still has its own copy.
    assert plan.of(Context.INTERRUPT).route == "handlers"


def test_the_blacklist_is_respected() -> None:
    facts = read("debian-cloud-6.18")
    loop = msgspec.structs.replace(facts.symbol("exit_to_user_mode_loop"), blacklisted=True)
    facts = msgspec.structs.replace(facts, symbols=facts.symbols | {"exit_to_user_mode_loop": loop})
    reason, _ = refusal(facts, Context.SYSCALL, "loop-breakpoint")
    assert reason == "exit_to_user_mode_loop is on the kprobe blacklist"


def test_nothing_is_decided_by_the_release() -> None:
    for kernel, expected in IDEAL.items():
        renamed = msgspec.structs.replace(read(kernel), release="99.9.9-generic", version="")
        plan = choose(renamed, implemented_only=False)
        assert tuple(choice.route for choice in plan.choices) == expected


def test_an_excluded_route_makes_room_for_the_next() -> None:
    facts = read("debian-cloud-6.12")
    plan = choose(facts, implemented_only=False, excluding={"return": "attached, and saw 0 of 10 signals"})
    assert plan.of(Context.SYSCALL).route == "tracepoint"
    reasons = {item.route: item.reason for item in plan.of(Context.SYSCALL).refused}
    assert reasons["return"] == "attached, and saw 0 of 10 signals"
    assert "return: attached, and saw 0 of 10 signals" in str(plan.of(Context.SYSCALL).why_not)


def test_forced_route_that_works() -> None:
    plan = choose(read("lockdown-6.18"), "tracepoint")
    assert [choice.route for choice in plan.choices] == ["tracepoint", None, None]
    assert plan.of(Context.INTERRUPT).why_not == "tracepoint: does not see interrupt exits"


@pytest.mark.parametrize(
    ("kernel", "route", "message"),
    [
        (
            "lockdown-6.18",
            "magic",
            (
                "there is no route magic: choose one of notify, usermode-loop, prepare, loop, "
                "loop-breakpoint, return, irq-return, handlers, tracepoint"
            ),
        ),
        (
            "lockdown-6.18",
            "prepare",
            (
                "the route prepare cannot be used here: this kernel has no function "
                "exit_to_user_mode_prepare: inlined, or of another era"
            ),
        ),
        (
            "lockdown-6.18",
            "loop-breakpoint",
            (
                "the route loop-breakpoint cannot be used here: breakpoint: a kernel without kprobes "
                "allows no breakpoints in its text (a kernel with CONFIG_KPROBES=y)"
            ),
        ),
        ("debian-cloud-6.1", "prepare", f"the route prepare cannot be used here: {NO_PROBE}"),
    ],
)
def test_forced_route_that_does_not(kernel: str, route: str, message: str) -> None:
    with pytest.raises(NoRouteError) as caught:
        choose(read(kernel), route)
    assert str(caught.value) == message


def test_no_route_at_all_is_one_line() -> None:
    facts = KernelFacts(
        provenance="a kernel that refuses everything",
        release="1",
        symbols={"exit_to_user_mode_loop": SymbolFacts(present=True)},
        events={"raw_syscalls:sys_exit": True},
        ways={
            Way.RAW_TRACEPOINT: Finding(answer=False, said="operation not permitted", remedy="run as root")
        },
    )
    plan = choose(facts)
    assert [choice.route for choice in plan.choices] == [None, None, None]
    with pytest.raises(NoRouteError) as caught:
        plan.require()
    assert str(caught.value) == (
        "no route to any exit on this kernel; the last resort, tracepoint: raw tracepoint: operation not "
        "permitted (run as root); see `tifbpf doctor`"
    )
