"""How much memory threads may take at a time, all of them together."""

import contextlib
import ctypes
import os
import threading

LARGE = 2**26


class MemoryBudget:
    """A number of bytes that threads share.

    Who wants more than is left waits, first come, first served: small claims
    do not pass a large one by. Each process has its own.

    Args:
        num_bytes: int. A larger claim gets all of it, and is alone.
    """

    def __init__(self, num_bytes):
        self.num_bytes = num_bytes
        self._reset()
        # A child of `fork` must not wait for threads that it does not have.
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._reset)

    def _reset(self):
        self._left = self.num_bytes
        self._turn = threading.Lock()
        self._freed = threading.Condition()

    @contextlib.contextmanager
    def hold(self, num_bytes):
        """Have a claim while the context lasts; one claim a thread."""
        num_bytes = min(num_bytes, self.num_bytes)
        with self._turn, self._freed:
            self._freed.wait_for(lambda: self._left >= num_bytes)
            self._left -= num_bytes
        if num_bytes >= LARGE:
            return_memory()
        try:
            yield
        finally:
            if num_bytes >= LARGE:
                return_memory()
            with self._freed:
                self._left += num_bytes
                self._freed.notify()


def return_memory():
    """Give what threads have freed back to the system, where it can be asked.

    The allocator of glibc keeps the freed blocks of each thread if anything
    that is still in use was put behind them: as much as a picture takes.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
