"""Fuzz one target: python -m tests.torture.fuzz.one TARGET STATE RUNS; `campaign` starts it.

What fails is noted, once for each place, and fuzzing goes on. What libFuzzer itself ends this process for
(10 s for one input, memory, a crash of a library) it leaves in STATE, beside how many inputs there were.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import atheris

SECONDS = 10
MEGABYTES = 1024


class Counter:
    """How many inputs were run, in a file that says so whatever becomes of this process."""

    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        os.ftruncate(descriptor, 8)
        self._map = mmap.mmap(descriptor, 8)

    def add(self) -> None:
        struct.pack_into("<Q", self._map, 0, self.value + 1)

    @property
    def value(self) -> int:
        return int(struct.unpack_from("<Q", self._map, 0)[0])


class Watched:
    """A target, with what it did wrong."""

    def __init__(self, run: Callable[[bytes], object], state: Path) -> None:
        self._run = run
        self._state = state
        self._known = {path.stem for path in (state / "failures").glob("*.json")}
        self._count = Counter(state / "count")

    def __call__(self, data: bytes) -> None:
        self._count.add()
        try:
            self._run(data)
        except Exception as error:
            self._note(data, error)

    def _note(self, data: bytes, error: Exception) -> None:
        ours = [frame for frame in traceback.extract_tb(error.__traceback__) if "tifbpf/" in frame.filename]
        place = ours[-1] if ours else traceback.extract_tb(error.__traceback__)[-1]
        key = f"{type(error).__name__}-{Path(place.filename).stem}-{place.lineno}"
        if key in self._known:
            return
        self._known.add(key)
        (self._state / "failures" / f"{key}.input").write_bytes(data)
        lines = "".join(traceback.format_exception(error)[-12:])
        (self._state / "failures" / f"{key}.json").write_text(json.dumps({"error": repr(error), "at": lines}))


def main() -> None:
    """Fuzz until there were so many runs."""
    name, state, runs = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    with atheris.instrument_imports(include=["tifbpf"]):
        from tests.torture.fuzz.targets import TARGETS
    target = TARGETS[name]
    corpus = state / "corpus"
    for folder in (corpus, state / "failures", state / "ended"):
        folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds()):
        (corpus / f"seed-{number}").write_bytes(seed)
    words = state / "words"
    words.write_text("".join(f'"{_quoted(word)}"\n' for word in target.words))
    atheris.Setup(
        [
            sys.argv[0],
            str(corpus),
            f"-runs={runs}",
            f"-timeout={SECONDS}",
            f"-rss_limit_mb={MEGABYTES}",
            f"-max_len={target.most}",
            *([f"-dict={words}"] if target.words else []),
            f"-artifact_prefix={state}/ended/",
            "-verbosity=0",
        ],
        Watched(target.run, state),
        enable_python_coverage=True,
    )
    atheris.Fuzz()


def _quoted(word: str) -> str:
    return "".join(
        character if character.isalnum() or character in "_(){}<> =!,%/|#:-." else f"\\x{ord(character):02x}"
        for character in word
    )


if __name__ == "__main__":
    main()
