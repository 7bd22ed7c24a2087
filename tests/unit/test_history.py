"""The judge of histories finds each kind of lie, and none in a true one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.history import (
    Answered,
    History,
    Looked,
    Placed,
    Stored,
    Streamed,
    load,
    violations,
)

ROOT = Path(__file__).parents[2]


def a_true_history() -> History:
    history = History()
    for n in range(1, 6):
        history.add(Stored(task_id=f"t{n}", request_id=f"r{n}", spec=f"s{n}"))
        history.add(Placed(task_id=f"t{n}", position=10 * n))
    for n in (1, 2, 2, 5):
        history.add(Answered(request_id=f"r{n}", task_id=f"t{n}", spec=f"s{n}"))
    history.add(Looked(since=0, horizon=25, positions=(10, 20)))
    history.add(Looked(since=20, horizon=50, positions=(30, 40, 50)))
    history.add(Streamed(subscriber="a", task_ids=("t1", "t2", "t3", "t4", "t5")))
    return history


def another_task_for_an_id(history: History) -> None:
    history.add(Answered(request_id="r2", task_id="t3", spec="s3"))


def two_rows_of_an_id(history: History) -> None:
    history.add(Stored(task_id="t9", request_id="r4", spec="s4"))


def a_row_that_no_answer_named(history: History) -> None:
    history.answered[0] = Answered(request_id="r1", task_id="t3", spec="s3")


def a_changed_spec(history: History) -> None:
    history.add(Stored(task_id="t4", request_id="r4", spec="another"))


def an_answer_with_another_spec(history: History) -> None:
    history.answered[1] = replace(history.answered[1], spec="another")


def a_position_given_twice(history: History) -> None:
    history.placed[1] = replace(history.placed[1], position=10)


def a_task_placed_twice(history: History) -> None:
    history.add(Placed(task_id="t3", position=60))


def an_answered_task_without_a_row(history: History) -> None:
    history.stored = [s for s in history.stored if s.task_id != "t5"]


def an_answered_task_without_a_place(history: History) -> None:
    history.placed = [p for p in history.placed if p.task_id != "t5"]
    history.looked.clear()
    history.streamed.clear()


def a_horizon_past_an_open_position(history: History) -> None:
    history.looked[0] = replace(history.looked[0], positions=(20,))


def a_position_that_vanished(history: History) -> None:
    history.looked[0] = replace(history.looked[0], positions=(10, 15, 20))


def an_id_that_was_not_sent(history: History) -> None:
    history.streamed[0] = replace(
        history.streamed[0], task_ids=("t1", "t2", "t3", "t5")
    )


def an_id_that_never_was(history: History) -> None:
    sent = history.streamed[0].task_ids
    history.streamed[0] = replace(history.streamed[0], task_ids=(*sent, "t9"))


def an_order_that_changed(history: History) -> None:
    history.streamed[0] = replace(
        history.streamed[0], task_ids=("t1", "t3", "t2", "t4", "t5")
    )


LIES: dict[Callable[[History], None], str] = {
    another_task_for_an_id: "request r2 was answered with 2 tasks",
    two_rows_of_an_id: "request r4 is held by 2 rows",
    a_row_that_no_answer_named: "request r1 was answered with another's task",
    a_changed_spec: "task t4 had 2 specs",
    an_answer_with_another_spec: "task t2 had 2 specs",
    a_position_given_twice: "position 10 has 2 tasks",
    a_task_placed_twice: "task t3 has 2 positions",
    an_answered_task_without_a_row: "task t5 was answered and is missing",
    an_answered_task_without_a_place: "task t5 was answered and is missing",
    a_horizon_past_an_open_position: "a horizon at 25 had passed 10, still open",
    a_position_that_vanished: "position 15 was seen under 25 and is gone",
    an_id_that_was_not_sent: "subscriber a was never sent task t4",
    an_id_that_never_was: "subscriber a was sent t9, which is no task",
    an_order_that_changed: "subscriber a was sent ids out of order",
}


def test_a_true_history_is_believed() -> None:
    assert violations(a_true_history()) == []


@pytest.mark.parametrize("lie", list(LIES), ids=lambda lie: lie.__name__)
def test_a_planted_lie_is_found(lie: Callable[[History], None]) -> None:
    history = a_true_history()
    lie(history)

    assert LIES[lie] in violations(history)


def test_a_history_is_read_as_it_was_saved(tmp_path: Path) -> None:
    a_true_history().save(tmp_path / "history.jsonl")

    assert load(tmp_path / "history.jsonl") == a_true_history()


def test_the_judge_is_a_program_whose_exit_code_tells(tmp_path: Path) -> None:
    true, false = a_true_history(), a_true_history()
    a_changed_spec(false)
    codes = []
    for number, history in enumerate([true, false]):
        path = tmp_path / f"{number}.jsonl"
        history.save(path)
        command = [sys.executable, "-m", "tests.support.history", str(path)]
        codes.append(subprocess.run(command, cwd=ROOT, check=False).returncode)

    assert codes == [0, 1]
