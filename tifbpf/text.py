"""Text for one line of output: made harmless where it is from outside, and put together."""

from __future__ import annotations

from collections.abc import Iterable


def printable(text: str) -> str:
    r"""Return `text` with everything that a terminal or a line reader could act on written as an escape.

    Names of processes and cgroups are chosen by whoever runs them: a newline, a terminal's control sequence
    or a right-to-left override must not reach the output. The backslash is doubled, so that what an escape
    stands for is never in doubt.

    >>> print(printable("\x1b[31mred\n"), printable("a\\b"), printable("žluť"))
    \x1b[31mred\n a\\b žluť
    """
    return "".join(
        character
        if character.isprintable() and character != "\\"
        else character.encode("unicode_escape", "surrogatepass").decode("ascii")
        for character in text
    )


def listed(items: Iterable[str], conjunction: str = "and") -> str:
    """Return `items` as a sentence has them.

    >>> listed(["UPROBE"]), listed(["5", "9", "13"]), listed(["interrupt", "exception"], "or"), listed([])
    ('UPROBE', '5, 9 and 13', 'interrupt or exception', '')
    """
    *before, last = list(items) or [""]
    return f"{', '.join(before)} {conjunction} {last}" if before else last
