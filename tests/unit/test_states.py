from __future__ import annotations

import itertools
import re
from importlib import resources

import pytest

from tandem import wire
from tandem.states import FINAL_STATES, SUCCESSORS, TaskState, predecessors
from tandem.v1 import task_pb2


@pytest.mark.parametrize(("a", "b"), list(itertools.product(TaskState, repeat=2)))
def test_predecessors_is_successors_reversed(a: TaskState, b: TaskState) -> None:
    assert (a in predecessors(b)) == (b in SUCCESSORS[a])


def test_every_state_says_what_may_follow_it() -> None:
    assert set(SUCCESSORS) == set(TaskState)


def test_only_retry_task_leads_out_of_a_final_state() -> None:
    after_the_end = {state for final in FINAL_STATES for state in SUCCESSORS[final]}

    assert after_the_end == {TaskState.PENDING}
    assert not SUCCESSORS[TaskState.SUCCEEDED]


def test_the_contract_names_the_same_states() -> None:
    every = set(task_pb2.TaskStatus.State.values())

    assert set(wire.STATES) == set(TaskState)
    assert set(wire.STATES.values()) == every - {task_pb2.TaskStatus.STATE_UNSPECIFIED}


def test_the_database_names_the_same_states() -> None:
    schema = resources.files("tandem").joinpath("migrations/0001_tasks.sql").read_text()
    enum = re.search(r"CREATE TYPE tandem.task_state AS ENUM\s*\((.*?)\)", schema)

    assert enum is not None
    assert set(re.findall(r"'(\w+)'", enum[1])) == set(TaskState)
