"""What is read from files, and read again once they have changed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Generic, TypeVar

LOOK_AGAIN: Final = 1.0
"""Seconds between looks at the files: never one for each call."""

T = TypeVar("T")
Mark = tuple[tuple[int, int, int] | None, ...]


class Watched(Generic[T]):
    """The last good reading of some files. Threads may share it."""

    def __init__(
        self,
        paths: Sequence[Path],
        read: Callable[[], T],
        *,
        on_fault: Callable[[ValueError], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Reads at once.

        Args:
            paths: the files that `read` reads.
            read: raises ValueError for files that cannot be used.
            on_fault: told once of each change that cannot be used; what was read
                before stays.
            clock: seconds that only grow.

        Raises:
            ValueError: of `read`.
        """
        self._paths = paths
        self._read = read
        self._on_fault = on_fault
        self._clock = clock
        self._lock = threading.Lock()
        # Before they are read: what changes meanwhile is read again.
        self._mark = self._look()
        self._value = read()
        self._next_look = clock() + LOOK_AGAIN

    def get(self) -> T:
        """As of a second ago at most."""
        if self._clock() >= self._next_look:
            with self._lock:
                self._renew()
        return self._value

    def look(self) -> T:
        """As of now."""
        with self._lock:
            self._renew()
        return self._value

    def _renew(self) -> None:
        self._next_look = self._clock() + LOOK_AGAIN
        mark = self._look()
        if mark == self._mark:
            return
        self._mark = mark
        try:
            self._value = self._read()
        except ValueError as fault:
            self._on_fault(fault)

    def _look(self) -> Mark:
        return tuple(_mark_of(path) for path in self._paths)


def _mark_of(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
