"""The life of a task: which state may follow which."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class TaskState(StrEnum):
    """A task's place in its life, spelled as the database spells it."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUSPENDED = "SUSPENDED"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def is_final(self) -> bool:
        """Whether a task stays here but for an explicit RetryTask."""
        return self in FINAL_STATES


FINAL_STATES: Final = frozenset(
    {TaskState.SUCCEEDED, TaskState.FAILED, TaskState.CANCELLED}
)

SUCCESSORS: Final[Mapping[TaskState, frozenset[TaskState]]] = MappingProxyType(
    {
        TaskState.PENDING: frozenset({TaskState.RUNNING, TaskState.CANCELLED}),
        # Back to PENDING for another attempt, or when a processor lets go of it.
        TaskState.RUNNING: frozenset(
            {
                TaskState.PENDING,
                TaskState.SUSPENDED,
                TaskState.SUCCEEDED,
                TaskState.FAILED,
                TaskState.CANCELLED,
            }
        ),
        TaskState.SUSPENDED: frozenset({TaskState.PENDING, TaskState.CANCELLED}),
        TaskState.SUCCEEDED: frozenset(),
        # By RetryTask alone.
        TaskState.FAILED: frozenset({TaskState.PENDING}),
        TaskState.CANCELLED: frozenset({TaskState.PENDING}),
    }
)


def predecessors(state: TaskState) -> frozenset[TaskState]:
    """The states from which `state` may be entered."""
    return frozenset(s for s, after in SUCCESSORS.items() if state in after)
