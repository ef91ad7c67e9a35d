"""Mask expressions as kernel sources write them: `_TIF_ALLWORK_MASK & ~_TIF_WORK_MASK`."""

from __future__ import annotations

import ast
import operator

from tifbpf.layouts.model import Layout, Word

_WORD_BITS = 0xFFFF_FFFF
_BINARY = {ast.BitOr: operator.or_, ast.BitAnd: operator.and_}
_PREFIXES = ("_TIF_", "SYSCALL_WORK_")
_OPEN_CODED = "open-coded: "


def value(layout: Layout, text: str, word: Word = Word.TIF) -> int:
    """Return the bits that `text` stands for in `layout`; "" has none.

    Args:
        layout: whose masks and bits the names are.
        text: masks and bits by the kernel's names, and numbers, with `|`, `&`, `~` and parentheses.
        word: whose bits they are.

    Raises:
        KeyError: a name that the layout does not have.
        ValueError: no such expression.
    """
    text = text.removeprefix(_OPEN_CODED)
    return _evaluate(layout, ast.parse(text, mode="eval").body, word) & _WORD_BITS if text else 0


def names(text: str) -> frozenset[str]:
    """Return the names in an expression."""
    text = text.removeprefix(_OPEN_CODED)
    return frozenset(node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name))


def _evaluate(layout: Layout, node: ast.expr, word: Word) -> int:
    match node:
        case ast.Name(id=name):
            return _named(layout, name, word)
        case ast.Constant(value=int(number)):
            return number
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            found: int = _BINARY[type(op)](_evaluate(layout, left, word), _evaluate(layout, right, word))
            return found
        case ast.UnaryOp(op=ast.Invert(), operand=operand):
            return ~_evaluate(layout, operand, word)
    raise ValueError(f"no expression of masks: {ast.unparse(node)}")


def _named(layout: Layout, name: str, word: Word) -> int:
    if (mask := layout.mask(name)) and mask.word == word:
        return mask.value
    for prefix in _PREFIXES:
        if name.startswith(prefix) and (bit := layout.named(name.removeprefix(prefix), word)):
            return bit.value
    raise KeyError(name)
