"""Where a recording is written: directories held open, so that no name leads elsewhere meanwhile."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from tifbpf.errors import OutputExistsError

SEGMENTS_SUFFIX = ".segments"
WHOLE = ".whole.tmp"
"""All of a recording, beside its segments, until it is published."""

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY = os.O_DIRECTORY | os.O_CLOEXEC
_PRIVATE_FILE = 0o600
_PRIVATE_DIRECTORY = 0o700


def segments_directory(output: Path) -> Path:
    """Return where the segments of the recording `output` are kept until it is complete."""
    return output.with_name(output.name + SEGMENTS_SUFFIX)


class Place:
    """The directory of one recording's segments, and the directory in which the recording will be.

    What is made there is for its owner alone, and no symbolic link is followed, whoever else may write there.
    """

    def __init__(self, output: Path, *, force: bool) -> None:
        """Make the directory of segments.

        Raises:
            OutputExistsError: the recording is there, or segments of an unfinished one are, and not `force`;
                or another recorder is writing them.
            OSError: it cannot be made.
        """
        self.output = output
        self.segments = segments_directory(output)
        self._parent = os.open(output.parent, os.O_PATH | _DIRECTORY)
        try:
            self._reserve(force=force)
            self._directory = self._open_directory()
        except BaseException:
            os.close(self._parent)
            raise

    def _reserve(self, *, force: bool) -> None:
        if not force and self._is_there(self.output.name):
            raise OutputExistsError(
                f"{self.output} exists; name another with -o, or overwrite it with --force"
            )
        if self.output.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if self._is_there(self.segments.name):
            if not stat.S_ISDIR(os.lstat(self.segments.name, dir_fd=self._parent).st_mode):
                raise NotADirectoryError(errno.ENOTDIR, f"{self.segments.name} is in the way")
            self._clear_away(force=force)
        os.mkdir(self.segments.name, _PRIVATE_DIRECTORY, dir_fd=self._parent)

    def _clear_away(self, *, force: bool) -> None:
        """Remove what a recorder left that was killed; one that is at work holds a lock on it."""
        left = os.open(self.segments.name, os.O_RDONLY | os.O_NOFOLLOW | _DIRECTORY, dir_fd=self._parent)
        try:
            self._lock(left)
            # An empty one is what a recorder leaves that was killed before its first flush.
            if _names(left) and not force:
                raise OutputExistsError(
                    f"{self.segments} holds an unfinished recording; read it with `tifbpf report "
                    f"{self.output}`, or overwrite it with --force"
                )
            shutil.rmtree(self.segments.name, dir_fd=self._parent)
        finally:
            os.close(left)

    def _lock(self, directory: int) -> None:
        """Make sure that nobody else records into `directory`, and that it is what has its name.

        The lock ends with the last descriptor, however the recorder ends.
        """
        try:
            fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
            there = os.stat(self.segments.name, dir_fd=self._parent, follow_symlinks=False)
            taken = not os.path.samestat(there, os.fstat(directory))
        except (BlockingIOError, FileNotFoundError):
            taken = True
        except OSError:
            # A file system without such locks, as NFS is for directories.
            return
        if taken:
            raise OutputExistsError(
                f"{self.output} is being recorded by another tifbpf; name another with -o, or end that one"
            )

    def _is_there(self, name: str) -> bool:
        try:
            os.lstat(name, dir_fd=self._parent)
        except FileNotFoundError:
            return False
        return True

    def _open_directory(self) -> int:
        """Open the directory that was just made, and no other that was put in its place."""
        made = os.open(self.segments.name, os.O_RDONLY | os.O_NOFOLLOW | _DIRECTORY, dir_fd=self._parent)
        if os.fstat(made).st_uid != os.geteuid() or _names(made):
            os.close(made)
            raise FileExistsError(errno.EEXIST, "somebody else put another directory there")
        try:
            self._lock(made)
        except BaseException:
            os.close(made)
            raise
        return made

    def give_to(self, uid: int, gid: int) -> None:
        """Give the segments, made or to be made, to a user."""
        os.fchown(self._directory, uid, gid)
        for name in _names(self._directory):
            os.chown(name, uid, gid, dir_fd=self._directory, follow_symlinks=False)

    def is_ours(self) -> bool:
        """Whether we may put the recording there, and take the directory of segments away."""
        if not os.access(".", os.W_OK | os.X_OK, dir_fd=self._parent, effective_ids=True):
            return False
        around = os.stat(".", dir_fd=self._parent)
        if not around.st_mode & stat.S_ISVTX or around.st_uid == os.geteuid():
            return True
        # In a sticky directory such as /tmp only the owner of a file may replace it.
        if not self._is_there(self.output.name):
            return True
        return os.lstat(self.output.name, dir_fd=self._parent).st_uid == os.geteuid()

    def create(self, name: str) -> BinaryIO:
        """Open a file of that name beside the segments, which nobody else can have made."""
        self.remove([name])
        return os.fdopen(os.open(name, _NEW, _PRIVATE_FILE, dir_fd=self._directory), "wb")

    def open(self, name: str) -> BinaryIO:
        """Open a segment for reading."""
        return os.fdopen(os.open(name, _OPEN, dir_fd=self._directory), "rb")

    def rename(self, name: str, to: str) -> None:
        """Give a file beside the segments another name there."""
        os.replace(name, to, src_dir_fd=self._directory, dst_dir_fd=self._directory)

    def remove(self, names: Iterable[str]) -> None:
        """Remove files beside the segments, such as are there."""
        for name in names:
            try:
                os.unlink(name, dir_fd=self._directory)
            except FileNotFoundError:
                continue

    def has_files(self) -> bool:
        """Whether there are segments still; somebody may have removed the directory and all in it."""
        try:
            return bool(_names(self._directory))
        except OSError:
            return False

    def remove_files(self) -> None:
        """Remove the segments and whatever else is beside them."""
        self.remove(_names(self._directory))

    def publish(self) -> None:
        """Make `WHOLE` the recording, in place of what has its name."""
        os.replace(WHOLE, self.output.name, src_dir_fd=self._directory, dst_dir_fd=self._parent)

    def remove_directory(self) -> None:
        """Remove the directory of segments, which is empty."""
        os.rmdir(self.segments.name, dir_fd=self._parent)

    def leave_locking(self) -> None:
        """Hold the directory of segments by a descriptor of our own: the lock is the recorder's, not ours."""
        locked = self._directory
        self._directory = os.open(".", os.O_RDONLY | _DIRECTORY, dir_fd=locked)
        os.close(locked)

    def descriptors(self) -> tuple[int, int]:
        """Return what this object holds open."""
        return self._parent, self._directory

    def close(self) -> None:
        """Let go of both directories."""
        os.close(self._directory)
        os.close(self._parent)


def _names(directory: int) -> list[str]:
    # What came after a directory was opened or rewound need not be listed, and on btrfs it is not:
    # 9b378f6ad48c ("btrfs: fix infinite directory reads", Linux 6.5). Python rewinds when it has read.
    os.lseek(directory, 0, os.SEEK_SET)
    return os.listdir(directory)
