"""Facts of the running kernel, each of which may be absent or refused."""
