"""The mail that took two masks of 3.13 apart by hand, against what the data makes of them."""

from __future__ import annotations

from tifbpf.layouts import audit, catalogue, claims
from tifbpf.layouts.claims import Outcome

HOLDS, DIFFERS, FAILS = Outcome.HOLDS, Outcome.DIFFERS, Outcome.FAILS

# In the mail's order.
GOLDEN = [
    (HOLDS, "what _TIF_WORK_MASK is", "_TIF_WORK_MASK is 0xfe2e"),
    (HOLDS, "what _TIF_ALLWORK_MASK is", "_TIF_ALLWORK_MASK is 0x1008feff"),
    (DIFFERS, "_TIF_WORK_MASK by bits", "BIT 5"),
    (DIFFERS, "_TIF_ALLWORK_MASK by bits", "BIT 5"),
    (DIFFERS, "_TIF_WORK_MASK by other masks", "BIT 5"),
    (DIFFERS, "_TIF_ALLWORK_MASK by other masks", "BIT 5"),
    (DIFFERS, "which bits nobody sets", "none of them has a name, and neither has bit 5"),
    (HOLDS, "UPROBE is not in _TIF_DO_NOTIFY_MASK", "_TIF_DO_NOTIFY_MASK lacks UPROBE"),
    (
        HOLDS,
        "do_notify_resume() handles UPROBE",
        (
            "do_notify_resume() handles UPROBE, by uprobe_notify_resume(); cleared in uprobe_notify_resume()"
            ", before anything else"
        ),
    ),
    (
        HOLDS,
        "do_notify_resume() is called for _TIF_DO_NOTIFY_MASK alone",
        "int_with_check calls do_notify_resume() for 0xc06; retint_check calls do_notify_resume() for 0xc06",
    ),
    (
        DIFFERS,
        "UPROBE alone loops for ever",
        "at int_with_check it does; retint_check does not test it again: the exit leaves, the bit still set",
    ),
    (
        HOLDS,
        "the exit tests _TIF_WORK_MASK again",
        "int_with_check tests 0xfe2e again, which has UPROBE",
    ),
    (
        HOLDS,
        "paranoid_userspace calls do_notify_resume() for all the rest",
        "paranoid_userspace calls do_notify_resume() for 0xfe26",
    ),
    (HOLDS, "paranoid_userspace handles UPROBE alone", "paranoid_userspace handles it"),
    (
        HOLDS,
        "SYSCALL_EMU costs the exit its SYSRET",
        (
            "sysret_check goes on to int_with_check, which leaves by iret, for every bit of "
            "_TIF_ALLWORK_MASK but NEED_RESCHED and SYSCALL_AUDIT"
        ),
    ),
    (
        HOLDS,
        "syscall_trace_leave() is not called for SYSCALL_EMU",
        (
            "int_with_check calls syscall_trace_leave() for 0x10080091, which lacks SYSCALL_EMU (0x40) (the "
            "function is syscall_trace_leave())"
        ),
    ),
    (
        HOLDS,
        "syscall_trace_leave() looks at SYSCALL_EMU",
        "syscall_trace_leave() looks at it, to keep the single step from being reported",
    ),
    (
        FAILS,
        "do_notify_resume() is called for SYSCALL_EMU",
        "int_with_check calls do_notify_resume() for 0xc06, which lacks SYSCALL_EMU (0x40)",
    ),
    (
        HOLDS,
        "do_notify_resume() does nothing for SYSCALL_EMU",
        "do_notify_resume() does not test SYSCALL_EMU",
    ),
    (
        HOLDS,
        "SYSCALL_EMU is tested once",
        "int_with_check tests 0x1008feff first and 0xfe2e again, which lacks SYSCALL_EMU",
    ),
    (
        HOLDS,
        "SYSCALL_EMU is in _TIF_WORK_SYSCALL_ENTRY",
        "_TIF_WORK_SYSCALL_ENTRY has SYSCALL_EMU",
    ),
    (
        HOLDS,
        "SYSCALL_EMU in _TIF_ALLWORK_MASK does nothing",
        (
            "sends an exit to int_with_check for nothing: nothing is called for it, and the exit leaves, the "
            "bit still set; on the way there, sysret_check goes on to int_with_check, which leaves by iret"
        ),
    ),
]
BIT_5 = "the names are right, the rest is 0xe220: the mail leaves out bit 5 (0x20), which has no name either"


def test_every_claim_of_the_mail() -> None:
    expected = [(outcome, says, BIT_5 if found == "BIT 5" else found) for outcome, says, found in GOLDEN]
    assert [(claim.outcome, claim.says, claim.found) for claim in claims.checked()] == expected


def test_the_mail_s_table() -> None:
    found = audit.audit(catalogue.load("3.13"))
    masks = {name: found.mask(name) for name in ("_TIF_WORK_MASK", "_TIF_ALLWORK_MASK")}
    table = {
        name: (mask.value, set(mask.bits), mask.residue, str(mask.terms))
        for name, mask in masks.items()
        if mask
    }
    assert table == {
        "_TIF_WORK_MASK": (
            0xFE2E,
            {"NOTIFY_RESUME", "SIGPENDING", "MCE_NOTIFY", "USER_RETURN_NOTIFY", "UPROBE", "NEED_RESCHED"},
            0xE220,
            "_TIF_DO_NOTIFY_MASK | NEED_RESCHED | UPROBE | 0xe220",
        ),
        "_TIF_ALLWORK_MASK": (
            0x1008FEFF,
            {
                *("SYSCALL_TRACE", "NOTIFY_RESUME", "SIGPENDING", "NEED_RESCHED", "SINGLESTEP"),
                *("SYSCALL_EMU", "SYSCALL_AUDIT", "MCE_NOTIFY", "SYSCALL_TRACEPOINT", "NOHZ"),
                *("USER_RETURN_NOTIFY", "UPROBE"),
            },
            0xE220,
            "_TIF_WORK_SYSCALL_EXIT | _TIF_DO_NOTIFY_MASK | NEED_RESCHED | SYSCALL_EMU | UPROBE | 0xe220",
        ),
    }


def test_it_is_that_mail() -> None:
    mail = claims.mail()
    assert (mail.author, mail.date, mail.era) == ("Al Viro", "2014-01-27", "3.13")
