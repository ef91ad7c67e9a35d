"""Text from outside, made harmless for one line of output."""

from __future__ import annotations


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
