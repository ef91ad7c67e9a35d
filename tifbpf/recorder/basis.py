"""What a recording rests on, in lines for stderr: the layout, and each context's route."""

from __future__ import annotations

from collections.abc import Iterator

from tifbpf.recording.metadata import Coverage, Metadata
from tifbpf.text import printable


def lines(metadata: Metadata) -> Iterator[str]:
    """Return evidence, routes, self-tests and given up routes, one fact a line."""
    for fact in _facts(metadata):
        yield printable(fact)


def _facts(metadata: Metadata) -> Iterator[str]:
    for item in metadata.layout_evidence:
        yield f"layout {metadata.layout.name}: {item.verdict}: {item.fact} [{item.source}]"
    for coverage in metadata.contexts:
        for fact in _of_context(coverage):
            yield f"{coverage.context}: {fact}"


def _of_context(coverage: Coverage) -> Iterator[str]:
    for tried in coverage.attempts:
        yield f"given up: {tried.route}: {tried.reason}"
    if coverage.route is None:
        yield f"not covered: {coverage.why_not or 'no route'}"
        return
    yield f"route {coverage.route}, {coverage.exactness}: {', '.join(coverage.hooks)}"
    yield f"all exits: {coverage.denominator or 'not counted: the share of slow exits stays unknown'}"
    if coverage.perturbs:
        yield f"perturbs: {coverage.perturbs}"
    for text in coverage.blind:
        yield f"does not see: {text}"
    for test in coverage.self_tests:
        yield f"self-test {test.exercise}: {test.expected} expected, {test.seen} seen"
