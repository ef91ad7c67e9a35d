"""What the C preprocessor makes of the headers that define bits and masks."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pcpp
from pcpp.evaluator import Value

from tifbpf.errors import UnknownKernelError
from tifbpf.text import printable

_INCLUDE = ("include", "arch/x86/include", ".")
_READ = (
    "linux/kconfig.h",  # IS_ENABLED()
    "linux/thread_info.h",  # enum syscall_work_bit, since 5.11
    "asm/thread_info.h",
    "asm-generic/thread_info_tif.h",  # since 6.18
    "linux/irq-entry-common.h",  # since 6.17
    "linux/entry-common.h",  # since 5.9
    "asm/entry-common.h",
    "linux/entry-kvm.h",
    "linux/entry-virt.h",
    "arch/x86/entry/common.c",  # 4.4 to 5.8 have their masks there; in source trees only
    "kernel/entry/common.c",  # EXIT_TO_USER_MODE_WORK_LOOP, since 6.19; in source trees only
)
"""The files that define bits and masks. Whatever else they include does not matter and is left out."""
_ENDINGS = tuple(f"/{name}" for name in _READ)

_MASKS = re.compile(
    r"_TIF_(?:ALLWORK|WORK|DO_NOTIFY|NEED_RESCHED)_\w+"
    r"|_TIF_WORK_CTXSW"
    r"|EXIT_TO_USERMODE_LOOP_FLAGS|SYSCALL_EXIT_WORK_FLAGS"
    r"|(?:ARCH_)?(?:EXIT_TO_USER_MODE|XFER_TO_GUEST_MODE)_WORK\w*"
    r"|(?:ARCH_)?SYSCALL_(?:ENTER|EXIT)_WORK|SYSEMU_STEP"
    r"|(?:ARCH_)?SYSCALL_WORK_(?:ENTER|EXIT)"
)
_NOT_MASKS = frozenset({"_TIF_NEED_RESCHED_LAZY"})
_CAST = re.compile(r"\(\s*(?:(?:unsigned|signed|long|int|short|char|__?[us]\d+|[us](?:8|16|32|64))\s*)+\)")
_ALIAS = re.compile(r"\(?\s*TIF_\w+\s*\)?")
_ENUM = re.compile(r"enum\s+syscall_work_bit\s*\{([^}]*)\}")
_ENUM_PREFIX = "SYSCALL_WORK_BIT_"
_MOST_FILES = 1000
"""Those of a kernel open ten; files that include one another twice would go on for ever."""
_MOST_TEXT = 4 << 20
_PER_EXPANSION = 100
"""Characters of text and of what macros expand to, all together, and what an expansion counts beside: kernel
headers take a thirtieth of it, and 30 lines of a stranger's can double each other to a terabyte."""
_MOST_MEMBERS = 64
"""Bits of a word."""
_WIDEST_SHIFT = 64


class _ExcessError(Exception):
    """Headers that no kernel has: what they say would take for ever."""


_shifted = Value.__lshift__


def _shift(self: Any, other: Any) -> Any:
    """Shift by no more than a number is wide: by more Python would, up to all of the memory."""
    return _shifted(self, min(int(Value(other)), _WIDEST_SHIFT))


# The only way: pcpp's evaluator makes its values itself.
Value.__lshift__ = _shift


class _Preprocessor(pcpp.Preprocessor):  # type: ignore[misc]  # pcpp has no types
    """Follows the includes in `_READ` and leaves out all others."""

    def __init__(self, roots: Iterable[Path]) -> None:
        super().__init__()
        # Comments of old headers hold names in Latin-1, which reads every byte.
        self.assume_encoding = "latin-1"
        self.problems: list[str] = []
        self._files_left = _MOST_FILES
        self._text_left = _MOST_TEXT
        for root in roots:
            for folder in _INCLUDE:
                if (root / folder).is_dir():
                    self.add_path(str(root / folder))

    def expand_macros(self, tokens: list[Any], expanding_from: Sequence[str] = ()) -> list[Any]:
        self._text_left -= _PER_EXPANSION + sum(len(token.value) for token in tokens)
        if self._text_left < 0:
            raise _ExcessError("macros expand to more text than those of any kernel")
        return list(super().expand_macros(tokens, list(expanding_from)))

    def on_file_open(self, is_system_include: bool, includepath: str) -> object:
        if not includepath.endswith(_ENDINGS):
            raise FileNotFoundError(includepath)
        path = Path(includepath)
        if path.exists() and not path.is_file():
            # It may have no end.
            self.problems.append(printable(f"{includepath}: no file"))
            raise FileNotFoundError(includepath)
        self._files_left -= 1
        if self._files_left < 0:
            raise _ExcessError(f"files include one another more than {_MOST_FILES} times")
        try:
            return super().on_file_open(is_system_include, includepath)
        except (FileNotFoundError, NotADirectoryError):
            raise
        except OSError as error:
            # pcpp would go on without it, and a mask would be missing.
            self.problems.append(printable(f"{includepath}: {error.strerror}"))
            raise

    def on_include_not_found(
        self, is_malformed: bool, is_system_include: bool, curdir: str, includepath: str
    ) -> object:
        raise pcpp.OutputDirective(pcpp.Action.IgnoreAndRemove)

    def on_directive_unknown(
        self, directive: Any, toks: list[Any], ifpassthru: bool, precedingtoks: list[Any]
    ) -> object:
        if directive.value == "error":
            text = "".join(token.value for token in toks)
            self.on_error(directive.source, directive.lineno, f"#error {text}")
            return True
        if directive.value == "warning":
            return True
        return super().on_directive_unknown(directive, toks, ifpassthru, precedingtoks)

    def on_error(self, file: str, line: int, msg: str) -> None:
        self.problems.append(printable(f"{file}:{line}: {msg}"))


class Macros:
    """What the preprocessor knows after the headers."""

    def __init__(self, label: str, roots: Iterable[Path], options: Mapping[str, str]) -> None:
        """Preprocess the headers under `roots` with the `options` that are set; `label` names them in errors.

        Raises:
            UnknownKernelError: the headers stop with #error, or are no C.
        """
        self._label = label
        self._preprocessor = _Preprocessor(roots)
        for name, value in options.items():
            suffix = "_MODULE" if value == "m" else ""
            self._preprocessor.define(f"CONFIG_{name}{suffix} {'1' if value in ('y', 'm') else value}")
        # linux/bits.h takes a dozen more files for this.
        for define in ("__KERNEL__ 1", "__x86_64__ 1", "BIT(nr) (1UL << (nr))"):
            self._preprocessor.define(define)
        text = io.StringIO()
        self._preprocessor.parse("".join(f'#include "{name}"\n' for name in _READ), "tifbpf")
        try:
            self._preprocessor.write(text)
        except Exception as error:
            # How pcpp ends where a directive has no operand, where a file includes itself, and many more.
            self._preprocessor.problems.append(printable(f"it is no C that can be read: {error}"))
        if self._preprocessor.problems:
            raise UnknownKernelError(f"the headers in {label} do not hold: {self._preprocessor.problems[0]}")
        self._enum = dict(self._enumerators(text.getvalue()))

    def syscall_work_bits(self) -> dict[str, int]:
        """Return the values of `enum syscall_work_bit`, without their prefix."""
        return {name.removeprefix(_ENUM_PREFIX): value for name, value in self._enum.items()}

    def tif_bits(self) -> dict[str, int]:
        """Return the numbers of the TIF_ macros; not those that are another one's alias."""
        return {
            name.removeprefix("TIF_"): self.value(name)
            for name in self._plain()
            if name.startswith("TIF_") and not _ALIAS.fullmatch(self._text(name))
        }

    def masks(self) -> list[str]:
        """Return the names of the macros that are masks."""
        return [name for name in self._plain() if _MASKS.fullmatch(name) and name not in _NOT_MASKS]

    def value(self, name: str) -> int:
        """Return the number that a macro stands for.

        Raises:
            UnknownKernelError: it is none, or it holds a name that nothing defines (to the preprocessor such
                a name is 0, here it would be a bit that is silently missing).
        """
        try:
            tokens = self._preprocessor.expand_macros(self._preprocessor.tokenize(name))
            text = _CAST.sub("", "".join(token.value for token in tokens))
            # Masks with bit 31 are negative ints in C; the words have 32 bits.
            return int(self._preprocessor.evaluator(text).value()) & 0xFFFF_FFFF
        except Exception as error:
            # pcpp knows a dozen, from SyntaxError to RecursionError and AssertionError.
            said = printable(str(error))
            raise UnknownKernelError(f"{name} in the headers in {self._label} is no number: {said}") from None

    def _enumerators(self, text: str) -> Iterator[tuple[str, int]]:
        """Yield names and values of `enum syscall_work_bit`, and make each known to those that follow."""
        found = _ENUM.search(text)
        entries = found.group(1).split(",") if found else []
        if len(entries) > _MOST_MEMBERS + 1:
            raise UnknownKernelError(
                f"the headers in {self._label} do not hold: enum syscall_work_bit has more than "
                f"{_MOST_MEMBERS} members"
            )
        following = 0
        for entry in entries:
            name, _, given = (part.strip() for part in entry.partition("="))
            if not entry.strip():
                continue  # after the last comma
            if not name.isidentifier():
                said = printable(f"enum syscall_work_bit has a member {name!r}")
                raise UnknownKernelError(f"the headers in {self._label} do not hold: {said}")
            self._preprocessor.define(f"{name} ({given or following})")
            value = self.value(name)
            yield name, value
            following = value + 1

    def _plain(self) -> list[str]:
        macros = self._preprocessor.macros
        return sorted(name for name, macro in macros.items() if macro.arglist is None)

    def _text(self, name: str) -> str:
        return "".join(token.value for token in self._preprocessor.macros[name].value).strip()
