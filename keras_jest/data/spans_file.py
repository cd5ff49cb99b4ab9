"""Some parts of a file, read as if they were a file of their own."""

import bisect
import io
import itertools


class SpansFile(io.RawIOBase):
    """A binary file of the bytes of some spans, end to end; holds none.

    Args:
        file: A binary file that can seek. Its position is moved.
        spans: list of `(offset, size)` tuples.
    """

    def __init__(self, file, spans):
        self._file = file
        self._spans = spans
        sizes = (size for _, size in spans)
        self._starts = [0, *itertools.accumulate(sizes)]
        self._position = 0

    def readable(self):
        return True

    def seekable(self):
        return True

    def seek(self, offset, whence=io.SEEK_SET):
        ends = {io.SEEK_CUR: self._position, io.SEEK_END: self._starts[-1]}
        self._position = ends.get(whence, 0) + offset
        return self._position

    def readinto(self, buffer):
        number = bisect.bisect_right(self._starts, self._position) - 1
        if number == len(self._spans):
            return 0
        offset, size = self._spans[number]
        skip = self._position - self._starts[number]
        self._file.seek(offset + skip)
        count = self._file.readinto(memoryview(buffer)[: size - skip])
        self._position += count
        return count


def spans_file(file, spans):
    """Return a buffered `SpansFile`."""
    return io.BufferedReader(SpansFile(file, spans))
