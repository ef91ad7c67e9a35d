"""Return addresses that were seen below user registers in virtual machines, and the stubs they lie in.

tests/data/kallsyms/ holds what one boot of each had in /proc/kallsyms: the stubs and what follows them.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from tifbpf.layouts.model import Context
from tifbpf.recorder import entry_stubs

KALLSYMS = Path(__file__).parents[1] / "data" / "kallsyms"
SYSCALL, INTERRUPT, EXCEPTION = Context.SYSCALL, Context.INTERRUPT, Context.EXCEPTION


def context_of(address: int, path: Path) -> Context | None:
    found = [stub.context for stub in entry_stubs.find(path) if stub.start < address <= stub.end]
    assert len(found) <= 1
    return found[0] if found else None


def address_of(name: str, path: Path) -> int:
    symbol, _, offset = name.partition("+")
    (line,) = (line for line in path.read_text().splitlines() if line.split()[2] == symbol)
    return int(line.split()[0], 16) + int(offset or "0", 16)


@pytest.mark.parametrize(
    ("kernel", "place", "context"),
    [
        ("6.12", "entry_SYSCALL_64_after_hwframe+0x76", SYSCALL),
        ("6.12", "asm_int80_emulation+0x1a", SYSCALL),
        ("6.12", "ret_from_fork_asm+0x1a", SYSCALL),
        ("6.12", "asm_sysvec_apic_timer_interrupt+0x1a", INTERRUPT),
        ("6.12", "asm_sysvec_reschedule_ipi+0x1a", INTERRUPT),
        ("6.12", "asm_common_interrupt+0x26", INTERRUPT),
        ("6.12", "asm_exc_page_fault+0x26", EXCEPTION),
        ("6.18", "entry_SYSCALL_64_after_hwframe+0x76", SYSCALL),
        ("6.18", "asm_int80_emulation+0x1a", SYSCALL),
        ("6.18", "ret_from_fork_asm+0x1a", SYSCALL),
        ("6.18", "asm_sysvec_apic_timer_interrupt+0x1a", INTERRUPT),
        ("6.18", "asm_sysvec_call_function_single+0x1a", INTERRUPT),
        ("6.18", "asm_exc_page_fault+0x26", EXCEPTION),
        ("7.3", "entry_SYSCALL_64_after_hwframe+0x76", SYSCALL),
        ("7.3", "asm_int80_emulation+0x1a", SYSCALL),
        ("7.3", "ret_from_fork_asm+0x1a", SYSCALL),
        ("7.3", "asm_sysvec_apic_timer_interrupt+0x1a", INTERRUPT),
        ("7.3", "asm_sysvec_call_function_single+0x1a", INTERRUPT),
        ("7.3", "asm_sysvec_reschedule_ipi+0x1a", INTERRUPT),
        ("7.3", "asm_common_interrupt+0x26", INTERRUPT),
        ("7.3", "asm_exc_page_fault+0x26", EXCEPTION),
    ],
)
def test_what_was_seen(kernel: str, place: str, context: Context) -> None:
    path = KALLSYMS / f"debian-cloud-{kernel}"
    assert context_of(address_of(place, path), path) is context


@pytest.mark.parametrize("path", sorted(KALLSYMS.iterdir()), ids=lambda path: path.name)
class TestEachKernel:
    def test_few_ranges_apart(self, path: Path) -> None:
        stubs = sorted(entry_stubs.find(path), key=lambda stub: stub.start)
        assert {stub.context for stub in stubs} == set(Context)
        assert len(stubs) <= 16
        assert all(before.end <= after.start for before, after in pairwise(stubs))

    def test_return_addresses_of_every_stub(self, path: Path) -> None:
        # The first byte of a stub is behind no call of it; the one behind its last instruction may be.
        expected = {"asm_exc_": EXCEPTION, "asm_sysvec_": INTERRUPT, "entry_SYSCALL_64": SYSCALL}
        lines = [line.split() for line in path.read_text().splitlines()]
        checked = set()
        for (address, _, name), (following, _, _) in pairwise(lines):
            for prefix, context in expected.items():
                if name.startswith(prefix) and name != "asm_exc_xen_hypervisor_callback":
                    assert context_of(int(address, 16) + 1, path) is context, name
                    assert context_of(int(following, 16), path) is context, name
                    checked.add(prefix)
        assert checked == expected.keys()

    def test_a_xen_guests_interrupts(self, path: Path) -> None:
        assert context_of(address_of("asm_exc_xen_hypervisor_callback+0x1a", path), path) is INTERRUPT
        assert context_of(address_of("exc_xen_hypervisor_callback+0x8", path), path) is INTERRUPT

    @pytest.mark.parametrize("name", ["error_entry", "paranoid_entry", "asm_load_gs_index"])
    def test_no_stubs(self, path: Path, name: str) -> None:
        assert context_of(address_of(name, path) + 1, path) is None


def test_fred_enters_for_everything() -> None:
    path = KALLSYMS / "debian-cloud-7.3"
    assert context_of(address_of("asm_fred_entrypoint_user+0x8", path), path) is None


def test_hidden_addresses(tmp_path: Path) -> None:
    hidden = tmp_path / "kallsyms"
    lines = (KALLSYMS / "debian-cloud-7.3").read_text().splitlines()
    hidden.write_text("".join(f"{0:016x}{line[16:]}\n" for line in lines))
    assert entry_stubs.find(hidden) == ()


def test_no_kallsyms(tmp_path: Path) -> None:
    assert entry_stubs.find(tmp_path / "kallsyms") == ()
