"""A kernel's machine code: which masks it tests on the way to user space, and what each bit guards.

Pure: bytes and symbols in, findings out. An image is a file or the running kernel (tifbpf.host).
"""

from tifbpf.machine.read import read

__all__ = ["read"]
