"""`tifbpf doctor`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from tifbpf.cli import options
from tifbpf.cli.help import examples

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rich.console import Console

    from tifbpf.host.facts import KernelFacts
    from tifbpf.host.tracers import Tracers
    from tifbpf.layouts.establish import Established
    from tifbpf.layouts.model import Layout
    from tifbpf.recording.metadata import Coverage
    from tifbpf.routes.choose import Choice, Plan
    from tifbpf.routes.examine import Examination, Obstacle

_WIDTH = 80
_TITLES = {
    "syscall": "Exits from a system call",
    "interrupt": "Exits from an interrupt",
    "exception": "Exits from an exception",
}


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("doctor", epilog=examples("sudo tifbpf doctor", "tifbpf doctor -q && tifbpf record -d 10"))(
        doctor
    )


def doctor(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print everything that was found, as JSON.")
    ] = False,
    quiet: options.NothingButErrors = False,
) -> int:
    """What can be measured here, by which route, and what would help.

    Attaches for a second, and causes known exits to see whether each route sees them. Nothing is recorded and
    nothing stays attached. Without root it says what it could not see.
    """
    from tifbpf.errors import ExitCode
    from tifbpf.routes.examine import examine

    found = examine()
    established, unknown = _layout()
    obstacles = (*found.obstacles, *unknown)
    proven: tuple[Coverage, ...] = ()
    if established is not None and not obstacles:
        proven, obstacles = _prove(found.facts, established.layout)
    if quiet and not as_json:
        for obstacle in obstacles:
            print(f"tifbpf: {obstacle.text}", file=sys.stderr)
    elif as_json:
        _print_json(found, established, proven, obstacles)
    else:
        _print_text(found, established, proven, obstacles)
    return obstacles[0].exit_code if obstacles else ExitCode.OK


def _layout() -> tuple[Established | None, tuple[Obstacle, ...]]:
    from tifbpf.errors import TifbpfError
    from tifbpf.recorder.layout import establish_running
    from tifbpf.routes.examine import Obstacle

    try:
        return establish_running(), ()
    except TifbpfError as error:
        return None, (Obstacle.of(error),)


def _prove(facts: KernelFacts, layout: Layout) -> tuple[tuple[Coverage, ...], tuple[Obstacle, ...]]:
    from tifbpf.errors import TifbpfError
    from tifbpf.recorder.options import Options
    from tifbpf.recorder.prove import try_out
    from tifbpf.routes.examine import Obstacle

    try:
        return try_out(facts, layout, Options()), ()
    except TifbpfError as error:
        return (), (Obstacle.of(error),)


def _print_json(
    found: Examination,
    established: Established | None,
    proven: tuple[Coverage, ...],
    obstacles: tuple[Obstacle, ...],
) -> None:
    import msgspec

    document = msgspec.to_builtins(found)
    document["layout"] = msgspec.to_builtins(established)
    document["contexts"] = msgspec.to_builtins(proven)
    document["obstacles"] = msgspec.to_builtins(obstacles)
    print(msgspec.json.format(msgspec.json.encode(document)).decode())


def _print_text(
    found: Examination,
    established: Established | None,
    proven: tuple[Coverage, ...],
    obstacles: tuple[Obstacle, ...],
) -> None:
    from rich.console import Console

    from tifbpf.reporters.terminal import theme

    console = Console(width=_WIDTH, theme=theme(), markup=False, highlight=False, emoji=False)
    with console.capture() as captured:
        _print_sections(console, found, established, proven, obstacles)
    for line in captured.get().splitlines():
        print(line.rstrip())


def _print_sections(
    console: Console,
    found: Examination,
    established: Established | None,
    proven: tuple[Coverage, ...],
    obstacles: tuple[Obstacle, ...],
) -> None:
    _section(console, "Host", _host(found))
    _section(console, "Attaching", _ways(found.facts))
    if proven:
        _contexts(console, proven)
    else:
        for choice in found.plan.choices:
            _section(console, _TITLES[choice.context], _choice(choice, found.ideal))
    if refused := list(_refused(found.plan)):
        _section(console, "Better routes, and why not", refused)
    _section(console, "Layout", _evidence(established, obstacles))
    if established is not None:
        _section(console, "Masks", _masks(established))
    _section(console, "Who traces system calls already", _tracers(found.tracers))
    _section(console, "So", _conclusion(found.plan, proven, obstacles))


def _contexts(console: Console, proven: tuple[Coverage, ...]) -> None:
    from rich.padding import Padding

    from tifbpf.reporters import render
    from tifbpf.reporters.coverage import of_contexts

    indent = 2
    for section in of_contexts(proven):
        console.print(section.title, style="bold")
        for block in render.paragraphs(section, _WIDTH - indent, ascii_only=console.options.ascii_only):
            console.print(Padding(block, (0, 0, 0, indent), expand=False))
        console.print()


def _section(console: Console, title: str, rows: Iterable[tuple[str, str]]) -> None:
    from rich.padding import Padding
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, width=17)
    table.add_column(overflow="fold")
    for label, text in rows:
        table.add_row(label, text)
    console.print(title, style="bold")
    console.print(Padding(table, (0, 0, 1, 2), expand=False))


def _host(found: Examination) -> Iterator[tuple[str, str]]:
    from tifbpf.host.collect import OPTIONS

    facts = found.facts
    yield "kernel", f"{facts.release} {facts.version}"
    if facts.privileges is not None:
        who = "root" if facts.privileges.euid == 0 else f"user {facts.privileges.euid}"
        held = facts.privileges.capabilities
        yield (
            "running as",
            f"{who}; {'capabilities unknown' if held is None else ' '.join(held) or 'nothing'}",
        )
    if facts.lockdown is not None:
        remedy = f" (`{facts.lockdown.remedy}`)" if facts.lockdown.remedy else ""
        yield (
            "lockdown",
            f"{'unknown: ' if facts.lockdown.answer is None else ''}{facts.lockdown.said}{remedy}",
        )
    yield "bcc", found.bcc.text
    yield "libbpf", found.libbpf.text
    yield "BTF", found.btf.text
    yield "headers", found.headers.text
    if facts.config is None:
        yield "config", facts.unseen.get("config", "unknown")
    else:
        options = " ".join(f"{name}={value}" for name, value in facts.config.items())
        yield "config", f"{facts.config_source}: {options}"
        if unset := [name for name in OPTIONS if name not in facts.config]:
            yield "", f"not set: {' '.join(unset)}"
    for source, reason in facts.unseen.items():
        if source != "config":
            yield f"unseen: {source}", reason


def _ways(facts: KernelFacts) -> Iterator[tuple[str, str]]:
    words = {True: "works", False: "refused", None: "unknown"}
    for way, finding in facts.ways.items():
        yield way.replace("_", " "), f"{words[finding.answer]}: {finding.said}"
        if finding.remedy:
            yield "", f"would help: {finding.remedy}"


def _choice(choice: Choice, ideal: Plan) -> Iterator[tuple[str, str]]:
    if choice.route is None:
        yield "route", "none: not covered"
    else:
        yield "route", choice.route
        yield "exactness", str(choice.exactness)
        yield "hooks", ", ".join(map(str, choice.hooks))
        yield "all exits", choice.denominator or "not counted: the share of slow exits stays unknown"
        yield "perturbs", choice.perturbs or "nothing"
        yield from (("does not see", text) for text in choice.blind)
        yield from (("not known", text) for text in choice.unknown)
    best = ideal.of(choice.context)
    if best.route not in (None, choice.route):
        yield "best here", f"{best.route}, {best.exactness}; this tifbpf has no probe for it yet"


def _refused(plan: Plan) -> Iterator[tuple[str, str]]:
    contexts: dict[tuple[str, str, str | None], list[str]] = {}
    for choice in plan.choices:
        for refusal in choice.refused:
            key = (refusal.route, refusal.reason, refusal.remedy)
            contexts.setdefault(key, []).append(choice.context)
    for (route, reason, remedy), where in contexts.items():
        yield route, f"{', '.join(where)}: {reason}"
        if remedy:
            yield "", f"would help: {remedy}"


def _evidence(established: Established | None, obstacles: Iterable[Obstacle]) -> Iterator[tuple[str, str]]:
    from tifbpf.errors import ExitCode

    if established is None:
        unknown = (ExitCode.UNKNOWN_KERNEL, ExitCode.LAYOUT_CONTRADICTED, ExitCode.NO_TYPES)
        yield "era", next((item.text for item in obstacles if item.exit_code in unknown), "unknown")
        return
    yield "era", f"{established.layout.name} ({established.layout.source})"
    for item in established.evidence:
        yield item.verdict, f"{item.fact} [{item.source}]"


def _masks(established: Established) -> Iterator[tuple[str, str]]:
    for check in established.checks:
        stated = "none" if check.stated is None else f"{check.stated:#x}"
        tested = "not found" if check.tested is None else f"{check.tested:#x}"
        yield (
            check.tier,
            f"{check.verdict}: {stated} by the layout ({check.mask}), {tested} in the machine code",
        )
        if check.where:
            yield "", check.where


def _tracers(tracers: Tracers) -> Iterator[tuple[str, str]]:
    for tracer in tracers.found:
        holder = f"{tracer.comm or '?'} (pid {tracer.pid})" if tracer.pid is not None else "on for everybody"
        yield tracer.hook, f"{tracer.how}, {holder}"
    if not tracers.found:
        yield "nobody", "that could be seen"
    for text in tracers.unseen:
        yield "not seen", text


def _conclusion(
    plan: Plan, proven: tuple[Coverage, ...], obstacles: tuple[Obstacle, ...]
) -> Iterator[tuple[str, str]]:
    if obstacles:
        for obstacle in obstacles:
            yield "cannot record", obstacle.text
        return
    seen = proven or plan.choices
    covered = [one.context.value for one in seen if one.route is not None]
    missing = [one.context.value for one in seen if one.route is None]
    yield "can record", f"exits from: {', '.join(covered)}"
    if missing:
        yield "not covered", f"exits from: {', '.join(missing)}"
