"""A report as terminal output, Markdown, JSON and CSV. Knows nothing of capture."""
