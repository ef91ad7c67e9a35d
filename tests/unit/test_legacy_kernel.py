from __future__ import annotations

import pytest

from tifbpf.errors import BpfRefusedError
from tifbpf.host.kallsyms import Place
from tifbpf.layouts import catalogue
from tifbpf.recorder import legacy_kernel

TRACE, AUDIT, TRACEPOINT, SINGLESTEP, NOHZ = 1 << 0, 1 << 7, 1 << 28, 1 << 4, 1 << 19
RESUME, SIGPENDING, RESCHED, MCE, USER_RETURN, UPROBE = 1 << 1, 1 << 2, 1 << 3, 1 << 10, 1 << 11, 1 << 12
PATCH = 1 << 13


@pytest.mark.parametrize(
    ("layout", "work", "sure"),
    [
        # Up to 4.2 assembly reschedules by itself, and up to 3.19 it may have audited by itself.
        ("3.10", RESUME | SIGPENDING | MCE | USER_RETURN, TRACE | SINGLESTEP | TRACEPOINT | NOHZ),
        ("4.0", RESUME | SIGPENDING | USER_RETURN | UPROBE, TRACE | SINGLESTEP | TRACEPOINT | NOHZ),
        (
            "4.4",
            RESUME | SIGPENDING | RESCHED | USER_RETURN | UPROBE,
            TRACE | AUDIT | SINGLESTEP | TRACEPOINT,
        ),
        (
            "5.4",
            RESUME | SIGPENDING | RESCHED | USER_RETURN | UPROBE | PATCH,
            TRACE | AUDIT | SINGLESTEP | TRACEPOINT,
        ),
    ],
)
def test_which_of_two_hooks_counts_an_exit(layout: str, work: int, sure: int) -> None:
    known = catalogue.load(layout)
    assert legacy_kernel.masks(known, one_time=True) == {"WORK_MASK": work, "ONE_TIME_SURE": sure}
    # Where the one-time work cannot be hooked, nothing else counts what it would have.
    assert legacy_kernel.masks(known, one_time=False)["ONE_TIME_SURE"] == 0


def test_where_a_return_address_lies() -> None:
    text = legacy_kernel.addresses(
        {
            "int_signal": Place(0x1000, 0x10),
            "retint_signal": Place(0x2000, 0x20),
            "paranoid_userspace": Place(0x3000, 8),
            "tracesys": Place(0, 0),
        }
    )
    assert text.splitlines() == [
        "#define FROM_SYSCALL(a) (((a) > 0x1000ULL && (a) <= 0x1010ULL))",
        "#define FROM_RETURN(a) (((a) > 0x2000ULL && (a) <= 0x2020ULL))",
        "#define FROM_EXCEPTION(a) (((a) > 0x3000ULL && (a) <= 0x3008ULL))",
    ]


def test_a_kernel_without_a_label_never_answers_by_it() -> None:
    text = legacy_kernel.addresses({"entry_SYSCALL_64": Place(0x1000, 0x10)})
    assert "#define FROM_EXCEPTION(a) (0)" in text.splitlines()


def test_hidden_addresses_are_an_error() -> None:
    with pytest.raises(BpfRefusedError) as caught:
        legacy_kernel.addresses({"int_signal": Place(0, 0)})
    assert str(caught.value) == (
        "the addresses of the assembly entry are not known: run as root, with the sysctl "
        "kernel.kptr_restrict below 2"
    )
