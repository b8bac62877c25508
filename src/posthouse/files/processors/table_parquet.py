"""The footer of a Parquet file, read by ourselves: how many rows and columns it says it has.

Thrift's compact protocol, as much of it as skipping needs
(Apache Thrift: doc/specs/thrift-compact-protocol.md; Parquet: parquet.thrift, FileMetaData).
"""

import struct
from dataclasses import dataclass
from pathlib import Path

from posthouse.files.processors.protocol import MIB, BadInputError, UnsafeInputError
from posthouse.files.processors.table_records import MAX_COLUMNS

MAX_ROWS = 1_000_000_000
_MAGIC = b"PAR1"
_MAX_FOOTER = 64 * MIB
_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)
_DEEPEST = 20
_NUM_ROWS = 3


@dataclass(slots=True)
class _Footer:
    data: bytes
    at: int = 0

    def num_rows(self) -> int:
        """The field 3 of FileMetaData.

        Raises:
            BadInputError: there is none.
        """
        field = 0
        while kind := self.field_kind():
            delta = kind >> 4
            field = field + delta if delta else self.zigzag()
            if field == _NUM_ROWS and kind & 15 == _I64:
                return self.zigzag()
            self.skip(kind & 15, 0)
        raise BadInputError("the Parquet file does not say how many rows it has")

    def field_kind(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def varint(self) -> int:
        value = shift = 0
        while True:
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
            if shift > 63:
                raise IndexError

    def zigzag(self) -> int:
        value = self.varint()
        return (value >> 1) ^ -(value & 1)

    def skip(self, kind: int, depth: int) -> None:
        """Step over a value.

        Raises:
            IndexError: it is none.
        """
        if depth > _DEEPEST:
            raise IndexError
        if kind in {_TRUE, _FALSE}:
            return
        if kind in {_I16, _I32, _I64}:
            self.varint()
        elif kind in {_BYTE, _DOUBLE}:
            self.at += 1 if kind == _BYTE else 8
        elif kind == _BINARY:
            size = self.varint()
            self.at += size
        elif kind in {_LIST, _SET}:
            self._skip_list(depth)
        elif kind == _STRUCT:
            while inner := self.field_kind():
                if not inner >> 4:
                    self.zigzag()
                self.skip(inner & 15, depth + 1)
        else:
            raise IndexError

    def _skip_list(self, depth: int) -> None:
        head = self.field_kind()
        size = head >> 4
        if size == 15:
            size = self.varint()
        for _ in range(size):
            if head & 15 in {_TRUE, _FALSE}:
                self.at += 1
                continue
            self.skip(head & 15, depth + 1)


def count_rows(path: Path) -> int:
    """Tell how many rows the footer of a Parquet file promises.

    Raises:
        BadInputError: it is no Parquet file, or its footer is broken.
        UnsafeInputError: it promises more rows than are read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(4)
        file.seek(max(0, size - 8))
        tail = file.read(8)
        if size < 12 or start != _MAGIC or tail[4:] != _MAGIC:
            raise BadInputError("the file is not Parquet, or it was cut off: its ends are missing")
        footer_size = struct.unpack("<I", tail[:4])[0]
        if footer_size > min(size - 12, _MAX_FOOTER):
            raise BadInputError("the Parquet file has a broken footer; write it again")
        file.seek(size - 8 - footer_size)
        footer = file.read(footer_size)
    try:
        rows = _Footer(footer).num_rows()
    except IndexError as error:
        raise BadInputError("the Parquet file has a broken footer; write it again") from error
    if rows < 0:
        raise BadInputError("the Parquet file has a broken footer; write it again")
    if rows > MAX_ROWS:
        raise UnsafeInputError(f"the file has {rows:,} rows; {MAX_ROWS:,} are allowed")
    return rows


def require_width(width: int) -> None:
    """Refuse a table that is too wide.

    Raises:
        UnsafeInputError: it has more than 4,096 columns.
    """
    if width > MAX_COLUMNS:
        raise UnsafeInputError(f"the table has {width:,} columns; {MAX_COLUMNS:,} are allowed")
