"""What `tifbpf top` shows while it counts."""
