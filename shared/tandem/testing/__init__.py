"""A kit for tests of handlers, in the base install: no database, no services."""

from __future__ import annotations

from tandem.outcomes import Reason
from tandem.states import TaskState
from tandem.testing.ended import Ended
from tandem.testing.handler_test import HandlerTest
from tandem.testing.lines import Line
from tandem.testing.memory import Stage
from tandem.testing.points import (
    Point,
    Stop,
    begun,
    kept,
    noted,
    progressed,
    unkept,
    unnoted,
)
from tandem.testing.trial import NotReached, StillRunning

__all__ = [
    "Ended",
    "HandlerTest",
    "Line",
    "NotReached",
    "Point",
    "Reason",
    "Stage",
    "StillRunning",
    "Stop",
    "TaskState",
    "begun",
    "kept",
    "noted",
    "progressed",
    "unkept",
    "unnoted",
]
