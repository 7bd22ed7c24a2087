"""What an attempt came to, as the processor would report it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

from tandem.outcomes import Ending, Outcome, Raised, Reason
from tandem.states import TaskState


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """An attempt that is over, and how its task stands."""

    state: TaskState
    """The task's: PENDING where there is to be another attempt."""

    attempt: int
    """The number of this attempt, from 1."""

    result: Any = None
    """The handler's result, as readers are shown it; None unless SUCCEEDED."""

    reason: Reason | None = None
    """Why the attempt ended badly."""

    message: str = ""
    """What the status says about that."""

    delay: timedelta | None = None
    """With PENDING: from the end of this attempt to the next."""

    due_time: datetime | None = None
    """With PENDING: when the next attempt is due, by the test's own clock."""

    spends_attempt: bool = True
    """False where a draining processor gave the task back."""

    error: BaseException | None = None
    """What the handler raised, if it raised."""

    @classmethod
    def of(
        cls, outcome: Outcome, ending: Ending, *, attempt: int, now: datetime
    ) -> Self:
        again = outcome.state is TaskState.PENDING
        return cls(
            state=outcome.state,
            attempt=attempt,
            result=None if outcome.result is None else json.loads(outcome.result),
            reason=outcome.reason,
            message=outcome.message or "",
            delay=outcome.delay if again else None,
            due_time=now + outcome.delay if again else None,
            spends_attempt=outcome.spends_attempt,
            error=ending.error if isinstance(ending, Raised) else None,
        )

    def value(self) -> Any:
        """The result of an attempt that must have succeeded.

        Raises:
            Exception: whatever the handler raised, with its own traceback.
            AssertionError: the attempt was stopped, or its result refused.
        """
        if self.state is TaskState.SUCCEEDED:
            return self.result
        if isinstance(self.error, Exception):
            raise self.error
        said = ": ".join(filter(None, (self.state, self.reason, self.message)))
        raise AssertionError(f"no success, but {said}") from self.error
