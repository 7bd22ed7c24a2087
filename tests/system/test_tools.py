"""Tools that know nothing of Tandem, and learn it by reflection."""

from __future__ import annotations

import asyncio
import json
import re
from asyncio.subprocess import PIPE
from typing import Any

from tests.support.running_pair import ROOT, RunningPair
from tests.support.tools import needs

SHELL_BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)

REQUEST = {
    "request_id": "{{newUUID}}",
    "spec": {"project": "load", "type": "idle", "payload": {"n": 1}},
}


@needs("grpcurl")
async def test_the_readme_s_grpcurl_commands_create_and_read_a_task(
    pair: RunningPair,
) -> None:
    create, list_, look_up = _commands(pair)
    created = await _shell(create)
    again = await _shell(create)
    listed = await _shell(list_)
    found = await _shell(look_up)

    task_id = created["task"]["taskId"]
    assert created["outcome"] == "OUTCOME_CREATED"
    assert again["outcome"] == "OUTCOME_REPLAYED"
    assert again["task"]["taskId"] == task_id
    assert [task["taskId"] for task in listed["tasks"]] == [task_id]
    assert found["task"]["taskId"] == task_id


@needs("grpcurl")
async def test_a_refusal_reads_well_in_grpcurl(pair: RunningPair) -> None:
    create = _commands(pair)[0]
    await _shell(create)
    code, _, err = await _run("sh", "-c", create.replace("Healthcare", "Farming"))
    assert code != 0
    assert "REQUEST_ID_REUSED" in err
    assert "spec.payload.topic" in err


@needs("ghz")
async def test_seconds_of_fresh_creates_end_without_an_error(
    pair: RunningPair,
) -> None:
    code, out, err = await _run(
        "ghz",
        "--insecure",
        "--call=tandem.v1.CreatorService/CreateTask",
        f"--data={json.dumps(REQUEST)}",
        "--duration=5s",
        "--duration-stop=wait",
        "--concurrency=20",
        "--format=json",
        pair.pair.creators[0].address,
    )
    assert code == 0, err
    report = json.loads(out)
    assert report["errorDistribution"] == {}
    assert set(report["statusCodeDistribution"]) == {"OK"}
    async with pair.database.admin() as admin:
        made = await admin.fetchval("SELECT count(*) FROM tandem.tasks")
    assert made == report["count"] > 100


def _commands(pair: RunningPair) -> list[str]:
    """The README's, word by word, but for the ports."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = [block for block in SHELL_BLOCK.findall(text) if "grpcurl" in block]
    return [
        block.replace("127.0.0.1:7101", pair.pair.creators[0].address).replace(
            "127.0.0.1:7102", pair.pair.processors[0].address
        )
        for block in blocks
    ]


async def _shell(command: str) -> dict[str, Any]:
    code, out, err = await _run("sh", "-c", command)
    assert code == 0, err
    answer: dict[str, Any] = json.loads(out)
    return answer


async def _run(*command: str) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE)
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()
