"""The checker of runs under faults finds each kind of violation, and none in a clean run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.faults.checker import RULES, violations
from tests.faults.records import (
    Answered,
    Asked,
    Begun,
    Cancelled,
    Ended,
    GivenUp,
    History,
    Journal,
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
    load,
)
from tests.support.clean_run import a_clean_run, begun, call, error, stage_run, stored

ROOT = Path(__file__).parents[2]

Lie = Callable[[list[Record]], None]


def change(kind: type[Record], where: dict[str, Any], **fields: Any) -> Lie:
    """One record of this kind with other values."""

    def lie(records: list[Record]) -> None:
        (at,) = [i for i, r in enumerate(records) if _is(r, kind, where)]
        records[at] = replace(records[at], **fields)  # type: ignore[type-var]

    return lie


def drop(kind: type[Record], **where: Any) -> Lie:
    """None of these records."""

    def lie(records: list[Record]) -> None:
        kept = [r for r in records if not _is(r, kind, where)]
        assert len(kept) < len(records)
        records[:] = kept

    return lie


def add(*more: Record) -> Lie:
    return lambda records: records.extend(more)


def _is(record: Record, kind: type[Record], where: dict[str, Any]) -> bool:
    return isinstance(record, kind) and all(
        getattr(record, name) == value for name, value in where.items()
    )


def row(number: int, **fields: Any) -> Lie:
    """The row of this task as it should not be."""
    return change(Stored, {"task_id": f"t{number}"}, **fields)


LIES: dict[str, tuple[Lie, str]] = {
    # Creation.
    "an acknowledged task that is lost": (
        drop(Stored, task_id="t1"),
        "task t1 was acknowledged and is lost",
    ),
    "an answer with another's task": (
        change(Answered, {"task_id": "t2"}, task_id="t3"),
        "request r2 was answered with another's task",
    ),
    "an existing task of another name": (
        change(Sent, {"request_id": "r9"}, external_id="order-4"),
        "request r9 was answered with an unrelated task",
    ),
    "two answers to one request": (
        add(replace(call(2)[1], task_id="t3")),  # type: ignore[type-var]
        "request r2 was answered with 2 tasks",
    ),
    "a request id that made two tasks": (
        add(stored(6, request_id="r2", content="c2")),
        "request r2 is held by 2 tasks",
    ),
    "an external id that made two tasks": (
        row(1, external_id="order-3"),
        "external id order-3 is held by 2 tasks",
    ),
    "a task created twice": (
        add(call(2)[1]),
        "task t2 was answered as CREATED 2 times",
    ),
    "a task from nowhere": (add(stored(6)), "task t6 is what nobody asked for"),
    "a spec that changed": (
        row(2, content="other"),
        "request r2 was accepted with other content",
    ),
    "a task that was not visible": (
        add(Observed(task_id="t2", state="", attempt=0, claim=0)),
        "task t2 was acknowledged and not found",
    ),
    "an error that is a defect": (
        add(Refused(request_id="r2", content="c2", code="INTERNAL", reason="")),
        "request r2 was answered INTERNAL",
    ),
    "an honest repeat that was refused": (
        add(
            Refused(
                request_id="r2",
                content="c2",
                code="ALREADY_EXISTS",
                reason="REQUEST_ID_REUSED",
            )
        ),
        "request r2 was answered ALREADY_EXISTS REQUEST_ID_REUSED",
    ),
    "a call without an answer": (
        add(GivenUp(request_id="r2")),
        "request r2 was never answered",
    ),
    "a task without a status": (row(2, state=""), "task t2 has no status"),
    "a position given twice": (row(2, position=10), "position 10 has 2 tasks"),
    # Attempts.
    "a run of no task": (
        add(begun("t8", 1, 1, 1.0)),
        "task t8 was run and does not exist",
    ),
    "a claim with two holders": (
        add(begun("t1", 1, 1, 1.5)),
        "task t1 had claim 1 begun 2 times",
    ),
    "a claim that was never made": (
        add(begun("t1", 2, 2, 1.5)),
        "task t1 was run by claim 2, which was never made",
    ),
    "an attempt that went back": (
        change(Begun, {"task_id": "t2", "claim": 3}, attempt=1),
        "task t2 went from attempt 2 to 1 between claims 2 and 3",
    ),
    "an attempt that was skipped": (
        change(Begun, {"task_id": "t2", "claim": 3}, attempt=4),
        "task t2 went from attempt 2 to 4 between claims 2 and 3",
    ),
    "an attempt too many": (
        row(3, max_attempts=1),
        "task t3 was tried more than 1 times",
    ),
    "a result of a stale claim": (
        row(2, result={"claim": 2}, result_claim=2),
        "task t2 keeps the result of a stale claim",
    ),
    "a success of nobody": (
        drop(Ended, task_id="t1"),
        "task t1 succeeded, and no handler returned",
    ),
    "a success of a handler that raised": (
        change(Ended, {"task_id": "t1"}, how="RuntimeError"),
        "task t1 succeeded, and no handler returned",
    ),
    "a changed result": (
        row(1, result={"claim": 1, "more": True}),
        "task t1 keeps another result than was returned",
    ),
    "a result without success": (
        row(4, result={"claim": 1}),
        "task t4 is CANCELLED and has a result",
    ),
    "two failures of one attempt": (
        row(3, errors=[error(2, "failed in claim 2"), error(2, "failed in claim 1")]),
        "task t3 has errors of attempts [2, 2]",
    ),
    "failures out of order": (
        row(3, errors=[error(2, "failed in claim 1"), error(1, "failed in claim 2")]),
        "task t3 has errors of claims [1, 2]",
    ),
    "a failure that was not raised": (
        drop(Ended, task_id="t3", claim=1),
        "task t3 has a failure that claim 1 never had",
    ),
    # Stages.
    "a stage that nobody ran": (
        drop(StageRun, claim=1, name="first"),
        "task t2 keeps a result of stage first that claim 1 did not make",
    ),
    "a stage with another result": (
        change(StoredStage, {"name": "first"}, result={"claim": 2, "stage": "first"}),
        "task t2 keeps a result of stage first that claim 1 did not make",
    ),
    "a stage that later attempts saw changed": (
        change(StageSeen, {"claim": 3, "name": "first"}, result={"claim": 3}),
        "task t2 was given 2 results of stage first",
    ),
    "a stage that was forgotten": (
        drop(StoredStage, name="second"),
        "task t2 was given a result of stage second that is not kept",
    ),
    "a kept stage that ran again": (
        add(stage_run(3, "first", 3.05)),
        "task t2 had stage first run by claim 3, which claim 1 had kept",
    ),
    "a stage kept by a stale claim": (
        change(StageRun, {"claim": 1, "name": "first"}, time=2.05),
        "task t2 keeps stage first of claim 1, made after a later claim began",
    ),
    # Ends.
    "a stranded task": (row(1, state="PENDING"), "task t1 is PENDING in the end"),
    "a failure with attempts left": (
        row(3, max_attempts=6),
        "task t3 failed with attempts left",
    ),
    "a failure without a reason": (
        row(3, errors=[]),
        "task t3 failed with attempts left",
    ),
    "a cancellation by nobody": (
        drop(Asked, task_id="t4"),
        "task t4 was cancelled, and nobody asked for it",
    ),
    "a final state that changed": (
        change(Observed, {"task_id": "t1"}, state="FAILED"),
        "task t1 was FAILED at claim 1 and is SUCCEEDED at claim 1",
    ),
    "a success that was undone by a retry": (
        add(
            Observed(task_id="t5", state="SUCCEEDED", attempt=0, claim=0),
        ),
        "task t5 was SUCCEEDED at claim 0 and is SUCCEEDED at claim 1",
    ),
    "a final state that changed, and a retry that named another attempt": (
        add(Observed(task_id="t5", state="CANCELLED", attempt=1, claim=1)),
        "task t5 was CANCELLED at claim 1 and is SUCCEEDED at claim 1",
    ),
    "a final task that ran again": (
        change(Observed, {"task_id": "t3"}, claim=1),
        "task t3 ran again after it was FAILED",
    ),
    "a cancelled task that ran on": (
        add(begun("t4", 2, 2, 9.0)),
        "task t4 ran on after it was cancelled",
    ),
    "a cancelled task that failed": (
        row(4, state="FAILED"),
        "task t4 failed after it was cancelled",
    ),
    "a cancelled task that succeeded": (
        change(Cancelled, {"task_id": "t5"}, task_id="t1", claim=1),
        "task t1 was cancelled and is SUCCEEDED",
    ),
    # Streams.
    "an id that was not sent": (
        change(Received, {"opening": 2}, task_ids=["t3", "t4"]),
        "subscriber a was never sent task t5",
    ),
    "an id that never was": (
        change(Received, {"opening": 2}, task_ids=["t3", "t4", "t5", "t9"]),
        "subscriber a was sent t9, which is no task",
    ),
    "an order that changed": (
        change(Received, {"opening": 2}, task_ids=["t3", "t5", "t4"]),
        "subscriber a was sent ids out of order, or with a gap, in opening 2",
    ),
    "a gap behind a token": (
        change(Opened, {"opening": 2}, after="t1"),
        "subscriber a was sent ids out of order, or with a gap, in opening 2",
    ),
    "a subscriber that was sent nothing": (
        add(Opened(subscriber="b", opening=1, after="")),
        "subscriber b was never sent task t1",
    ),
}


def found_in(records: Iterable[Record]) -> list[str]:
    return violations(History(records))


def test_a_clean_run_has_no_violation() -> None:
    assert found_in(a_clean_run()) == []


@pytest.mark.parametrize("name", list(LIES))
def test_a_planted_violation_is_found(name: str) -> None:
    plant, expected = LIES[name]
    records = a_clean_run()
    plant(records)

    assert expected in found_in(records)


def test_every_rule_has_a_violation_that_it_finds() -> None:
    idle = set(RULES)
    for plant, expected in LIES.values():
        records = a_clean_run()
        plant(records)
        history = History(records)
        idle -= {rule for rule in RULES if expected in rule(history)}

    assert idle == set()


def save(folder: Path, records: Iterable[Record]) -> None:
    folder.mkdir()
    journal = Journal(folder / "all.jsonl")
    for record in records:
        journal.add(record)
    journal.close()


def test_a_journal_is_read_as_it_was_written(tmp_path: Path) -> None:
    save(tmp_path / "run", a_clean_run())

    records = load(tmp_path / "run").records()
    assert sorted(map(repr, records)) == sorted(map(repr, a_clean_run()))


def test_a_line_that_is_no_record_is_named(tmp_path: Path) -> None:
    (tmp_path / "some.jsonl").write_text('{"kind": "Given')

    with pytest.raises(ValueError, match=r"some\.jsonl:1 is no record"):
        load(tmp_path)


def test_the_checker_is_a_program_whose_exit_code_tells(tmp_path: Path) -> None:
    save(tmp_path / "clean", a_clean_run())
    save(tmp_path / "wrong", a_clean_run()[1:])
    codes = [
        subprocess.run(
            [sys.executable, "-m", "tests.faults.checker", str(tmp_path / name)],
            cwd=ROOT,
            check=False,
            capture_output=True,
        ).returncode
        for name in ("clean", "wrong")
    ]

    assert codes == [0, 1]
