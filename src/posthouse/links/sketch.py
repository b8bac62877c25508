"""How many different visitors: a HyperLogLog sketch of at most 2 KiB.

Up to 200 visitors the sketch holds the hashes themselves and is exact. Beyond that it is 2048
registers with a standard error of 1.04 / sqrt(2048) = 2.3 %. Two sketches of one day merge.
Source: Flajolet et al., "HyperLogLog", 2007, with linear counting for small ranges.
"""

import math
from collections.abc import Iterable

_BITS = 11
_REGISTERS = 1 << _BITS
_EXACT = 200
_HASH_BYTES = 8
_ALPHA = 0.7213 / (1 + 1.079 / _REGISTERS)
_SPARSE, _DENSE = b"s", b"d"


def merge(sketch: bytes, visitors: Iterable[int]) -> bytes:
    """Add visitors (signed 64-bit hashes) to a sketch; an empty one is `b""`."""
    hashes = {visitor & 0xFFFFFFFFFFFFFFFF for visitor in visitors}
    if sketch[:1] == _DENSE:
        registers = bytearray(sketch[1:])
    else:
        hashes |= _read_sparse(sketch)
        if len(hashes) <= _EXACT:
            return _SPARSE + b"".join(value.to_bytes(_HASH_BYTES) for value in sorted(hashes))
        registers = bytearray(_REGISTERS)
    for value in hashes:
        place = value & (_REGISTERS - 1)
        rank = 64 - _BITS - (value >> _BITS).bit_length() + 1
        registers[place] = max(registers[place], rank)
    return _DENSE + bytes(registers)


def estimate(sketch: bytes) -> int:
    """The number of different visitors in a sketch."""
    if sketch[:1] != _DENSE:
        return len(sketch) // _HASH_BYTES
    registers = sketch[1:]
    raw = _ALPHA * _REGISTERS**2 / sum(2.0**-rank for rank in registers)
    empty = registers.count(0)
    if raw <= 2.5 * _REGISTERS and empty:
        return round(_REGISTERS * math.log(_REGISTERS / empty))
    return round(raw)


def _read_sparse(sketch: bytes) -> set[int]:
    return {
        int.from_bytes(sketch[start : start + _HASH_BYTES])
        for start in range(1, len(sketch), _HASH_BYTES)
    }
