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
    "rhel7-3.10": ("notify", "notify", None),
    "upstream-4.2": ("notify", "notify", None),
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
    "ubuntu-6.8": ("return", None, "handlers"),
    "debian-cloud-5.10": ("prepare", "prepare", "prepare"),
    "debian-cloud-6.1": ("prepare", "prepare", "prepare"),
    "debian-cloud-6.12": ("return", "irq-return", "handlers"),
    "debian-rt-6.1": ("prepare", "prepare", "prepare"),
    "debian-rt-6.12": ("return", "irq-return", "handlers"),
    "debian-cloud-6.16": ("loop-breakpoint", "irq-return", "handlers"),
    "debian-cloud-6.18": ("loop-breakpoint", "irq-return", "handlers"),
    "debian-cloud-6.19": ("loop-breakpoint", None, "handlers"),
    "debian-cloud-7.0": ("loop-breakpoint", None, "handlers"),
    "debian-cloud-7.1": ("loop-breakpoint", None, "handlers"),
    "debian-cloud-7.2": ("loop-breakpoint", None, "handlers"),
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


# Kernel to what this release does, where it has no probe for the best.
WITHOUT_A_PROBE = {"upstream-4.3": ("tracepoint", None, None)}


@pytest.mark.parametrize("kernel", IDEAL)
def test_this_release_takes_the_best_that_it_has_a_probe_for_and_says_so(kernel: str) -> None:
    plan = choose(read(kernel))
    assert tuple(choice.route for choice in plan.choices) == WITHOUT_A_PROBE.get(kernel, IDEAL[kernel])
    no_probe = (NO_PROBE, NO_PROBE_EITHER, NO_PROBE_UNSURE)
    for choice, ideal in zip(plan.choices, IDEAL[kernel], strict=True):
        unprobed = [item.route for item in choice.refused if item.reason in no_probe]
        assert unprobed[:1] == ([ideal] if kernel in WITHOUT_A_PROBE else [])


def test_facts_say_where_they_come_from() -> None:
    assert all(len(read(kernel).provenance) > 40 for kernel in IDEAL)


@pytest.mark.parametrize("kernel", IDEAL)
def test_facts_round_trip(kernel: str) -> None:
    facts = read(kernel)
    assert msgspec.json.decode(msgspec.json.encode(facts), type=KernelFacts) == facts


def test_hooks_words_and_denominators_of_one_plan() -> None:
    syscall, interrupt, exception = choose(read("debian-cloud-7.3"), implemented_only=False).choices

    # 7.0 and later inline syscall_exit_work.
    assert [str(hook) for hook in syscall.hooks] == [
        "breakpoint on exit_to_user_mode_loop",
        "fexit on __audit_syscall_exit",
        "fexit on trace_syscall_exit",
        "fexit on ptrace_notify",
    ]
    assert syscall.hooks[0].word == "argument 2 (si)"
    assert syscall.exactness == "exact"
    assert syscall.slow_only
    assert syscall.denominator is not None
    assert str(syscall.count.hook) == "kprobe multi on every system call" if syscall.count else False
    assert syscall.perturbs == "takes one of the four debug registers of every CPU"
    assert "syscalls whose only work is SYSCALL_USER_DISPATCH" in syscall.blind

    assert str(interrupt.hooks[0]) == "fexit on irq_exit_rcu"
    assert interrupt.exactness == "to a few instructions"
    assert interrupt.denominator is not None
    assert not interrupt.slow_only
    assert interrupt.count is None

    assert [hook.symbol for hook in exception.hooks] == [
        "arch_do_signal_or_restart",
        "task_work_run",
        "schedule",
        "__rseq_handle_slowpath",
        "uprobe_notify_resume",
        "klp_update_patch_state",
    ]
    assert exception.exactness == "after the fact"
    assert exception.denominator == "page faults from user mode; other exceptions are not in it"
    assert exception.slow_only


def test_before_6_19_rseq_has_its_older_name() -> None:
    hooks = choose(read("debian-cloud-6.18"), implemented_only=False).of(Context.EXCEPTION).hooks
    assert "__rseq_handle_notify_resume" in [hook.symbol for hook in hooks]


def test_6_16_to_6_19_have_the_second_hook_too_and_for_syscalls_only() -> None:
    plan = choose(read("debian-cloud-6.18"), implemented_only=False)
    assert [str(hook) for hook in plan.of(Context.SYSCALL).hooks] == [
        "breakpoint on exit_to_user_mode_loop",
        "fexit on syscall_exit_work",
    ]
    assert plan.of(Context.INTERRUPT).route == "irq-return"


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
        "irqentry_exit_to_user_mode and irqentry_exit do not call exit_to_user_mode_loop, which is inlined "
        "there: it would see no interrupt exit"
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
    with pytest.raises(NoRouteError) as caught:
        choose(facts, "loop")
    assert str(caught.value) == (
        "the route loop cannot be used here: exit_to_user_mode_loop is not traceable "
        "(a kernel with CONFIG_KPROBE_EVENTS_ON_NOTRACE=y, where a kprobe may go there)"
    )
    allowed = msgspec.structs.replace(facts, config={"KPROBE_EVENTS_ON_NOTRACE": "y"})
    plan = choose(allowed, implemented_only=False)
    assert plan.of(Context.SYSCALL).route == "loop"
    assert str(plan.of(Context.SYSCALL).hooks[0]) == "kprobe on exit_to_user_mode_loop"
    # irqentry_exit still has its own copy.
    assert plan.of(Context.INTERRUPT).route == "irq-return"


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
    excluding = {("return", Context.SYSCALL): "attached, and saw 0 of 10 signals"}
    plan = choose(facts, implemented_only=False, excluding=excluding)
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
        ("upstream-4.3", "prepare", f"the route prepare cannot be used here: {NO_PROBE_UNSURE}"),
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


def test_a_hook_that_the_kernel_refused_is_not_tried_again() -> None:
    facts = read("debian-cloud-7.3")
    refused = {("breakpoint", "exit_to_user_mode_loop"): "the kernel refused it: no space left on device"}
    choice = choose(facts, refused=refused).of(Context.SYSCALL)
    assert choice.route == "tracepoint"
    assert "no space left on device" in str(choice.why_not)
    # An optional hook costs nothing but what it would have seen.
    choice = choose(facts, refused={("fexit", "ptrace_notify"): "the kernel refused it"}).of(Context.SYSCALL)
    assert choice.route == "loop-breakpoint"
    assert "syscalls whose only work is SYSCALL_TRACE (the kernel refused it)" in choice.blind


def test_of_two_ways_that_may_be_open_the_refused_one_is_left_out() -> None:
    facts = read("ubuntu-5.15")
    refused = {("fentry", "exit_to_user_mode_prepare"): "the kernel refused it"}
    hooks = choose(facts, refused=refused).of(Context.SYSCALL).hooks
    assert [str(hook) for hook in hooks] == ["kprobe on exit_to_user_mode_prepare"]


def test_a_count_of_all_exits_is_dropped_before_the_route() -> None:
    facts = read("debian-cloud-7.3")
    refused = {("kprobe multi", "every system call"): "the self-test saw 0 of 256 of syscall, all exits"}
    choice = choose(facts, refused=refused).of(Context.SYSCALL)
    assert (choice.route, choice.denominator, choice.count) == ("loop-breakpoint", None, None)
    assert choice.uncounted == "the self-test saw 0 of 256 of syscall, all exits"
    choice = choose(facts, count_all=False).of(Context.SYSCALL)
    assert (choice.denominator, choice.uncounted) == (None, "not asked for")


def test_time_is_taken_where_begin_and_end_can_be_hooked() -> None:
    choice = choose(read("debian-cloud-6.1"), timed=True).of(Context.INTERRUPT)
    assert choice.timed
    assert [str(hook) for hook in choice.hooks] == [
        "fentry on exit_to_user_mode_prepare",
        "fexit on exit_to_user_mode_prepare",
    ]
    assert not choose(read("debian-cloud-6.12"), timed=True).of(Context.SYSCALL).timed


def test_kernels_of_small_bpf_get_the_probe_for_it_and_every_hook() -> None:
    hooks = {
        "rhel7-3.10": ["do_notify_resume", "syscall_trace_leave"],
        "ubuntu-4.4": ["exit_to_usermode_loop", "syscall_slow_exit_work"],
        "ubuntu-4.15": ["exit_to_usermode_loop", "syscall_slow_exit_work"],
        "ubuntu-4.18": ["exit_to_usermode_loop", "syscall_slow_exit_work"],
        "ubuntu-5.4": ["exit_to_usermode_loop", "syscall_slow_exit_work"],
    }
    for kernel, expected in hooks.items():
        plan = choose(read(kernel))
        assert {choice.probe for choice in plan.covered} == {"legacy.c"}
        assert [hook.symbol for hook in plan.of(Context.SYSCALL).hooks] == expected
        assert [hook.symbol for hook in plan.of(Context.INTERRUPT).hooks] == expected[:1]


def test_a_probe_of_kprobe_programs_is_never_planned_by_fentry() -> None:
    # As 5.5 to 5.7 are, with BTF and trampolines.
    facts = read("ubuntu-5.4")
    names = ("exit_to_usermode_loop", "syscall_slow_exit_work")
    symbols = {
        name: msgspec.structs.replace(facts.symbol(name), traceable=True, blacklisted=False, btf=True)
        for name in names
    }
    yes = Finding(answer=True)
    facts = msgspec.structs.replace(
        facts, symbols={**facts.symbols, **symbols}, ways={**facts.ways, Way.FENTRY: yes, Way.KPROBE: yes}
    )
    hooks = choose(facts).of(Context.SYSCALL).hooks
    assert [str(hook) for hook in hooks] == [f"kprobe on {name}" for name in names]


def test_5_8_has_the_same_loop_where_only_a_breakpoint_goes() -> None:
    plan = choose(read("ubuntu-5.8"))
    assert [choice.probe for choice in plan.covered] == ["loop.c"] * 3
    assert [hook.way for hook in plan.of(Context.INTERRUPT).hooks] == ["breakpoint"]


def test_before_4_3_no_hook_tells_exceptions_from_interrupts() -> None:
    for kernel in ("rhel7-3.10", "upstream-4.2"):
        plan = choose(read(kernel))
        assert plan.of(Context.EXCEPTION).route is None
        assert any(
            text.startswith("which of the interrupts are exceptions")
            for text in plan.of(Context.INTERRUPT).blind
        )


def test_hidden_addresses_are_said_before_anything_is_tried() -> None:
    facts = read("debian-cloud-6.1")
    hidden = "kallsyms hides the addresses (not root, or kernel.kptr_restrict)"
    facts = msgspec.structs.replace(facts, unseen={**facts.unseen, "kallsyms": hidden})
    choice = choose(facts).of(Context.SYSCALL)
    assert choice.route == "return"
    assert [item.remedy for item in choice.refused if item.reason == hidden] == [
        "run as root, with the sysctl kernel.kptr_restrict below 2"
    ] * 3
    assert choose(facts).of(Context.EXCEPTION).route is None
