"""Coverage-guided fuzzing of whatever reads what strangers wrote: `python -m tests.torture fuzz`.

`targets` are what is called and what must hold, `one` fuzzes one of them, `campaign` runs them one after the
other and counts.
"""
