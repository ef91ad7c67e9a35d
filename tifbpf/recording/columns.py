"""Arrow columns from Python lists, without `pa.array`.

`pa.array` imports pandas to ask whether its argument is a Series: 50 MB that a recorder would carry on a
production machine for nothing. Buffers are what it would have made.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import pyarrow as pa

_CODES = {"int8": "b", "int32": "i", "int64": "q", "uint32": "I", "uint64": "Q", "timestamp[ns, tz=UTC]": "q"}
"""Type codes of `array`, which have these sizes on x86-64."""


def column(values: Sequence[int | str | None], kind: pa.DataType) -> pa.Array:
    """Return `values` as an array of `kind`: one of the recording's types."""
    if pa.types.is_dictionary(kind):
        names = [value for value in dict.fromkeys(values) if value is not None]
        positions = {name: number for number, name in enumerate(names)}
        indices = _numbers([None if value is None else positions[value] for value in values], kind.index_type)
        return pa.DictionaryArray.from_arrays(indices, _strings([str(name) for name in names]))
    return _numbers(values, kind)


def _numbers(values: Sequence[int | str | None], kind: pa.DataType) -> pa.Array:
    missing = sum(value is None for value in values)
    data = array(_CODES[str(kind)], [int(value or 0) for value in values])
    validity = _bitmap(values) if missing else None
    return pa.Array.from_buffers(kind, len(values), [validity, pa.py_buffer(data)], missing)


def _bitmap(values: Sequence[object]) -> pa.Buffer:
    bits = bytearray((len(values) + 7) // 8)
    for position, value in enumerate(values):
        if value is not None:
            bits[position // 8] |= 1 << position % 8
    return pa.py_buffer(bytes(bits))


def _strings(values: Sequence[str]) -> pa.Array:
    encoded = [value.encode() for value in values]
    offsets = array("i", [0])
    for text in encoded:
        offsets.append(offsets[-1] + len(text))
    return pa.Array.from_buffers(
        pa.string(), len(values), [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded))], 0
    )
