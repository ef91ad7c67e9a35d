"""Arrow columns from columns of Python's, without `pa.array`, and scalars without `pa.scalar`.

Both import pandas to ask whether their argument is a Series: 50 MB that a recorder would carry on a
production machine for nothing, and a quarter of a second that a report would wait for. Buffers are what they
would have made.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import pyarrow as pa

from tifbpf.recording.exits import Names, Numbers, numbered

_CODES = {"int8": "b", "int32": "i", "int64": "q", "uint32": "I", "uint64": "Q", "timestamp[ns, tz=UTC]": "q"}
"""Type codes of `array`, which have these sizes on x86-64."""
_DIGITS = bytes(48 + (value != 0) for value in range(256))


def column(values: Names | Numbers | None, kind: pa.DataType, length: int) -> pa.Array:
    """Return a column as an array of `kind`: one of the recording's types.

    Args:
        values: the column; None: nothing but nulls.
        kind: the type.
        length: of the column.
    """
    if values is None:
        return pa.nulls(length, kind)
    if isinstance(values, Numbers):
        return _numbers(values.values, values.missing, kind)
    # A name may be there twice, which a dictionary of Arrow may not have.
    same, names = numbered(values.names)
    codes = values.codes if len(names) == len(values.names) else [same[code] for code in values.codes]
    indices = _numbers(codes, values.missing, kind.index_type)
    return pa.DictionaryArray.from_arrays(indices, _strings(names))


def constant(value: int, kind: pa.DataType, length: int) -> pa.Array:
    """Return an array of the same number throughout."""
    return _numbers(array(_CODES[str(kind)], [value]) * length, None, kind)


def scalar(value: int | str) -> pa.Scalar:
    """Return a value as what functions of `pyarrow.compute` take."""
    return (_strings([value]) if isinstance(value, str) else constant(value, pa.int64(), 1))[0]


def _numbers(values: Sequence[int], missing: bytes | None, kind: pa.DataType) -> pa.Array:
    code = _CODES[str(kind)]
    data = values if isinstance(values, array) and values.typecode == code else array(code, values)
    validity = None if missing is None else _bitmap(missing)
    return pa.Array.from_buffers(
        kind, len(data), [validity, pa.py_buffer(data)], sum(missing) if missing else 0
    )


def _bitmap(missing: bytes) -> pa.Buffer:
    """Return a bit for each byte, the first one lowest: 1 where it is 0."""
    # int() does in C what would be a loop here; it takes the highest digit first.
    bits = int(missing[::-1].translate(_DIGITS) or b"0", 2) ^ ((1 << len(missing)) - 1)
    return pa.py_buffer(bits.to_bytes((len(missing) + 7) // 8, "little"))


def _strings(values: Sequence[str]) -> pa.Array:
    encoded = [value.encode() for value in values]
    offsets = array("i", [0])
    for text in encoded:
        offsets.append(offsets[-1] + len(text))
    return pa.Array.from_buffers(
        pa.string(), len(values), [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded))], 0
    )
