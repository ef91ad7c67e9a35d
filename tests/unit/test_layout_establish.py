from __future__ import annotations

import re
import shutil
from pathlib import Path

import msgspec
import pytest

from tests.unit.test_layout_catalogue import TREES, era_of
from tifbpf.errors import LayoutContradictedError, UnknownKernelError
from tifbpf.layouts import catalogue
from tifbpf.layouts.establish import Established, LayoutFacts, contradictions, establish, observations
from tifbpf.layouts.facts import table
from tifbpf.layouts.model import Context, Word

HEADERS = Path(__file__).parents[1] / "data" / "headers"

RT = {"4.19.118", "5.10.223rt", "6.1.192rt", "6.12.117rt"}
SEVEN = {
    "SYSCALL_WORK_BIT_SECCOMP": 0,
    "SYSCALL_WORK_BIT_SYSCALL_TRACEPOINT": 1,
    "SYSCALL_WORK_BIT_SYSCALL_TRACE": 2,
    "SYSCALL_WORK_BIT_SYSCALL_EMU": 3,
    "SYSCALL_WORK_BIT_SYSCALL_AUDIT": 4,
    "SYSCALL_WORK_BIT_SYSCALL_USER_DISPATCH": 5,
    "SYSCALL_WORK_BIT_SYSCALL_EXIT_TRAP": 6,
}
EIGHT = {**SEVEN, "SYSCALL_WORK_BIT_SYSCALL_RSEQ_SLICE": 7}


def facts_of(key: str) -> LayoutFacts:
    """Return what a kernel built from that tree shows, as distributions configure it."""
    release = {"4.14z": "4.14.177"}.get(key, key)
    found = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?(-rc\d+)?", release)
    assert found
    version = (int(found[1]), int(found[2]), int(found[3] or 0))
    rt = key in RT
    lazy_patch = rt and version < (6, 12)
    config = {"X86_64": "y", "SMP": "y"}
    config |= {"PREEMPT_RT": "y"} if rt else {}
    config |= {"HAVE_PREEMPT_LAZY": "y", "PREEMPT_LAZY": "y"} if lazy_patch else {}
    config |= {"GENERIC_ENTRY": "y"} if version >= (5, 9) else {}
    config |= {"ARCH_HAS_PARANOID_L1D_FLUSH": "y"} if version >= (5, 15) else {}
    config |= {"ARCH_HAS_PREEMPT_LAZY": "y"} if version >= (6, 13) or (rt and not lazy_patch) else {}
    config |= {"HAVE_GENERIC_TIF_BITS": "y"} if version >= (6, 18) else {}
    config |= {"HRTIMER_REARM_DEFERRED": "y"} if version >= (7, 1) else {}
    thread_info = task = None
    if version >= (5, 4):
        thread_info = {"flags": 0, "status": 8}
        thread_info |= {"syscall_work": 8, "status": 16} if version >= (5, 11) else {}
        thread_info |= {"preempt_lazy_count": 20} if lazy_patch else {}
        task = {"thread_info", "__state", "rseq", "rseq_sig"}
        task |= {"rseq_event_mask"} if version < (6, 19) else set()
        task |= {"pf_io_worker"} if (5, 10, 223) <= version < (5, 17) else set()
        task |= {"l1d_flush_kill"} if version >= (5, 15) else set()
        task |= {"reported_split_lock"} if version >= (5, 19) else set()
    return LayoutFacts(
        release=f"{found[0]}{'-rt1' if rt else ''}-amd64",
        version=f"#1 SMP PREEMPT{'_RT' if rt else '_DYNAMIC'} Debian",
        config=config,
        syscall_work_bits=TREES[key]["syscall_work_bits"] or None,
        thread_info_members=thread_info,
        task_struct_members=frozenset(task) if task is not None else None,
    )


def verdicts(established: Established) -> set[tuple[str, str]]:
    return {(item.fact, item.verdict) for item in established.evidence}


@pytest.mark.parametrize("key", TREES)
def test_every_tree_is_established(key: str) -> None:
    established = establish(facts_of(key))
    assert established.layout.name == era_of(key).name
    assert not [item for item in established.evidence if item.verdict == "contradicts"]
    assert established.evidence[-1].source == "uname"


@pytest.mark.parametrize("key", [key for key in TREES if key.startswith(("6.18", "6.19", "7."))])
def test_new_kernels_need_no_release_number(key: str) -> None:
    """From 6.18 on nothing but one layout is left before the number is looked at."""
    lying = msgspec.structs.replace(facts_of(key), release="5.15.0-1-amd64")
    if key.startswith("7.0"):
        lying = msgspec.structs.replace(lying, symbols=frozenset({"trace_syscall_exit"}))
    established = establish(lying)
    assert established.layout.name == era_of(key).name
    assert established.evidence[-1].verdict == "contradicts"


def test_a_live_6_18() -> None:
    # The development machine, whose configuration is not a distribution's.
    established = establish(
        LayoutFacts(
            release="6.18.44-fc-v657",
            version="#1 SMP PREEMPT_DYNAMIC @0",
            config={
                "GENERIC_ENTRY": "y",
                "ARCH_HAS_PREEMPT_LAZY": "y",
                "ARCH_HAS_PARANOID_L1D_FLUSH": "y",
                "HAVE_GENERIC_TIF_BITS": "y",
                "RSEQ": "y",
            },
            syscall_work_bits=SEVEN,
            thread_info_members={"flags": 0, "syscall_work": 8, "status": 16, "cpu": 20},
            task_struct_members=frozenset(
                {"rseq", "rseq_event_mask", "l1d_flush_kill", "reported_split_lock", "worker_private"}
            ),
        )
    )
    assert established.layout.name == "6.18"
    assert established.layout.work_mask(Context.SYSCALL, Word.TIF) == 0x337
    assert ("CONFIG_HAVE_GENERIC_TIF_BITS is set", "decides") in verdicts(established)


@pytest.mark.parametrize(
    ("key", "release", "era", "mask"),
    [
        # An RT kernel that carries the number of the vanilla one: Debian's uname -r has the patch level 0.
        ("6.1.192rt", "6.1.0-56-rt-amd64", "6.1-rt", 0xA300E),
        ("6.1.192rt", "6.1.192", "6.1-rt", 0xA300E),
        ("6.12.117rt", "6.12.117", "6.13", 0x2301E),
        ("5.10.223rt", "5.10.223", "5.10-rt", 0x8008300E),
        ("6.12.117", "6.12.117+deb13-amd64", "5.19", 0x2300E),
    ],
)
def test_flavours_share_numbers(key: str, release: str, era: str, mask: int) -> None:
    established = establish(msgspec.structs.replace(facts_of(key), release=release))
    assert established.layout.name == era
    assert established.layout.work_mask(Context.INTERRUPT, Word.TIF) == mask


def test_mainline_6_12_with_preempt_rt_has_the_layout_of_6_12() -> None:
    facts = facts_of("6.12.117")
    assert facts.config is not None
    config = {**facts.config, "PREEMPT_RT": "y"}
    established = establish(msgspec.structs.replace(facts, version="#1 SMP PREEMPT_RT", config=config))
    assert established.layout.name == "5.19"


def test_the_backport_in_5_10_shows_in_task_struct() -> None:
    # `uname -r` says 5.10.0 for both; neither number nor configuration differ.
    old = msgspec.structs.replace(facts_of("5.10.46"), release="5.10.0-8-amd64")
    new = msgspec.structs.replace(facts_of("5.10.262"), release="5.10.0-46-amd64")
    assert old.config == new.config
    assert establish(old).layout.work_mask(Context.SYSCALL, Word.TIF) == 0x1000309F
    established = establish(new)
    assert established.layout.work_mask(Context.SYSCALL, Word.TIF) == 0x1008309F
    assert ("struct task_struct has a member pf_io_worker", "decides") in verdicts(established)


def test_debian_tells_the_patch_level_in_the_version() -> None:
    facts = LayoutFacts(release="5.10.0-46-amd64", version="#1 SMP Debian 5.10.262-1 (2026-09-01)")
    assert str(facts.upstream) == "5.10.262"
    other = LayoutFacts(release="6.1.0-1-amd64", version="#1 SMP Debian 5.10.262-1")
    assert str(other.upstream) == "6.1"
    rt = LayoutFacts(release="6.1.0-56-rt-amd64", version="#1 SMP PREEMPT_RT Debian 6.1.192-2 (2026-10-30)")
    assert str(rt.upstream) == "6.1.192-rt"


def test_a_vendor_kernel_is_told_by_its_facts_and_not_by_its_number() -> None:
    """RHEL 9: numbered 5.14, with the bits of later kernels."""
    established = establish(
        msgspec.structs.replace(facts_of("6.6.21"), release="5.14.0-427.el9.x86_64", version="#1 SMP PREEMPT")
    )
    assert established.layout.name == "5.19"
    (said,) = (item.fact for item in established.evidence if item.source == "uname")
    assert "which the evidence excludes" in said


def test_a_backported_syscall_work_bit_is_named_by_btf() -> None:
    more = {**SEVEN, "SYSCALL_WORK_BIT_SYSCALL_VENDOR": 7}
    established = establish(msgspec.structs.replace(facts_of("6.1.192"), syscall_work_bits=more))
    layout = established.layout
    assert layout.names(Word.SYSCALL_WORK, 0x81) == ("SECCOMP", "SYSCALL_VENDOR")
    assert layout.work_mask(Context.SYSCALL, Word.SYSCALL_WORK) == 0x76
    assert "SYSCALL_VENDOR: named by BTF alone" in layout.notes[-1]
    (said,) = (item for item in established.evidence if "SYSCALL_VENDOR" in item.fact)
    assert (said.source, said.verdict) == ("BTF", "decides")
    # The layout in the catalogue is the one it was.
    assert catalogue.load("5.19").at(Word.SYSCALL_WORK, 7) is None


def test_a_kernel_newer_than_every_tree() -> None:
    same = msgspec.structs.replace(facts_of("7.3.4"), release="8.0.0-1-amd64")
    established = establish(same)
    assert established.layout.name == "7.1"
    assert established.evidence[-1].verdict == "absent"
    assert "newer than every tree" in established.evidence[-1].fact

    bits = {**EIGHT, "SYSCALL_WORK_BIT_SYSCALL_NEW": 8}
    changed = msgspec.structs.replace(same, syscall_work_bits=bits)
    with pytest.raises(UnknownKernelError, match=r"SYSCALL_NEW 8, as in no era.*--headers DIR$") as error:
        establish(changed)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "bits",
    [
        {**SEVEN, "SYSCALL_WORK_BIT_SECCOMP": 7},
        {name: number for name, number in SEVEN.items() if not name.endswith("EXIT_TRAP")},
        {},
    ],
)
def test_an_enum_that_contradicts_every_era(bits: dict[str, int]) -> None:
    with pytest.raises(UnknownKernelError, match=r"no layout fits 6\.1\.192"):
        establish(msgspec.structs.replace(facts_of("6.1.192"), syscall_work_bits=bits))


@pytest.mark.parametrize("release", ["6.18.44", "6.1.0-56-rt-amd64", "8.0", "3.10.0-1160.el7.x86_64"])
def test_the_release_number_alone_never_decides(release: str) -> None:
    with pytest.raises(UnknownKernelError, match=r"^nothing but its release number .*--headers DIR$"):
        establish(LayoutFacts(release=release, version="#1 SMP PREEMPT_DYNAMIC"))


@pytest.mark.parametrize("release", ["5.15.0-rt17", "6.6.30-rt30", "5.4.0-rt1"])
def test_an_rt_patch_that_was_not_read(release: str) -> None:
    with pytest.raises(UnknownKernelError, match="its RT patch was not read"):
        establish(msgspec.structs.replace(facts_of("6.1.192rt"), release=release))


def test_facts_that_no_era_has_together() -> None:
    facts = facts_of("6.1.192")
    assert facts.config is not None
    config = {**facts.config, "HAVE_GENERIC_TIF_BITS": "y"}
    assert facts.task_struct_members is not None
    with pytest.raises(UnknownKernelError, match="no layout fits") as error:
        establish(
            msgspec.structs.replace(
                facts, config=config, task_struct_members=facts.task_struct_members | {"pf_io_worker"}
            )
        )
    assert "CONFIG_HAVE_GENERIC_TIF_BITS is set" in str(error.value)
    assert "struct task_struct has a member pf_io_worker" in str(error.value)
    assert "\n" not in str(error.value)


def test_older_than_every_tree() -> None:
    with pytest.raises(UnknownKernelError, match=r"no layout fits 2\.6\.32"):
        establish(msgspec.structs.replace(facts_of("3.10.4"), release="2.6.32-754.el6"))


def test_what_could_not_be_excluded_is_said() -> None:
    established = establish(facts_of("5.9.1"))
    last = established.evidence[-1]
    assert last.verdict == "decides"
    assert "not excluded by anything else: 5.10" in last.fact
    assert last.fact.endswith("taken: 5.9")


def test_symbols_are_evidence_where_they_are_seen() -> None:
    facts = LayoutFacts(
        release="4.15.0-99-generic", config={"SMP": "y"}, symbols=frozenset({"exit_to_usermode_loop"})
    )
    established = establish(facts)
    assert established.layout.name == "4.15"
    assert ("the kernel has exit_to_usermode_loop()", "decides") in verdicts(established)
    assert "3.19" not in established.evidence[-1].fact
    # Missing, it says nothing: the compiler may have inlined it.
    without = establish(msgspec.structs.replace(facts, symbols=frozenset({"schedule"})))
    assert "3.19" in without.evidence[-1].fact


def test_7_2_without_deferred_rearming_has_no_such_bit_in_its_mask() -> None:
    facts = facts_of("7.2.6")
    assert facts.config is not None
    config = {name: value for name, value in facts.config.items() if name != "HRTIMER_REARM_DEFERRED"}
    layout = establish(msgspec.structs.replace(facts, config=config)).layout
    assert layout.work_mask(Context.INTERRUPT, Word.TIF) == 0xB37


@pytest.mark.parametrize("fact", table(), ids=lambda fact: f"{fact.kind}-{fact.name}")
def test_facts_name_eras_that_exist(fact: object) -> None:
    from tifbpf.layouts.facts import Fact

    assert isinstance(fact, Fact)
    assert fact.possible
    assert fact.possible < set(catalogue.names())
    assert fact.necessary <= fact.possible
    assert bool(fact.eras) != bool(fact.since or fact.until)


def test_headers_decide() -> None:
    facts = LayoutFacts(
        release="6.1.0-56-rt-amd64",
        version="#1 SMP PREEMPT_RT Debian 6.1.192-2",
        headers=HEADERS / "linux-headers-6.1.0-56-rt-amd64",
        syscall_work_bits=SEVEN,
    )
    established = establish(facts)
    layout = established.layout
    assert layout.name == "6.1-rt"
    assert layout.work_mask(Context.SYSCALL, Word.TIF) == 0xA300E
    assert [item.verdict for item in established.evidence] == ["decides", "confirms", "confirms"]
    # Names and masks are the headers', what handles them is the era's, and the source names both.
    signal = layout.named("SIGPENDING")
    assert signal is not None
    assert signal.handler == "arch_do_signal_or_restart"
    assert signal.needs_pt_regs is True
    assert signal.source.startswith(str(facts.headers))
    assert "handler: era 6.1-rt" in signal.source


def test_headers_of_another_kernel_are_refused() -> None:
    headers = HEADERS / "linux-headers-7.3.4+deb13-amd64"
    with pytest.raises(LayoutContradictedError, match=r"are not those of the kernel that runs.*RSEQ_SLICE 7"):
        establish(LayoutFacts(release="6.18.44", headers=headers, syscall_work_bits=SEVEN))


def test_headers_of_no_era_leave_the_handlers_unknown(tmp_path: Path) -> None:
    for part in ("linux-headers-6.1.0-56-amd64", "linux-headers-6.1.0-56-common"):
        shutil.copytree(HEADERS / part, tmp_path / part)
    header = tmp_path / "linux-headers-6.1.0-56-common/arch/x86/include/asm/thread_info.h"
    header.write_text(header.read_text() + "#define TIF_VENDOR 30\n")
    facts = LayoutFacts(release="6.1.0-vendor", headers=tmp_path / "linux-headers-6.1.0-56-amd64")
    established = establish(facts)
    assert established.layout.names(Word.TIF, 0x40000004) == ("SIGPENDING", "VENDOR")
    assert established.layout.work_mask(Context.SYSCALL, Word.TIF) == 0x2300E
    assert all(bit.handler is None and bit.needs_pt_regs is None for bit in established.layout.bits)
    assert established.evidence[-1].verdict == "absent"


def test_headers_without_work_masks_and_without_an_era(tmp_path: Path) -> None:
    header = tmp_path / "arch/x86/include/asm/thread_info.h"
    header.parent.mkdir(parents=True)
    header.write_text("#define TIF_SIGPENDING 2\n")
    with pytest.raises(UnknownKernelError, match="name no work mask"):
        establish(LayoutFacts(release="4.9.0", headers=tmp_path))


def test_headers_without_work_masks_take_those_of_the_era(tmp_path: Path) -> None:
    """A headers package of 4.4 to 5.8 has no arch/x86/entry/common.c."""
    era = catalogue.load("5.4")
    header = tmp_path / "arch/x86/include/asm/thread_info.h"
    header.parent.mkdir(parents=True)
    header.write_text("".join(f"#define TIF_{bit.name} {bit.number}\n" for bit in era.bits))
    established = establish(LayoutFacts(release="5.4.0-200-generic", headers=tmp_path))
    assert established.layout.name == "5.4"
    assert established.layout.work_mask(Context.INTERRUPT, Word.TIF) == 0x380E


def test_observations() -> None:
    numbers = {
        "5.10.46": {"SIGPENDING": 2, "NOTIFY_RESUME": 1},
        "5.10.262": {"SIGPENDING": 2, "NOTIFY_RESUME": 1, "NOTIFY_SIGNAL": 19},
        "6.1": {"SIGPENDING": 2, "NOTIFY_RESUME": 1, "NOTIFY_SIGNAL": 17},
        "6.18": {"SIGPENDING": 1, "NOTIFY_RESUME": 0, "NOTIFY_SIGNAL": 2},
    }
    assert {version: observations(catalogue.for_kernel(version)) for version in numbers} == numbers


@pytest.mark.parametrize(
    ("version", "observed", "says"),
    [
        ("6.18", {"SIGPENDING": 1, "NOTIFY_RESUME": 0, "NOTIFY_SIGNAL": 2}, []),
        ("6.18", {}, []),
        (
            "6.18",
            {"SIGPENDING": 2, "NOTIFY_RESUME": 0},
            ["6.18 says that SIGPENDING is bit 1, the act that sets it set bit 2 (NOTIFY_SIGNAL there)"],
        ),
        (
            "6.18",
            {"SIGPENDING": None},
            ["6.18 says that SIGPENDING is bit 1, the act that sets it set no bit"],
        ),
        (
            "6.1",
            {"NOTIFY_SIGNAL": 19},
            ["5.19 says that NOTIFY_SIGNAL is bit 17, the act that sets it set bit 19 (unnamed there)"],
        ),
        # 5.10.46 does that work by SIGPENDING; a bit that it has no name for is 5.10.262's.
        ("5.10.46", {"NOTIFY_SIGNAL": 2}, []),
        ("5.10.46", {"NOTIFY_SIGNAL": None}, []),
        (
            "5.10.46",
            {"NOTIFY_SIGNAL": 19},
            ["5.10 has no NOTIFY_SIGNAL, the act that sets it where it exists set bit 19 (unnamed there)"],
        ),
    ],
)
def test_contradictions(version: str, observed: dict[str, int | None], says: list[str]) -> None:
    assert contradictions(catalogue.for_kernel(version), observed) == says


LAZY = "TRACE_FLAG_NEED_RESCHED_LAZY"
FLAGS = frozenset({"TRACE_FLAG_IRQS_OFF", "TRACE_FLAG_NEED_RESCHED"})


def test_a_backport_of_lazy_preemption_shows_without_a_configuration() -> None:
    # A 6.12 by its number whose BTF has the flag has 6.13's bits, as Debian's 6.12-rt.
    silent = msgspec.structs.replace(facts_of("6.12.117"), config=None)
    plain, lazy = (
        establish(msgspec.structs.replace(silent, trace_flags=flags)) for flags in (FLAGS, FLAGS | {LAZY})
    )
    assert (plain.layout.name, lazy.layout.name) == ("5.19", "6.13")
    assert (f"enum trace_flag_type has a {LAZY}", "decides") in verdicts(lazy)


def test_a_vanilla_kernel_without_the_flag_is_no_rt_kernel() -> None:
    facts = msgspec.structs.replace(facts_of("6.1.192"), config=None, thread_info_members=None)
    assert establish(msgspec.structs.replace(facts, trace_flags=FLAGS)).layout.name == "5.19"
