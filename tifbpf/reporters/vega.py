"""Vega-Lite specifications: filled with data and colours, and drawn by vl-convert, without a browser."""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from tifbpf import resources
from tifbpf.errors import NoExtraError

Spec = dict[str, Any]
Row = Mapping[str, str | int | float | None]

_VERSION = "6.4"
"""Of Vega-Lite, for drawing here and in the browser alike."""
_LEGEND = 170
"""Pixels that one entry of a legend takes; a legend does not wrap by itself."""


@functools.cache
def _converter() -> ModuleType:
    try:
        import vl_convert
    except ImportError as error:
        raise NoExtraError(
            "charts need vl-convert, which is not installed; install it with: pip install 'tifbpf[html]'"
        ) from error
    return vl_convert


def colours(scheme: str) -> dict[str, str]:
    """Return the colours of `light` or `dark` by name."""
    schemes: dict[str, dict[str, str]] = json.loads(
        (resources.directory("reports") / "colours.json").read_text()
    )
    return schemes[scheme]


def variables() -> dict[str, str]:
    """Return what stands for the colours in a page that defines them as custom properties."""
    return {name: f"var(--{name})" for name in colours("light")}


def spec(name: str, rows: Sequence[Row], values: Mapping[str, str], width: int) -> Spec:
    """Return the specification reports/charts/NAME.vl.json with its data.

    Args:
        name: of the chart.
        rows: its data.
        values: what stands for `@NAME` in the specification: colours, and texts of this chart's own.
        width: of the whole chart, in pixels.
    """
    charts = resources.directory("reports") / "charts"
    found = json.loads((charts / f"{name}.vl.json").read_text())
    found["config"] = json.loads((charts / "config.json").read_text())
    filled: Spec = _filled(found, values)
    filled["datasets"] = {"rows": [dict(row) for row in rows]}
    filled["width"] = width
    filled["config"]["legend"]["columns"] = max(1, width // _LEGEND)
    filled["autosize"] = {"type": "fit-x", "contains": "padding"}
    return filled


def _filled(node: Any, values: Mapping[str, str]) -> Any:
    if isinstance(node, dict):
        return {name: _filled(value, values) for name, value in node.items()}
    if isinstance(node, list):
        return [_filled(value, values) for value in node]
    if isinstance(node, str) and node.startswith("@"):
        return values[node[1:]]
    return node


def svg(found: Spec) -> str:
    """Draw as SVG.

    Raises:
        NoExtraError: vl-convert is not installed.
    """
    drawn: str = _converter().vegalite_to_svg(copy.deepcopy(found), vl_version=_VERSION)
    return drawn


def png(found: Spec, scale: float) -> bytes:
    """Draw as PNG, `scale` pixels for each of the specification's.

    Raises:
        NoExtraError: vl-convert is not installed.
    """
    drawn: bytes = _converter().vegalite_to_png(copy.deepcopy(found), vl_version=_VERSION, scale=scale)
    return drawn


def javascript() -> str:
    """Return Vega, Vega-Lite and Vega-Embed as one script that sets `window.vegaEmbed`.

    Raises:
        NoExtraError: vl-convert is not installed.
    """
    script: str = _converter().javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=_VERSION)
    # Their short names would otherwise be the page's.
    return f"(() => {{\n{script}\n}})();"
