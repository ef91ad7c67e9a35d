from __future__ import annotations

from pathlib import Path

import pytest

from tifbpf import resources
from tifbpf.layouts.model import Context
from tifbpf.routes import page
from tifbpf.routes.model import Exactness, HookKind, Route, catalogue, counts, interest

ROUTES = {route.name: route for route in catalogue()}


def test_all_routes_are_there() -> None:
    assert list(ROUTES) == [
        "notify",
        "usermode-loop",
        "prepare",
        "loop",
        "loop-breakpoint",
        "return",
        "irq-return",
        "handlers",
        "tracepoint",
    ]


def test_exactness_ranks_best_first() -> None:
    assert [Exactness(text).rank for text in ("exact", "to a few instructions", "after the fact")] == [
        0,
        1,
        2,
    ]


@pytest.mark.parametrize(
    ("route", "symbol", "word"),
    [
        ("notify", "do_notify_resume", "argument 3, masked"),
        ("usermode-loop", "exit_to_usermode_loop", "argument 2"),
        ("usermode-loop", "syscall_slow_exit_work", "argument 2"),
        ("prepare", "exit_to_user_mode_prepare", "thread_info.flags and syscall_work, read there"),
        ("loop", "exit_to_user_mode_loop", "argument 2"),
        ("return", "syscall_exit_to_user_mode_prepare", "thread_info.flags and syscall_work, read there"),
        ("tracepoint", "raw_syscalls:sys_exit", "thread_info.flags and syscall_work, read there"),
    ],
)
def test_where_the_word_comes_from(route: str, symbol: str, word: str) -> None:
    hooks = {hook.symbol: hook for variant in ROUTES[route].variants for hook in variant.hooks}
    assert hooks[symbol].word == word


@pytest.mark.parametrize("route", ROUTES.values(), ids=ROUTES)
def test_every_route_is_complete(route: Route) -> None:
    assert route.provenance
    for variant in route.variants:
        assert variant.denominator.keys() <= set(variant.contexts)
        assert any(hook.required for hook in variant.hooks)
        for hook in variant.hooks:
            # An optional hook says what is lost without it, a required one is never without.
            assert hook.required == (hook.without is None)
            assert (":" in hook.symbol) == (hook.kind is HookKind.RAW_TRACEPOINT)


def test_probes_are_there() -> None:
    probes = {route.name: route.probe for route in catalogue() if route.probe}
    assert probes == {
        "notify": "legacy.c",
        "usermode-loop": "legacy.c",
        "prepare": "prepare.c",
        "loop": "loop.c",
        "loop-breakpoint": "loop.c",
        "return": "return.c",
        "irq-return": "irq-return.c",
        "handlers": "handlers.c",
        "tracepoint": "tracepoint.c",
    }
    for name in {*probes.values(), *(count.probe for count in counts())}:
        assert (resources.directory("probes") / name).is_file()


_LOOKS = "static __always_inline void {}(struct at *at)"


def test_what_looks_is_there() -> None:
    looked = [
        (route.probe, hook.function)
        for route in catalogue()
        for variant in route.variants
        for hook in (*variant.hooks, *variant.timed)
        if route.probe and hook.function
    ]
    looked += [(count.probe, count.hook.function) for count in counts()]
    for probe, function in looked:
        text = (resources.directory("probes") / str(probe)).read_text()
        # Kernels of small BPF have programs of their own, which are no parts of others.
        declared = "int {}(struct legacy_regs *ctx)" if probe == "legacy.c" else _LOOKS
        assert declared.format(function) in text


def test_only_the_tracepoint_sets_a_bit() -> None:
    assert [route.name for route in catalogue() if "SYSCALL_TRACEPOINT" in (route.perturbs or "")] == [
        "tracepoint"
    ]


def test_what_a_kernel_is_asked_for() -> None:
    asked = interest()
    assert {"exit_to_user_mode_loop", "__rseq_handle_slowpath", "irq_exit_rcu"} <= asked.functions
    assert "raw_syscalls:sys_exit" in asked.events
    assert not any(":" in name for name in asked.functions)
    assert {"do_syscall_64", "irqentry_exit"} <= asked.callers["exit_to_user_mode_loop"]


def test_a_hook_for_one_context_only() -> None:
    hooks = {hook.symbol: hook for hook in ROUTES["loop"].variants[0].hooks}
    assert hooks["syscall_exit_work"].contexts == (Context.SYSCALL,)


def test_the_page_is_in_step() -> None:
    text = (Path(__file__).parents[2] / "docs" / "routes.md").read_text()
    assert page.update(text) == text
