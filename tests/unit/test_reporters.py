from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.theme import Theme

import tifbpf
from tests.unit import recordings as build
from tests.unit.recordings import all_exits, covered, row, segment, slow_only, uncovered, write
from tests.unit.test_analysis import MIXED, timed
from tifbpf import resources
from tifbpf.layouts.model import Context, Evidence, Word
from tifbpf.recording.metadata import (
    Attempt,
    HandlerRuns,
    Host,
    Losses,
    ObserverEffect,
    SelfTest,
    Setter,
    Totals,
    UnseenBit,
)
from tifbpf.reporters import csv as csv_reporter
from tifbpf.reporters import json as json_reporter
from tifbpf.reporters import markdown, model, schema, terminal

HOSTILE = [
    "<script>",
    "\x1b[31mred\x1b[0m",
    "=cmd()",
    "@SUM(A1)",
    "two\nlines",
    "back\\slash",
    "[red]rich[/red]",
    "a|b|c",
    ":smile:",
    "\u202eright-to-left",
    "\x9b31mC1",
    "`tick` *star* # no heading",
]
COMMAND = (sys.executable, "-c", "from tifbpf.cli import main; main()", "report")
BIG = 987_654_321_098_765


def built(tmp_path: Path, rows: list[dict[str, Any]], top: int = 10, **given: Any) -> schema.Report:
    return model.build(tifbpf.read(write(tmp_path / "a.tif.parquet", rows, **given)), top)


def shown(report: schema.Report, width: int = 80, *, summary: bool = False, **given: Any) -> str:
    theme = Theme.read(str(resources.directory("reports") / "terminal.theme"))
    console = Console(file=io.StringIO(), width=width, theme=theme, markup=False, emoji=False, **given)
    with console.capture() as captured:
        console.print(terminal.summary(report) if summary else terminal.document(report))
    return captured.get()


def section(text: str, title: str) -> list[str]:
    """The lines below a heading of a terminal report, to the next empty line."""
    lines = [line.rstrip() for line in text.splitlines()]
    start = next(place for place, line in enumerate(lines) if line.startswith(title))
    return lines[start + 1 : lines.index("", start) if "" in lines[start:] else None]


@pytest.fixture
def mixed(tmp_path: Path) -> schema.Report:
    return built(tmp_path, MIXED, dimensions=("comm",))


def full(tmp_path: Path, **given: Any) -> schema.Report:
    """A report of everything that a recording can hold."""
    tried = Attempt(
        route="loop-breakpoint",
        reason="the self-test signal saw 0 of 100",
        self_tests=(SelfTest(exercise="signal", expected=100, seen=0),),
    )
    contexts = (
        slow_only(
            Context.SYSCALL,
            hooks=("fentry on exit_to_user_mode_loop",),
            exactness="exact",
            attempts=(tried,),
            blind=("bits that the work itself sets",),
        ),
        covered(
            Context.INTERRUPT, route="handlers", denominator=None, slow_only=True, exactness="after the fact"
        ),
        uncovered(Context.EXCEPTION, "nothing was seen"),
    )
    rows = [
        timed(0x2, 10, 97, 97 * 1500, 2000),
        timed(0x2, 12, 2, 10_000, 5000),
        timed(0x12, 20, 1, 1_500_000, 1_500_000),
        row(0x12, 4),
        all_exits(10_000),
        row(0x1, 8, context="interrupt"),
    ]
    about = {
        "contexts": contexts,
        "setters": (
            Setter(
                word=Word.TIF,
                bit="NEED_RESCHED",
                by="resched_curr",
                comm="kworker/0:1",
                target="cc1",
                count=975,
            ),
            Setter(word=Word.TIF, bit="NEED_RESCHED", by="resched_curr", comm="\x1b[1m", count=25),
            Setter(word=Word.SYSCALL_WORK, bit="SECCOMP", by="seccomp_assign_mode", comm="sshd", count=2),
        ),
        "setters_lost": 3,
        "handlers": (
            HandlerRuns(handler="task_work_run", bit="NOTIFY_RESUME", context=Context.SYSCALL, count=30),
            HandlerRuns(
                handler="mem_cgroup_handle_over_high", bit="NOTIFY_RESUME", context=Context.SYSCALL, count=10
            ),
        ),
        **given,
    }
    return built(tmp_path, rows, **about)


class TestTerminal:
    def test_the_headline(self, mixed: schema.Report) -> None:
        assert section(shown(mixed), "tifbpf: web1, Linux 6.18.44-amd64, 10.0 s") == [
            " 121 of 1,137 exits were slow: 10.6 %; 12.1 slow of 114 exits a second.",
            " context          exits  slow   share  exits/s  slow/s",
            " syscall          1,137   121  10.6 %      114    12.1",
            " interrupt  not covered",
            " exception  not covered",
            " interrupt exits not covered: no route covers it on this kernel",
            " exception exits not covered: no route covers it on this kernel",
        ]

    def test_the_bits(self, mixed: schema.Report) -> None:
        assert section(shown(mixed), "Bits that made") == [
            " bit                 present  of exits  trigger  of slow  sole",
            " SIGPENDING              107    9.41 %      107   88.4 %   100  ██████████████▏",
            " NEED_RESCHED             18    1.58 %       18   14.9 %     0  ██▍",
            " NEED_RESCHED_LAZY        11   0.967 %       11   9.09 %     0  █▌",
            " PATCH_PENDING             3   0.264 %        3   2.48 %     3  ▍",
            " NOTIFY_RESUME             2   0.176 %        2   1.65 %     0  ▎",
            " work:SYSCALL_TRACE        2   0.176 %        2   1.65 %     0  ▎",
            " In a work mask, and never set in 1,137 exits over 10.0 s: NOTIFY_SIGNAL,",
            " UPROBE.",
        ]
        assert section(shown(mixed), "Bits that are in no work mask") == [
            " present  of exits  bit",
            "       9   0.792 %  POLLING_NRFLAG",
            "       9   0.792 %  work:SECCOMP",
            "       7   0.616 %  bit19",
        ]

    def test_words_are_wrapped_between_bits(self, mixed: schema.Report) -> None:
        assert section(shown(mixed), "Commonest words of slow")[-2:] == [
            " syscall      2   0.176 %  0x13/0x4   NOTIFY_RESUME | SIGPENDING | NEED_RESCHED",
            "                                      | work:SYSCALL_TRACE",
        ]

    def test_would_two_slowpaths_pay(self, mixed: schema.Report) -> None:
        assert section(shown(mixed), "Would two")[1:5] == [
            "  107   88.4 %  needed the full pt_regs",
            "   11   9.09 %  did not need them",
            "    3   2.48 %  not known: of a bit in them it is not known",
            "   11   9.09 %  wanted only a reschedule",
        ]

    def test_losses_are_printed_when_there_are_none(self, mixed: schema.Report) -> None:
        assert section(shown(mixed), "Losses") == [
            " 1,137 seen = 1,137 recorded + 0 lost.",
            " lost  cause",
            "    0  map_full: more classes of exits in one interval than the map holds",
            "    0  read_failed: the words could not be read",
            "    0  recursion: the kernel skipped our program",
            "    0  kprobe_misses: the kernel skipped a kprobe, fprobe or breakpoint",
            "    0  unclassified: what they returned from could not be told",
        ]

    def test_routes_and_layout_say_where_they_are_from(self, mixed: schema.Report) -> None:
        text = shown(mixed)
        routes = section(text, "Routes")
        assert " syscall    tracepoint, to a few instructions" in routes
        assert "            all exits: the route itself" in routes
        assert "            self-test signal: 100 expected, 100 seen" in routes
        assert " confirms   enum syscall_work_bit: 7 values (BTF)" in section(text, "Layout: 6.18")

    def test_others_are_counted_together(self, tmp_path: Path) -> None:
        report = built(tmp_path, MIXED, top=2, dimensions=("comm",))
        lines = section(shown(report), "Threads by name (2 of 4)")
        assert lines[-1].split() == ["(2", "others)", "17", "10", "58.8", "%"]

    @pytest.mark.parametrize("width", [80, 120])
    def test_no_line_is_wider_and_no_digit_is_cut(self, tmp_path: Path, width: int) -> None:
        names = [*HOSTILE, "/sys/fs/cgroup/system.slice/" + "x" * 200, "名前" * 30]
        rows = [row(0x337, BIG + place, 0x4, comm=name) for place, name in enumerate(names)]
        rows += [row(0, BIG, comm="idle"), *(row(1 << bit, BIG) for bit in range(64))]
        report = built(
            tmp_path,
            rows,
            dimensions=("comm",),
            command=("tifbpf", "record", "-o", "y" * 300),
            host=Host(name="h" * 200, cpus=2),
        )
        text = shown(report, width)
        assert max(map(cell_len, text.splitlines())) <= width
        assert "…" not in text, "a figure was cut"
        (context,) = [line for line in section(text, "tifbpf") if line.startswith(" syscall")]
        assert context.split()[1] in ("78,025", "78,024,691,366,802,526")
        assert context.split()[-2:] in (["2,074", "T"], ["7,802,469,136,680,252", "2,074,074,074,307,416"])

    def test_no_line_ends_in_blanks(self, mixed: schema.Report) -> None:
        lines = shown(mixed).splitlines()
        assert [line for line in lines if line != line.rstrip()] == []

    def test_without_a_terminal_there_is_no_escape(self, mixed: schema.Report) -> None:
        assert "\x1b" not in shown(mixed)

    def test_no_color(self, mixed: schema.Report, monkeypatch: pytest.MonkeyPatch) -> None:
        colour = re.compile(r"\x1b\[[\d;]*3\dm")
        monkeypatch.delenv("NO_COLOR", raising=False)
        assert colour.search(shown(mixed, force_terminal=True, color_system="standard"))
        monkeypatch.setenv("NO_COLOR", "1")
        assert not colour.search(shown(mixed, force_terminal=True, color_system="standard"))

    def test_the_summary(self, mixed: schema.Report) -> None:
        lines = [line.rstrip() for line in shown(mixed, summary=True).splitlines()]
        assert lines[:10] == [
            "tifbpf: web1, Linux 6.18.44-amd64, 10.0 s",
            " 1,137  exits                  114 /s",
            "   121  slow exits            12.1 /s  10.6 % of exits",
            "   107    SIGPENDING                    88.4 % of slow",
            "    18    NEED_RESCHED                  14.9 % of slow",
            "    11    NEED_RESCHED_LAZY             9.09 % of slow",
            "     3    PATCH_PENDING                 2.48 % of slow",
            "     2    NOTIFY_RESUME                 1.65 % of slow",
            "     2    work:SYSCALL_TRACE            1.65 % of slow",
            "     0  lost",
        ]
        assert " Not covered: interrupt and exception exits (`tifbpf doctor` says why)." in lines


class TestEverything:
    """What a recording may hold beside the words."""

    @pytest.fixture
    def text(self, tmp_path: Path) -> str:
        return shown(full(tmp_path))

    def test_the_headline(self, text: str) -> None:
        assert section(text, "tifbpf: web1")[2:6] == [
            " context          exits  slow    share  exits/s  slow/s",
            " syscall         10,000   104   1.04 %    1,000    10.4",
            " interrupt      unknown     8  unknown  unknown   0.800",
            " exception  not covered",
        ]

    def test_the_coverage(self, text: str) -> None:
        assert section(text, "Coverage") == [
            " context    route        exactness       self-tests  all exits",
            " syscall    loop         exact           100 of 100  counted",
            " interrupt  handlers     after the fact  100 of 100  not counted",
            " exception  not covered",
        ]
        assert section(text, "Routes") == [
            " syscall    loop, exact, slow exits only",
            "            hooks: fentry on exit_to_user_mode_loop",
            "            all exits: x64_sys_call",
            "            perturbs: nothing",
            "            does not see: bits that the work itself sets",
            "            self-test signal: 100 expected, 100 seen",
            "            given up: loop-breakpoint: the self-test signal saw 0 of 100",
            "              self-test signal: 100 expected, 0 seen",
            " interrupt  handlers, after the fact, slow exits only",
            "            hooks: raw_syscalls:sys_exit",
            "            all exits: share unknown, for nothing counts them",
            "            perturbs: SYSCALL_TRACEPOINT is set on every task",
            "            self-test signal: 100 expected, 100 seen",
            " exception  not covered: nothing was seen",
        ]

    def test_the_coverage_needs_no_recording_and_no_pandas(self) -> None:
        script = (
            "import sys\n"
            "from tifbpf.layouts.model import Context\n"
            "from tifbpf.recording.metadata import Coverage\n"
            "from tifbpf.reporters import terminal\n"
            "coverage = Coverage(context=Context.SYSCALL, why_not='no BPF')\n"
            "terminal.console().print(terminal.contexts([coverage]))\n"
            "print({'pandas', 'numpy', 'pyarrow'} & sys.modules.keys())"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert [line.rstrip() for line in done.stdout.splitlines()] == [
            "Coverage",
            " context  route        exactness  self-tests  all exits",
            " syscall  not covered",
            "",
            "Routes",
            " syscall  not covered: no BPF",
            "set()",
        ]

    def test_the_time_in_the_slowpath(self, text: str) -> None:
        assert section(text, "Time in the slowpath")[:4] == [
            " 100 of 104 slow exits of these contexts were timed: 1.66 ms together, 16.6 us",
            " each.",
            " context  timed  of time     mean  50 % in  99 % in  longest",
            " syscall    100    100 %  16.6 us  2.05 us  8.19 us  1.50 ms",
        ]
        assert section(text, "Time in the slowpath, by bit") == [
            " timed  of time     mean  50 % in  99 % in  longest  bits",
            "   100    100 %  16.6 us  2.05 us  8.19 us  1.50 ms  SIGPENDING",
            "     1   90.6 %  1.50 ms  1.50 ms  1.50 ms  1.50 ms  NEED_RESCHED",
            " An exit for which several bits triggered is in each of their lines.",
        ]
        assert section(text, "Time in the slowpath, by word")[1:] == [
            "     1   90.6 %  1.50 ms  1.50 ms  1.50 ms  1.50 ms  syscall: SIGPENDING |",
            "                                                     NEED_RESCHED",
            "    99   9.39 %  1.57 us  2.05 us  5.00 us  5.00 us  syscall: SIGPENDING",
        ]
        assert section(text, "How long slow exits took")[:4] == [
            "    from    below  slow  of timed",
            " 1.02 us  2.05 us    97    97.0 %  ███████████████████████▎",
            " 2.05 us  4.10 us     0       0 %",
            " 4.10 us  8.19 us     2    2.00 %  ▌",
        ]

    def test_who_set_the_bits(self, text: str) -> None:
        assert section(text, "Who set the bits")[:5] == [
            " set  of bit  bit           by",
            " 975  97.5 %  NEED_RESCHED  resched_curr: kworker/0:1 -> cc1",
            "  25  2.50 %  NEED_RESCHED  resched_curr: \\x1b[1m",
            "   2   100 %  work:SECCOMP  seccomp_assign_mode: sshd",
            " 3 settings were lost.",
        ]

    def test_who_had_work(self, text: str) -> None:
        assert section(text, "Who had work at NOTIFY_RESUME") == [
            " had work  of bit  bit            context  handler",
            "       30  75.0 %  NOTIFY_RESUME  syscall  task_work_run",
            "       10  25.0 %  NOTIFY_RESUME  syscall  mem_cgroup_handle_over_high",
        ]

    def test_asked_and_nobody(self, tmp_path: Path) -> None:
        text = shown(full(tmp_path, setters=(), setters_lost=0, handlers=()))
        assert section(text, "Who set the bits")[:2] == [
            " Nobody was seen to set one.",
            " 0 settings were lost.",
        ]
        assert section(text, "Who had work") == [" None of its handlers had."]

    def test_what_nobody_could_see(self, tmp_path: Path) -> None:
        text = shown(full(tmp_path, setters=(), setters_unseen=("PATCH_PENDING: set once in all threads",)))
        assert " Not seen: PATCH_PENDING: set once in all threads." in section(text, "Who set the bits")

    def test_what_was_not_recorded_has_no_section(self, mixed: schema.Report) -> None:
        text = shown(mixed)
        assert not [title for title in ("Time in", "How long", "Who set", "Who had") if title in text]

    def test_the_denominator_is_accounted_for(self, text: str) -> None:
        assert section(text, "Losses")[0] == " 112 seen = 112 recorded + 0 lost."
        assert section(text, "Losses")[-2:] == [
            " 10,000 exits were counted beside, for the shares of contexts whose route sees",
            " slow ones only; 0 more of them were lost.",
        ]

    def test_bits_say_which_exits_they_are_of(self, text: str) -> None:
        bits = section(text, "Bits that made")
        assert bits[1].startswith(" SIGPENDING         104    1.04 %      104   92.9 %    99")
        assert bits[-1] == " Present, and of exits: of the syscall exits, all of which were counted."

    def test_as_plain_text(self, tmp_path: Path) -> None:
        text = markdown.render(full(tmp_path))
        assert text.isascii()
        assert max(map(len, text.splitlines())) <= 80

    def test_in_csv(self, tmp_path: Path) -> None:
        lines = list(csv.reader(io.StringIO(csv_reporter.render(full(tmp_path)))))
        figures = {tuple(line[:3]): line[3] for line in lines[1:]}
        assert len(figures) == len(lines) - 1
        assert figures["times by bit", "tif:SIGPENDING", "timed"] == "100"
        assert figures["times by word", "syscall tif:SIGPENDING", "ns_max"] == "5000"
        assert figures["times from ns", "syscall 1024", "exits"] == "97"
        assert figures["setters", "tif:NEED_RESCHED resched_curr: kworker/0:1 -> cc1", "count"] == "975"
        assert figures["setters", "tif:NEED_RESCHED resched_curr: \\x1b[1m", "count"] == "25"
        assert figures["handlers", "syscall NOTIFY_RESUME task_work_run", "share_of_bit"] == "0.75"
        assert figures["exits", "interrupt", "share"] == "", "unknown, not zero"
        assert figures["accounting", "all", "counted"] == "10000"

    def test_in_json(self, tmp_path: Path) -> None:
        document = json.loads(json_reporter.render(full(tmp_path)))
        assert document["contexts"][0]["frequency"]["share"] == 0.0104
        assert document["contexts"][1]["frequency"]["share"] is None
        assert document["latency"]["bits"][0]["times"]["histogram"] == [
            {"low": 1024, "high": 2047, "exits": 97},
            {"low": 4096, "high": 8191, "exits": 2},
            {"low": 1048576, "high": 2097151, "exits": 1},
        ]
        assert document["setters"]["lost"] == 3
        assert document["routes"][0]["attempts"][0]["self_tests"] == [
            {"exercise": "signal", "expected": 100, "seen": 0}
        ]

    def test_long_lists_are_cut(self, tmp_path: Path) -> None:
        setters = tuple(
            Setter(word=Word.TIF, bit="NEED_RESCHED", by="resched_curr", comm=f"t{number}", count=number)
            for number in range(1, 13)
        )
        text = shown(full(tmp_path, setters=setters))
        assert len(section(text, "Who set the bits (10 of 12)")) > 10


class TestHostileNames:
    @pytest.fixture
    def report(self, tmp_path: Path) -> schema.Report:
        host = Host(name="\x1b[2Jhost\nname", cpus=1)
        rows = [row(2, 100 + place, comm=name) for place, name in enumerate(HOSTILE)]
        return built(tmp_path, rows, top=20, dimensions=("comm",), host=host)

    def test_in_the_terminal(self, report: schema.Report) -> None:
        text = shown(report)
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)
        assert "\\x1b[2Jhost\\nname" in text
        assert {"<script>", "two\\nlines", "[red]rich[/red]", ":smile:"} <= set(text.split())
        for name in ("\\x1b[31mred\\x1b[0m", "back\\\\slash"):
            assert name in text
        assert "\x1b[31mred" not in shown(report, force_terminal=True, color_system="standard")

    def test_in_markdown(self, report: schema.Report) -> None:
        text = markdown.render(report)
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)
        for line in text.splitlines():
            if any(part in line for part in ("<script>", "a|b|c", "`tick`", "two\\n", "x1b")):
                assert line.startswith("    "), line

    def test_in_csv(self, report: schema.Report) -> None:
        names = {
            line[1] for line in csv.reader(io.StringIO(csv_reporter.render(report))) if line[0] == "comm"
        }
        assert "'=cmd()" in names
        assert "'@SUM(A1)" in names
        assert "two\\nlines" in names
        assert "\\x1b[31mred\\x1b[0m" in names
        assert "a|b|c" in names
        assert not any(name.startswith(("=", "+", "-", "@")) for name in names)

    def test_in_json(self, report: schema.Report) -> None:
        text = json_reporter.render(report)
        assert text.isascii()
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", text)
        names = {line["value"] for line in json.loads(text)["dimensions"][0]["lines"]}
        assert names == set(HOSTILE)


class TestMarkdown:
    def test_plain_text_of_80_columns(self, tmp_path: Path) -> None:
        rows = [row(0x337, BIG, 0x4, comm="n" * 60), row(0, BIG, comm="short"), row(2**63, BIG)]
        text = markdown.render(built(tmp_path, rows, dimensions=("comm",), command=("c" * 200, "d" * 60)))
        assert text.isascii()
        assert max(map(len, text.splitlines())) <= 80
        assert not any(line != line.rstrip() for line in text.splitlines())

    def test_its_tables_are_aligned(self, mixed: schema.Report) -> None:
        lines = markdown.render(mixed).splitlines()
        start = lines.index("Bits that made exits slow")
        assert lines[start + 1 : start + 6] == [
            "-------------------------",
            "",
            "    bit                 present  of exits  trigger  of slow  sole",
            "    SIGPENDING              107    9.41 %      107   88.4 %   100  ###########",
            "    NEED_RESCHED             18    1.58 %       18   14.9 %     0  ##",
        ]

    def test_only_headings_are_not_indented(self, mixed: schema.Report) -> None:
        lines = markdown.render(mixed).splitlines()
        for place, line in enumerate(lines):
            if line and not line.startswith("    "):
                assert set(line) <= {"-", "="} or set(lines[place + 1]) <= {"-", "="}, line


class TestJson:
    def test_it_is_what_its_schema_says(self, mixed: schema.Report, tmp_path: Path) -> None:
        written = json.loads((resources.directory("reports") / "report.schema.json").read_text())
        for report in (mixed, built(tmp_path, []), full(tmp_path)):
            jsonschema.validate(json.loads(json_reporter.render(report)), written)

    def test_the_schema_is_that_of_the_types(self) -> None:
        written = (resources.directory("reports") / "report.schema.json").read_text()
        assert written == json_reporter.schema(), "write it again with tifbpf.reporters.json.schema()"

    def test_figures_are_whole_and_unknown_is_null(self, mixed: schema.Report) -> None:
        document = json.loads(json_reporter.render(mixed))
        assert document["schema"] == 1
        assert document["contexts"][1]["frequency"]["exits"] is None
        assert '"exits": 1137,' in json_reporter.render(mixed)
        (line,) = [line for line in document["bits"] if line["bit"] == "SIGPENDING"]
        assert (line["trigger"], line["sole"], line["word"]) == (107, 100, "tif")
        assert document["slow_words"][0]["tif_value"] == "0x2"
        assert document["pairs"][0]["slow"] == 11
        causes = ("map_full", "read_failed", "recursion", "kprobe_misses", "unclassified")
        assert document["accounting"]["causes"] == dict.fromkeys(causes, 0)
        assert document["latency"] is document["setters"] is document["handlers"] is None


def test_csv_is_one_figure_a_line(mixed: schema.Report) -> None:
    lines = list(csv.reader(io.StringIO(csv_reporter.render(mixed))))
    assert lines[0] == ["table", "row", "measure", "value"]
    figures = {tuple(line[:3]): line[3] for line in lines[1:]}
    assert len(figures) == len(lines) - 1
    assert figures["exits", "all", "slow"] == "121"
    assert figures["exits", "interrupt", "exits"] == "", "unknown, not zero"
    assert figures["bits", "tif:SIGPENDING", "sole"] == "100"
    assert figures["comm", "make", "slow"] == "11"
    assert figures["slow words", "syscall tif:SIGPENDING|tif:NEED_RESCHED", "count"] == "5"
    assert figures["losses", "map_full", "exits"] == "0"
    assert figures["accounting", "all", "lost"] == "0"


class TestCaveats:
    """Whatever limits the figures is said above them."""

    def caveats(self, report: schema.Report) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for caveat in report.caveats:
            found.setdefault(caveat.kind, []).append(caveat.text)
        return found

    def test_an_exact_and_complete_recording_has_none(self, tmp_path: Path) -> None:
        assert built(tmp_path, [row(2, 1)], contexts=build.everything()).caveats == ()
        assert "Before you quote" not in shown(built(tmp_path, [row(2, 1)], contexts=build.everything()))

    def test_nothing_recorded(self, tmp_path: Path) -> None:
        report = built(tmp_path, [])
        assert self.caveats(report)["empty"] == ["0 exits were recorded."]
        assert "0 of 0 exits were slow" in shown(report)

    def test_partial(self, tmp_path: Path) -> None:
        (text,) = self.caveats(built(tmp_path, MIXED, complete=False, ended="SIGTERM"))["partial"]
        assert text.endswith("is partial: SIGTERM ended it after 10.0 s.")

    def test_killed(self, tmp_path: Path) -> None:
        directory = tmp_path / "a.tif.parquet.segments"
        segment(directory, 0, 0, [row(0, 5)], recorded=5)
        segment(directory, 3, 3, [row(0, 5)], recorded=17)
        found = self.caveats(model.build(tifbpf.read(directory)))
        assert (
            "was killed, or could write no more: all exits after the first 4.0 s are missing"
            in found["unfinished"][0]
        )
        assert "at most one interval (1.0 s)" in found["unfinished"][0]
        assert "flushes 1-2; with them 7 exits" in found["gap"][0]

    def test_losses(self, tmp_path: Path) -> None:
        (text,) = self.caveats(built(tmp_path, [row(0, 999)], losses=Losses(map_full=1)))["loss"]
        assert text == "1 of 1,000 exits seen were lost (0.100 %) and are in no other figure: map_full 1."

    def test_observers(self, tmp_path: Path) -> None:
        effects = tuple(
            ObserverEffect(word=Word.SYSCALL_WORK, bit="SYSCALL_TRACEPOINT", ours=ours, text=text)
            for ours, text in ((True, "it is ours"), (False, "it is bpftrace's"))
        )
        found = self.caveats(built(tmp_path, MIXED, observer_effects=effects))["observer"]
        assert found == ["it is ours", "it is bpftrace's"]
        # A route whose bit is not named as an effect still says what it does.
        found = self.caveats(built(tmp_path, MIXED))["observer"]
        assert found == ["The tracepoint route perturbs: SYSCALL_TRACEPOINT is set on every task"]

    def test_no_denominator(self, tmp_path: Path) -> None:
        contexts = (covered(Context.SYSCALL, denominator=None), *build.syscalls_only()[1:])
        report = built(tmp_path, [row(2, 40)], contexts=contexts)
        assert "share of all syscall exits is unknown" in self.caveats(report)["denominator"][0]
        assert "40 slow exits (4.00 a second); of how many exits is unknown." in shown(report)
        assert "never set in 40 slow exits" in shown(report)

    def test_a_denominator_that_counted_too_few(self, tmp_path: Path) -> None:
        contexts = (slow_only(Context.SYSCALL), *build.syscalls_only()[1:])
        report = built(tmp_path, [row(2, 40), all_exits(39)], contexts=contexts)
        (text,) = self.caveats(report)["denominator"]
        assert text.startswith("What should count all syscall exits counted fewer than were slow")
        assert text.endswith("their share of all syscall exits is unknown.")
        assert "40 slow exits (4.00 a second); of how many exits is unknown." in shown(report)

    def test_a_denominator_that_lost_some(self, tmp_path: Path) -> None:
        contexts = (slow_only(Context.SYSCALL), *build.syscalls_only()[1:])
        totals = Totals(seen=40, recorded=40, counted=100, uncounted=25)
        report = built(tmp_path, [row(2, 40), all_exits(100)], contexts=contexts, totals=totals)
        assert self.caveats(report)["denominator"] == [
            "What counts all exits lost 25 of 125: shares of them are too high."
        ]

    def test_bits_that_the_route_does_not_see(self, tmp_path: Path) -> None:
        unseen = (
            UnseenBit(word=Word.TIF, bit="UPROBE"),
            UnseenBit(word=Word.SYSCALL_WORK, bit="SYSCALL_TRACE"),
        )
        contexts = (slow_only(Context.SYSCALL, unseen=unseen), *build.syscalls_only()[1:])
        report = built(tmp_path, [row(2, 40), all_exits(100)], contexts=contexts)
        (text,) = self.caveats(report)["unseen"]
        assert text.startswith(
            "The loop route does not see syscall exits that are slow for nothing but UPROBE,"
        )
        assert text.endswith("work:SYSCALL_TRACE: they are missing.")
        text = markdown.render(report)
        assert "see it: UPROBE, work:SYSCALL_TRACE." in " ".join(text.split())
        assert "does not see alone: UPROBE of tif" in text

    def test_cpus_that_the_route_does_not_see(self, tmp_path: Path) -> None:
        contexts = (slow_only(Context.SYSCALL, blind_cpus=(1, 3)), *build.syscalls_only()[1:])
        report = built(tmp_path, [row(2, 40), all_exits(100)], contexts=contexts)
        (text,) = self.caveats(report)["unseen"]
        assert text == (
            "Of syscall exits the loop route does not see any exit on CPU 1, 3 since it went offline or came "
            "online: they are missing."
        )
        assert "does not see: any exit on CPU 1, 3 since it" in " ".join(markdown.render(report).split())

    def test_slow_exits_whose_bits_were_gone(self, tmp_path: Path) -> None:
        contexts = (slow_only(Context.SYSCALL), *build.syscalls_only()[1:])
        rows = [row(0, 7, path="slow", tier=None), all_exits(100)]
        (text,) = self.caveats(built(tmp_path, rows, contexts=contexts))["trigger"]
        assert text.startswith("7 syscall exits were slow, and their bits gone when the route looked:")
        assert text.endswith("what triggered them is unknown.")

    def test_a_self_test_that_saw_less(self, tmp_path: Path) -> None:
        tests = (SelfTest(exercise="signal", expected=100, seen=98),)
        contexts = (covered(Context.SYSCALL, self_tests=tests), *build.syscalls_only()[1:])
        assert self.caveats(built(tmp_path, MIXED, contexts=contexts))["self-test"] == [
            "The self-test of syscall exits (signal) caused 100 and saw 98."
        ]

    def test_filters(self, tmp_path: Path) -> None:
        assert self.caveats(built(tmp_path, MIXED, filters={"pid": "12", "self": "excluded"}))["filter"] == [
            "Not the whole host, only pid 12."
        ]

    def test_children_that_were_not_followed(self, tmp_path: Path) -> None:
        totals = Totals(seen=1137, recorded=1137, not_followed=3)
        assert self.caveats(built(tmp_path, MIXED, totals=totals))["filter"] == [
            "3 children could not be followed, there being too many at once: their exits are missing."
        ]

    def test_a_contradicted_layout(self, tmp_path: Path) -> None:
        evidence = (Evidence(fact="8 values", source="BTF", verdict="contradicts"),)
        assert self.caveats(built(tmp_path, MIXED, layout_evidence=evidence))["layout"] == [
            "BTF contradicts the layout 6.18: 8 values."
        ]

    def test_recordings_that_differ(self, tmp_path: Path) -> None:
        paths = [
            write(tmp_path / "a.tif.parquet", MIXED, id="a", dimensions=("comm",)),
            write(
                tmp_path / "b.tif.parquet",
                [row(2, 1, None)],
                id="b",
                layout=build.layout_612(),
                contexts=build.everything(),
            ),
        ]
        report = model.build(tifbpf.read(paths))
        found = self.caveats(report)
        assert "The layouts differ (6.18, 6.12)" in found["layout"][0]
        assert found["dimension"] == ["Only 1 of 2 recordings have comm: its table is of these."]
        assert len(found["coverage"]) == 2
        text = shown(report)
        assert "tifbpf: 2 recordings, 1 host, 1 kernel, 20.0 s" in text
        assert "Layout: 6.12 (recording 2)" in text


class TestCommand:
    def run(self, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *arguments],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **environment},
        )

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return write(tmp_path / "a.tif.parquet", [*MIXED, row(2, 1, comm="žluť")], dimensions=("comm",))

    def test_each_format(self, path: Path) -> None:
        for option, start in {
            "--json": '{\n  "schema": 1',
            "--csv": "table,row,measure,value\n",
            "--markdown": "tifbpf\n======\n",
            "--top=1": "tifbpf: web1",
        }.items():
            done = self.run(path, option)
            assert (done.returncode, done.stderr) == (0, "")
            assert done.stdout.startswith(start)

    def test_an_encoding_that_lacks_a_character(self, path: Path) -> None:
        for option in ("--csv", "--markdown", "--top=9"):
            done = self.run(path, option, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
            assert (done.returncode, done.stderr) == (0, "")
            assert "\\u017elu\\u0165" in done.stdout

    def test_an_error_is_one_line_with_its_code(self, tmp_path: Path) -> None:
        done = self.run(tmp_path / "no.tif.parquet")
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (15, "", 1)
        done = self.run(write(tmp_path / "a.tif.parquet", MIXED), "--json", "--csv")
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)

    def test_a_reader_that_has_seen_enough(self, path: Path) -> None:
        with subprocess.Popen([*COMMAND, path], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.close()
            assert process.stderr.read() == b""


@pytest.mark.parametrize("form", [(), ("--json",), ("--by", "host")])
def test_a_report_does_without_pandas(tmp_path: Path, form: tuple[str, ...]) -> None:
    path = write(tmp_path / "a.tif.parquet", MIXED, dimensions=("syscall", "comm"))
    script = (
        "import sys\n"
        "from tifbpf.cli.app import run\n"
        "run(sys.argv[1:])\n"
        "print('pandas' in sys.modules, file=sys.stderr)"
    )
    arguments = [sys.executable, "-c", script, "report", *form, path]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert done.stderr == "False\n"
