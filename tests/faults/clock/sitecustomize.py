"""Shifts what this process takes for the time of day, before anything else is loaded.

It is found on PYTHONPATH by processes that are to have a wrong clock. Only Python's
own clocks are shifted: a library that shifts the clock of the whole process also
shifts the deadlines of locks, which the kernel then compares with the true one.
"""

from __future__ import annotations

import datetime as dt
import os
import time
from typing import Any

OFFSET = float(os.environ.get("TANDEM_FAULTS_CLOCK", "0"))

_true = dt.datetime
_time, _time_ns = time.time, time.time_ns


class _Kind(type):
    """True moments, which C code makes, count as instances as well."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, _true)


class _Shifted(_true, metaclass=_Kind):
    # Of the size that C code knows.
    __slots__ = ()

    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> Any:
        return _true.now(tz) + dt.timedelta(seconds=OFFSET)

    @classmethod
    def utcnow(cls) -> Any:
        return _true.utcnow() + dt.timedelta(seconds=OFFSET)


if OFFSET:
    dt.datetime = _Shifted  # type: ignore[misc]
    time.time = lambda: _time() + OFFSET
    time.time_ns = lambda: _time_ns() + int(OFFSET * 1e9)
