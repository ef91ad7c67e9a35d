"""The report as JSON; its schema is reports/report.schema.json."""

from __future__ import annotations

import json

import msgspec

from tifbpf.reporters.schema import Report


def render(report: Report) -> str:
    """Return the report as JSON in ASCII: whatever names hold, a terminal shows it and does not obey it."""
    return json.dumps(msgspec.to_builtins(report), indent=2, allow_nan=False) + "\n"


def schema() -> str:
    """Return the JSON schema of what `render` returns, made from the types."""
    document = {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(Report)}
    return json.dumps(document, indent=2, sort_keys=True) + "\n"
