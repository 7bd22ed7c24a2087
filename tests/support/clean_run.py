"""A run in which every promise was kept, told by everybody who took part in it."""

from __future__ import annotations

from typing import Any

from tests.faults.records import (
    Answered,
    Asked,
    Begun,
    Cancelled,
    Ended,
    Observed,
    Opened,
    Received,
    Record,
    Refused,
    Sent,
    StageRun,
    StageSeen,
    Stored,
    StoredStage,
)


def stored(number: int, **fields: Any) -> Stored:
    """A task that succeeded at once, but for what is given."""
    values: dict[str, Any] = {
        "task_id": f"t{number}",
        "request_id": f"r{number}",
        "external_id": "",
        "type": "quick",
        "content": f"c{number}",
        "max_attempts": 6,
        "position": 10 * number,
        "state": "SUCCEEDED",
        "attempt": 1,
        "claim": 1,
        "crashes": 0,
        "result": {"claim": 1},
        "result_claim": 1,
        "errors": [],
    }
    return Stored(**values | fields)


def error(attempt: int, message: str, reason: str = "HANDLER_ERROR") -> dict[str, Any]:
    return {"reason": reason, "message": message, "attempt": attempt}


def call(number: int, outcome: str = "CREATED", external_id: str = "") -> list[Record]:
    """A create of the task of this number, and its answer."""
    request_id, content = f"r{number}", f"c{number}"
    return [
        Sent(request_id=request_id, external_id=external_id, content=content),
        Answered(
            request_id=request_id,
            content=content,
            task_id=f"t{number}",
            outcome=outcome,
        ),
    ]


def begun(task_id: str, claim: int, attempt: int, time: float) -> Begun:
    return Begun(task_id=task_id, claim=claim, attempt=attempt, process="1", time=time)


def ended(task_id: str, claim: int, how: str, time: float) -> Ended:
    result = {"claim": claim} if how == "RETURNED" else None
    return Ended(task_id=task_id, claim=claim, how=how, result=result, time=time)


def stage_run(claim: int, name: str, time: float) -> StageRun:
    result = {"claim": claim, "stage": name}
    return StageRun(task_id="t2", claim=claim, name=name, result=result, time=time)


def stage_seen(claim: int, name: str, made_by: int) -> StageSeen:
    result = {"claim": made_by, "stage": name}
    return StageSeen(task_id="t2", claim=claim, name=name, result=result)


def stored_stage(name: str, claim: int) -> StoredStage:
    result = {"claim": claim, "stage": name}
    return StoredStage(
        task_id="t2", name=name, state="SUCCEEDED", claim=claim, result=result
    )


def a_quick_task() -> list[Record]:
    """t1: created, its answer lost once, run once, and seen."""
    lost = Refused(request_id="r1", content="c1", code="UNAVAILABLE", reason="")
    sent, answered = call(1, outcome="REPLAYED")
    seen = Observed(task_id="t1", state="SUCCEEDED", attempt=1, claim=1)
    return [
        sent,
        lost,
        answered,
        begun("t1", 1, 1, 1.0),
        ended("t1", 1, "RETURNED", 1.1),
        seen,
        stored(1),
    ]


def a_staged_task() -> list[Record]:
    """t2: its first processor died in the second stage, the second one gave it back."""
    return [
        *call(2),
        begun("t2", 1, 1, 1.0),
        stage_run(1, "first", 1.1),
        stage_seen(1, "first", made_by=1),
        stage_run(1, "second", 1.2),
        begun("t2", 2, 2, 2.0),
        stage_seen(2, "first", made_by=1),
        ended("t2", 2, "CancelledError", 2.1),
        begun("t2", 3, 2, 3.0),
        stage_seen(3, "first", made_by=1),
        stage_run(3, "second", 3.1),
        stage_seen(3, "second", made_by=3),
        ended("t2", 3, "RETURNED", 3.2),
        stored_stage("first", 1),
        stored_stage("second", 3),
        stored(
            2,
            attempt=2,
            claim=3,
            crashes=1,
            result={"claim": 3},
            result_claim=3,
            errors=[error(1, "its processor died while it ran", "CRASHED")],
        ),
    ]


def a_failed_task() -> list[Record]:
    """t3: it failed twice, and may be tried twice. Another call names it as well."""
    sent, answered = call(3, external_id="order-3")
    twin = Sent(request_id="r9", external_id="order-3", content="c9")
    found = Answered(request_id="r9", content="c9", task_id="t3", outcome="EXISTING")
    return [
        sent,
        answered,
        twin,
        found,
        begun("t3", 1, 1, 1.0),
        ended("t3", 1, "RuntimeError", 1.1),
        begun("t3", 2, 2, 2.0),
        ended("t3", 2, "RuntimeError", 2.1),
        Observed(task_id="t3", state="FAILED", attempt=2, claim=2),
        stored(
            3,
            external_id="order-3",
            state="FAILED",
            max_attempts=2,
            attempt=2,
            claim=2,
            result=None,
            result_claim=2,
            errors=[error(2, "failed in claim 2"), error(1, "failed in claim 1")],
        ),
    ]


def a_cancelled_task() -> list[Record]:
    """t4: cancelled while it ran."""
    return [
        *call(4),
        begun("t4", 1, 1, 1.0),
        Asked(task_id="t4", operation="CANCEL", attempt=1),
        Cancelled(task_id="t4", state="RUNNING", claim=1),
        ended("t4", 1, "CancelledError", 1.2),
        Observed(task_id="t4", state="CANCELLED", attempt=1, claim=1),
        stored(4, state="CANCELLED", result=None, result_claim=0),
    ]


def a_retried_task() -> list[Record]:
    """t5: cancelled before it ran, and retried; the retry was all that it took."""
    return [
        *call(5),
        Asked(task_id="t5", operation="CANCEL", attempt=0),
        Cancelled(task_id="t5", state="CANCELLED", claim=0),
        Observed(task_id="t5", state="CANCELLED", attempt=0, claim=0),
        Asked(task_id="t5", operation="RETRY", attempt=0),
        begun("t5", 1, 1, 5.0),
        ended("t5", 1, "RETURNED", 5.1),
        stored(5),
    ]


def a_subscriber() -> list[Record]:
    """It went back to an older token once."""
    return [
        Opened(subscriber="a", opening=1, after=""),
        Received(subscriber="a", opening=1, task_ids=["t1", "t2"]),
        Received(subscriber="a", opening=1, task_ids=["t3"]),
        Opened(subscriber="a", opening=2, after="t2"),
        Received(subscriber="a", opening=2, task_ids=["t3", "t4", "t5"]),
    ]


def a_clean_run() -> list[Record]:
    return [
        *a_quick_task(),
        *a_staged_task(),
        *a_failed_task(),
        *a_cancelled_task(),
        *a_retried_task(),
        *a_subscriber(),
    ]
