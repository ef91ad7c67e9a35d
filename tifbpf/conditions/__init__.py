"""Conditions on exits (`--fail-on`): written by users, judged while recording and of recordings.

The recorder judges them too, which does without pandas and numpy: so nothing here needs either.
"""

from __future__ import annotations
