"""Each source by itself, on files that are as they should be, and on files that are not."""

from __future__ import annotations

import errno
import gzip
from pathlib import Path

import pytest

from tifbpf.errors import MissingCapabilityError, NotRootError
from tifbpf.host import config, distribution, ftrace, headers, kallsyms, lockdown, privileges, text, trials
from tifbpf.host.facts import Finding
from tifbpf.host.kallsyms import Place
from tifbpf.host.privileges import Privileges

CONFIG = """\
#
# Automatically generated file; DO NOT EDIT.
#
CONFIG_BPF=y
CONFIG_NET_9P=m
CONFIG_HZ=250
CONFIG_CC_VERSION_TEXT="gcc (Debian 12.2.0) = 12"
# CONFIG_KPROBES is not set
"""


class TestConfig:
    def test_options(self, tmp_path: Path) -> None:
        plain = tmp_path / "config-6.1.0"
        plain.write_text(CONFIG)
        found = config.read([plain])
        assert found is not None
        assert found.options == {
            "BPF": "y",
            "NET_9P": "m",
            "HZ": "250",
            "CC_VERSION_TEXT": "gcc (Debian 12.2.0) = 12",
        }
        assert found.source == str(plain)
        assert [found.has(name) for name in ("BPF", "NET_9P", "HZ", "KPROBES")] == [True, True, False, False]

    def test_first_that_can_be_read(self, tmp_path: Path) -> None:
        broken, empty, good = tmp_path / "a.gz", tmp_path / "b", tmp_path / "c.gz"
        broken.write_bytes(gzip.compress(CONFIG.encode())[:40])
        empty.write_text("")
        good.write_bytes(gzip.compress(CONFIG.encode()))
        found = config.read([tmp_path / "missing", tmp_path, broken, empty, good])
        assert found is not None
        assert found.source == str(good)

    def test_none(self, tmp_path: Path) -> None:
        binary = tmp_path / "binary"
        binary.write_bytes(b"\xff\xfe\x00CONFIG_X=y\n")
        assert config.read([binary]) is None


class TestHeaders:
    def test_release_of_a_debian_tree(self, tmp_path: Path) -> None:
        (tmp_path / "include" / "generated").mkdir(parents=True)
        (tmp_path / "include" / "generated" / "utsrelease.h").write_text(
            '#define UTS_RELEASE "6.1.0-13-amd64"\n'
        )
        assert headers.release_of(tmp_path) == "6.1.0-13-amd64"

    @pytest.mark.parametrize(
        ("package", "release"),
        [
            ("linux-headers-6.1.0-56-amd64", "6.1.0-56-amd64"),
            ("linux-headers-7.3.4+deb13-amd64", "7.3.4+deb13-amd64"),
        ],
    )
    def test_release_of_debians_packages(self, package: str, release: str) -> None:
        # Verbatim: Debian 12's kernel.release says 6.1.192.
        directory = Path(__file__).parents[1] / "data" / "headers" / package
        assert headers.release_of(directory) == release

    def test_release_of_a_configured_tree(self, tmp_path: Path) -> None:
        (tmp_path / "include" / "config").mkdir(parents=True)
        (tmp_path / "include" / "config" / "kernel.release").write_text("7.3.4\n")
        assert headers.release_of(tmp_path) == "7.3.4"

    @pytest.mark.parametrize("content", [b"", b"\xff\xff", b"a\nb\n", b"#define UTS_RELEASE broken\n#x\n"])
    def test_a_tree_that_does_not_say(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "include" / "config").mkdir(parents=True)
        (tmp_path / "include" / "config" / "kernel.release").write_bytes(content)
        assert headers.release_of(tmp_path) is None

    def test_no_such_build(self) -> None:
        assert headers.find("0.0.0-no-such-build") is None


TO_BECOME_ANOTHER = ("CAP_CHOWN", "CAP_SETGID", "CAP_SETUID")


class TestPrivileges:
    @staticmethod
    def proc(tmp_path: Path, effective: str, last: str) -> Path:
        (tmp_path / "self").mkdir()
        (tmp_path / "self" / "status").write_text(f"Name:\tx\nCapEff:\t{effective}\nCapBnd:\t0\n")
        (tmp_path / "sys" / "kernel").mkdir(parents=True)
        (tmp_path / "sys" / "kernel" / "cap_last_cap").write_text(last)
        return tmp_path

    def test_capabilities_by_name(self, tmp_path: Path) -> None:
        found = privileges.read(self.proc(tmp_path, "000000c000200000", "40\n"))
        assert found.capabilities == ("CAP_SYS_ADMIN", "CAP_PERFMON", "CAP_BPF")
        assert found.last == 40

    @pytest.mark.parametrize("effective", ["", "zz"])
    def test_a_status_that_makes_no_sense(self, tmp_path: Path, effective: str) -> None:
        found = privileges.read(self.proc(tmp_path, effective, "many"))
        assert (found.capabilities, found.last, found.may_load()) == (None, None, None)

    def test_no_proc(self, tmp_path: Path) -> None:
        assert privileges.read(tmp_path / "none").capabilities is None

    @pytest.mark.parametrize("held", [("CAP_SYS_ADMIN",), ("CAP_BPF", "CAP_PERFMON")])
    def test_either_will_do(self, held: tuple[str, ...]) -> None:
        privileges.require(Privileges(euid=0, capabilities=(*TO_BECOME_ANOTHER, *held), last=40))
        privileges.require(Privileges(euid=1000, capabilities=held, last=40))

    def test_unknown_is_left_to_trying(self) -> None:
        privileges.require(Privileges(euid=0))

    @pytest.mark.parametrize("held", [(), ("CAP_SYSLOG",), None])
    def test_not_root(self, held: tuple[str, ...] | None) -> None:
        with pytest.raises(NotRootError) as caught:
            privileges.require(Privileges(euid=1000, capabilities=held, last=40))
        assert str(caught.value) == "recording needs root: run it with sudo"

    @pytest.mark.parametrize(("held", "lacks"), [("CAP_BPF", "CAP_PERFMON"), ("CAP_PERFMON", "CAP_BPF")])
    def test_a_user_who_was_given_one_of_two(self, held: str, lacks: str) -> None:
        with pytest.raises(MissingCapabilityError) as caught:
            privileges.require(Privileges(euid=1000, capabilities=(held,), last=40))
        assert str(caught.value).startswith(f"user 1000 lacks {lacks}, which BPF needs: ")

    @pytest.mark.parametrize("lacks", TO_BECOME_ANOTHER)
    def test_root_who_would_stay_root(self, lacks: str) -> None:
        held = ("CAP_BPF", "CAP_PERFMON", *(name for name in TO_BECOME_ANOTHER if name != lacks))
        with pytest.raises(MissingCapabilityError) as caught:
            privileges.require(Privileges(euid=0, capabilities=held, last=40))
        assert str(caught.value).startswith(f"root here lacks {lacks}, without which it stays root: ")

    def test_root_of_a_container(self) -> None:
        with pytest.raises(MissingCapabilityError) as caught:
            privileges.require(Privileges(euid=0, capabilities=("CAP_BPF",), last=40))
        assert str(caught.value).startswith("root here lacks CAP_PERFMON, which BPF needs: ")

    def test_before_5_8_only_sys_admin_counts(self) -> None:
        with pytest.raises(MissingCapabilityError) as caught:
            privileges.require(Privileges(euid=0, capabilities=("CAP_SYSLOG",), last=37))
        assert str(caught.value).startswith("root here lacks CAP_SYS_ADMIN, ")


class TestLockdown:
    @pytest.mark.parametrize(
        ("content", "answer", "said"),
        [
            ("[none] integrity confidentiality\n", False, "none"),
            ("none [integrity] confidentiality\n", True, "integrity"),
            ("none integrity [confidentiality]\n", True, "confidentiality"),
        ],
    )
    def test_modes(self, tmp_path: Path, content: str, answer: bool, said: str) -> None:
        (tmp_path / "lockdown").write_text(content)
        assert lockdown.read(tmp_path / "lockdown") == Finding(answer=answer, said=said)

    def test_not_mounted(self, tmp_path: Path) -> None:
        assert lockdown.read(tmp_path / "lockdown") == Finding(
            answer=None,
            said="securityfs is not mounted",
            remedy="mount -t securityfs nodev /sys/kernel/security",
        )

    def test_nonsense_and_unreadable_are_unknown(self, tmp_path: Path) -> None:
        (tmp_path / "lockdown").write_text("?\n")
        assert lockdown.read(tmp_path / "lockdown").answer is None
        assert lockdown.read(tmp_path).answer is None


KALLSYMS = """\
ffffffff81000000 T _stext
ffffffff81000100 T do_syscall_64
ffffffff81000100 t alias_of_it
ffffffff81000180 t exit_work.constprop.0
ffffffff810001c0 t irqentry_exit
ffffffff81000200 T irqentry_exit
ffffffff81000240 T last
ffffffffc0000000 t last\t[module]
"""


class TestKallsyms:
    @staticmethod
    def file(tmp_path: Path, content: str) -> Path:
        (tmp_path / "kallsyms").write_text(content)
        return tmp_path / "kallsyms"

    def test_places_and_sizes(self, tmp_path: Path) -> None:
        names = {"do_syscall_64", "alias_of_it", "exit_work", "irqentry_exit", "absent"}
        found = kallsyms.find(names, self.file(tmp_path, KALLSYMS))
        assert found.places == {
            "do_syscall_64": Place(0xFFFFFFFF81000100, 0x80),
            "alias_of_it": Place(0xFFFFFFFF81000100, 0x80),
            "irqentry_exit": Place(0xFFFFFFFF810001C0, 0x40),
        }
        assert found.reason is None

    def test_a_line_without_a_name(self, tmp_path: Path) -> None:
        file = self.file(tmp_path, "ffffffff81000000 T\nffffffff81000000 T \nffffffff81000010 t a\t[m]\n")
        assert kallsyms.names({0xFFFFFFFF81000000, 0xFFFFFFFF81000010}, file) == {0xFFFFFFFF81000010: "a"}

    def test_hidden_addresses_are_not_addresses(self, tmp_path: Path) -> None:
        hidden = "0000000000000000 T _stext\n0000000000000000 T do_syscall_64\n"
        found = kallsyms.find({"do_syscall_64"}, self.file(tmp_path, hidden))
        assert found.places == {"do_syscall_64": Place(0, 0)}
        assert found.reason == "kallsyms hides the addresses (not root, or kernel.kptr_restrict)"

    def test_no_kallsyms_is_unknown_and_not_empty(self, tmp_path: Path) -> None:
        found = kallsyms.find({"do_syscall_64"}, tmp_path / "none")
        assert found.places is None
        assert found.reason == f"{tmp_path}/none: No such file or directory"

    def test_nonsense(self, tmp_path: Path) -> None:
        content = "this is no list of symbols at all\n" * 3
        assert kallsyms.find({"list"}, self.file(tmp_path, content)).places == {}


class TestFtrace:
    def test_traceable(self, tmp_path: Path) -> None:
        (tmp_path / "available_filter_functions").write_text("task_work_run\nschedule\nfoo [mod]\n\n")
        found = ftrace.traceable({"schedule", "foo", "x64_sys_call"}, tmp_path)
        assert found.names == {"schedule", "foo"}

    def test_unreadable_is_unknown_and_not_empty(self, tmp_path: Path) -> None:
        found = ftrace.traceable({"schedule"}, tmp_path)
        assert found.names is None
        assert found.reason == f"{tmp_path}/available_filter_functions: No such file or directory"
        (tmp_path / "available_filter_functions").write_bytes(b"\xff\xff\n")
        assert ftrace.traceable({"schedule"}, tmp_path).names is None

    def test_blacklist(self, tmp_path: Path) -> None:
        (tmp_path / "blacklist").write_text(
            "0xffffffff82 - 0xffffffff83\n0xffffffff81000000-0xffffffff81000010\tdo_syscall_64\n"
        )
        assert ftrace.blacklisted({"do_syscall_64", "schedule"}, tmp_path / "blacklist").names == {
            "do_syscall_64"
        }
        assert ftrace.blacklisted({"schedule"}, tmp_path / "none").names is None

    def test_events(self, tmp_path: Path) -> None:
        (tmp_path / "events" / "raw_syscalls" / "sys_exit").mkdir(parents=True)
        found = ftrace.events({"raw_syscalls:sys_exit", "irq_vectors:reschedule_exit"}, tmp_path)
        assert found.names == {"raw_syscalls:sys_exit"}


class TestText:
    # At 0x1000: nop; call 0x2000; jmp 0x3000; a lone 0xe8 at the very end.
    CODE = (
        b"\x90\xe8"
        + (0x2000 - 0x1006).to_bytes(4, "little")
        + b"\xe9"
        + (0x3000 - 0x100B).to_bytes(4, "little")
        + b"\xe8\x00"
    )

    @pytest.mark.parametrize(
        ("target", "expected"),
        [
            (0x2000, True),
            (0x3000, True),
            (0x2010, True),
            (0x1FFC, True),
            (0x2011, False),
            (0x1FFB, False),
            (0x4000, False),
        ],
    )
    def test_calls(self, target: int, expected: bool) -> None:
        assert text.calls(self.CODE, 0x1000, target) is expected

    def test_backwards(self) -> None:
        code = b"\xe8" + (-0x1005 & 0xFFFFFFFF).to_bytes(4, "little")
        assert text.calls(code, 0x2000, 0x1000)

    def test_callers_with_their_cold_parts(self) -> None:
        class Memory:
            def read(self, address: int, size: int) -> bytes:
                call = b"\xe8" + (0x9000 - address - 5).to_bytes(4, "little", signed=True)
                return (call if address in (0x1000, 0x2100) else bytes(5))[:size]

        places = {
            "direct": Place(0x1000, 5),
            "partly": Place(0x2000, 5),
            "partly.cold": Place(0x2100, 5),
            "never": Place(0x3000, 5),
            "endless": Place(0x4000, 0),
        }
        callers = ["direct", "partly", "never", "endless", "absent"]
        assert text.called_by(Memory(), Place(0x9000, 5), callers, places) == {
            "direct": True,
            "partly": True,
            "never": False,
        }

    def test_no_code(self) -> None:
        assert not text.calls(b"", 0x1000, 0x1000)


class TestTrials:
    NONE = Finding(answer=False, said="none")
    ROOT = Privileges(euid=0, capabilities=("CAP_SYS_ADMIN",), last=40)
    USER = Privileges(euid=1000, capabilities=(), last=40)

    def test_a_refusal_to_an_ordinary_user_is_no_answer(self) -> None:
        explain = trials.explainer(self.USER, self.NONE)
        assert explain(PermissionError(errno.EPERM, "Operation not permitted")) == Finding(
            answer=None, said="operation not permitted, not being root", remedy="run as root"
        )

    def test_nor_is_one_to_root_without_the_capability(self) -> None:
        explain = trials.explainer(Privileges(euid=0, capabilities=("CAP_BPF",), last=40), self.NONE)
        assert explain(PermissionError(errno.EPERM, "Operation not permitted")) == Finding(
            answer=None,
            said="operation not permitted, without CAP_PERFMON",
            remedy="run with CAP_PERFMON",
        )

    def test_a_refusal_under_lockdown_names_it(self) -> None:
        explain = trials.explainer(self.ROOT, Finding(answer=True, said="confidentiality"))
        found = explain(PermissionError(errno.EPERM, "Operation not permitted"))
        assert found.answer is False
        assert found.said == "operation not permitted, under lockdown=confidentiality"
        assert str(found.remedy).startswith("boot without lockdown=confidentiality")

    def test_what_the_kernel_does_not_have_is_a_no_for_everybody(self) -> None:
        for rights in (self.ROOT, self.USER):
            explain = trials.explainer(rights, self.NONE)
            assert explain(OSError(errno.EINVAL, "Invalid argument")) == Finding(
                answer=False, said="invalid argument"
            )


class TestDistribution:
    PACKAGES = {"debian": "a", "ubuntu": "a", "fedora": "b", "rhel": "b", "arch": "c"}  # noqa: RUF012

    def test_known(self) -> None:
        assert distribution.install(self.PACKAGES, "fedora") == "`dnf install b`"

    def test_unknown_lists_all(self) -> None:
        assert distribution.install(self.PACKAGES, "plan9") == (
            "Debian/Ubuntu: `apt install a`, Fedora/RHEL: `dnf install b`, Arch: `pacman -S c`"
        )
