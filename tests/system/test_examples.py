"""The examples do what they say."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE

import pytest

from tests.support.cluster import Database
from tests.support.creator import a_new_id, a_request
from tests.support.running_pair import ROOT, RunningPair, running_pair


async def test_the_client_creates_a_task_once_and_prints_its_result(
    pair: RunningPair,
) -> None:
    first, again = await _run_client(pair), await _run_client(pair)
    task_id, outcome = first[0].split()
    assert outcome == "OUTCOME_CREATED"
    assert again[0] == f"{task_id} OUTCOME_REPLAYED"
    assert first[1] == again[1] == '{"target_length": 2000.0, "topic": "Tea"}'


@pytest.mark.parametrize(
    ("module", "type_", "payload", "key"),
    [
        ("blog_post", "blog_post", {"topic": "Tea"}, "page"),
        ("blocking_handler", "checksum", {"path": str(ROOT / "LICENSE")}, "sha256"),
    ],
)
async def test_a_handler_runs(
    database: Database, module: str, type_: str, payload: dict[str, str], key: str
) -> None:
    async with running_pair(
        database, handlers=f"examples.{module}:handlers"
    ) as running:
        request = a_request(request_id=a_new_id(), payload=payload, type=type_)
        created = await running.creators[0].CreateTask(request)
        done = await running.finished(created.task.task_id)
    assert list(done.status.result) == [key]


async def _run_client(pair: RunningPair) -> list[str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        ROOT / "examples" / "create_task.py",
        stdout=PIPE,
        env={
            **os.environ,
            "TANDEM_CREATOR_ADDRESS": pair.pair.creator_address,
            "TANDEM_PROCESSOR_ADDRESS": pair.pair.processor_address,
        },
    )
    async with asyncio.timeout(60):
        out, _ = await process.communicate()
    return out.decode().splitlines()
