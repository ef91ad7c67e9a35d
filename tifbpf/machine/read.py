"""The masks that a kernel tests on the way to user space, from its machine code."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tifbpf.layouts.model import Context, Word
from tifbpf.layouts.tested import Guard, Role, Tested, TestedMask
from tifbpf.machine import symbols
from tifbpf.machine.code import Code
from tifbpf.machine.guards import guarded
from tifbpf.machine.image import Image
from tifbpf.machine.walk import Test, Walk

_ANY = 32
"""The bits of a test that asks for any bit at all, which no mask does."""


class _Tree(NamedTuple):
    """What was found from one root on."""

    root: symbols.Root
    tests: dict[Test, bool]
    fast: frozenset[Test]
    """Those that an exit passes by when no bit is set."""
    walk: Walk


def read(image: Image, *, every: bool = True) -> Tested:
    """Return what `image` tests.

    Args:
        image: with `symbols.names(every=every)` looked up.
        every: from all roots; else only from those that decide.

    Raises:
        OSError: its text cannot be read.
    """
    code = Code(image)
    trees = [tree for root in _roots(image, every=every) if (tree := _tree(code, root)) is not None]
    found = [
        (tree, test, exiting, guarded(code, tree.walk, test))
        for tree in trees
        for test, exiting in tree.tests.items()
    ]
    names = code.names({target for *_, guard in found for target in guard.callees})
    masks: list[TestedMask] = []
    guards: dict[Test, Guard] = {}
    for tree, test, exiting, guard in found:
        callees = tuple(dict.fromkeys(names[target] for target in guard.callees if target in names))
        role = _role(tree, test, exiting, callees)
        function, offset, text = _where(code, tree.walk, test)
        if role is None:
            guards[test] = Guard(
                word=test.word,
                value=test.equals or test.bits,
                callees=tuple(name for name in callees if name not in symbols.NO_WORK),
                clears=guard.clears,
                entry=not exiting,
                function=function,
                offset=offset,
                instruction=text,
            )
        else:
            masks.append(
                TestedMask(
                    role=role,
                    word=test.word,
                    value=test.bits,
                    contexts=tree.root.contexts,
                    root=tree.root.name,
                    function=function,
                    offset=offset,
                    instruction=text,
                )
            )
    return Tested(
        source=image.source,
        masks=tuple(masks),
        guards=tuple(guards.values()),
        missing=tuple(_missing(masks, image)),
    )


def _roots(image: Image, *, every: bool) -> Iterator[symbols.Root]:
    for alternatives in symbols.ROOTS:
        there = [root for root in alternatives if root.name in image.places]
        yield from there[:1]
    if every:
        yield from (root for root in symbols.OTHERS if root.name in image.places)


def _tree(code: Code, root: symbols.Root) -> _Tree | None:
    fast, every = Walk(code, quiet=True), Walk(code, quiet=False)
    if not (fast.run(root) and every.run(root)):
        return None

    def counts(test: Test) -> bool:
        is_word = test.word is Word.TIF or not every.has_status
        return is_word and 0 < test.bits.bit_count() < _ANY

    tests = {test: exiting for test, exiting in every.tests.items() if counts(test)}
    return _Tree(root, tests, frozenset(filter(counts, fast.tests)), every)


def _role(tree: _Tree, test: Test, exiting: bool, callees: Sequence[str]) -> Role | None:
    fast = test in tree.fast
    if symbols.SCHEDULE in callees and not symbols.SIGNAL.isdisjoint(callees):
        return Role.WORK if fast else Role.LOOP
    if not fast:
        return None
    if not exiting:
        return Role.ENTRY
    return None if symbols.ONE_TIME.isdisjoint(callees) else Role.SYSCALL_WORK


def _where(code: Code, walk: Walk, test: Test) -> tuple[str, int, str]:
    function = code.function(walk.branches[test].function)
    if function is None:
        raise AssertionError("a test is in a function")
    return function.name, test.address - function.start, function.instructions[test.address].text


def _missing(masks: Sequence[TestedMask], image: Image) -> Iterator[str]:
    for context in Context:
        if not any(mask.role is Role.WORK and context in mask.contexts for mask in masks):
            yield f"no test before the work loop was found for exits from the context {context}"
