"""What the recorder keeps."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator

from tests.bench.harness import (
    TIFBPF,
    MeasuredSide,
    Role,
    Row,
    Run,
    bench,
    proportional_set_size,
    row,
    running,
)


@bench("memory", "The recorder's memory")
def memory(run: Run) -> Iterator[Row]:
    """Its PSS after each of some seconds, all dimensions on, beside a busy host."""
    command = [TIFBPF, "record", "--force", "--by", "syscall,comm,pid,cgroup,cpu"]
    sizes = []
    with running(
        [*command, "-o", str(run.directory / "memory.tif.parquet")], "tifbpf: recording"
    ) as recorder:
        for _ in range(run.rounds):
            subprocess.run(["sh", "-c", "for i in $(seq 200); do true | cat; done"], check=True)
            time.sleep(1)
            sizes.append(proportional_set_size(recorder.pid))
    yield row(
        "PSS of the recorder",
        "MB",
        [
            MeasuredSide(
                name="tifbpf record", role=Role.OURS, command=" ".join(["tifbpf", *command[1:]]), values=sizes
            )
        ],
    )
