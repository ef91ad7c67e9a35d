"""The same exercises, and those live tests that depend on the kernel, on real kernels from 5.10 to 7.3."""

from __future__ import annotations

import pytest

from tests.vm.archive import ArchiveError
from tests.vm.conftest import Examined
from tests.vm.examine import problems
from tests.vm.machine import MachineError

pytestmark = pytest.mark.requires("root", "vm")


def test_every_exit_that_was_caused_is_seen_and_nothing_is_left_behind(
    kernel: str, examined: Examined
) -> None:
    try:
        found = list(problems(*examined(kernel)))
    except (ArchiveError, MachineError) as error:
        pytest.fail(str(error), pytrace=False)
    if found:
        pytest.fail("\n".join(found), pytrace=False)
