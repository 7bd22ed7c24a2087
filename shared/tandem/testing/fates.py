"""What becomes of a task in which something other than its handler had the last word."""

from __future__ import annotations

from tandem.handlers import Handler
from tandem.judging import MAX_CRASHES, max_attempts_of
from tandem.outcomes import Claimed, Outcome, Reason
from tandem.states import TaskState


def crashed(claimed: Claimed, handler: Handler, *, crashes: int) -> Outcome:
    """As a living processor decides that finds the holder dead.

    `crashes` counts those in a row, with this one.
    """
    spent = claimed.attempt >= max_attempts_of(claimed, handler)
    over = spent or crashes >= MAX_CRASHES
    why = ""
    if crashes >= MAX_CRASHES:
        why = f", {crashes} times in a row: it is taken for the cause"
    elif spent:
        why = ", and no attempt is left"
    return Outcome(
        task_id=claimed.task_id,
        claim=claimed.claim,
        state=TaskState.FAILED if over else TaskState.PENDING,
        reason=Reason.CRASHED,
        message=f"its processor died while it ran{why}",
    )


def despite_cancel(outcome: Outcome) -> Outcome:
    """As the database decides where a cancel was requested: only success is stronger."""
    if outcome.state is TaskState.SUCCEEDED:
        return outcome
    return outcome._replace(state=TaskState.CANCELLED)
