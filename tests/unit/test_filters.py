from __future__ import annotations

import os
from pathlib import Path

import pytest

from tifbpf.errors import TifbpfError
from tifbpf.recorder.filters import Filters, parse_cpus

CPUS = os.sysconf("SC_NPROCESSORS_CONF")


def test_no_filter_leaves_out_tifbpf_alone() -> None:
    assert Filters().definitions() == {"LEAVE_OUT_SELF": None}
    assert Filters().described() == {"self": "excluded"}
    assert Filters(include_self=True).definitions() == {}


def test_a_name_becomes_two_words_as_the_kernel_pads_it() -> None:
    # "bash" is 62 61 73 68: little-endian 0x68736162.
    assert Filters(include_self=True, comms=("bash",)).definitions() == {
        "FILTER_COMM": "((comm.half[0]==0x68736162ULL&&comm.half[1]==0x0ULL))"
    }


def test_a_long_name_is_cut_as_the_kernel_cuts_it() -> None:
    cut, long = (Filters(comms=(name,)).definitions() for name in ("a" * 15, "a" * 40))
    assert cut == long


def test_a_hostile_name_stays_a_number() -> None:
    condition = Filters(comms=('"; system("x");//',)).definitions()["FILTER_COMM"]
    assert isinstance(condition, str)
    assert set(condition) <= set("()&=.[]0123456789abcdefxULLcommhalf")


def test_system_calls_by_name_number_and_abi() -> None:
    assert Filters(include_self=True, syscalls=("kill", "39", "i386:getpid")).definitions() == {
        "FILTER_SYSCALL": "((abi==0&&syscall==62)||(abi==0&&syscall==39)||(abi==1&&syscall==20))"
    }


@pytest.mark.parametrize("name", ["kil", "", "arm:kill", "-1", "kill:kill"])
def test_an_unknown_system_call_is_named(name: str) -> None:
    with pytest.raises(TifbpfError, match="no such system call"):
        Filters(syscalls=(name,)).definitions()


def test_a_list_of_cpus_is_joined_to_ranges() -> None:
    assert parse_cpus("0") == [0]
    assert Filters(include_self=True, cpus="0").definitions() == {"FILTER_CPU": "((cpu>=0&&cpu<=0))"}
    if CPUS > 1:
        assert parse_cpus("1,0-1") == [0, 1]
        assert Filters(include_self=True, cpus="1,0").definitions() == {"FILTER_CPU": "((cpu>=0&&cpu<=1))"}


@pytest.mark.parametrize("text", ["", "a", "0-", "-1", "1-0", "0,,1", "0-0-0", str(CPUS)])
def test_what_is_no_list_of_cpus_is_refused(text: str) -> None:
    with pytest.raises(TifbpfError, match=r"no list of CPUs|no such CPU"):
        parse_cpus(text)


def test_filters_are_described_as_given() -> None:
    filters = Filters(pids=(1, 2), comms=("a",), cgroups=(Path("/x"),), cpus="0", syscalls=("kill",))
    assert filters.described() == {
        "self": "excluded",
        "pid": "1,2",
        "comm": "a",
        "cgroup": "/x",
        "cpu": "0",
        "syscall": "kill",
    }
