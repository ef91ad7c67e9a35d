"""The tables of docs/routes.md, made from the catalogue: `python -m tifbpf.routes.page docs/routes.md`."""

from __future__ import annotations

import sys
from pathlib import Path

from tifbpf.routes.model import Hook, HookKind, Route, catalogue, counts

BEGIN = "<!-- from catalogue.toml: python -m tifbpf.routes.page docs/routes.md -->"
END = "<!-- end -->"


def tables() -> str:
    """Return the overview and, for each route, its hooks, blind spots and measurements, as Markdown."""
    overview = [
        "| route | exactness | contexts | counts all exits of | probe | where found |",
        "|---|---|---|---|---|---|",
        *(_row(route) for route in catalogue()),
    ]
    return "\n\n".join(["\n".join(overview), *(_details(route) for route in catalogue()), _counts()])


def _row(route: Route) -> str:
    contexts = dict.fromkeys(context for variant in route.variants for context in variant.contexts)
    counted = dict.fromkeys(context for variant in route.variants for context in variant.denominator)
    cells = (
        f"`{route.name}`",
        route.exactness,
        ", ".join(contexts),
        ", ".join(counted) or "none",
        f"`{route.probe}`" if route.probe else "none yet",
        route.kernels,
    )
    return f"| {' | '.join(cells)} |"


def _details(route: Route) -> str:
    lines = [f"### {route.name}", "", f"{route.summary[0].upper()}{route.summary[1:]}."]
    if route.perturbs:
        lines += ["", f"Perturbs: {route.perturbs}."]
    for number, variant in enumerate(route.variants):
        lines += ["", "Hooks:" if number == 0 else "Or, under other names:", ""]
        lines += [f"- {_hook(hook)}" for hook in variant.hooks]
        if variant.timed:
            lines += ["", "With `--latency`:", ""]
            lines += [f"- {_hook(hook)}" for hook in variant.timed]
        lines += ["", f"Does not see: {'; '.join(variant.blind)}."]
    lines += ["", "Rests on:", "", *(f"- {source}" for source in route.provenance)]
    return "\n".join(lines)


def _hook(hook: Hook) -> str:
    if hook.kind is HookKind.EVERY_SYSCALL:
        return "one kprobe on the functions of all system calls"
    names = " or ".join(f"`{name}`" for name in hook.symbols)
    kind = hook.kind.replace("_", " ")
    place = f"{kind} {names}" if hook.kind is HookKind.RAW_TRACEPOINT else f"{kind} of {names}"
    text = f"{place} ({hook.word})"
    return text if hook.required else f"{text}; without it, not seen: {hook.without}"


def _counts() -> str:
    lines = [
        "### Counts of all exits",
        "",
        "Where a route sees slow exits only, one of these counts all exits of its context.",
        "",
        "| count | context | hook | what it counts |",
        "|---|---|---|---|",
        *(f"| `{count.name}` | {count.context} | {_hook(count.hook)} | {count.says} |" for count in counts()),
    ]
    return "\n".join(lines)


def update(text: str) -> str:
    """Return the page with its tables made anew.

    Raises:
        ValueError: the page does not have both marks.
    """
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n\n{tables()}\n\n{END}{after}"


if __name__ == "__main__":
    page = Path(sys.argv[1])
    page.write_text(update(page.read_text()))
