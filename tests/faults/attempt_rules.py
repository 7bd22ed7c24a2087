"""What must hold of attempts: one holder each, in order, and nothing kept of a stale one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

from tests.faults.records import Begun, Ended, History, Stored

RETURNED = "RETURNED"


def attempts_are_of_tasks(history: History) -> Iterator[str]:
    """Nothing runs that was not created."""
    for task_id in history.by_task(Begun):
        if task_id not in history.rows:
            yield f"task {task_id} was run and does not exist"


def one_claim_has_one_holder(history: History) -> Iterator[str]:
    """P6: no claim is begun twice, and none that the database does not know."""
    begun = Counter((b.task_id, b.claim) for b in history.all(Begun))
    for (task_id, claim), times in begun.items():
        if times > 1:
            yield f"task {task_id} had claim {claim} begun {times} times"
        row = history.rows.get(task_id)
        if row is not None and claim > row.claim:
            yield f"task {task_id} was run by claim {claim}, which was never made"


def attempts_grow_with_claims(history: History) -> Iterator[str]:
    """A later claim is a later attempt, or the same one that was given back."""
    for task_id, begun in history.by_task(Begun).items():
        in_order = sorted(begun, key=lambda b: b.claim)
        for before, after in pairwise(in_order):
            claims = after.claim - before.claim
            if not 0 <= after.attempt - before.attempt <= claims:
                yield (
                    f"task {task_id} went from attempt {before.attempt} to"
                    f" {after.attempt} between claims {before.claim} and {after.claim}"
                )


def attempts_are_bounded(history: History) -> Iterator[str]:
    """No task is tried more often than its policy allows; each retry may add one."""
    for row in history.all(Stored):
        allowed = row.max_attempts + history.retries.get(row.task_id, 0)
        tried = [b.attempt for b in history.by_task(Begun).get(row.task_id, ())]
        if max([row.attempt, *tried]) > allowed:
            yield f"task {row.task_id} was tried more than {allowed} times"


def successes_were_returned(history: History) -> Iterator[str]:
    """P7: a kept result is what the handler of the last claim returned."""
    ended = {(e.task_id, e.claim): e for e in history.all(Ended)}
    for row in history.all(Stored):
        if row.state != "SUCCEEDED":
            if row.result is not None:
                yield f"task {row.task_id} is {row.state} and has a result"
            continue
        end = ended.get((row.task_id, row.claim))
        if row.result_claim != row.claim or not _is_of(row, row.claim):
            yield f"task {row.task_id} keeps the result of a stale claim"
        elif end is None or end.how != RETURNED:
            yield f"task {row.task_id} succeeded, and no handler returned"
        elif end.result != row.result:
            yield f"task {row.task_id} keeps another result than was returned"


def _is_of(row: Stored, claim: int) -> bool:
    return row.result is not None and row.result.get("claim") == claim


def failures_are_one_an_attempt(history: History) -> Iterator[str]:
    """P7: errors are kept newest first, each of an attempt of its own."""
    for row in history.all(Stored):
        attempts = [int(error["attempt"]) for error in row.errors]
        if not _descends(attempts):
            yield f"task {row.task_id} has errors of attempts {attempts}"
        claims = [c for c in map(_claim_in, row.errors) if c]
        if not _descends(claims):
            yield f"task {row.task_id} has errors of claims {claims}"


def failures_were_raised(history: History) -> Iterator[str]:
    """P7: a kept failure is what that claim's handler raised."""
    raised = {(e.task_id, e.claim) for e in history.all(Ended) if e.how != RETURNED}
    for row in history.all(Stored):
        for claim in filter(None, map(_claim_in, row.errors)):
            if (row.task_id, claim) not in raised:
                yield f"task {row.task_id} has a failure that claim {claim} never had"


def _claim_in(error: object) -> int:
    """The claim that a handler under test named in its message; 0 for others."""
    assert isinstance(error, dict)
    head, _, claim = str(error["message"]).partition("failed in claim ")
    return int(claim) if not head and claim.isdigit() else 0


def _descends(numbers: Sequence[int]) -> bool:
    return all(a > b for a, b in pairwise(numbers))
