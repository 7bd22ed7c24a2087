"""What may happen to an attempt, and where in it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Any


class Stop(Enum):
    """What ends an attempt from outside."""

    CRASH = auto()
    """The process dies: nothing that the handler says from here on is written.

    Other than under a real kill, `finally` and `except BaseException` still run.
    """

    LEASE_LOST = auto()
    """Another processor has the task: the handler is stopped, its outcome refused."""

    CANCEL = auto()
    """Somebody has asked that the task be cancelled."""

    DRAIN = auto()
    """The processor stops, and has waited long enough for the handler."""

    TIMEOUT = auto()
    """The attempt's time is over."""


@dataclass(frozen=True, slots=True)
class Point:
    """A place in an attempt: a word of the handler, and a moment of it."""

    moment: str
    word: Any

    def __str__(self) -> str:
        return f"{self.moment}({self.word!r})"


def begun(stage: str) -> Point:
    """The stage has begun, and its function has not run yet."""
    return Point("begun", stage)


def unkept(stage: str) -> Point:
    """The stage's function has returned, and its result is not kept yet."""
    return Point("unkept", stage)


def kept(stage: str) -> Point:
    """The stage's result is kept, and the handler does not know yet."""
    return Point("kept", stage)


def unnoted(annotation: str) -> Point:
    """The handler has asked for this annotation, and it is not written yet."""
    return Point("unnoted", annotation)


def noted(annotation: str) -> Point:
    """The annotation is written, and the handler does not know yet."""
    return Point("noted", annotation)


def progressed(fraction: float) -> Point:
    """The handler has said that it is so far."""
    return Point("progressed", float(fraction))
