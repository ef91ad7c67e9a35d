"""The self-test decides: a route that sees nothing, or half, makes room for the next."""

from __future__ import annotations

import msgspec
import pytest

from tests.live.test_endings import nothing_is_attached
from tifbpf.errors import SelfTestError
from tifbpf.layouts.model import Context
from tifbpf.recorder.layout import establish_running, host_facts
from tifbpf.recorder.options import Options
from tifbpf.recorder.prove import try_out
from tifbpf.routes import model
from tifbpf.routes.model import Exactness, Hook, HookKind, Route, Variant

pytestmark = [pytest.mark.live, pytest.mark.requires("root", "bcc", "btf", "raw_tracepoint")]

# Fires when the kernel kills somebody for memory.
NOBODY_CALLS = "oom:mark_victim"


def route(name: str, event: str, exactness: Exactness = Exactness.EXACT) -> Route:
    return Route(
        name=name,
        summary="a route that is broken on purpose",
        kernels="this one",
        exactness=exactness,
        sets_bit="SYSCALL_TRACEPOINT",
        probe="tracepoint.c",
        provenance=("this test",),
        variants=(
            Variant(
                hooks=(
                    Hook(
                        kind=HookKind.RAW_TRACEPOINT,
                        symbol=event,
                        word="thread_info.flags, read there",
                        function="syscall_traced",
                    ),
                ),
                contexts=(Context.SYSCALL,),
                denominator={Context.SYSCALL: "the same hook"},
            ),
        ),
    )


def with_routes(monkeypatch: pytest.MonkeyPatch, *added: Route, alone: bool = False) -> None:
    known = model._catalogue()
    routes = added if alone else (*added, *known.route)
    changed = msgspec.structs.replace(known, route=routes)
    monkeypatch.setattr(model, "_catalogue", lambda: changed)
    model.interest.cache_clear()


@pytest.fixture(autouse=True)
def interest_as_it_was() -> None:
    model.interest.cache_clear()


def test_a_hook_that_nobody_calls_makes_room_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    with_routes(monkeypatch, route("broken", NOBODY_CALLS))
    facts = host_facts()
    syscall = next(
        coverage
        for coverage in try_out(facts, establish_running(kernel=facts).layout, Options())
        if coverage.context is Context.SYSCALL
    )
    assert syscall.route not in (None, "broken")
    assert all(test.seen == test.expected == 64 for test in syscall.self_tests)
    (attempt,) = syscall.attempts
    assert attempt.route == "broken"
    assert attempt.reason == (
        "the self-test saw 0 of 64 of signal, 0 of 64 of task-work, 0 of 64 of notify-signal"
    )
    assert [(test.expected, test.seen) for test in attempt.self_tests] == [(64, 0)] * 3
    assert attempt.reason in str(syscall.why_not)
    nothing_is_attached()


def test_a_hook_at_the_wrong_place_is_no_better(monkeypatch: pytest.MonkeyPatch) -> None:
    # At a system call's entry the word does not show yet what the call is going to set.
    with_routes(monkeypatch, route("too-early", "raw_syscalls:sys_enter"), alone=True)
    facts = host_facts()
    layout = establish_running(kernel=facts).layout
    with pytest.raises(SelfTestError) as caught:
        try_out(facts, layout, Options())
    assert str(caught.value) == (
        "no route saw what was caused for it: too-early: the self-test saw 0 of 64 of signal, 0 of 64 of "
        "task-work, 0 of 64 of notify-signal; see `tifbpf doctor`"
    )
    nothing_is_attached()


def test_a_hook_that_the_kernel_refuses_makes_room_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    with_routes(monkeypatch, route("refused", "no_such_system:no_such_event"))
    facts = host_facts()
    # As on a host whose tracefs cannot be read: what is not known to be there may be tried.
    events = {**facts.events, "no_such_system:no_such_event": True}
    facts = msgspec.structs.replace(facts, events=events)
    syscall = next(
        coverage
        for coverage in try_out(facts, establish_running(kernel=facts).layout, Options())
        if coverage.context is Context.SYSCALL
    )
    assert syscall.route not in (None, "refused")
    assert "the kernel refused the raw tracepoint no_such_event" in str(syscall.why_not)
    nothing_is_attached()
