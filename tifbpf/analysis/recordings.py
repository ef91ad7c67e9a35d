"""`Recordings`: what the methods of the Python API return."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from tifbpf.analysis import bits, explanation, frames, frequency, latency, timeline
from tifbpf.analysis.figures import CLASS, CONTEXT, Figures, names_of
from tifbpf.analysis.frames import COUNT, NAME, SHARE, TIME
from tifbpf.analysis.rows import combine
from tifbpf.engines.model import Engine
from tifbpf.recording.paths import ExitPath
from tifbpf.text import printable

if TYPE_CHECKING:
    from tifbpf.reporters.notebook import Plots

_TIMES = ("latency_log2", "ns", "ns_max")
_FREQUENCY = {
    "exits": COUNT,
    "slow": COUNT,
    "slow_counted": COUNT,
    "share": SHARE,
    "exits_per_second": SHARE,
    "slow_per_second": SHARE,
}
_BIT = {"word": NAME, "bit": NAME}


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
    return Recordings.read(paths, engine=engine)


class Recordings(Figures):
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
        frame = frames.of_table(exits.select(["time", "interval_ns", *columns, *CLASS, "count", *_TIMES]))
        frame = frames.name_words(frames.name_syscalls(frame), self.recordings)
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
            columns = {"covered": "bool", **_FREQUENCY, "seconds": SHARE}
            return frames.of_lines(self.context_lines, {CONTEXT: NAME}, columns)
        names = names_of(by)
        index = {name: frames.type_of(name) for name in names}
        return frames.of_lines(self.frequency_by(names), index, _FREQUENCY)

    def by(self, dimension: str) -> pd.DataFrame:
        """Return `frequency(dimension)`, most slow exits first, with the bit that triggered most of them.

        Columns more than `frequency`: trigger (the bit's name, NA without a slow exit), trigger_count.

        Raises:
            TifbpfError: no recording has the dimension.
        """
        columns = {**_FREQUENCY, "trigger": NAME, "trigger_count": COUNT}
        return frames.of_lines(self.lines_by(dimension), {dimension: frames.type_of(dimension)}, columns)

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
        counts = ("present", "present_slow", "trigger", "sole", "exits")
        columns = dict.fromkeys(counts, COUNT) | {"share_of_exits": SHARE, "share_of_slow": SHARE}
        columns |= {"in_mask": "bool", "taken_out": "bool"}
        return frames.of_lines(self.bit_lines, _BIT, columns)

    def words(self) -> pd.DataFrame:
        """Return the words, commonest first.

        Index (context, tif, syscall_work): names joined by "|", "0" for none, NA where the kernel has no such
        word. Columns: path, tier, count, share_of_exits (NA where not all exits were counted), share_of_slow
        (NA for fast ones), tif_value, syscall_work_value (NA where layouts disagree), ns (time in the
        slowpath; NA where not measured).
        """
        columns = {
            "path": NAME,
            "tier": NAME,
            "count": COUNT,
            "share_of_exits": SHARE,
            "share_of_slow": SHARE,
        }
        columns |= dict.fromkeys(("tif_value", "syscall_work_value", "ns"), COUNT)
        return frames.of_lines(
            self.word_lines, dict.fromkeys((CONTEXT, "tif", "syscall_work"), NAME), columns
        )

    def cooccurrence(self) -> pd.DataFrame:
        """Return a square frame, both axes (word, bit): slow exits in which both triggered.

        The diagonal is how often the bit triggered at all; commonest first; bits that never did are left out.
        """
        pairs = bits.cooccurrence(self.classes)
        names = list(dict.fromkeys(first for first, _ in pairs))
        axis = pd.MultiIndex.from_arrays(
            [[name.word.value for name in names], [name.bit for name in names]], names=list(_BIT)
        )
        columns = [frames.column([pairs[row, name] for row in names], COUNT) for name in names]
        frame = pd.DataFrame(dict(enumerate(columns)), index=axis)
        return frame.set_axis(axis, axis="columns")

    def needs(self) -> pd.DataFrame:
        """Return what the work of slow exits needed.

        Index need: pt_regs (a handler that takes the full pt_regs), no_pt_regs (none does), unknown, which
        add up to all slow exits; and reschedule_only (nothing but NEED_RESCHED and NEED_RESCHED_LAZY), which
        is among them. Columns: slow, share_of_slow.
        """
        return frames.of_lines(self.need_lines, {"need": NAME}, {"slow": COUNT, "share_of_slow": SHARE})

    def tiers(self) -> pd.DataFrame:
        """Return slow exits by (context, tier); tiers taken together are joined by "+".

        Columns: slow, share_of_slow. The tier is `unknown` where the bits were gone when the route looked.
        """
        index = {CONTEXT: NAME, "tier": NAME}
        return frames.of_lines(self.tier_lines, index, {"slow": COUNT, "share_of_slow": SHARE})

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
        columns = {"by": NAME, "comm": NAME, "target": NAME, "count": COUNT, "share_of_bit": SHARE}
        return frames.of_lines(self.setter_lines, _BIT, columns)

    def handlers(self) -> pd.DataFrame:
        """Return how often those that share a bit had work, most first; of the recordings that asked.

        Index (bit, context, handler). Columns: count, share_of_bit (of the runs for that bit in that
        context).
        """
        index = {"bit": NAME, CONTEXT: NAME, "handler": NAME}
        return frames.of_lines(self.handler_lines, index, {"count": COUNT, "share_of_bit": SHARE})

    def timeline(self, freq: str | None = None) -> pd.DataFrame:
        """Return exits over time.

        Args:
            freq: the length of a step as pandas writes it ("1s", "5min"); None for the recorded intervals. An
                interval counts where it starts, so a step shorter than those gains nothing.

        Index (time, context), only where something was recorded. Columns: exits, slow, seconds (recorded in
        that step, over all recordings).
        """
        lines = timeline.by_context(self.rows, self.observed, frames.step_ns(freq))
        columns = {"exits": COUNT, "slow": COUNT, "seconds": SHARE}
        return frames.of_lines(lines, {"time": TIME, CONTEXT: NAME}, columns)

    def timeline_by_bit(self, freq: str | None = None) -> pd.DataFrame:
        """Return slow exits over time by the bit that triggered; one for which two did is in both.

        Args:
            freq: as of `timeline`.

        Index (time, word, bit), only where the bit triggered. Columns: slow, slow_counted (NA where not all
        exits of any context were counted).
        """
        lines = timeline.by_bit(self.rows, self.observed, frames.step_ns(freq))
        return frames.of_lines(lines, {"time": TIME, **_BIT}, {"slow": COUNT, "slow_counted": COUNT})

    def timeline_of_all(self, freq: str | None = None) -> pd.DataFrame:
        """Return exits over time, of all contexts together; what a share of `timeline_by_bit` is of.

        Args:
            freq: as of `timeline`.

        Index time, only where something was recorded. Columns: exits, slow, slow_counted (NA where not all
        exits of any context were counted), seconds (recorded in that step, over all recordings).
        """
        lines = timeline.of_all(self.rows, self.observed, frames.step_ns(freq))
        columns = {"exits": COUNT, "slow": COUNT, "slow_counted": COUNT, "seconds": SHARE}
        return frames.of_lines(lines, {"time": TIME}, columns)

    def explanation(self) -> tuple[explanation.Finding, ...]:
        """Return what made exits slow, commonest first: bits, whose exits, from where, probable causes."""
        return self.findings

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
        return self.bounds(of)

    def losses(self) -> pd.DataFrame:
        """Return exits that were seen and not recorded. Index cause; column exits."""
        lines = ({"cause": cause, "exits": lost} for cause, lost in self.lost.items())
        return frames.of_lines(lines, {"cause": NAME}, {"exits": COUNT})

    def totals(self) -> pd.DataFrame:
        """Return seen = recorded + lost, what filters left out, and what was counted beside.

        Index total: seen, recorded, lost, filtered; counted (all exits of contexts whose route sees slow
        ones only) and uncounted (those that were lost of them); not_sampled and not_sampled_of_all (passed by
        without a look, the others being what was looked at). Column exits.
        """
        lines = ({"total": name, "exits": exits} for name, exits in self.total.items())
        return frames.of_lines(lines, {"total": NAME}, {"exits": COUNT})

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
