"""What a user or a host can get wrong: one line each, and an exit code of its own."""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path

import pytest

from tests.live.conftest import AS_NOBODY, TIFBPF, run
from tifbpf.errors import ExitCode

pytestmark = [pytest.mark.live, pytest.mark.requires("root", "raw_tracepoint")]

RECORD = [*TIFBPF, "record", "-d", "0.1"]


def refused(done: subprocess.CompletedProcess[str], code: ExitCode, *words: str) -> None:
    assert (done.returncode, done.stderr.count("\n")) == (code, 1), done.stderr
    assert done.stderr.startswith("tifbpf")
    for word in words:
        assert word in done.stderr
    assert done.stdout == ""


def shell(command: list[str], **given: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, **given)  # type: ignore[call-overload, no-any-return]


def hiding(tmp_path: Path, *places: str) -> list[str]:
    """Return a command's beginning that runs the rest in a mount namespace where `places` are empty."""
    empty = tmp_path / "empty"
    empty.mkdir()
    mounts = " && ".join(f"mount --bind {empty} {place}" for place in places)
    return ["unshare", "--mount", "sh", "-c", f'{mounts} && exec "$@"', "sh"]


def test_not_root(output: Path) -> None:
    done = shell([*AS_NOBODY, *RECORD, "-o", str(output)])
    refused(done, ExitCode.NOT_ROOT, "needs root", "sudo")


def test_root_without_the_capability(output: Path) -> None:
    done = shell(["setpriv", "--bounding-set=-sys_admin,-bpf,-perfmon", *RECORD, "-o", str(output)])
    refused(done, ExitCode.MISSING_CAPABILITY, "CAP_BPF")
    assert list(output.parent.iterdir()) == []


def test_another_projects_bcc(output: Path, tmp_path: Path) -> None:
    impostor = tmp_path / "site" / "bcc"
    impostor.mkdir(parents=True)
    (impostor / "__init__.py").write_text("raise SystemExit('imported the wrong bcc')")
    done = shell([*RECORD, "-o", str(output)], env={"PYTHONPATH": str(impostor.parent)})
    refused(done, ExitCode.WRONG_BCC, "another project")


def test_no_bcc(output: Path, tmp_path: Path) -> None:
    spec = importlib.util.find_spec("bcc")
    assert spec is not None
    assert spec.origin is not None
    packages = Path(spec.origin).parents[1]
    done = shell([*hiding(tmp_path, str(packages)), *RECORD, "-o", str(output)])
    refused(done, ExitCode.NO_BCC, "python3-bpfcc")


def test_neither_btf_nor_headers(output: Path, tmp_path: Path) -> None:
    done = shell([*hiding(tmp_path, "/sys/kernel/btf"), *RECORD, "-o", str(output)])
    refused(done, ExitCode.NO_TYPES, "BTF", "headers")


def test_a_headers_tree_that_is_none(output: Path, tmp_path: Path) -> None:
    done = run("record", "-d", "0.1", "-o", output, "--headers", tmp_path, check=False)
    refused(done, ExitCode.UNKNOWN_KERNEL, str(tmp_path), "thread_info.h")


def test_headers_of_another_kernel_are_contradicted(output: Path, tmp_path: Path) -> None:
    # 6.1's header on 6.18 and later would call SIGPENDING what is NOTIFY_SIGNAL, without a word.
    headers = Path(__file__).parents[1] / "data" / "headers" / "linux-headers-6.1.0-56-amd64"
    done = run("record", "-d", "0.1", "-o", output, "--headers", headers, check=False)
    if done.returncode == 0:
        pytest.fail("the layout of 6.1 fits this kernel: give this test another")
    refused(done, ExitCode.LAYOUT_CONTRADICTED, "SIGPENDING")
    assert list(output.parent.iterdir()) == []


def test_an_existing_output(output: Path) -> None:
    output.write_text("mine")
    refused(run("record", "-d", "0.1", "-o", output, check=False), ExitCode.OUTPUT_EXISTS, "--force")
    assert output.read_text() == "mine"


def test_an_unwritable_output(output: Path) -> None:
    done = run("record", "-d", "0.1", "-o", output / "no" / "such", check=False)
    refused(done, ExitCode.OUTPUT_UNWRITABLE, "cannot be written")


def test_a_command_that_is_none(output: Path) -> None:
    done = run("record", "-o", output, "--", "no-such-command-of-ours", check=False)
    refused(done, ExitCode.COMMAND_NOT_FOUND, "no-such-command-of-ours")
    assert list(output.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--by", "colour"], "colour"),
        (["-d", "0"], "duration"),
        (["-d", "1", "--", "true"], "not both"),
        (["--only-command"], "CMD"),
        (["--no-such-option"], "--no-such-option"),
    ],
)
def test_usage(output: Path, arguments: list[str], word: str) -> None:
    done = run("record", "-o", output, *arguments, check=False)
    refused(done, ExitCode.USAGE, word, "--help")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--syscall", "no_such_call"], "no_such_call"),
        (["--cpu", "0-"], "CPUs"),
        (["--pid", "4194303"], "4194303"),
        (["--cgroup", "/proc"], "/proc"),
        (["--cgroup", "/no/such"], "/no/such"),
    ],
)
def test_filters_that_cannot_match(output: Path, arguments: list[str], word: str) -> None:
    done = run("record", "-d", "0.1", "-o", output, *arguments, check=False)
    refused(done, ExitCode.FAILURE, word)
    assert list(output.parent.iterdir()) == []


def test_a_route_that_cannot_be(output: Path) -> None:
    for name in ("no-such-route", "notify"):
        done = run("record", "-d", "0.1", "-o", output, "--route", name, check=False)
        refused(done, ExitCode.NO_ROUTE, name)


@pytest.mark.parametrize("command", [["report", "/no/such.tif.parquet"], ["report"]])
def test_reports_of_nothing(command: list[str]) -> None:
    done = run(*command, check=False)
    assert done.returncode in (ExitCode.INPUT_MISSING, ExitCode.USAGE)
    assert done.stderr.count("\n") == 1
