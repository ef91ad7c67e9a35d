"""The wheel works offline by itself: no checkout, no bcc."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.unit.recordings import row, write

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"),
            *("--wheel-dir", directory, ROOT),
        ],
        check=True,
    )
    (path,) = directory.glob("*.whl")
    return path


def test_it_carries_the_probes_and_the_reports(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for top in ("probes", "reports"):
        for path in (ROOT / top).rglob("*"):
            if path.is_file():
                assert f"tifbpf/_shipped/{path.relative_to(ROOT)}" in names
    for path in (ROOT / "tifbpf").rglob("*.toml"):
        assert str(path.relative_to(ROOT)) in names
    assert not any(name.startswith(("tests/", ".ci/")) for name in names)
    (manual,) = (name for name in names if name.endswith("share/man/man1/tifbpf.1"))
    assert zipfile.ZipFile(wheel).read(manual) == (ROOT / "docs" / "tifbpf.1").read_bytes()


def test_a_clean_environment_reports(wheel: Path, tmp_path: Path) -> None:
    recording = write(tmp_path / "a.tif.parquet", [row(0x2, 3), row(0, 97)])
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    python = environment / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", "--no-deps"]
    locked = ["--require-hashes", "--only-binary", ":all:", "--requirement", ROOT / "requirements.txt"]
    subprocess.run([*install, *locked], check=True)
    subprocess.run([*install, wheel], check=True)
    tifbpf = environment / "bin" / "tifbpf"
    options = {"capture_output": True, "text": True, "check": True, "cwd": tmp_path}
    said = subprocess.run([tifbpf, "report", "--markdown", recording], **options).stdout  # type: ignore[call-overload]
    assert "SIGPENDING" in said
    said = subprocess.run([tifbpf, "decode", "0x337", "--kernel", "6.18"], **options).stdout  # type: ignore[call-overload]
    assert "NOTIFY_SIGNAL" in said
    refused = subprocess.run(
        [tifbpf, "record", "-d", "1"], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert refused.returncode != 0
    assert refused.stderr.count("\n") == 1
    script = "import importlib.util, sys; sys.exit(importlib.util.find_spec('bcc') is not None)"
    subprocess.run([python, "-c", script], check=True, cwd=tmp_path)
