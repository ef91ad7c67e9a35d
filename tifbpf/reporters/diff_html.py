"""The comparison as one HTML file that needs nothing else; see `tifbpf.reporters.html`."""

from __future__ import annotations

from tifbpf.reporters import diff_schema, diff_sections
from tifbpf.reporters.html import laid_out, page


def render(diff: diff_schema.Diff) -> str:
    """Return the comparison as HTML; everything from outside is printable and escaped."""
    headline, *others = (laid_out(section) for section in diff_sections.sections(diff))
    return page(
        "diff.html.j2",
        title=f"{headline['title']}: {headline['subject']}",
        scripts=[],
        headline=headline,
        sections=[part | {"id": f"section-{place}"} for place, part in enumerate(others, 1)],
    )
