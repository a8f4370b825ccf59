"""Read and write .npy files block by block, so that an array never has to fit into memory.

A memory map would count as memory of the process for as long as its pages are in use.
"""

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np


@dataclass(frozen=True)
class ArrayFile:
    """An array in a .npy file. Its rows are read on demand."""

    path: Path
    dtype: np.dtype
    shape: tuple[int, ...]
    start_of_data: int

    def __len__(self) -> int:
        return self.shape[0]

    def read(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Rows `start` to `stop`, by default to the last one."""
        stop = len(self) if stop is None else stop
        row = int(np.prod(self.shape[1:], dtype=np.int64))
        offset = self.start_of_data + start * row * self.dtype.itemsize
        values = np.fromfile(self.path, self.dtype, (stop - start) * row, offset=offset)
        return values.reshape(stop - start, *self.shape[1:])


def open_array_file(path: Path) -> ArrayFile:
    """Read the header of a .npy file. Raises `OSError` or `ValueError` if it is missing or damaged."""
    with path.open("rb") as file:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            raise ValueError(f"{path}: .npy version {version}")
        shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(file)
        array = ArrayFile(path, dtype, shape, file.tell())
    size = array.start_of_data + dtype.itemsize * int(np.prod(shape, dtype=np.int64))
    if dtype.hasobject or fortran_order or not shape or path.stat().st_size != size:
        raise ValueError(f"{path}: not a complete array of numbers")
    return array


class ArrayWriter:
    """Writes a .npy file by appending blocks of rows. The bytes are those of `np.save`.

    `row`: the shape of a row, () for an array with one dimension.
    """

    def __init__(self, path: Path, dtype: np.dtype, row: tuple[int, ...] = ()):
        self._file = path.open("wb")
        self._dtype, self._row, self.length = dtype, row, 0
        self._write_header()

    def append(self, rows: np.ndarray) -> None:
        self._file.write(np.ascontiguousarray(rows, self._dtype).data)
        self.length += len(rows)

    def close(self) -> None:
        self._file.seek(0)
        self._write_header()
        self._file.close()

    def _write_header(self) -> None:
        # numpy pads the header, so that its size does not depend on the number of rows.
        description = np.lib.format.dtype_to_descr(self._dtype)
        shape = (self.length, *self._row)
        np.lib.format.write_array_header_1_0(self._file, {"descr": description, "fortran_order": False, "shape": shape})

    def __enter__(self) -> "ArrayWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class OffsetsWriter(ArrayWriter):
    """Writes int64 offsets: 0, and then the end of each group. It is given the lengths of the groups."""

    def __init__(self, path: Path):
        super().__init__(path, np.dtype(np.int64))
        self._end = 0
        super().append(np.zeros(1, np.int64))

    def append(self, rows: np.ndarray) -> None:
        ends = self._end + np.cumsum(rows, dtype=np.int64)
        super().append(ends)
        self._end = int(ends[-1]) if len(ends) else self._end
