"""Which bcc is found, in a fresh interpreter whose path says which there is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
# Fails loudly if the package is imported; puts DIR before everything, and hides the host's own.
SCRIPT = """
import sys
class Hide:
    def find_spec(self, name, path=None, target=None):
        if name == "bcc":
            raise ModuleNotFoundError(name)
places, sys.argv = sys.argv[1:], sys.argv[:1]
if places:
    sys.path.insert(0, places[0])
else:
    sys.meta_path.insert(0, Hide())
from tifbpf.errors import TifbpfError
from tifbpf.host import bcc
try:
    found = bcc.find()
    print("found", found.version, found.directory)
except TifbpfError as error:
    print(error.exit_code.name, error)
assert "bcc" not in sys.modules
"""


def find(*places: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *map(str, places)],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.count("\n") == 1
    return done.stdout.rstrip("\n")


def package(root: Path, **files: str) -> Path:
    directory = root / "bcc"
    directory.mkdir()
    (directory / "__init__.py").write_text("raise SystemExit('imported')\n")
    for name, content in files.items():
        (directory / f"{name}.py").write_text(content)
    return root


def test_the_compiler_collection(tmp_path: Path) -> None:
    place = package(tmp_path, libbcc="", table="", version="__version__ = '0.26.0'\n")
    assert find(place) == f"found 0.26.0 {tmp_path}/bcc"


def test_its_version_is_not_needed(tmp_path: Path) -> None:
    assert find(package(tmp_path, libbcc="", table="")) == f"found None {tmp_path}/bcc"


def test_another_project_of_that_name(tmp_path: Path) -> None:
    said = find(package(tmp_path, lattice="", table=""))
    assert said.startswith(f"WRONG_BCC `import bcc` finds another project of that name ({tmp_path}/bcc): ")
    assert "pip uninstall bcc" in said


def test_a_single_module_of_that_name(tmp_path: Path) -> None:
    (tmp_path / "bcc.py").write_text("raise SystemExit('imported')\n")
    assert find(tmp_path).startswith("WRONG_BCC `import bcc` finds another project of that name: ")


def test_none() -> None:
    said = find()
    assert said.startswith(f"NO_BCC bcc is not installed for {sys.executable}: ")
    assert any(name in said for name in ("python3-bpfcc", "python3-bcc", "python-bcc"))


@pytest.mark.parametrize(
    ("host", "command"),
    [
        ("debian", "`apt install python3-bpfcc`"),
        ("ubuntu", "`apt install python3-bpfcc`"),
        ("fedora", "`dnf install python3-bcc`"),
        ("arch", "`pacman -S python-bcc`"),
    ],
)
def test_the_fix_by_distribution(host: str, command: str) -> None:
    from tifbpf.host import bcc, distribution

    assert distribution.install(bcc._PACKAGES, host) == command
