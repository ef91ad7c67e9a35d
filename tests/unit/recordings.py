"""Synthetic recordings, built with pyarrow alone: the reader is not tested with the writer's own opinion."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from tifbpf.engines import loading
from tifbpf.engines.local import shared
from tifbpf.layouts.model import Bit, Context, Evidence, Layout, Mask, Tier, Word
from tifbpf.recording.metadata import (
    FOOTER_KEY,
    Coverage,
    Host,
    Kernel,
    Losses,
    Metadata,
    Sampling,
    Segment,
    SelfTest,
    Totals,
    encode,
)
from tifbpf.recording.reader import Recording
from tifbpf.recording.schema import SCHEMA


def loaded(paths: Iterable[Path]) -> loading.Loaded:
    return loading.load(paths, shared())


def verified(recordings: Iterable[Recording]) -> loading.Loaded:
    return loading.verified(tuple(recordings), shared())


def load(paths: Iterable[Path]) -> tuple[Recording, ...]:
    """The recordings, once their rows have been looked at too."""
    return loaded(paths).recordings


START_NS = 1_780_000_000_000_000_000
SECOND_NS = 1_000_000_000
ALL = (Context.SYSCALL, Context.INTERRUPT, Context.EXCEPTION)


def _bits(word: Word, named: Mapping[str, tuple[int, bool | None]]) -> tuple[Bit, ...]:
    return tuple(
        Bit(name=name, number=number, word=word, needs_pt_regs=needs, source="test")
        for name, (number, needs) in named.items()
    )


def layout_618() -> Layout:
    """A part of 6.18's: bits that have names, masks, one bit (19) that is set and has no name here."""
    return Layout(
        name="6.18",
        releases=("6.18.44",),
        bits=(
            *_bits(
                Word.TIF,
                {
                    "NOTIFY_RESUME": (0, False),
                    "SIGPENDING": (1, True),
                    "NOTIFY_SIGNAL": (2, True),
                    "NEED_RESCHED": (4, False),
                    "NEED_RESCHED_LAZY": (5, False),
                    "POLLING_NRFLAG": (6, None),
                    "UPROBE": (8, True),
                    "PATCH_PENDING": (9, None),
                },
            ),
            *_bits(Word.SYSCALL_WORK, {"SECCOMP": (0, None), "SYSCALL_TRACE": (2, True)}),
        ),
        masks=(
            Mask(name="EXIT_TO_USER_MODE_WORK", value=0x337, source="test"),
            Mask(name="SYSCALL_WORK_EXIT", word=Word.SYSCALL_WORK, value=0x4, source="test"),
        ),
        tiers=(
            Tier(
                name="loop",
                word=Word.TIF,
                value=0x337,
                mask="EXIT_TO_USER_MODE_WORK",
                contexts=ALL,
                source="test",
            ),
            Tier(
                name="syscall_work",
                word=Word.SYSCALL_WORK,
                value=0x4,
                mask="SYSCALL_WORK_EXIT",
                contexts=(Context.SYSCALL,),
                source="test",
            ),
        ),
        source="test",
    )


def layout_612() -> Layout:
    """A part of 6.12's: the same names at other numbers."""
    return Layout(
        name="6.12",
        releases=("6.12.90",),
        bits=_bits(
            Word.TIF,
            {"NOTIFY_RESUME": (1, False), "SIGPENDING": (2, True), "NEED_RESCHED": (3, False)},
        ),
        masks=(Mask(name="EXIT_TO_USER_MODE_WORK", value=0xE, source="test"),),
        tiers=(
            Tier(
                name="loop",
                word=Word.TIF,
                value=0xE,
                mask="EXIT_TO_USER_MODE_WORK",
                contexts=ALL,
                source="test",
            ),
        ),
        source="test",
    )


def layout_71() -> Layout:
    """What sets 7.1 apart: interrupts test a bit that system calls do not."""
    return Layout(
        name="7.1",
        releases=("7.1.0",),
        bits=_bits(Word.TIF, {"NOTIFY_RESUME": (0, False), "HRTIMER_REARM": (12, False)}),
        masks=(
            Mask(name="EXIT_TO_USER_MODE_WORK_SYSCALL", value=0x1, source="test"),
            Mask(name="EXIT_TO_USER_MODE_WORK_IRQ", value=0x1001, source="test"),
        ),
        tiers=(
            Tier(
                name="loop",
                word=Word.TIF,
                value=0x1,
                mask="EXIT_TO_USER_MODE_WORK_SYSCALL",
                contexts=(Context.SYSCALL,),
                source="test",
            ),
            Tier(
                name="loop",
                word=Word.TIF,
                value=0x1001,
                mask="EXIT_TO_USER_MODE_WORK_IRQ",
                contexts=(Context.INTERRUPT, Context.EXCEPTION),
                source="test",
            ),
        ),
        source="test",
    )


def covered(context: Context, **given: Any) -> Coverage:
    return msgspec.structs.replace(
        Coverage(
            context=context,
            route="tracepoint",
            hooks=("raw_syscalls:sys_exit",),
            exactness="to a few instructions",
            denominator="the route itself",
            perturbs="SYSCALL_TRACEPOINT is set on every task",
            self_tests=(SelfTest(exercise="signal", expected=100, seen=100),),
        ),
        **given,
    )


def uncovered(context: Context, why: str = "no route covers it on this kernel") -> Coverage:
    return Coverage(context=context, why_not=why)


def syscalls_only() -> tuple[Coverage, ...]:
    return (covered(Context.SYSCALL), uncovered(Context.INTERRUPT), uncovered(Context.EXCEPTION))


def everything() -> tuple[Coverage, ...]:
    return tuple(covered(context, route="prepare", exactness="exact", perturbs=None) for context in ALL)


def row(
    word: int, count: int, syscall_work: int | None = 0, context: str = "syscall", **given: Any
) -> dict[str, Any]:
    """One row without what `recording` finds out itself (path and tier, and time unless given)."""
    return {"word": word, "syscall_work": syscall_work, "count": count, "context": context, **given}


def all_exits(count: int, context: str = "syscall", **given: Any) -> dict[str, Any]:
    """One row that counts all exits of a context whose route sees slow ones only."""
    return row(0, count, context=context, **{"path": "all", "tier": None, **given}) | {
        "word": None,
        "syscall_work": None,
    }


def slow_only(context: Context, **given: Any) -> Coverage:
    """A context whose route sees slow exits, while something else counts all."""
    return covered(
        context,
        **{"route": "loop", "slow_only": True, "denominator": "x64_sys_call", "perturbs": None, **given},
    )


def metadata(rows: Iterable[Mapping[str, Any]] = (), **given: Any) -> Metadata:
    rows = list(rows)
    defaults = Metadata(
        tifbpf="0.1.0",
        id="00000000-0000-4000-8000-000000000001",
        host=Host(name="web1", cpus=2),
        kernel=Kernel(release="6.18.44-amd64", version="#1 SMP PREEMPT_DYNAMIC"),
        layout=layout_618(),
        layout_evidence=(
            Evidence(fact="enum syscall_work_bit: 7 values", source="BTF", verdict="confirms"),
            Evidence(fact="era 6.18", source="era table", verdict="decides"),
        ),
        contexts=syscalls_only(),
        dimensions=(),
        filters={"self": "excluded"},
        command=("tifbpf", "record", "-d", "10"),
        interval_ns=SECOND_NS,
        started_ns=START_NS,
        duration_ns=10 * SECOND_NS,
        totals=Totals(seen=0, recorded=0),
        complete=True,
        ended="duration",
    )
    if "totals" not in given:
        counted = sum(row["count"] for row in rows if row.get("path") == "all")
        recorded = sum(row["count"] for row in rows) - counted
        losses = given.pop("losses", Losses())
        given["totals"] = Totals(
            seen=recorded + losses.total, recorded=recorded, counted=counted, losses=losses
        )
    return msgspec.structs.replace(defaults, **given)


def table(rows: Iterable[Mapping[str, Any]], layout: Layout) -> pa.Table:
    full = []
    for given in rows:
        context = Context(given["context"])
        tiers = layout.slow_tiers(context, given["word"] or 0, given["syscall_work"] or 0)
        full.append(
            {
                "time": START_NS,
                "interval_ns": SECOND_NS,
                "path": "slow" if tiers else "fast",
                "tier": "+".join(tiers) or None,
                **given,
            }
        )
    return pa.table(
        [pa.array([line.get(field.name) for line in full], type=field.type) for field in SCHEMA],
        schema=SCHEMA,
    )


def write(path: Path, rows: Iterable[Mapping[str, Any]] = (), **given: Any) -> Path:
    """Write a recording of `rows` to `path`; what `given` says goes into its metadata."""
    rows = list(rows)
    if given.get("sampling") is not None:
        given = {"schema": 3, **given}
    about = metadata(rows, **given)
    found = table(rows, about.layout)
    if about.sampling is not None:
        found = sampled(found, rows, about.sampling)
    save(path, found, encode(about))
    return path


def sampled(found: pa.Table, rows: Iterable[Mapping[str, Any]], sampling: Sampling) -> pa.Table:
    """Return the columns of a recording that did not look at every exit; `every` may be said by a row."""
    every = [row.get("every", sampling.every) for row in rows]
    found = found.rename_columns(["sampled" if name == "count" else name for name in found.column_names])
    for name, values in (("one_in", [sampling.one_in] * len(every)), ("every", every)):
        field = pa.field(name, pa.uint32(), nullable=False)
        found = found.append_column(field, pa.array(values, type=pa.uint32()))
    return found


def save(path: Path, rows: pa.Table, footer: bytes | None) -> None:
    """Write a Parquet file with that footer, whatever it says."""
    schema = rows.schema.with_metadata({FOOTER_KEY: footer} if footer is not None else None)
    pq.write_table(rows.cast(schema), path, compression="zstd", write_page_checksum=True)


def segment(
    directory: Path,
    first: int,
    number: int,
    rows: Iterable[Mapping[str, Any]],
    *,
    recorded: int,
    recorder: tuple[int, int] = (2**22 + 1, 1),
    **given: Any,
) -> Path:
    """Write a segment: its rows, and the totals since the recording's start.

    The recorder is a process that cannot be (PID_MAX_LIMIT is 2^22), on this host.
    """
    directory.mkdir(exist_ok=True)
    return write(
        directory / f"{first:06}.tif.parquet",
        rows,
        **{
            "host": Host(name=socket.gethostname(), cpus=2),
            "totals": Totals(seen=recorded, recorded=recorded),
            "duration_ns": (number + 1) * SECOND_NS,
            "complete": False,
            "ended": "recording",
            "segment": Segment(
                first=first, number=number, recorder_pid=recorder[0], recorder_start=recorder[1]
            ),
            **given,
        },
    )


def myself() -> tuple[int, int]:
    """Pid and start time of this process, as a recorder at work would write them."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    return os.getpid(), int(fields[19])
