"""`make audit`: known vulnerabilities of what is locked, as far as anybody can be asked about them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from tests.supply.locks import RUN, TORTURE

VULNERABLE, NOT_ASKED = 1, 3
"""Exit codes; the second one where nobody could be asked, which is no answer."""


class Answer(NamedTuple):
    """What is known of the packages of one lock file."""

    asked: tuple[str, ...]
    not_asked: tuple[str, ...]
    vulnerable: tuple[str, ...]
    """As `name version: ID, ID`."""


def understand(said: str) -> Answer | None:
    """Return what pip-audit's JSON says; None where it is none.

    pip-audit itself is content where it could not ask about anything: it "skips" what it does not find.
    """
    try:
        packages = json.loads(said)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return None
    asked = [one for one in packages if "vulns" in one]
    return Answer(
        asked=tuple(one["name"] for one in asked),
        not_asked=tuple(one["name"] for one in packages if "vulns" not in one),
        vulnerable=tuple(
            f"{one['name']} {one['version']}: {', '.join(found['id'] for found in one['vulns'])}"
            for one in asked
            if one["vulns"]
        ),
    )


def ask(lock: Path) -> str:
    """Return what pip-audit says of a lock file."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip_audit", "--requirement", lock, "--require-hashes"),
            *("--disable-pip", "--progress-spinner", "off", "--timeout", "10", "--format", "json"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout


def told(lock: Path, answer: Answer | None) -> tuple[str, int]:
    """Return what to say of a lock file, and the exit code."""
    if answer is None or not answer.asked:
        return f"{lock.name}: nobody who knows of vulnerabilities can be reached: not audited", NOT_ASKED
    if answer.vulnerable:
        return "\n".join(f"{lock.name}: {found}" for found in answer.vulnerable), VULNERABLE
    if answer.not_asked:
        return f"{lock.name}: nothing is known of {', '.join(answer.not_asked)}: not audited", NOT_ASKED
    return f"{lock.name}: no known vulnerability in {len(answer.asked)} packages", 0


def main() -> int:
    """Ask about what runs, and then about all that is locked; return the exit code."""
    for lock in (RUN, TORTURE):
        line, code = told(lock, understand(ask(lock)))
        print(line)
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
