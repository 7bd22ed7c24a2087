"""A run that is stopped ends at once: its loads first, whatever thread waits for them."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from types import FrameType
from typing import Final

_running: Final[set[subprocess.Popen[str]]] = set()
_stopping: Final = threading.Event()


def stop_on_sigterm() -> None:
    """Whoever stops the run stops its loads and its servers, too."""
    signal.signal(signal.SIGTERM, _stop)


def run_load(command: list[str], *, given: str = "", limit: float) -> str:
    """What a program prints that reads what is `given`, within `limit` seconds.

    Raises:
        CalledProcessError: it failed, or was stopped.
        TimeoutExpired: it took too long, and was killed.
    """
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        _running.add(process)
        # It may have begun while others were being ended.
        if _stopping.is_set():
            process.kill()
        try:
            out, _ = process.communicate(given, timeout=limit)
        finally:
            _running.discard(process)
            process.kill()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return out


def _stop(number: int, _: FrameType | None) -> None:
    _stopping.set()
    # An event loop that ends waits for its threads, and they for their loads.
    for process in list(_running):
        process.kill()
    sys.exit(128 + number)
