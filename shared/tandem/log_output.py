"""Where lines of a log are written."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO


class LogOutput:
    """A stream of lines of which none is the fault that ends a call or an attempt.

    Whoever read them may be gone, and a disk may be full: the line is lost, no more.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._gathered: list[str] = []
        self._is_due = False

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """Within the block, write at once what one turn of the running loop has logged.

        A process that is killed loses the lines of that turn. What other threads log
        is written as it comes: a handler may keep its loop from turning.
        """
        self._loop, self._thread = asyncio.get_running_loop(), threading.get_ident()
        try:
            yield
        finally:
            self._loop = None
            self._write_gathered()

    def write(self, text: str) -> int:
        if self._gathers():
            self._gathered.append(text)
        else:
            with suppress(OSError):
                self._out.write(text)
        return len(text)

    def flush(self) -> None:
        if not self._gathers():
            with suppress(OSError):
                self._out.flush()
        elif self._loop is not None and not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._write_gathered)

    def _gathers(self) -> bool:
        return self._loop is not None and threading.get_ident() == self._thread

    def _write_gathered(self) -> None:
        self._is_due = False
        lines = "".join(self._gathered)
        self._gathered.clear()
        with suppress(OSError):
            self._out.write(lines)
            self._out.flush()
