"""Where recordings and reports are written, in directories where somebody else may write as well."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pytest

from tests.unit.recordings import metadata
from tests.unit.test_writer import flush, footer
from tifbpf.errors import OutputExistsError, OutputUnwritableError
from tifbpf.recording.place import WHOLE, Place, segments_directory
from tifbpf.recording.writer import RecordingWriter
from tifbpf.reporters import files

PRECIOUS = b"precious"


@pytest.fixture
def output(tmp_path: Path) -> Path:
    (tmp_path / "a").mkdir()
    return tmp_path / "a" / "x.tif.parquet"


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    path = tmp_path / "precious"
    path.write_bytes(PRECIOUS)
    return path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_what_is_written_is_for_its_owner_alone(output: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        recording = RecordingWriter(output, force=False)
        flush(recording)
        assert mode(segments_directory(output)) == 0o700
        assert [mode(path) for path in segments_directory(output).iterdir()] == [0o600]
        recording.finish(metadata())
        assert mode(output) == 0o600
    finally:
        os.umask(before)


@pytest.mark.parametrize("target", ["precious", "no-such-file"])
def test_a_link_is_an_output_that_exists(output: Path, precious: Path, target: str) -> None:
    output.symlink_to(precious.with_name(target))
    with pytest.raises(OutputExistsError):
        RecordingWriter(output, force=False)
    assert sorted(path.name for path in precious.parent.iterdir()) == ["a", "precious"]


def test_a_link_is_replaced_and_not_followed(output: Path, precious: Path) -> None:
    output.symlink_to(precious)
    recording = RecordingWriter(output, force=True)
    flush(recording)
    recording.finish(metadata())
    assert not output.is_symlink()
    assert footer(output).complete
    assert precious.read_bytes() == PRECIOUS


@pytest.mark.parametrize("force", [True, False])
def test_a_link_in_place_of_the_segments(output: Path, precious: Path, force: bool) -> None:
    segments_directory(output).symlink_to(precious.parent)
    with pytest.raises((OutputUnwritableError, OutputExistsError)):
        RecordingWriter(output, force=force)
    assert precious.read_bytes() == PRECIOUS


@pytest.mark.parametrize("name", [".000000.tif.parquet.tmp", "000000.tif.parquet", ".whole.tmp"])
def test_a_link_among_the_segments(output: Path, precious: Path, name: str) -> None:
    recording = RecordingWriter(output, force=False)
    (segments_directory(output) / name).symlink_to(precious)
    flush(recording)
    recording.finish(metadata())
    assert footer(output).complete
    assert precious.read_bytes() == PRECIOUS
    assert not segments_directory(output).exists()


def test_another_directory_in_place_of_the_segments(output: Path, tmp_path: Path) -> None:
    recording = RecordingWriter(output, force=False)
    flush(recording)
    segments_directory(output).rename(tmp_path / "moved")
    (tmp_path / "theirs").mkdir()
    segments_directory(output).symlink_to(tmp_path / "theirs")
    flush(recording)
    assert sorted(path.name for path in (tmp_path / "moved").iterdir()) == [
        "000000.tif.parquet",
        "000001.tif.parquet",
    ]
    assert list((tmp_path / "theirs").iterdir()) == []


def test_a_directory_that_moves_takes_its_recording_along(output: Path, tmp_path: Path) -> None:
    recording = RecordingWriter(output, force=False)
    flush(recording)
    output.parent.rename(tmp_path / "b")
    recording.finish(metadata())
    assert [path.name for path in (tmp_path / "b").iterdir()] == [output.name]


@pytest.mark.parametrize("target", ["precious", "no-such-file"])
def test_a_report_does_not_follow_a_link(output: Path, precious: Path, target: str) -> None:
    page = output.with_name("page.html")
    page.symlink_to(precious.with_name(target))
    files.write(page, "a page", force=True)
    assert not page.is_symlink()
    assert page.read_text() == "a page"
    assert precious.read_bytes() == PRECIOUS
    assert not precious.with_name("no-such-file").exists()


@pytest.mark.requires("root")
@pytest.mark.parametrize(
    ("directory_mode", "owner", "output_owner", "expected"),
    [
        (0o755, 0, None, False),
        (0o700, 0, None, False),
        (0o755, 65534, None, True),
        (0o1777, 0, None, True),
        (0o1777, 0, 0, False),
        (0o1777, 0, 65534, True),
        (0o1777, 65534, 0, True),
    ],
)
def test_who_may_finish_a_recording(
    output: Path, directory_mode: int, owner: int, output_owner: int | None, expected: bool
) -> None:
    if output_owner is not None:
        output.write_bytes(PRECIOUS)
        os.chown(output, output_owner, output_owner)
    os.chown(output.parent, owner, owner)
    output.parent.chmod(directory_mode)
    place = Place(output, force=True)
    place.give_to(65534, 65534)
    child = os.fork()
    if not child:
        os.setgroups([])
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
        done = 2
        try:
            with place.create(WHOLE):
                done = 0 if place.is_ours() else 1
            place.publish()
        except PermissionError:
            done += 10
        finally:
            os._exit(done)
    _, status = os.waitpid(child, 0)
    # What it thinks that it may, and what it may, are one.
    assert os.waitstatus_to_exitcode(status) == (0 if expected else 11)


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("flushes", [0, 1])
def test_a_recording_that_another_recorder_is_at(output: Path, force: bool, flushes: int) -> None:
    first = RecordingWriter(output, force=False)
    for _ in range(flushes):
        flush(first)
    with pytest.raises(OutputExistsError, match="is being recorded by another"):
        RecordingWriter(output, force=force)
    flush(first)
    first.finish(metadata())
    first.abandon()
    assert footer(output) == metadata()
    RecordingWriter(output, force=True).abandon()
    assert [path.name for path in output.parent.iterdir()] == [output.name]


def test_segments_that_were_removed_are_not_said_to_be_there(output: Path) -> None:
    recording = RecordingWriter(output, force=False)
    flush(recording)
    shutil.rmtree(segments_directory(output))
    with pytest.raises(OutputUnwritableError, match="was removed while it was being written, and what was"):
        flush(recording)
    with pytest.raises(OutputUnwritableError, match="was removed while it was being written, and what was"):
        recording.finish(metadata())
    recording.abandon()


def test_segments_that_cannot_be_removed(output: Path) -> None:
    recording = RecordingWriter(output, force=False)
    flush(recording)
    (segments_directory(output) / "somebody-elses").mkdir()
    with pytest.raises(OutputUnwritableError, match=r"is complete, but .* cannot be removed: Is a directory"):
        recording.finish(metadata())
    recording.abandon()
    assert footer(output) == metadata()
