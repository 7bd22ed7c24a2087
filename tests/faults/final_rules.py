"""What must hold of ends: every task has one, for a reason, and it stays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from tests.faults.records import (
    Asked,
    Begun,
    Cancelled,
    History,
    Observed,
    Stored,
)

FINAL: Final = frozenset({"SUCCEEDED", "FAILED", "CANCELLED"})

MOST_CRASHES: Final = 3


def every_task_ends(history: History) -> Iterator[str]:
    """P8: nothing is stranded."""
    for row in history.all(Stored):
        if row.state and row.state not in FINAL:
            yield f"task {row.task_id} is {row.state} in the end"


def ends_have_reasons(history: History) -> Iterator[str]:
    """A task fails when its attempts are spent, and is cancelled where somebody asked."""
    cancelled = {a.task_id for a in history.all(Asked) if a.operation == "CANCEL"}
    for row in history.all(Stored):
        if row.state == "FAILED" and not _may_fail(row):
            yield f"task {row.task_id} failed with attempts left"
        if row.state == "CANCELLED" and row.task_id not in cancelled:
            yield f"task {row.task_id} was cancelled, and nobody asked for it"


def _may_fail(row: Stored) -> bool:
    reason = row.errors[0]["reason"] if row.errors else None
    return reason is not None and (
        reason == "DO_NOT_RETRY"
        or row.attempt >= row.max_attempts
        or (reason == "CRASHED" and row.crashes >= MOST_CRASHES)
    )


def final_states_stay(history: History) -> Iterator[str]:
    """P9: what was seen final is so in the end, but for a retry."""
    for seen in history.all(Observed):
        row = history.rows.get(seen.task_id)
        if row is None or seen.state not in FINAL or _was_retried(history, seen):
            continue
        if (row.state, row.claim) != (seen.state, seen.claim):
            yield (
                f"task {seen.task_id} was {seen.state} at claim {seen.claim}"
                f" and is {row.state} at claim {row.claim}"
            )


def final_tasks_do_not_run(history: History) -> Iterator[str]:
    """P9: a task that was seen final is not claimed again, but for a retry."""
    last = _last_claims(history)
    for seen in history.all(Observed):
        if (
            seen.state in FINAL
            and last.get(seen.task_id, 0) > seen.claim
            and not _was_retried(history, seen)
        ):
            yield f"task {seen.task_id} ran again after it was {seen.state}"


def _was_retried(history: History, seen: Observed) -> bool:
    """Whether a retry may have ended it: one that names another attempt changes nothing."""
    return seen.state != "SUCCEEDED" and any(
        asked.operation == "RETRY" and asked.attempt == seen.attempt
        for asked in history.by_task(Asked).get(seen.task_id, ())
    )


def cancelled_tasks_stop(history: History) -> Iterator[str]:
    """Once a cancel is answered, the claim of then is the last, but for a retry."""
    last = _last_claims(history)
    for answer in history.all(Cancelled):
        row = history.rows.get(answer.task_id)
        if row is None or history.retries.get(answer.task_id, 0):
            continue
        if last.get(answer.task_id, 0) > answer.claim or row.claim > answer.claim:
            yield f"task {answer.task_id} ran on after it was cancelled"
        elif answer.state == "RUNNING" and row.state == "FAILED":
            yield f"task {answer.task_id} failed after it was cancelled"
        elif answer.state == "CANCELLED" and row.state != "CANCELLED":
            yield f"task {answer.task_id} was cancelled and is {row.state}"


def _last_claims(history: History) -> Mapping[str, int]:
    return {
        task_id: max(begun.claim for begun in all_begun)
        for task_id, all_begun in history.by_task(Begun).items()
    }
