"""Writing reports to files: whole or not at all, and never over something that nobody meant."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from tifbpf.errors import OutputExistsError, OutputUnwritableError

_READABLE = 0o644


def write(path: Path, content: str | bytes, *, force: bool) -> None:
    """Write `content` to `path`.

    Raises:
        OutputExistsError: it is there, and not `force`.
        OutputUnwritableError: it cannot be written.
    """
    if path.exists() and not force:
        raise OutputExistsError(f"{path} exists; name another, or overwrite it with --force")
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    try:
        if path.is_dir():
            raise IsADirectoryError(21, "Is a directory")
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            temporary = Path(file.name)
            try:
                file.write(data)
                file.flush()
                os.fchmod(file.fileno(), _READABLE)
                temporary.replace(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise OutputUnwritableError(f"{path} cannot be written: {error.strerror or error}") from error
