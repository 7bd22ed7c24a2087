"""A video's provider had its task, and we had no row of it; credits went twice."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tandem.states import TaskState
from tandem.v1 import processor_pb2, task_pb2
from tests.support.cluster import Database
from tests.support.content import result_of, state_of
from tests.support.creator import a_request
from tests.support.gates import Gate, let_pass, standing_gate
from tests.support.held_provider import Held, HeldProvider, held_provider
from tests.support.running_pair import HASTE, RunningPair, running_pair

HANDLERS = "tests.support.provider_handlers:handlers"


@pytest.fixture
def provider() -> Iterator[HeldProvider]:
    with held_provider() as held:
        yield held


@pytest.fixture
async def gate() -> AsyncIterator[Gate]:
    async with standing_gate() as standing:
        yield standing


@pytest.fixture
async def pair(
    database: Database, provider: HeldProvider
) -> AsyncIterator[RunningPair]:
    """Processors that a test may kill, and that know the provider's address."""
    environ = {**HASTE, "PROVIDER_ADDRESS": provider.provider.address}
    async with running_pair(database, handlers=HANDLERS, environ=environ) as running:
        yield running


async def create(pair: RunningPair, type_: str, **payload: object) -> str:
    request = a_request(project="videos", type=type_, payload=payload)
    return (await pair.creators[0].CreateTask(request)).task.task_id


async def test_c4_the_remote_call_finds_our_row_and_its_id_is_shown_beside_ours(
    pair: RunningPair, provider: HeldProvider
) -> None:
    task_id = await create(pair, "remote_video", image="a.jpg")
    called = await provider.post(Held.CALLED)
    request = processor_pb2.GetTaskRequest(task_id=called.key)
    rows = [(await each.GetTask(request)).task for each in pair.processors]
    remotes_then = len(provider.provider.remotes)
    called.let_pass()
    (await provider.post(Held.MADE)).let_pass()
    done = await pair.finished(task_id)
    listed = await pair.processors[0].ListTasks(
        processor_pb2.ListTasksRequest(project="videos")
    )

    assert remotes_then == 0
    assert [(row.task_id, state_of(row)) for row in rows] == [
        (task_id, TaskState.RUNNING)
    ] * 2
    assert [provider_id(task) for task in (done, *listed.tasks)] == ["remote-1"] * 2
    assert result_of(done) == {"url": "https://videos.example/remote-1.mp4"}


async def test_c4_killed_between_the_answer_and_its_note_there_is_one_remote_task(
    pair: RunningPair, provider: HeldProvider, gate: Gate
) -> None:
    task_id = await create(pair, "gated_video", gate=gate.address)
    first_key = await provider.answer()
    await gate.reached()
    holder, other = await pair.holder(task_id)
    await pair.pair.processors[holder].kill()
    second_key = await provider.answer()
    seen = (
        await pair.processors[other].GetTask(
            processor_pb2.GetTaskRequest(task_id=task_id)
        )
    ).task
    let_pass(await gate.reached())
    done = await pair.finished(task_id, at=other)

    assert provider_id(seen) == ""
    assert first_key == second_key == task_id
    assert [remote.id for remote in provider.provider.remotes.values()] == ["remote-1"]
    assert provider_id(done) == "remote-1"
    assert (state_of(done), done.status.attempt) == (TaskState.SUCCEEDED, 2)


async def test_c9_what_is_deducted_on_success_is_deducted_once_in_three_attempts(
    pair: RunningPair, provider: HeldProvider
) -> None:
    task_id = await create(pair, "analysis", text="one two three", credits=5)
    # The first attempt is killed once the credits are gone, and before it knows.
    (await provider.post(Held.CALLED)).let_pass()
    killed = await provider.post(Held.MADE)
    holder, other = await pair.holder(task_id)
    await pair.pair.processors[holder].kill()
    killed.let_pass()
    # The second is not answered.
    (await provider.post(Held.CALLED)).let_pass()
    (await provider.post(Held.MADE)).let_pass(answered=False)
    await provider.answer()
    done = await pair.finished(task_id, at=other)

    assert (state_of(done), done.status.attempt) == (TaskState.SUCCEEDED, 3)
    assert provider.provider.calls == [task_id] * 3
    deductions = provider.provider.remotes.values()
    assert [(made.path, made.body) for made in deductions] == [
        ("/deductions", {"credits": 5})
    ]
    assert result_of(done) == {"words": 3, "deduction": "remote-1"}
    assert stages_of(done) == {"analyse": 1, "deduct": 3}


def provider_id(task: task_pb2.Task) -> str:
    return task.status.annotations.get("provider_id", "")


def stages_of(task: task_pb2.Task) -> dict[str, int]:
    """The attempt that each kept result is from."""
    return {stage.name: stage.attempt for stage in task.status.stages}
