"""Sums over recordings: what is asked (`query`), of which rows (`source`), and who adds up (`local`, `dask`).

Everything that reads recordings sums by a key first, so one expression is enough, and whoever evaluates it
returns the same counts: its measures can be summed again, so that what workers return adds up by it too.
"""
