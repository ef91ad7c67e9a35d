from __future__ import annotations

import os

import pytest

from tests import capabilities


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for marker in item.iter_markers("requires"):
            if unknown := set(marker.args) - capabilities.CAPABILITIES.keys():
                raise pytest.UsageError(f"{item.nodeid}: not in tests/capabilities.py: {sorted(unknown)}")


def pytest_runtest_setup(item: pytest.Item) -> None:
    # One at a time: a recorder would be another's "somebody else is tracing".
    if item.get_closest_marker("live") and "PYTEST_XDIST_WORKER" in os.environ:
        pytest.fail("live tests must not run side by side: leave out -n", pytrace=False)
    needed = {name for marker in item.iter_markers("requires") for name in marker.args}
    if missing := sorted(name for name in needed if not capabilities.present(name)):
        if wrong := sorted(capabilities.required() & set(missing)):
            pytest.fail(f"TIFBPF_REQUIRE names what this host lacks: {', '.join(wrong)}", pytrace=False)
        pytest.skip(f"missing: {', '.join(missing)}")
