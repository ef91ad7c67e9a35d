"""`Recordings`: what the methods of the Python API return, and what every report is made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from tifbpf.analysis import bits, explanation, frequency, latency, origins, timeline, words
from tifbpf.analysis.classes import ExitClass, classes, plain
from tifbpf.analysis.estimates import Estimates
from tifbpf.analysis.observed import Observed
from tifbpf.analysis.rows import Rows, combine, to_pandas
from tifbpf.engines.loading import Loaded, load
from tifbpf.engines.local import shared
from tifbpf.engines.model import Engine
from tifbpf.errors import TifbpfError
from tifbpf.recording.locate import locate
from tifbpf.recording.metadata import Losses, Metadata
from tifbpf.recording.paths import ExitPath
from tifbpf.recording.schema import DIMENSIONS
from tifbpf.text import printable

if TYPE_CHECKING:
    from tifbpf.reporters.notebook import Plots

CONTEXT = "context"
_TIMES = ("latency_log2", "ns", "ns_max")
_CLASS = ("recording", "context", "word", "syscall_work", "path", "tier")


def read(paths: str | Path | Iterable[str | Path], *, engine: Engine | None = None) -> Recordings:
    """Read recordings; several add up.

    Args:
        paths: one or more files that `tifbpf record` wrote, directories with such files at any depth,
            patterns (`fleet/**/*.parquet`), or URLs that fsspec knows. Where the file is not there yet, its
            segments are read; their directory may be given too.
        engine: who adds up, of `tifbpf.engines.choose.chosen`; None: DuckDB in this process.

    Raises:
        TifbpfError: a path is missing, unreadable, empty, no Parquet, no recording, of a newer schema or
            damaged, or one recording is given twice; see `tifbpf.errors`.
    """
    given = [paths] if isinstance(paths, (str, Path)) else list(paths)
    if not given:
        raise TifbpfError("no recording was given; name at least one *.tif.parquet")
    return Recordings(load(locate(given), engine or shared()))


class Recordings:
    """One or more recordings, added up.

    Counts are whole numbers (UInt64), shares lie between 0 and 1, and NA means not known: a context that was
    not covered has NA exits, never 0. Bits of different layouts are merged by name and word, never by number.
    Rates are per second of recording: two hosts recorded for 10 s side by side make 20 s.

    Attributes:
        recordings: what was read, in order; frames name one by its place here.
        loaded: the same, and who sums their rows.
        rows: sums over their rows.
        observed: where and how long each context was observed.
    """

    def __init__(self, loaded: Loaded) -> None:
        self.recordings = loaded.recordings
        self.loaded = loaded
        self.rows = Rows(loaded)
        self.observed = Observed(self.rows)

    @property
    def plot(self) -> Plots:
        """Charts for a notebook: `plot.bits()`, `words()`, `timeline()`, `pairs()`, `times()`."""
        from tifbpf.reporters.notebook import Plots

        return Plots(self)

    def __repr__(self) -> str:
        kernels = ", ".join(dict.fromkeys(metadata.kernel.release for metadata in self.metadata))
        exits = sum(metadata.totals.recorded for metadata in self.metadata)
        several = "s"[: len(self.recordings) != 1]
        return (
            f"<{type(self).__name__}: {len(self.recordings)} recording{several}, Linux {printable(kernels)}, "
            f"{exits:,} exits recorded>"
        )

    def _repr_html_(self) -> str:
        from tifbpf.reporters import notebook

        return notebook.table(self)

    @property
    def metadata(self) -> list[Metadata]:
        """What each recording says about itself."""
        return [recording.metadata for recording in self.recordings]

    @cached_property
    def dimensions(self) -> tuple[str, ...]:
        """The dimensions that at least one recording has: any of syscall, comm, pid, cgroup, cpu."""
        recorded = {name for metadata in self.metadata for name in metadata.dimensions}
        return tuple(name for name in DIMENSIONS if name in recorded)

    @cached_property
    def _words(self) -> pd.DataFrame:
        frame = self.rows.summed(_CLASS)
        # Not those that count all exits once more.
        return frame[frame["path"] != ExitPath.ALL].reset_index(drop=True)

    @cached_property
    def _classes(self) -> list[ExitClass]:
        return classes(self._words, self.recordings)

    @cached_property
    def _bits(self) -> pd.DataFrame:
        return bits.bits(self._classes, [metadata.layout for metadata in self.metadata], self.observed)

    @cached_property
    def _needs(self) -> pd.DataFrame:
        return bits.needs(self._classes)

    @cached_property
    def _all_words(self) -> pd.DataFrame:
        return words.words(self._words, self.recordings, self.observed)

    def exits(self) -> pd.DataFrame:
        """Return the recorded exits, decoded; their counts add up to those recorded.

        Rows whose path is `all` are not here: they count exits once more, for the shares of `frequency`.

        Index `row`. Columns: recording; time, interval_ns; context; the recorded dimensions (syscall by its
        name); tif, syscall_work (names joined by "|", "0" for none, NA where the kernel has no such word);
        path, tier (NA where not known); count; latency_log2, ns, ns_max (time in the slowpath: the bucket,
        together, the longest; NA where not measured); tif_value, syscall_work_value.
        """
        columns = frequency.columns_of(self.dimensions)
        table = combine(self.recordings)
        exits = table.filter(pc.not_equal(table["path"].cast(pa.string()), ExitPath.ALL.value))
        frame = to_pandas(exits.select(["time", "interval_ns", *columns, *_CLASS, "count", *_TIMES]))
        frame = words.name_words(frequency.name_syscalls(frame), self.recordings)
        order = ["recording", "time", "interval_ns", "context", *self.dimensions, "tif", "syscall_work"]
        order += ["path", "tier", "count", *_TIMES, "tif_value", "syscall_work_value"]
        return frame[order].rename_axis("row")

    def frequency(self, by: str | Sequence[str] | None = None) -> pd.DataFrame:
        """Return how often exits were slow.

        Args:
            by: None for the three contexts; or one or more of context, host and the recorded dimensions. Only
                recordings that have all of them are counted then. Rates are of all hosts' seconds, or by host
                of its own.

        Index: context, or `by`. Columns: exits (all of them, counted by the route or by something else; NA
        where nothing did), slow, slow_counted (slow exits where all were counted: the numerator of the
        share), share (NA too where what counts all exits counted fewer than were slow), exits_per_second,
        slow_per_second. By context also covered (bool) and seconds.

        Raises:
            TifbpfError: no recording has these dimensions.
        """
        if by is None:
            return frequency.by_context(self.rows, self.observed)
        names = _names(by)
        places = self.having(names)
        those = self.rows.of(places)
        return frequency.by_dimensions(those, Observed(those), names)

    def by(self, dimension: str) -> pd.DataFrame:
        """Return `frequency(dimension)`, most slow exits first, with the bit that triggered most of them.

        Columns more than `frequency`: trigger (the bit's name, NA without a slow exit), trigger_count.

        Raises:
            TifbpfError: no recording has the dimension.
        """
        frame = self.frequency(dimension).sort_values("slow", ascending=False, kind="stable")
        commonest = frequency.commonest_triggers(self.rows.of(self.having([dimension])), dimension)
        found = [commonest.get(value) for value in plain(frame.index.to_series())]
        frame["trigger"] = pd.Series([pair and pair[0] for pair in found], index=frame.index, dtype="str")
        frame["trigger_count"] = pd.array([pair and pair[1] for pair in found], dtype="UInt64")
        return frame

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

    def bits(self) -> pd.DataFrame:
        """Return the histogram of bits: every bit of a work mask, and every other bit that was seen.

        Index (word, bit), in the order of the layout. Columns: present (exits of any path that carried it,
        where that could be told: of all words, or of all exits and it is in the work mask, so that who
        carried it was slow), present_slow (slow exits that carried it), trigger (slow exits from a context
        whose work mask has it, and it was set), sole (it was the only trigger in either word), exits (all of
        those among which present was counted), share_of_exits (present, of exits), share_of_slow (trigger,
        of slow exits), in_mask (bool), taken_out (bool: a recorder's own hook set it everywhere, so it was
        taken out of the words). NA where it could not have been seen: no context that tests it was covered,
        the route there does not see it, or it was taken out.
        """
        return self._bits.copy()

    def words(self) -> pd.DataFrame:
        """Return the words, commonest first.

        Index (context, tif, syscall_work): names joined by "|", "0" for none, NA where the kernel has no such
        word. Columns: path, tier, count, share_of_exits (NA where not all exits were counted), share_of_slow
        (NA for fast ones), tif_value, syscall_work_value (NA where layouts disagree), ns (time in the
        slowpath; NA where not measured).
        """
        return self._all_words.copy()

    def cooccurrence(self) -> pd.DataFrame:
        """Return a square frame, both axes (word, bit): slow exits in which both triggered.

        The diagonal is how often the bit triggered at all; commonest first; bits that never did are left out.
        """
        return bits.cooccurrence(self._classes)

    def needs(self) -> pd.DataFrame:
        """Return what the work of slow exits needed.

        Index need: pt_regs (a handler that takes the full pt_regs), no_pt_regs (none does), unknown, which
        add up to all slow exits; and reschedule_only (nothing but NEED_RESCHED and NEED_RESCHED_LAZY), which
        is among them. Columns: slow, share_of_slow.
        """
        return self._needs.copy()

    def tiers(self) -> pd.DataFrame:
        """Return slow exits by (context, tier); tiers taken together are joined by "+".

        Columns: slow, share_of_slow. The tier is `unknown` where the bits were gone when the route looked.
        """
        return words.tiers(self._words)

    def latency(self, of: str = "bit") -> pd.DataFrame:
        """Return the time that slow exits spent in the slowpath, longest together first.

        It is time by the clock: where the work was a reschedule, others ran in it.

        Args:
            of: `bit` (every bit that triggered; an exit for which two did is in both), `word` or `context`.

        Index (word, bit), (context, tif, syscall_work) or context, only where any exit was timed. Columns:
        slow (exits), timed (those whose time was measured), ns (of these together), ns_max (the longest),
        ns_p50_low, ns_p50_high, ns_p99_low, ns_p99_high (between these lies the time that 50 or 99 % of the
        timed exits took at most).
        """
        key = latency.Of(of)
        return latency.summary(latency.slow_rows(self.rows, key), key)

    def latency_histogram(self, of: str = "bit") -> pd.DataFrame:
        """Return how many slow exits spent how long in the slowpath, in buckets of powers of two.

        Index: as that of `latency`, and ns_low (the shortest time of the bucket), only buckets that hold
        exits. Columns: ns_high (the longest time of the bucket), exits.
        """
        key = latency.Of(of)
        return latency.histogram(latency.slow_rows(self.rows, key), key)

    def setters(self) -> pd.DataFrame:
        """Return who set bits, most first; of the recordings that asked (`record --setters`).

        Index (word, bit). Columns: by (the kernel's function or tracepoint), comm (the thread that ran it),
        target (the thread whose bit it was, NA where not known), count, share_of_bit (of what was seen to
        set this bit).
        """
        return origins.setters(self.metadata)

    def handlers(self) -> pd.DataFrame:
        """Return how often those that share a bit had work, most first; of the recordings that asked.

        Index (bit, context, handler). Columns: count, share_of_bit (of the runs for that bit in that
        context).
        """
        return origins.handlers(self.metadata)

    def timeline(self, freq: str | None = None) -> pd.DataFrame:
        """Return exits over time.

        Args:
            freq: the length of a step as pandas writes it ("1s", "5min"); None for the recorded intervals. An
                interval counts where it starts, so a step shorter than those gains nothing.

        Index (time, context), only where something was recorded. Columns: exits, slow, seconds (recorded in
        that step, over all recordings).
        """
        return frequency.timeline(self.rows, self.observed, freq)

    def timeline_by_bit(self, freq: str | None = None) -> pd.DataFrame:
        """Return slow exits over time by the bit that triggered; one for which two did is in both.

        Args:
            freq: as of `timeline`.

        Index (time, word, bit), only where the bit triggered. Columns: slow, slow_counted (NA where not all
        exits of any context were counted).
        """
        return timeline.by_bit(self.rows, self.observed, freq)

    def timeline_of_all(self, freq: str | None = None) -> pd.DataFrame:
        """Return exits over time, of all contexts together; what a share of `timeline_by_bit` is of.

        Args:
            freq: as of `timeline`.

        Index time, only where something was recorded. Columns: exits, slow, slow_counted (NA where not all
        exits of any context were counted), seconds (recorded in that step, over all recordings).
        """
        return timeline.of_all(self.rows, self.observed, freq)

    def explanation(self) -> tuple[explanation.Finding, ...]:
        """Return what made exits slow, commonest first: bits, whose exits, from where, probable causes."""
        shared = [name for name in self.dimensions if len(self.having([name])) == len(self.recordings)]
        return explanation.explain(self.rows, shared, self.handlers())

    def estimates(self, of: str | Sequence[str] = CONTEXT) -> pd.DataFrame:
        """Return between what shares and rates lie, with 95 % confidence, where not every exit was looked at.

        Args:
            of: context, one or more of the recorded dimensions, `bit`, or `all` of it together.

        Index: that of `frequency` or `bits`. Columns: share_low, share_high, slow_per_second_low,
        slow_per_second_high; of a bit share_of_slow_low, share_of_slow_high. NA where every exit was looked
        at, and where too few windows were (`record --duty`).

        Raises:
            TifbpfError: no recording has these dimensions.
        """
        places = range(len(self.recordings)) if of in ("bit", "all") else self.having(_names(of))
        found = Estimates(self.rows.of(places))
        if of == "bit":
            return found.bits()
        return found.frequency([] if of == "all" else _names(of))

    @property
    def estimated(self) -> bool:
        """Whether counts are estimates, not every exit having been looked at."""
        return any(recording.estimated for recording in self.recordings)

    def losses(self) -> pd.DataFrame:
        """Return exits that were seen and not recorded. Index cause; column exits."""
        causes = Losses.__struct_fields__
        sums = [sum(getattr(metadata.totals.losses, cause) for metadata in self.metadata) for cause in causes]
        index = pd.Index(causes, name="cause", dtype="str")
        return pd.DataFrame({"exits": pd.array(sums, dtype="UInt64")}, index=index)

    def totals(self) -> pd.DataFrame:
        """Return seen = recorded + lost, what filters left out, and what was counted beside.

        Index total: seen, recorded, lost, filtered; counted (all exits of contexts whose route sees slow
        ones only) and uncounted (those that were lost of them); not_sampled and not_sampled_of_all (passed by
        without a look, the others being what was looked at). Column exits.
        """
        sums = {
            "seen": sum(metadata.totals.seen for metadata in self.metadata),
            "recorded": sum(metadata.totals.recorded for metadata in self.metadata),
            "lost": sum(metadata.totals.losses.total for metadata in self.metadata),
            "filtered": sum(metadata.totals.filtered for metadata in self.metadata),
            "counted": sum(metadata.totals.counted for metadata in self.metadata),
            "uncounted": sum(metadata.totals.uncounted for metadata in self.metadata),
            "not_sampled": sum(metadata.totals.not_sampled for metadata in self.metadata),
            "not_sampled_of_all": sum(metadata.totals.not_sampled_of_all for metadata in self.metadata),
        }
        index = pd.Index(sums, name="total", dtype="str")
        return pd.DataFrame({"exits": pd.array(list(sums.values()), dtype="UInt64")}, index=index)

    def coverage(self) -> pd.DataFrame:
        """Return how each context was observed.

        Index (recording, context). Columns: covered (bool), route, hooks (joined by ", "), exactness,
        denominator, slow_only (bool: the route sees slow exits only), perturbs, why_not, blind (joined by
        "; "), given_up (routes tried before, with the reason, joined by "; "); expected and seen of all
        self-tests together (NA without any).
        """
        lines = []
        for place, metadata in enumerate(self.metadata):
            for coverage in metadata.contexts:
                line = msgspec.structs.asdict(coverage)
                tests = line.pop("self_tests")
                line |= {
                    "recording": place,
                    "context": str(coverage.context),
                    "covered": coverage.route is not None,
                    "hooks": ", ".join(coverage.hooks),
                    "blind": "; ".join(coverage.blind),
                    "given_up": "; ".join(f"{tried.route}: {tried.reason}" for tried in coverage.attempts),
                    "expected": sum(test.expected for test in tests) if tests else None,
                    "seen": sum(test.seen for test in tests) if tests else None,
                }
                lines.append(line)
        columns = [
            "covered",
            "route",
            "hooks",
            "exactness",
            "denominator",
            "slow_only",
            "perturbs",
            "why_not",
        ]
        columns += ["blind", "given_up", "expected", "seen"]
        frame = pd.DataFrame(lines).set_index(["recording", "context"])[columns]
        return frame.astype({"expected": "UInt64", "seen": "UInt64"})

    def effects(self) -> pd.DataFrame:
        """Return the bits that tracers set. Index recording. Columns: word, bit, ours (bool), text."""
        return self._listed("observer_effects", ["word", "bit", "ours", "text"])

    def layout_evidence(self) -> pd.DataFrame:
        """Return what each layout rests on. Index recording. Columns: layout, fact, source, verdict."""
        frame = self._listed("layout_evidence", ["fact", "source", "verdict"])
        frame.insert(0, "layout", [self.metadata[place].layout.name for place in frame.index])
        return frame

    def _listed(self, field: str, columns: list[str]) -> pd.DataFrame:
        lines = [
            {"recording": place, **msgspec.structs.asdict(entry)}
            for place, metadata in enumerate(self.metadata)
            for entry in getattr(metadata, field)
        ]
        return pd.DataFrame(lines, columns=["recording", *columns]).set_index("recording")


def _names(of: str | Sequence[str]) -> list[str]:
    return [of] if isinstance(of, str) else list(of)
