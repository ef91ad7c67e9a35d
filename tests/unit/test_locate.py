"""Which recordings names, patterns and directories mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit import recordings as build
from tests.unit.recordings import row
from tifbpf.errors import InputMissingError, NoExtraError
from tifbpf.recording import remote
from tifbpf.recording.locate import locate


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    """Two hosts' recordings by day; one that is unfinished, one that was just finished, one that is begun."""
    for name in ("host=a/day=1/x", "host=a/day=2/x", "host=b/day=1/x"):
        path = tmp_path / f"{name}.tif.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        build.write(path)
    day = tmp_path / "host=b" / "day=1"
    build.segment(day / "y.tif.parquet.segments", 0, 0, [row(0, 1)], recorded=1)
    build.segment(day / "x.tif.parquet.segments", 0, 0, [row(0, 1)], recorded=1)
    (day / ".z.tif.parquet.tmp").touch()
    (day / ".z.tif.parquet").touch()
    (day / "README").touch()
    return tmp_path


ALL = ["host=a/day=1/x", "host=a/day=2/x", "host=b/day=1/x", "host=b/day=1/y"]


def found(fleet: Path, *names: str | Path) -> list[str]:
    return [
        str(path).removeprefix(f"{fleet}/").replace(".tif.parquet", "").replace(".segments", "")
        for path in locate(names)
    ]


def test_a_directory_is_the_recordings_below_it(fleet: Path) -> None:
    assert found(fleet, fleet) == found(fleet, str(fleet)) == ALL
    assert found(fleet, fleet / "host=b") == ALL[2:]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("**/*.parquet", ALL),
        ("**/*.tif.parquet", ALL),
        ("host=*", ALL),
        ("host=a/*/*.parquet", ALL[:2]),
        ("*/day=1/*", None),
        ("host=[b]/day=1/x.tif.parquet", ALL[2:3]),
        ("host=b/**/*.segments", ALL[3:]),
    ],
)
def test_a_pattern(fleet: Path, pattern: str, expected: list[str] | None) -> None:
    (fleet / "host=b/day=1/README").unlink()
    assert found(fleet, f"{fleet}/{pattern}") == (expected or [ALL[0], *ALL[2:]])


def test_a_pattern_that_means_nothing(fleet: Path) -> None:
    with pytest.raises(InputMissingError, match="no file has such a name"):
        locate([f"{fleet}/**/*.arrow"])


def test_each_once_in_the_order_given(fleet: Path) -> None:
    given = [f"{fleet}/host=b/day=1/x.tif.parquet", f"{fleet}/**/*.parquet", f"{fleet}/host=a"]
    assert found(fleet, *given) == [ALL[2], *ALL[:2], ALL[3]]


def test_a_name_that_looks_like_a_pattern(fleet: Path) -> None:
    path = build.write(fleet / "a[1]*.tif.parquet")
    build.write(fleet / "a1.tif.parquet")
    assert locate([str(path)]) == [path]


def test_what_is_not_there_is_left_to_the_reader(fleet: Path) -> None:
    assert locate([fleet / "none.tif.parquet"]) == [fleet / "none.tif.parquet"]
    (fleet / "empty").mkdir()
    assert locate([fleet / "empty"]) == [fleet / "empty"]


def test_segments_by_their_own_names(fleet: Path) -> None:
    directory = fleet / "host=b/day=1/y.tif.parquet.segments"
    assert locate([directory]) == [directory]
    file = directory / "000000.tif.parquet"
    assert locate([file]) == [file]


@pytest.mark.parametrize(
    "name", ["s3://bucket/a", "https://h/a.parquet", "simplecache::s3://b/a", "memory://a"]
)
def test_urls(name: str) -> None:
    assert remote.is_url(name)


@pytest.mark.parametrize("name", ["a", "/a/b", "a:b", "C:\\a", "s3:/a", "S3://a", "host=a://b"])
def test_paths(name: str) -> None:
    assert not remote.is_url(name)


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "fsspec", None)
    with pytest.raises(NoExtraError, match=r"tifbpf\[fleet\]"):
        locate(["s3://bucket/a"])


def test_a_store_that_nobody_knows() -> None:
    with pytest.raises(Exception, match=r"^nosuch://a cannot be read: .*nosuch") as caught:
        locate(["nosuch://a"])
    assert "\n" not in str(caught.value)
