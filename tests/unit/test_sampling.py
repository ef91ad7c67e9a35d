"""What decides which exits are looked at, and for how much of the time."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

import pytest
from typer import BadParameter

from tests.unit.flushes import exits, flush
from tests.unit.recordings import SECOND_NS
from tifbpf.cli import options
from tifbpf.recorder import overhead, pace, sampling
from tifbpf.recorder.session import Flush
from tifbpf.recorder.tally import Tally
from tifbpf.recording.metadata import Sampling


@pytest.mark.parametrize("one_in", [2, 3, 10, 1000, 1_000_000])
def test_the_digits_make_a_geometric_number(one_in: int) -> None:
    chances = [odds / 2**32 for odds in sampling.odds(one_in)]
    passed_by = sum(chance * 2**digit for digit, chance in enumerate(chances))
    assert passed_by == pytest.approx(one_in - 1, rel=1e-6)
    q = 1 - 1 / one_in
    for number in {0, 1, 2, 5, one_in}:
        probability = 1.0
        for digit, chance in enumerate(chances):
            probability *= chance if number >> digit & 1 else 1 - chance
        assert probability == pytest.approx(q**number / one_in, rel=1e-6)


def test_exits_are_looked_at_independently_of_each_other() -> None:
    odds = sampling.odds(4)
    generator = random.Random(1)  # noqa: S311
    looked_at = []
    while len(looked_at) < 40_000:
        passed_by = sum((generator.getrandbits(32) < chance) << digit for digit, chance in enumerate(odds))
        looked_at += [False] * passed_by + [True]
    pairs = list(itertools.pairwise(looked_at))
    assert sum(looked_at) / len(looked_at) == pytest.approx(1 / 4, abs=0.01)
    assert sum(first and second for first, second in pairs) / len(pairs) == pytest.approx(1 / 16, abs=0.006)


def test_who_looks_at_every_exit_compiles_nothing() -> None:
    assert sampling.definitions(1) == {}
    assert list(sampling.definitions(2)) == ["SAMPLE_ODDS"]


class Clocked:
    """A session that does nothing but take notes, and a clock that goes on when told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, every: int) -> None:
        self.now = 5 * SECOND_NS
        self.began = self.since = self.now
        self.reached_ns = 0
        self.every = every
        self.attached = every == 1
        self.windows: list[tuple[int, int]] = []
        monkeypatch.setattr(pace.time, "monotonic_ns", lambda: self.now)

    def resume(self) -> None:
        assert not self.attached
        self.attached, self.since = True, self.now

    def pause(self) -> Flush:
        assert self.attached
        self.attached = False
        return self.flush()

    def flush(self) -> Flush:
        self.windows.append((self.since - self.began, self.now - self.since))
        self.reached_ns += (self.now - self.since) * self.every
        self.since = self.now
        return flush([], seconds=self.windows[-1][1] / SECOND_NS, every=self.every)


def run(clocked: Clocked, found: pace.Pace, *, late_ns: int = 0) -> Iterator[Flush]:
    while True:
        clocked.now = max(found.due_ns, clocked.now) + late_ns
        if (flush := found.act()) is not None:
            yield flush


def test_there_is_one_window_in_each_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    clocked = Clocked(monkeypatch, 10)
    found = pace.Windows(clocked, SECOND_NS, 10)  # type: ignore[arg-type]
    assert len(list(itertools.islice(run(clocked, found), 50))) == 50
    for number, (start, length) in enumerate(clocked.windows):
        assert length == SECOND_NS // 10
        assert number * SECOND_NS <= start <= number * SECOND_NS + SECOND_NS * 9 // 10
    phases = sorted(start % SECOND_NS for start, _ in clocked.windows)
    assert phases[0] < SECOND_NS // 4 < SECOND_NS // 2 < phases[-1]


def test_windows_that_last_too_long_are_made_up_for(monkeypatch: pytest.MonkeyPatch) -> None:
    clocked = Clocked(monkeypatch, 10)
    found = pace.Windows(clocked, SECOND_NS, 10)  # type: ignore[arg-type]
    for _ in itertools.islice(run(clocked, found, late_ns=SECOND_NS // 100), 100):
        pass
    assert clocked.reached_ns == pytest.approx(100 * SECOND_NS, rel=0.002)


def test_of_all_the_time_nothing_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    clocked = Clocked(monkeypatch, 1)
    found = pace.Windows(clocked, SECOND_NS, 1)  # type: ignore[arg-type]
    for _ in itertools.islice(run(clocked, found), 5):
        pass
    assert clocked.windows == [(number * SECOND_NS, SECOND_NS) for number in range(5)]
    # Less of the time from the next interval on.
    clocked.now = found.due_ns
    assert found.act(4) is not None
    clocked.every = 4
    assert not clocked.attached
    for _ in itertools.islice(run(clocked, found), 3):
        pass
    assert [length for _, length in clocked.windows[6:]] == [SECOND_NS // 4] * 3
    # And all of it again.
    clocked.now = found.due_ns
    found.act()
    clocked.now = found.due_ns
    assert found.act(1) is not None
    clocked.every = 1
    for _ in itertools.islice(run(clocked, found), 2):
        pass
    assert clocked.windows[-1] == (clocked.windows[-2][0] + SECOND_NS, SECOND_NS)


@pytest.mark.parametrize(
    ("every", "cost", "roomy", "then"),
    [
        (1, 0.9, 0, 1),
        (1, 1.1, 0, 2),
        (1, 8.0, 0, 8),
        (4, 1.5, 0, 8),
        (1, 1000.0, 0, overhead.MOST),
        (8, 0.1, overhead.PATIENCE - 1, 8),
        (8, 0.1, overhead.PATIENCE, 4),
        (1, 0.1, overhead.PATIENCE, 1),
    ],
)
def test_what_costs_too_much_is_done_less(every: int, cost: float, roomy: int, then: int) -> None:
    assert overhead.next_every(every, cost, 1.0, roomy) == then


def chosen(**given: float) -> tuple[int, int]:
    defaults = {"by": None, "pid": None, "comm": None, "cgroup": None, "cpu": None, "syscall": None}
    more = {"include_self": False, "route": None, "headers": None, "map_size": None, "slow_only": False}
    found = options.collect(**{**defaults, **more, "interval": 1.0, **given})  # type: ignore[arg-type]
    return found.one_in, found.every


def test_no_more_of_the_time_is_recorded_than_was_asked_for() -> None:
    assert chosen() == (1, 1)
    assert chosen(sample=100) == (100, 1)
    assert [chosen(duty=duty)[1] for duty in (100, 50, 34, 33, 10, 0.1)] == [1, 2, 3, 4, 10, 1000]
    assert chosen(max_overhead=1.0, duty=25) == (1, 4)


@pytest.mark.parametrize("given", [{"duty": 10, "interval": 0.05}, {"duty": 0.1, "interval": 0.5}])
def test_windows_that_could_not_be_kept_are_refused(given: dict[str, float]) -> None:
    with pytest.raises(BadParameter, match=r"--duty.*--interval"):
        chosen(**given)


def test_the_running_total_is_of_all_exits() -> None:
    tally = Tally()
    about = {"sampling": Sampling(one_in=10, every=2), "duration_ns": SECOND_NS}
    tally.add(flush([exits(0x2, 3), exits(0, 7)], every=2, **about))
    assert str(tally) == "1.0 s: about 200 exits, 60 slow (30.000 %), 0 lost"
