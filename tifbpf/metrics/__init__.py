"""What `tifbpf export` shows Prometheus: counting, naming, serving. Two processes, one of them privileged."""
