"""The client and the pair, as processes."""

from __future__ import annotations

import asyncio

from tandem.client import AsyncClient, Spec, result_of, state_of
from tandem.states import TaskState
from tests.support.documented import command
from tests.support.running_pair import RunningPair
from tests.support.shell import shell

LIMIT = 60.0


async def test_the_example_runs_twice_and_makes_one_task(pair: RunningPair) -> None:
    first, again = await _run_example(pair), await _run_example(pair)

    created, refused, ended = first
    outcome, task_id = created.split()
    assert outcome == "CREATED"
    assert refused == "REQUEST_ID_REUSED spec.payload.topic"
    assert ended == "SUCCEEDED {'topic': 'Tea'}"
    assert again == [f"REPLAYED {task_id}", refused, ended]


async def test_what_was_created_is_listed_read_and_followed(pair: RunningPair) -> None:
    specs = [
        Spec(project="shop", type="echo", payload={"n": n}, external_id=f"wf-1:{n}")
        for n in range(3)
    ]
    creators = [creator.address for creator in pair.pair.creators]
    async with (
        asyncio.timeout(LIMIT),
        AsyncClient(creators, pair.pair.processor_address) as client,
    ):
        made = [(await client.create(spec)).task.task_id for spec in specs]
        listed = [
            task.task_id
            async for task in client.list("shop", external_id_prefix="wf-1:")
        ]
        ended = [
            [task async for task in client.watch(task_id, full=True)][-1]
            for task_id in made
        ]
        read = [await client.get(task_id) for task_id in made]
        succeeded = client.list("shop", states=[TaskState.SUCCEEDED], full=True)
        results = [result_of(task) async for task in succeeded]

    assert listed == made[::-1]
    assert {state_of(task) for task in ended} == {TaskState.SUCCEEDED}
    assert [result_of(task) for task in read] == [{"n": n} for n in range(3)]
    assert results == [{"n": n} for n in (2, 1, 0)]


async def _run_example(pair: RunningPair) -> list[str]:
    shown = command("docs/guides.md", ".venv/bin/python examples/retrying_client.py")
    environ = {
        "TANDEM_CREATOR_ADDRESS": pair.pair.creator_address,
        "TANDEM_PROCESSOR_ADDRESS": pair.pair.processor_address,
    }
    ended = await shell(shown.removeprefix(".venv/bin/"), environ=environ)
    return ended.out.splitlines()
