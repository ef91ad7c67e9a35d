from __future__ import annotations

import atexit
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tifbpf.errors import ExerciseUnavailableError, TifbpfError
from tifbpf.exercises.children import Child, helper


def fail() -> None:
    raise ValueError("first line\nsecond line")


def refuse() -> None:
    raise ExerciseUnavailableError("no such thing here; bring one")


def test_a_child_that_returns() -> None:
    Child(lambda: None).wait()


def test_a_failure_is_one_line_with_the_pid() -> None:
    child = Child(fail)
    with pytest.raises(TifbpfError) as caught:
        child.wait()
    assert str(caught.value) == (
        f"process {child.pid} of the exercise failed: ValueError: first line second line"
    )


def test_unavailable_stays_unavailable() -> None:
    with pytest.raises(ExerciseUnavailableError, match=r"^no such thing here; bring one$"):
        Child(refuse).wait()


def test_a_child_killed_by_a_signal() -> None:
    child = Child(lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(TifbpfError, match=r"failed: killed by SIGTERM$"):
        child.wait()


def test_sys_exit_is_a_failure() -> None:
    with pytest.raises(TifbpfError, match=r"SystemExit: 3$"):
        Child(lambda: exec("raise SystemExit(3)")).wait()  # noqa: S102


def test_exit_handlers_do_not_run_in_a_child(tmp_path: Path) -> None:
    trace = tmp_path / "ran"

    def handler() -> None:
        trace.touch()

    atexit.register(handler)
    try:
        Child(lambda: None).wait()
    finally:
        atexit.unregister(handler)
    assert not trace.exists()


def test_a_killed_child_is_gone_and_may_be_killed_again() -> None:
    child = Child(lambda: time.sleep(60))
    assert child.running()
    child.kill()
    child.kill()
    with pytest.raises(ProcessLookupError):
        os.kill(child.pid, 0)


def test_a_child_does_not_outlive_its_parent() -> None:
    read_end, write_end = os.pipe()

    def outlive() -> None:
        time.sleep(5)
        os.write(write_end, b"alive")

    Child(lambda: Child(outlive)).wait()
    os.close(write_end)
    # The end of file comes when the last of them is gone.
    assert os.read(read_end, 100) == b""
    os.close(read_end)


def test_a_helper_is_ready_in_the_block_and_gone_after_it() -> None:
    read_end, write_end = os.pipe()

    def work(ready: Callable[[], object]) -> None:
        os.write(write_end, b"prepared")
        ready()
        time.sleep(60)

    with helper(work) as child:
        os.set_blocking(read_end, False)
        assert os.read(read_end, 100) == b"prepared"
        assert child.running()
    with pytest.raises(ProcessLookupError):
        os.kill(child.pid, 0)
    os.close(read_end)
    os.close(write_end)


def test_a_helper_that_never_gets_ready() -> None:
    with (
        pytest.raises(ExerciseUnavailableError, match=r"^no such thing here"),
        helper(lambda ready: refuse()),
    ):
        pytest.fail("the block was entered")
    with (
        pytest.raises(TifbpfError, match=r"ended before it was ready"),
        helper(lambda ready: None),
    ):
        pytest.fail("the block was entered")
