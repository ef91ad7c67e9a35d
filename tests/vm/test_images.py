"""The masks in the files of the kernels that the guests boot, beside the layouts of these releases."""

from __future__ import annotations

import pytest

from tests.vm import cache
from tests.vm.archive import ArchiveError
from tifbpf.host.vmlinux import Vmlinux
from tifbpf.layouts.confirm import Verdict
from tifbpf.layouts.establish import establish
from tifbpf.recorder import machine_code

pytestmark = pytest.mark.requires("root", "vm")


def test_the_machine_code_tests_what_the_layout_says(kernel: str) -> None:
    try:
        found = cache.kernel(kernel)
    except ArchiveError as error:
        pytest.fail(str(error), pytrace=False)
    image = Vmlinux(found.image)
    assert image.release == found.release
    established = establish(machine_code.of_file(image))
    assert established.tested is not None
    assert established.tested.missing == ()
    assert established.checks
    assert {check.verdict for check in established.checks} == {Verdict.CONFIRMED}
    assert [item.fact for item in established.evidence if item.verdict == "contradicts"] == []
