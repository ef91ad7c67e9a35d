"""Which TIF and syscall_work bits send x86-64 Linux exits down the slowpath, and how often."""

__version__ = "0.1.0"
