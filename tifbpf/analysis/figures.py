"""`Figures`: what every report is made of, as plain Python values.

pandas takes longer to import than all of this to compute: only who asks for frames (`Recordings`) pays.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tifbpf.analysis import bits, explanation, frequency, origins, words
from tifbpf.analysis.classes import ExitClass, classes
from tifbpf.analysis.observed import Observed
from tifbpf.analysis.rows import Line, Rows, Values
from tifbpf.engines.loading import Loaded, load
from tifbpf.engines.local import shared
from tifbpf.engines.model import Engine
from tifbpf.errors import TifbpfError
from tifbpf.recording.locate import locate
from tifbpf.recording.metadata import Losses, Metadata
from tifbpf.recording.paths import ExitPath
from tifbpf.recording.schema import DIMENSIONS

if TYPE_CHECKING:
    import pandas as pd

CONTEXT = "context"
CLASS = ("recording", "context", "word", "syscall_work", "path", "tier")


class Figures:
    """One or more recordings, added up.

    Attributes:
        recordings: what was read, in order; lines name one by its place here.
        loaded: the same, and who sums their rows.
        rows: sums over their rows.
        observed: where and how long each context was observed.
    """

    def __init__(self, loaded: Loaded) -> None:
        self.recordings = loaded.recordings
        self.loaded = loaded
        self.rows = Rows(loaded)
        self.observed = Observed(self.rows)

    @classmethod
    def read(cls, paths: str | Path | Iterable[str | Path], *, engine: Engine | None = None) -> Self:
        """Read recordings; arguments and errors as of `tifbpf.read`."""
        given = [paths] if isinstance(paths, (str, Path)) else list(paths)
        if not given:
            raise TifbpfError("no recording was given; name at least one *.tif.parquet")
        return cls(load(locate(given), engine or shared()))

    @property
    def metadata(self) -> list[Metadata]:
        """What each recording says about itself."""
        return [recording.metadata for recording in self.recordings]

    @cached_property
    def dimensions(self) -> tuple[str, ...]:
        """The dimensions that at least one recording has: any of syscall, comm, pid, cgroup, cpu."""
        recorded = {name for metadata in self.metadata for name in metadata.dimensions}
        return tuple(name for name in DIMENSIONS if name in recorded)

    def having(self, dimensions: Iterable[str]) -> list[int]:
        """Return the places of the recordings that have all of `dimensions`.

        Raises:
            TifbpfError: none has.
        """
        wanted = set(dimensions) - {CONTEXT, frequency.HOST}
        places = [place for place, metadata in enumerate(self.metadata) if wanted <= set(metadata.dimensions)]
        if not places:
            raise TifbpfError(
                f"no recording has {', '.join(sorted(wanted))}; record with --by {','.join(sorted(wanted))}"
            )
        return places

    @property
    def estimated(self) -> bool:
        """Whether counts are estimates, not every exit having been looked at."""
        return any(recording.estimated for recording in self.recordings)

    @cached_property
    def class_values(self) -> Values:
        """Counts by `CLASS`, without those that count all exits once more."""
        found = self.rows.values(CLASS)
        kept = [place for place, path in enumerate(found["path"]) if path != ExitPath.ALL]
        return {name: [column[place] for place in kept] for name, column in found.items()}

    @cached_property
    def classes(self) -> list[ExitClass]:
        """The same, decoded."""
        return classes(self.class_values, self.recordings)

    @cached_property
    def bit_lines(self) -> list[Line]:
        """See `Recordings.bits`."""
        return bits.bits(self.classes, [metadata.layout for metadata in self.metadata], self.observed)

    @cached_property
    def need_lines(self) -> list[Line]:
        """See `Recordings.needs`."""
        return bits.needs(self.classes)

    @cached_property
    def word_lines(self) -> list[Line]:
        """See `Recordings.words`."""
        return words.words(self.class_values, self.recordings, self.observed)

    @cached_property
    def tier_lines(self) -> list[Line]:
        """See `Recordings.tiers`."""
        return words.tiers(self.class_values)

    @cached_property
    def context_lines(self) -> list[Line]:
        """See `Recordings.frequency`."""
        return frequency.by_context(self.rows, self.observed)

    def lines_by(self, dimension: str) -> list[Line]:
        """See `Recordings.by`."""
        those = self._those([dimension])
        return frequency.by(those, self._observed(those), dimension)

    def frequency_by(self, names: Sequence[str]) -> list[Line]:
        """See `Recordings.frequency`."""
        those = self._those(names)
        return frequency.by_dimensions(those, self._observed(those), names)

    def _those(self, names: Iterable[str]) -> Rows:
        return self.rows.of(self.having(names))

    def _observed(self, those: Rows) -> Observed:
        return self.observed if those is self.rows else Observed(those)

    @cached_property
    def setter_lines(self) -> list[Line]:
        """See `Recordings.setters`."""
        return origins.setters(self.metadata)

    @cached_property
    def handler_lines(self) -> list[Line]:
        """See `Recordings.handlers`."""
        return origins.handlers(self.metadata)

    @cached_property
    def findings(self) -> tuple[explanation.Finding, ...]:
        """See `Recordings.explanation`."""
        shared = [name for name in self.dimensions if len(self.having([name])) == len(self.recordings)]
        return explanation.explain(self.rows, shared, self.handler_lines)

    def bounds(self, of: str | Sequence[str] = CONTEXT) -> pd.DataFrame:
        """See `Recordings.estimates`: a frame, for those are worked out by what needs pandas."""
        from tifbpf.analysis.estimates import Estimates

        every = of in ("bit", "all")
        found = Estimates(self.rows if every else self._those(names_of(of)))
        if of == "bit":
            return found.bits()
        return found.frequency([] if every else names_of(of))

    @property
    def lost(self) -> dict[str, int]:
        """Exits that were seen and not recorded, by cause."""
        return {
            cause: sum(getattr(metadata.totals.losses, cause) for metadata in self.metadata)
            for cause in Losses.__struct_fields__
        }

    @property
    def total(self) -> dict[str, int]:
        """See `Recordings.totals`."""
        sums = ("seen", "recorded", "filtered", "counted", "uncounted", "not_sampled", "not_sampled_of_all")
        found = {name: sum(getattr(metadata.totals, name) for metadata in self.metadata) for name in sums}
        return {
            "seen": found.pop("seen"),
            "recorded": found.pop("recorded"),
            "lost": sum(self.lost.values()),
        } | found


def names_of(of: str | Sequence[str]) -> list[str]:
    """Return dimensions that may be given as one."""
    return [of] if isinstance(of, str) else list(of)
