"""The tables of docs/setters.md, made from setters.toml (`make docs`)."""

from __future__ import annotations

from tifbpf.routes.model import Hook, HookKind
from tifbpf.routes.setters import Handler, Setter, catalogue

BEGIN = "<!-- from setters.toml: make docs -->"
END = "<!-- end -->"


def tables() -> str:
    """Return what is known of each setter and handler, as Markdown."""
    rows = [
        "| bits | who | seen at, best first |",
        "|---|---|---|",
        *(_setter(setter) for setter in catalogue().setter),
        *(f"| {_bits(nobody.bits)} | {nobody.why} | nowhere |" for nobody in catalogue().nobody),
    ]
    details = [
        f"### {_names(source.hooks)}\n\n"
        + "\n".join(
            [
                *(f"- {hook.kind.replace('_', ' ')}: {hook.word}" for hook in source.hooks),
                *(f"- does not see: {unseen}" for unseen in (*source.lacks, *source.unseen)),
                *(f"- rests on: {text}" for text in source.provenance),
            ]
        )
        for setter in catalogue().setter
        for source in setter.sources
    ]
    handlers = [
        "| handler | bit | had work |",
        "|---|---|---|",
        *(_handler(handler) for handler in catalogue().handler),
    ]
    return "\n\n".join(["\n".join(rows), *details, "## Handlers", "\n".join(handlers)])


def _setter(setter: Setter) -> str:
    sources = "; ".join(_names(source.hooks) for source in setter.sources)
    return f"| {_bits(setter.bits)} | {setter.what} | {sources} |"


def _handler(handler: Handler) -> str:
    return f"| {_names((handler.hook,))} | {handler.bit} | {handler.work} |"


def _bits(bits: tuple[str, ...]) -> str:
    return ", ".join(bits)


def _names(hooks: tuple[Hook, ...]) -> str:
    return " and ".join(_name(hook) for hook in hooks)


def _name(hook: Hook) -> str:
    names = " or ".join(f"`{name}`" for name in hook.symbols)
    return f"tracepoint {names}" if hook.kind is HookKind.RAW_TRACEPOINT else names


def update(text: str) -> str:
    """Return the page with its tables made anew.

    Raises:
        ValueError: the page does not have both marks.
    """
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n\n{tables()}\n\n{END}{after}"
