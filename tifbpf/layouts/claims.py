"""A mail's claims on the masks, each checked against the data of its kernel (data/claims.toml).

The mail that this tool grew out of took two masks apart by hand. What it said is kept here as data, so that
the audit of that kernel can stand beside it, differences and all.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

import msgspec

from tifbpf.layouts import audit, catalogue, expressions, paths
from tifbpf.layouts.audit import Audit
from tifbpf.layouts.model import Layout, Word
from tifbpf.layouts.paths import ExitPath
from tifbpf.layouts.verdicts import Verdict

_DATA = Path(__file__).with_name("data") / "claims.toml"


class Outcome(StrEnum):
    """Whether a claim holds."""

    HOLDS = "holds"
    DIFFERS = "holds with a difference"
    FAILS = "does not hold"


class Mail(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which mail it was."""

    author: str
    date: str
    subject: str
    list: str
    era: str
    """The era of the kernel that it speaks of."""


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """One claim, checked."""

    quote: str
    says: str
    """The claim in a few words."""
    outcome: Outcome
    found: str
    """What the kernel's files say."""


class _Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    quote: str
    says: str
    check: str
    mask: str = ""
    text: str = ""
    bit: str = ""
    bits: tuple[int, ...] = ()
    function: str = ""
    path: str = ""
    paths: tuple[str, ...] = ()
    note: str = ""


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    mail: Mail
    claims: tuple[_Entry, ...]


class _Kernel(msgspec.Struct, frozen=True, kw_only=True):
    """What the claims are checked against."""

    layout: Layout
    audit: Audit
    functions: dict[str, tuple[int, int]]

    def path(self, name: str) -> ExitPath:
        return next(path for path in self.audit.paths if path.name == name)

    def bit(self, name: str) -> int:
        found = self.layout.named(name, Word.TIF)
        if found is None:
            raise ValueError(f"{self.layout.name} has no bit {name}")
        return found.value

    def mask(self, name: str) -> int:
        found = self.layout.mask(name)
        if found is None:
            raise ValueError(f"{self.layout.name} has no mask {name}")
        return found.value


@functools.cache
def _file() -> _File:
    return msgspec.toml.decode(_DATA.read_bytes(), type=_File)


def mail() -> Mail:
    """Return the mail."""
    return _file().mail


@functools.cache
def checked() -> tuple[Claim, ...]:
    """Return its claims in its order, checked."""
    layout = catalogue.load(mail().era)
    kernel = _Kernel(layout=layout, audit=audit.audit(layout), functions=paths.functions(layout, mail().era))
    return tuple(_checked(entry, kernel) for entry in _file().claims)


def _checked(entry: _Entry, kernel: _Kernel) -> Claim:
    outcome, found = _CHECKS[entry.check](entry, kernel)
    if entry.note:
        found += f" ({entry.note})"
    return Claim(quote=entry.quote, says=entry.says, outcome=outcome, found=found)


_Result = tuple[Outcome, str]


def _outcome(holds: bool) -> Outcome:
    return Outcome.HOLDS if holds else Outcome.FAILS


def _equals(entry: _Entry, kernel: _Kernel) -> _Result:
    """The mask is what the text says; bits without a name that the text leaves out are a difference."""
    stated, actual = expressions.value(kernel.layout, entry.text), kernel.mask(entry.mask)
    if stated == actual:
        return Outcome.HOLDS, f"{entry.mask} is {actual:#x}"
    left_out, too_much = actual & ~stated, stated & ~actual
    numbers = [number for number in range(32) if left_out >> number & 1]
    unnamed = all(kernel.layout.at(Word.TIF, number) is None for number in numbers)
    if too_much or not unnamed:
        return Outcome.FAILS, f"{entry.mask} is {actual:#x}, the mail's is {stated:#x}"
    residue = next(mask.residue for mask in kernel.audit.masks if mask.name == entry.mask)
    return Outcome.DIFFERS, (
        f"the names are right, the rest is {residue:#x}: the mail leaves out "
        f"{_bits(numbers)} ({left_out:#x}), which has no name either"
    )


def _bits(numbers: list[int]) -> str:
    return ("bit " if len(numbers) == 1 else "bits ") + ", ".join(map(str, numbers))


def _dead(entry: _Entry, kernel: _Kernel) -> _Result:
    dead = [bit.number for bit in kernel.audit.having(Verdict.DEAD) if not bit.named]
    if not set(entry.bits) <= set(dead):
        return Outcome.FAILS, f"without a name are {_bits(dead)}"
    if more := [number for number in dead if number not in entry.bits]:
        return Outcome.DIFFERS, f"none of them has a name, and neither has {_bits(more)}"
    return Outcome.HOLDS, f"without a name are {_bits(dead)}"


def _has(entry: _Entry, kernel: _Kernel) -> _Result:
    has = bool(kernel.mask(entry.mask) & kernel.bit(entry.bit))
    return _outcome(has), f"{entry.mask} {'has' if has else 'lacks'} {entry.bit}"


def _lacks(entry: _Entry, kernel: _Kernel) -> _Result:
    outcome, found = _has(entry, kernel)
    return _outcome(outcome is Outcome.FAILS), found


def _handles(entry: _Entry, kernel: _Kernel) -> _Result:
    tests, _ = kernel.functions[entry.function]
    bit = kernel.layout.named(entry.bit, Word.TIF)
    handles = bool(tests & kernel.bit(entry.bit))
    by = f", by {bit.handler}(); cleared in {bit.cleared}" if handles and bit else ""
    return _outcome(
        handles
    ), f"{entry.function}() {'handles' if handles else 'does not test'} {entry.bit}{by}"


def _ignores(entry: _Entry, kernel: _Kernel) -> _Result:
    outcome, found = _handles(entry, kernel)
    return _outcome(outcome is Outcome.FAILS), found


def _reads(entry: _Entry, kernel: _Kernel) -> _Result:
    _, read = kernel.functions[entry.function]
    reads = bool(read & kernel.bit(entry.bit))
    told = "looks at it, to keep the single step from being reported" if reads else "does not look at it"
    return _outcome(reads), f"{entry.function}() {told}"


def _called_for(entry: _Entry, kernel: _Kernel) -> _Result:
    wanted = expressions.value(kernel.layout, entry.text)
    calls = {name: kernel.path(name).called_for(entry.function) for name in entry.paths}
    told = "; ".join(f"{name} calls {entry.function}() for {bits:#x}" for name, bits in calls.items())
    return _outcome(all(bits == wanted for bits in calls.values())), told


def _called(entry: _Entry, kernel: _Kernel) -> _Result:
    called = bool(kernel.path(entry.path).called_for(entry.function) & kernel.bit(entry.bit))
    return _outcome(called), (
        f"{entry.path} calls {entry.function}() for {kernel.path(entry.path).called_for(entry.function):#x}, "
        f"which {'has' if called else 'lacks'} {entry.bit} ({kernel.bit(entry.bit):#x})"
    )


def _not_called(entry: _Entry, kernel: _Kernel) -> _Result:
    outcome, found = _called(entry, kernel)
    return _outcome(outcome is Outcome.FAILS), found


def _loops(entry: _Entry, kernel: _Kernel) -> _Result:
    loops = [name for name in entry.paths if kernel.path(name).loops & kernel.bit(entry.bit)]
    others = [name for name in entry.paths if name not in loops]
    if not loops:
        return Outcome.FAILS, f"it loops at none of {', '.join(others)}"
    told = f"at {', '.join(loops)} it does"
    if not others:
        return Outcome.HOLDS, told
    rest = "; ".join(f"{name} does not test it again: the exit {kernel.path(name).rest}" for name in others)
    return Outcome.DIFFERS, f"{told}; {rest}"


def _repeats(entry: _Entry, kernel: _Kernel) -> _Result:
    path = kernel.path(entry.path)
    again = path.repeated == expressions.value(kernel.layout, entry.text)
    return _outcome(again and bool(path.repeated & kernel.bit(entry.bit))), (
        f"{path.name} tests {path.repeated:#x} again, which "
        f"{_whether(path.repeated, entry, kernel)} {entry.bit}"
    )


def _whether(value: int, entry: _Entry, kernel: _Kernel) -> str:
    return "has" if value & kernel.bit(entry.bit) else "lacks"


def _ends(entry: _Entry, kernel: _Kernel) -> _Result:
    path = kernel.path(entry.path)
    handled = bool(path.tested & path.handled & kernel.bit(entry.bit))
    return _outcome(handled), f"{path.name} {'handles it' if handled else 'does not handle it'}"


def _leaves_sysret(entry: _Entry, kernel: _Kernel) -> _Result:
    path = kernel.path(entry.path)
    leaves = bool(path.onward and path.tested & ~path.handled & kernel.bit(entry.bit))
    names = " and ".join(kernel.layout.names(Word.TIF, path.tested & path.handled))
    return _outcome(leaves), (
        f"{path.name} {path.rest}, for every bit of {path.mask} but {names}"
        if leaves
        else f"{path.name} keeps it"
    )


def _tested_once(entry: _Entry, kernel: _Kernel) -> _Result:
    path = kernel.path(entry.path)
    once = bool(path.tested & ~path.repeated & kernel.bit(entry.bit))
    return _outcome(once), (
        f"{path.name} tests {path.tested:#x} first and {path.repeated:#x} again, which "
        f"{_whether(path.repeated, entry, kernel)} {entry.bit}"
    )


def _wasted(entry: _Entry, kernel: _Kernel) -> _Result:
    bit = kernel.audit.bit(entry.bit)
    wasted = [finding.text for finding in bit.findings if finding.verdict is Verdict.WASTED] if bit else []
    return _outcome(bool(wasted)), wasted[0] if wasted else "something is done for it"


_CHECKS: dict[str, Callable[[_Entry, _Kernel], _Result]] = {
    "called": _called,
    "called_for": _called_for,
    "dead": _dead,
    "ends": _ends,
    "equals": _equals,
    "handles": _handles,
    "has": _has,
    "ignores": _ignores,
    "lacks": _lacks,
    "leaves_sysret": _leaves_sysret,
    "loops": _loops,
    "not_called": _not_called,
    "reads": _reads,
    "repeats": _repeats,
    "tested_once": _tested_once,
    "wasted": _wasted,
}
