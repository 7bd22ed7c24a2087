"""Tools that know nothing of Tandem, and learn it by reflection."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.support.command import Finished
from tests.support.documented import Block, blocks, run
from tests.support.running_pair import RunningPair
from tests.support.tools import needs

PAGE = "docs/tools.md"

REFUSED = ("ERROR:", '"code": ', "tandem: ")
"""How a block on a refusal says that it is one."""

ITEMS = 10
"""Of each batch in batch.json."""

COUNT = "SELECT count(*) FROM tandem.tasks WHERE project = 'load'"


async def test_the_page_on_starting_shows_what_its_commands_print(
    pair: RunningPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    _lead_commands_to(pair, monkeypatch)
    make_up, *rest = blocks("docs/start.md")
    # The doctor looks at the installation of `make up`, which is not here.
    *tasks, look_around = rest

    for block in tasks:
        ended = await run(block.commands.replace(".venv/bin/", ""), pair)
        _is_as_said(block, ended)
        if found := re.match(r"([0-9a-f-]{36})  created", ended.out):
            await pair.finished(found[1])

    assert make_up.commands.startswith("make up ")
    assert "doctor" in look_around.commands


@needs("grpcurl")
async def test_the_readme_s_grpcurl_commands_create_and_read_a_task(
    pair: RunningPair,
) -> None:
    create, list_, look_up = _of_the_readme()
    created = await _answer(create, pair)
    again = await _answer(create, pair)
    listed = await _answer(list_, pair)
    found = await _answer(look_up, pair)

    task_id = created["task"]["taskId"]
    assert created["outcome"] == "OUTCOME_CREATED"
    assert again["outcome"] == "OUTCOME_REPLAYED"
    assert again["task"]["taskId"] == task_id
    assert [task["taskId"] for task in listed["tasks"]] == [task_id]
    assert found["task"]["taskId"] == task_id


@needs("grpcurl")
async def test_a_refusal_reads_well_in_grpcurl(pair: RunningPair) -> None:
    create = _of_the_readme()[0]
    await _answer(create, pair)
    ended = await run(create.replace("Healthcare", "Farming"), pair)
    assert ended.code != 0
    assert "REQUEST_ID_REUSED" in ended.err
    assert "spec.payload.topic" in ended.err


@pytest.mark.parametrize(
    "tool", [pytest.param("grpcurl", marks=needs("grpcurl")), "buf curl"]
)
async def test_the_page_on_tools_shows_what_its_commands_print(
    tool: str, pair: RunningPair
) -> None:
    for block in blocks(PAGE, tool):
        ended = await run(block.commands, pair)
        _is_as_said(block, ended)


def test_no_command_of_the_page_on_tools_is_left_out() -> None:
    run_here = [
        len(list(blocks(PAGE, tool))) for tool in ("grpcurl", "buf curl", "ghz")
    ]
    assert min(run_here) > 0
    assert sum(run_here) == len(list(blocks(PAGE)))


@needs("ghz")
async def test_seconds_of_each_load_end_without_an_error(pair: RunningPair) -> None:
    create, replay, batch, list_ = blocks(PAGE, "ghz")
    made = await _load(create, pair)
    assert await _count(pair) == made

    await _load(replay, pair)
    made += 1
    assert await _count(pair) == made

    made += ITEMS * await _load(batch, pair)
    await _load(list_, pair)
    assert await _count(pair) == made


def _lead_commands_to(pair: RunningPair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TANDEM_CREATOR_ADDRESS", pair.pair.creator_address)
    monkeypatch.setenv("TANDEM_PROCESSOR_ADDRESS", pair.pair.processor_address)


def _of_the_readme() -> list[str]:
    commands = [block.commands for block in blocks("README.md")]
    return [text for text in commands if text.startswith("grpcurl")]


async def _answer(command: str, pair: RunningPair) -> dict[str, Any]:
    ended = await run(command, pair)
    assert ended.code == 0, ended.err
    answer: dict[str, Any] = json.loads(ended.out)
    return answer


def _is_as_said(block: Block, ended: Finished) -> None:
    refused = any(mark in block.printed for mark in REFUSED)
    assert (ended.code != 0) == refused, ended
    rest = ended.out + ended.err
    for piece in block.said():
        _, found, rest = rest.partition(piece)
        assert found, (piece, ended)


async def _load(block: Block, pair: RunningPair) -> int:
    """How many calls were answered, all of them with OK."""
    ended = await run(block.commands, pair)
    _is_as_said(block, ended)
    assert "Error distribution" not in ended.out
    [(code, count)] = re.findall(
        r"^ *\[(\w+)\] +(\d+) responses", ended.out, re.MULTILINE
    )
    assert code == "OK"
    assert int(count) > 0
    return int(count)


async def _count(pair: RunningPair) -> int:
    async with pair.database.admin() as admin:
        made: int = await admin.fetchval(COUNT)
    return made
