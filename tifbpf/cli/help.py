"""What the commands' help texts have in common."""

from __future__ import annotations


def examples(*lines: str) -> str:
    """Return the end of a command's help: commands that can be typed as they stand."""
    # Click keeps a paragraph's lines as they are where \b stands before them.
    return "\n".join(["\b", "Examples:" if len(lines) > 1 else "Example:", *(f"  {line}" for line in lines)])
