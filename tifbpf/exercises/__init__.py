"""Workloads that cause a known number of slow exits of a known kind."""

from tifbpf.exercises.catalogue import get, names, run_in_children
from tifbpf.exercises.model import Exercise, Expectation

__all__ = ["Exercise", "Expectation", "get", "names", "run_in_children"]
