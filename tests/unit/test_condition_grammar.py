"""`--fail-on` as text: what it means, and where it says that it means nothing."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tifbpf.conditions.facts import Facts, Test, Value, compiled, has_trigger, has_value
from tifbpf.conditions.model import AllOf, AnyOf, Compared, Condition, Expression, Field, Limit, Measure, Not
from tifbpf.conditions.parse import parse
from tifbpf.errors import ConditionSyntaxError, ExitCode
from tifbpf.layouts.model import Word
from tifbpf.recording.schema import DIMENSIONS
from tifbpf.recording.triggers import Trigger
from tifbpf.text import printable


def numbers(field: Field, column: int, *ranges: tuple[int, int]) -> Compared:
    return Compared(field=field, ranges=ranges, column=column)


def names(field: Field, column: int, *values: str) -> Compared:
    return Compared(field=field, names=values, column=column)


RESCHED = names(Field.BIT, 16, "NEED_RESCHED")


@pytest.mark.parametrize(
    ("text", "expression", "limit"),
    [
        (
            "cpu in 2-7 and bit == NEED_RESCHED",
            AllOf((numbers(Field.CPU, 1, (2, 7)), RESCHED)),
            Limit(),
        ),
        ("cpu != 3", Not(numbers(Field.CPU, 1, (3, 3))), Limit()),
        ("cpu not in (1, 2-3)", Not(numbers(Field.CPU, 1, (1, 1), (2, 3))), Limit()),
        ("pid in 1,20", numbers(Field.PID, 1, (1, 1), (20, 20)), Limit()),
        ("slow", names(Field.PATH, 1, "slow"), Limit()),
        ("path == fast", names(Field.PATH, 1, "fast"), Limit()),
        ("comm in (a, 'b c', kworker/0:1H)", names(Field.COMM, 1, "a", "b c", "kworker/0:1H"), Limit()),
        ('comm == "and"', names(Field.COMM, 1, "and"), Limit()),
        (r'comm == "\x1b[31m\\"', names(Field.COMM, 1, "\x1b[31m\\"), Limit()),
        ("cgroup == /user.slice", names(Field.CGROUP, 1, "/user.slice"), Limit()),
        ("word == SIGPENDING|UPROBE", names(Field.WORD, 1, "SIGPENDING|UPROBE"), Limit()),
        ("syscall_work == 0x4", names(Field.SYSCALL_WORK, 1, "0x4"), Limit()),
        ("count > 5", None, Limit(value=5)),
        ("count >= 5", None, Limit(value=5, reached=True)),
        ("rate(slow) > 0.5/s", names(Field.PATH, 6, "slow"), Limit(measure=Measure.RATE, value=0.5)),
        ("share > 5 %", None, Limit(measure=Measure.SHARE, value=0.05)),
        (
            "not slow and fast or cpu == 1",
            AnyOf(
                (
                    AllOf((Not(names(Field.PATH, 5, "slow")), names(Field.PATH, 14, "fast"))),
                    numbers(Field.CPU, 22, (1, 1)),
                )
            ),
            Limit(),
        ),
        (
            "not (slow or fast)",
            Not(AnyOf((names(Field.PATH, 6, "slow"), names(Field.PATH, 14, "fast")))),
            Limit(),
        ),
    ],
)
def test_what_it_means(text: str, expression: Expression | None, limit: Limit) -> None:
    assert parse(text) == Condition(text=text, expression=expression, limit=limit)


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        ("", "the end", "expected count, rate, share, cpu, pid"),
        ("cpu in 2-7 and bitt == X", "character 16, 'bitt'", "expected cpu, pid, bit"),
        ("cpu in", "the end", "expected a number or a range such as 2-7, ("),
        ("cpu == 7-2", "character 8, '7-2'", "the range 7-2 is empty"),
        ("cpu == a", "character 8, 'a'", "expected a number"),
        ("bit = X", "character 5, '='", "expected ==, !=, not, in"),
        ("cpus == 1", "character 1, 'cpus'", "expected"),
        ("slow slow", "character 6, 'slow'", "expected and, or, the end"),
        ("(slow", "the end", "expected and, or, )"),
        ("context == kernel", "character 12, 'kernel'", "there are syscall, interrupt, exception"),
        ("path == all", "character 9, 'all'", "there are fast, slow"),
        ("syscall == nope", "character 12, 'nope'", "no such system call"),
        ("share > 5", "the end", "expected %"),
        ("rate > 5", "the end", "expected /s"),
        ("comm == 'a", "character 9", "expected a name"),
        (r"comm == '\q'", "character 9", "expected a name"),
        ("comm == a \x1b[31m", r"character 11, '\x1b[31m'", "expected and, or, the end"),
    ],
)
def test_where_it_says_that_it_means_nothing(text: str, place: str, said: str) -> None:
    with pytest.raises(ConditionSyntaxError) as refused:
        parse(text)
    assert f"at {place}" in str(refused.value)
    assert said in str(refused.value)
    assert str(refused.value).isprintable()
    assert refused.value.exit_code is ExitCode.USAGE


def test_bytes_that_are_no_text_are_those_of_recordings() -> None:
    (found,) = parse("comm == a\udcffb").comparisons
    assert found.names == ("a\\xffb",)


def test_dimensions_are_what_it_names_in_their_order() -> None:
    condition = parse("cpu == 1 and (comm == a or bit == X) and not syscall == read and pid != 3")
    assert condition.dimensions == ("syscall", "comm", "pid", "cpu")
    everything = "cpu == 1 or pid == 1 or cgroup == a or comm == a or syscall == read"
    assert parse(everything).dimensions == DIMENSIONS


def quoted(text: str) -> str:
    return '"' + printable(text).replace('"', '\\"') + '"'


_text = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
_range = st.tuples(st.integers(0, 20), st.integers(0, 20)).map(lambda pair: (min(pair), max(pair)))
_comparison = st.one_of(
    st.builds(
        lambda field, ranges: Compared(field=field, ranges=tuple(ranges), column=1),
        st.sampled_from([Field.CPU, Field.PID]),
        st.lists(_range, min_size=1, max_size=3),
    ),
    st.builds(
        lambda field, values: Compared(field=field, names=tuple(values), column=1),
        st.sampled_from([Field.COMM, Field.CGROUP, Field.BIT]),
        st.lists(_text, min_size=1, max_size=3),
    ),
    st.builds(
        lambda name: Compared(field=Field.PATH, names=(name,), column=1), st.sampled_from(["slow", "fast"])
    ),
)
_expression: st.SearchStrategy[Expression] = st.recursive(
    _comparison,
    lambda inner: st.one_of(
        inner.map(Not),
        st.lists(inner, min_size=2, max_size=3).map(lambda some: AllOf(tuple(some))),
        st.lists(inner, min_size=2, max_size=3).map(lambda some: AnyOf(tuple(some))),
    ),
    max_leaves=8,
)


def written(expression: Expression) -> str:
    """The expression as text, with every parenthesis."""
    match expression:
        case Compared():
            values = [*map(quoted, expression.names), *(f"{low}-{high}" for low, high in expression.ranges)]
            return f"{expression.field} in ({', '.join(values)})"
        case Not():
            return f"not ({written(expression.operand)})"
        case AllOf():
            return " and ".join(f"({written(operand)})" for operand in expression.operands)
        case AnyOf():
            return " or ".join(f"({written(operand)})" for operand in expression.operands)


def unplaced(expression: Expression) -> Expression:
    match expression:
        case Compared():
            return msgspec.structs.replace(expression, column=1)
        case Not():
            return Not(unplaced(expression.operand))
        case AllOf():
            return AllOf(tuple(map(unplaced, expression.operands)))
        case AnyOf():
            return AnyOf(tuple(map(unplaced, expression.operands)))


@settings(deadline=None)  # the first builds the grammar
@given(_expression)
def test_what_is_written_is_read(expression: Expression) -> None:
    found = parse(written(expression)).expression
    assert found is not None
    assert unplaced(found) == expression


@settings(deadline=None)  # the first builds the grammar
@given(_expression)
def test_it_survives_the_way_to_the_recorder(expression: Expression) -> None:
    condition = Condition(text="", expression=expression)
    assert msgspec.json.decode(msgspec.json.encode(condition), type=Condition) == condition


def one_line(text: str) -> bool:
    """Whether it is a condition, or an error of one line that a terminal can be given."""
    try:
        parse(text)
    except ConditionSyntaxError as error:
        return str(error).isprintable()
    return True


_WORDS = ["cpu", "pid", "comm", "bit", "slow", "fast", "1", "2-3", "x", "'s'"]
_OTHER_WORDS = [
    "and",
    "or",
    "not",
    "in",
    "(",
    ")",
    ",",
    "==",
    "!=",
    ">",
    ">=",
    "count",
    "rate",
    "/s",
    "share",
    "%",
]


@settings(deadline=None)  # the first builds the grammar
@given(st.text(max_size=40))
def test_any_text_is_a_condition_or_one_line(text: str) -> None:
    assert one_line(text)


@settings(deadline=None)  # the first builds the grammar
@given(st.lists(st.sampled_from(_WORDS)))
def test_any_words_are_a_condition_or_one_line(words: list[str]) -> None:
    assert one_line(" ".join(words))


class Exit(msgspec.Struct):
    cpu: int
    pid: int
    comm: str
    cgroup: str
    path: str
    bits: frozenset[str]


_exit = st.builds(
    Exit,
    cpu=st.integers(0, 20),
    pid=st.integers(0, 20),
    comm=_text,
    cgroup=_text,
    path=st.sampled_from(["slow", "fast"]),
    bits=st.frozensets(_text, max_size=3),
)


def holds(expression: Expression, exit_: Exit) -> bool:
    """What Python makes of it."""
    match expression:
        case Compared(field=Field.BIT):
            return bool(exit_.bits & set(expression.names))
        case Compared():
            value = getattr(exit_, expression.field)
            return value in expression.names or any(low <= value <= high for low, high in expression.ranges)
        case Not():
            return not holds(expression.operand, exit_)
        case AllOf():
            return all(holds(operand, exit_) for operand in expression.operands)
        case AnyOf():
            return any(holds(operand, exit_) for operand in expression.operands)


def resolve(compared: Compared) -> Test:
    if compared.field is Field.BIT:
        return has_trigger(Trigger(Word.TIF, name) for name in compared.names)

    def accepts(value: Value) -> bool:
        return value in compared.names or any(low <= int(value) <= high for low, high in compared.ranges)  # type: ignore[arg-type]

    return has_value(compared.field, accepts)


_FIELDS = (Field.CPU, Field.PID, Field.COMM, Field.CGROUP, Field.PATH)


@settings(deadline=None)  # the first builds the grammar
@given(_expression, _exit)
def test_of_a_known_exit_it_says_what_python_says(expression: Expression, exit_: Exit) -> None:
    facts = Facts(
        values={field: frozenset({getattr(exit_, field)}) for field in _FIELDS},
        triggers=frozenset(Trigger(Word.TIF, name) for name in exit_.bits),
        triggers_known=True,
    )
    assert compiled(expression, resolve)(facts) is holds(expression, exit_)


@settings(deadline=None)  # the first builds the grammar
@given(_expression, _exit, st.sets(st.sampled_from([*_FIELDS, Field.BIT])))
def test_what_it_says_knowing_less_stays_true(
    expression: Expression, exit_: Exit, unknown: set[Field]
) -> None:
    """So a condition that no exit can match, by the facts of a context, is one that none does."""
    facts = Facts(
        values={field: frozenset({getattr(exit_, field)}) for field in _FIELDS if field not in unknown},
        triggers=frozenset(Trigger(Word.TIF, name) for name in exit_.bits),
        triggers_known=Field.BIT not in unknown,
    )
    said = compiled(expression, resolve)(facts)
    for bits in {frozenset(), exit_.bits} if Field.BIT in unknown else {exit_.bits}:
        known = msgspec.structs.replace(exit_, bits=bits)
        assert said in (None, holds(expression, known))


@pytest.mark.parametrize(
    "text",
    [
        'comm == "a\0b"',
        "comm == 'a\rb'",
        "not " * 1000 + "slow",
        "(" * 300 + "slow" + ")" * 300,
        "cpu == " + "9" * 4500,
        "count > " + "9" * 400,
    ],
)
def test_what_nobody_writes_is_refused_in_a_line(text: str) -> None:
    with pytest.raises(ConditionSyntaxError, match="no condition") as error:
        parse(text)
    assert str(error.value).isprintable()


@settings(deadline=None)  # the first builds the grammar
@given(
    st.text()
    | st.lists(st.sampled_from([*"()=!<>,'\"\\%/ \t\0x9", "not ", "cpu", "comm", " in "])).map("".join)
)
def test_any_text_is_a_condition_or_is_refused(text: str) -> None:
    try:
        found = parse(text)
    except ConditionSyntaxError as error:
        assert str(error).isprintable()  # noqa: PT017
    else:
        assert parse(found.text) == found
