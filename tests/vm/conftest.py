from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.vm import cache, machine, page
from tests.vm.examine import examine
from tests.vm.findings import Findings
from tests.vm.matrix import Result

_STARTED = time.time()

Examined = Callable[[str], tuple[Findings, Result]]


def kernels() -> list[str]:
    """Return the kernels that were asked for."""
    return os.environ.get("KERNELS", "").split() or list(cache.KNOWN.default)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "kernel" in metafunc.fixturenames:
        metafunc.parametrize("kernel", kernels())


@pytest.fixture(scope="session")
def examined(request: pytest.FixtureRequest) -> Iterator[Examined]:
    """Boot the kernels of all tests that are to run, `VMS` at a time.

    Threads, and not pytest-xdist: that gives each worker its next test in advance, and a worker that has
    nothing left would wait for one that has a kernel waiting.
    """
    params = [item.callspec.params for item in request.session.items if hasattr(item, "callspec")]
    names = dict.fromkeys(param["kernel"] for param in params if "kernel" in param)
    with ThreadPoolExecutor(int(os.environ.get("VMS") or 2)) as pool:
        results = {name: pool.submit(examine, name) for name in names}
        yield lambda name: results[name].result()
        pool.shutdown(wait=False, cancel_futures=True)
        machine.end_all()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if results := page.load(kernels(), since=_STARTED):
        terminalreporter.section("kernels")
        terminalreporter.write_line(page.terminal(results))
