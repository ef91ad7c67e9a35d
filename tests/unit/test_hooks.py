"""The C that is written for each way to attach."""

from __future__ import annotations

import pytest

from tifbpf.layouts.model import Context
from tifbpf.recorder.hooks import Look, Way, programs


def text(*looks: Look) -> str:
    (program,) = programs(looks)
    return program.text


def test_two_routes_at_one_place_are_one_program() -> None:
    first = Look(
        way=Way.FENTRY,
        symbol="exit_to_user_mode_loop",
        function="loop",
        contexts=frozenset({Context.SYSCALL, Context.EXCEPTION}),
        arguments=2,
    )
    second = Look(
        way=Way.FENTRY,
        symbol="exit_to_user_mode_loop",
        function="passed",
        contexts=frozenset({Context.INTERRUPT}),
        stack=True,
    )
    assert text(first, second) == (
        "int kfunc__exit_to_user_mode_loop(u64 *ctx)\n"
        "{\n"
        "\tstruct at at = {};\n"
        "\n"
        "\tat.arg1 = ctx[0];\n"
        "\tat.arg2 = ctx[1];\n"
        "\tat.stack = address_of(ctx);\n"
        "\tat.contexts = 0x5;\n"
        "\tloop(&at);\n"
        "\tat.contexts = 0x2;\n"
        "\tpassed(&at);\n"
        "\treturn 0;\n"
        "}\n"
    )


def test_a_breakpoint_counts_its_runs() -> None:
    assert text(
        Look(
            way=Way.BREAKPOINT,
            symbol="exit_to_user_mode_loop",
            function="loop",
            contexts=frozenset({Context.SYSCALL}),
            arguments=2,
        )
    ) == (
        "int breakpoint_exit_to_user_mode_loop(struct hook_regs *ctx)\n"
        "{\n"
        "\tstruct at at = {};\n"
        "\n"
        "\tbreakpoint_ran();\n"
        "\tat.arg1 = ctx->di;\n"
        "\tat.arg2 = ctx->si;\n"
        "\tat.contexts = 0x1;\n"
        "\tloop(&at);\n"
        "\treturn 0;\n"
        "}\n"
    )


def test_a_tracepoint_goes_by_its_event_alone() -> None:
    assert text(
        Look(way=Way.RAW_TRACEPOINT, symbol="irq_vectors:reschedule_exit", function="rescheduled", stack=True)
    ) == (
        "int raw_reschedule_exit(struct bpf_raw_tracepoint_args *ctx)\n"
        "{\n"
        "\tstruct at at = {};\n"
        "\n"
        "\tat.stack = address_of(ctx);\n"
        "\tat.contexts = 0x0;\n"
        "\trescheduled(&at);\n"
        "\treturn 0;\n"
        "}\n"
    )


@pytest.mark.parametrize(
    ("way", "name", "kind", "third", "stack"),
    [
        (Way.FENTRY, "kfunc__f", "TRACING", "ctx[2]", "address_of(ctx)"),
        (Way.FEXIT, "kretfunc__f", "TRACING", "ctx[2]", "address_of(ctx)"),
        (Way.KPROBE, "kprobe_f", "KPROBE", "ctx->dx", "ctx->sp"),
        (Way.KRETPROBE, "kretprobe_f", "KPROBE", "0", "ctx->sp"),
        (Way.KPROBE_MULTI, "multi_f", "KPROBE", "ctx->dx", "ctx->sp"),
        (Way.BREAKPOINT, "breakpoint_f", "PERF_EVENT", "ctx->dx", "ctx->sp"),
        (Way.RAW_TRACEPOINT, "raw_f", "RAW_TRACEPOINT", "ctx->args[2]", "address_of(ctx)"),
    ],
)
def test_each_way_has_its_own_context(way: Way, name: str, kind: str, third: str, stack: str) -> None:
    (program,) = programs([Look(way=way, symbol="f", function="seen", arguments=3, stack=True)])
    assert (program.name, program.kind) == (name, kind)
    assert f"\tat.arg3 = {third};\n" in program.text
    assert f"\tat.stack = {stack};\n" in program.text
    assert "at.arg4" not in program.text


def test_places_stay_in_the_order_of_their_first_look() -> None:
    looks = [
        Look(way=Way.FENTRY, symbol="b", function="x"),
        Look(way=Way.FENTRY, symbol="a", function="x"),
        Look(way=Way.FEXIT, symbol="b", function="x"),
        Look(way=Way.FENTRY, symbol="b", function="y"),
        Look(way=Way.KPROBE_MULTI, symbol="every system call", function="x"),
    ]
    assert [program.name for program in programs(looks)] == [
        "kfunc__b",
        "kfunc__a",
        "kretfunc__b",
        "multi_every_system_call",
    ]
