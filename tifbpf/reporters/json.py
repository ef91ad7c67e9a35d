"""Reports as JSON; their schemas are reports/report.schema.json and reports/diff.schema.json."""

from __future__ import annotations

import json

import msgspec

from tifbpf.reporters.schema import Report


def render(report: msgspec.Struct) -> str:
    """Return the report as JSON in ASCII: whatever names hold, a terminal shows it and does not obey it."""
    return json.dumps(msgspec.to_builtins(report), indent=2, allow_nan=False) + "\n"


def schema(of: type[msgspec.Struct] = Report) -> str:
    """Return the JSON schema of what `render` makes of an `of`, made from the types."""
    document = {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(of)}
    return json.dumps(document, indent=2, sort_keys=True) + "\n"
