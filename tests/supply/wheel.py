"""`make wheel`: the wheel, by what is locked; the same bytes from the same commit, wherever and whenever."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.supply.locks import ROOT

EPOCH = "315532800"
"""1980, the first time that a zip can hold: of no use to anybody, and so the same for everybody."""
_INPUTS = ("pyproject.toml", "README.md", "LICENSE", "tifbpf", "probes", "reports", "docs/tifbpf.1")


def build(into: Path) -> Path:
    """Build the wheel from a copy of what belongs to it, with the modes that git knows."""
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory, "tifbpf")
        copy.mkdir()
        listed = subprocess.run(
            ["git", "-C", ROOT, "-c", "safe.directory=*", "ls-files", "-z", *_INPUTS],
            check=True,
            capture_output=True,
            text=True,
        )
        for name in filter(None, listed.stdout.split("\0")):
            source, target = ROOT / name, copy / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
            target.chmod(0o755 if source.stat().st_mode & 0o100 else 0o644)
        subprocess.run(
            [
                *(sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"),
                *("--no-deps", "--no-build-isolation", "--wheel-dir", into, copy),
            ],
            check=True,
            env={**os.environ, "SOURCE_DATE_EPOCH": EPOCH},
        )
    (wheel,) = into.glob("*.whl")
    return wheel


if __name__ == "__main__":
    into = Path(sys.argv[1])
    shutil.rmtree(into, ignore_errors=True)
    print(build(into))
