"""Locks between processes, on files. A killed process's locks vanish with it."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

WAIT_LIMIT: Final = 180.0
"""Seconds to wait for another process: longer than any first start takes."""

LOOK_AGAIN: Final = 0.05
"""Seconds."""


class StillLocked(TimeoutError):
    """Another process held a lock for longer than anything in there can take."""


@contextmanager
def exclusive(path: Path, *, limit: float = WAIT_LIMIT) -> Iterator[None]:
    """Hold `path` alone. Waits `limit` seconds at most.

    Raises:
        StillLocked: somebody else held it all that time.
    """
    file = _open(path)
    try:
        _lock(file, path, limit=limit)
        yield
    finally:
        os.close(file)


class Users:
    """The processes that use something, counted by shared locks on one file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    def join(self) -> None:
        """Count this user in. A second call counts no second user."""
        if self._file is None:
            self._file = _open(self._path)
            fcntl.flock(self._file, fcntl.LOCK_SH)

    def leave(self) -> bool:
        """Count this user out, and tell whether it was the last.

        Calls must not overlap with those of other processes: two that leave at
        once would both find the other still there.
        """
        if self._file is None:
            return False
        try:
            return _try_lock(self._file)
        finally:
            os.close(self._file)
            self._file = None


def _open(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)


def _lock(file: int, path: Path, *, limit: float) -> None:
    give_up = time.monotonic() + limit
    while not _try_lock(file):
        if time.monotonic() > give_up:
            raise StillLocked(f"another process has held {path} for {limit:.0f} s")
        time.sleep(LOOK_AGAIN)


def _try_lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
