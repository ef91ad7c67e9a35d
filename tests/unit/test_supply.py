"""What is installed is what is locked, under licences that go together; and the wheel is always the same."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.utils import canonicalize_name

from tests.supply import audit, licences, locks, sbom

ROOT = locks.ROOT
LOCKS = {
    locks.RUN: (),
    locks.HTML: ("html", "build"),
    locks.DEV: ("html", "dev", "build"),
    locks.TORTURE: ("html", "dev", "torture", "build"),
}


class TestLocks:
    @pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
    def test_everything_wanted_is_locked_with_hashes(self, path: Path) -> None:
        found = locks.read(path)
        for requirement in locks.wanted(*LOCKS[path]):
            name = canonicalize_name(requirement.name)
            assert name in found, f"{path.name} lacks {name}: make lock"
            assert requirement.specifier.contains(found[name].version), f"{name}: make lock"
        assert all(locked.hashes for locked in found.values())

    def test_one_version_of_everything(self) -> None:
        everything = locks.read(locks.TORTURE)
        for path in (locks.RUN, locks.HTML, locks.DEV):
            for name, locked in locks.read(path).items():
                if locked.applies:
                    assert everything[name] == locked, f"{name}: make lock"

    @pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
    def test_where_it_comes_from_is_not_in_it(self, path: Path) -> None:
        assert not re.search(r"://|^-|@|index", path.read_text(), re.MULTILINE)

    def test_another_file_is_refused(self, tmp_path: Path) -> None:
        first, *_ = locks.RUN.read_text().split("\nannotated-types")
        spoilt = tmp_path / "requirements.txt"
        spoilt.write_text(re.sub(r"sha256:[0-9a-f]{8}", "sha256:00000000", first))
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"),
                *("--dest", tmp_path, "--requirement", spoilt),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode
        assert "DO NOT MATCH THE HASHES" in done.stderr


class TestLicences:
    def test_all_are_known_and_go_together(self) -> None:
        assert licences.refused(licences.all_locked(locks.TORTURE)) == {}

    @pytest.mark.parametrize("path", [locks.RUN, locks.HTML], ids=lambda path: path.name)
    def test_none_of_what_is_imported_is_an_exception(self, path: Path) -> None:
        assert all(licences.is_compatible(licence) for licence in licences.all_locked(path).values())

    @pytest.mark.parametrize(
        ("expression", "expected"),
        [
            ("MIT", True),
            ("Apache-2.0", True),
            ("GPL-2.0-only", False),
            ("GPL-2.0-only OR MIT", True),
            ("MIT AND GPL-2.0-only", False),
            ("LicenseRef-Proprietary", False),
            ("", False),
        ],
    )
    def test_what_goes_together(self, expression: str, expected: bool) -> None:
        assert licences.is_compatible(expression) is expected

    def test_programs_say_that_they_are_the_kernels(self) -> None:
        for path in (ROOT / "probes").glob("*.[ch]"):
            assert path.read_text().startswith("/* SPDX-License-Identifier: GPL-2.0-only */"), path.name


class TestBom:
    def test_it_is_cyclonedx_and_holds_everything(self) -> None:
        text = sbom.text()
        assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
        found = json.loads(text)
        names = {component["name"] for component in found["components"]}
        assert {name for name, locked in locks.read(locks.HTML).items() if locked.applies} <= names
        assert sbom.DEBIAN.keys() <= names
        assert {f"probes/{path.name}" for path in (ROOT / "probes").glob("*.[ch]")} <= names
        assert all(component["licenses"] for component in found["components"])
        assert found["metadata"]["component"]["name"] == "tifbpf"

    def test_it_is_the_same_each_time(self) -> None:
        assert sbom.text() == sbom.text()


class TestAudit:
    def said(self, *packages: dict[str, object]) -> str:
        return json.dumps({"dependencies": packages, "fixes": []})

    def test_nobody_asked_is_no_answer(self) -> None:
        skipped = self.said({"name": "a", "skip_reason": "Dependency not found"})
        for said in ("", "not JSON", "[]", skipped, self.said()):
            line, code = audit.told(locks.RUN, audit.understand(said))
            assert code == audit.NOT_ASKED
            assert "\n" not in line

    def test_one_that_is_not_known_is_no_answer_for_all(self) -> None:
        said = self.said({"name": "a", "version": "1", "vulns": []}, {"name": "b", "skip_reason": "x"})
        line, code = audit.told(locks.RUN, audit.understand(said))
        assert code == audit.NOT_ASKED
        assert "nothing is known of b" in line

    def test_a_vulnerability(self) -> None:
        said = self.said(
            {"name": "a", "version": "1", "vulns": [{"id": "CVE-1"}]}, {"name": "b", "skip_reason": "x"}
        )
        assert audit.told(locks.RUN, audit.understand(said)) == (
            "requirements.txt: a 1: CVE-1",
            audit.VULNERABLE,
        )

    def test_none(self) -> None:
        said = self.said({"name": "a", "version": "1", "vulns": []})
        assert audit.told(locks.RUN, audit.understand(said))[1] == 0


def test_the_wheel_is_the_same_bytes(tmp_path: Path) -> None:
    found = []
    for number, (umask, zone, day) in enumerate(((0o022, "UTC", "0"), (0o077, "Asia/Tokyo", "86400"))):
        into = tmp_path / f"{'x' * 40 * number}wheel"
        into.mkdir()
        subprocess.run(
            [sys.executable, "-m", "tests.supply.wheel", into],
            check=True,
            capture_output=True,
            cwd=ROOT,
            umask=umask,
            env={**os.environ, "TZ": zone, "PYTHONHASHSEED": day, "TMPDIR": str(tmp_path)},
        )
        (wheel,) = into.glob("*.whl")
        found.append(wheel.read_bytes())
    assert found[0] == found[1]


SHELLS = {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput", "pty.spawn"}


def calls(tree: ast.AST) -> set[str]:
    """Return what a module calls that would start a shell."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if any(keyword.arg == "shell" for keyword in node.keywords):
                found.add(f"{name}(shell=…)")
            if name in {
                "os.system",
                "os.popen",
                "subprocess.getoutput",
                "subprocess.getstatusoutput",
                "pty.spawn",
            }:
                found.add(name)
            # A name without a directory is fine: it is looked up, by nobody's shell.
            words = {word.value for word in ast.walk(node) if isinstance(word, ast.Constant)}
            if name.startswith(("subprocess.", "os.exec", "os.spawn", "os.posix_spawn")) and words & {
                *("sh", "bash", "/bin/sh", "/bin/bash", "/usr/bin/sh", "-c"),
            }:
                found.add(f"{name}({sorted(map(str, words))})")
    return found


def test_no_shell_is_started_anywhere() -> None:
    for path in (ROOT / "tifbpf").rglob("*.py"):
        assert calls(ast.parse(path.read_text())) == set(), path


def test_a_shell_would_be_found() -> None:
    for code in (
        "subprocess.run('x', shell=True)",
        "os.system('x')",
        "os.popen('x')",
        "subprocess.run(['sh', '-c', 'x'])",
        "subprocess.getoutput('x')",
    ):
        assert calls(ast.parse(code)), code
