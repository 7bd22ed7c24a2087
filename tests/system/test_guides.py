"""The guide to a provider's task, done as it says but for the ports."""

from __future__ import annotations

import asyncio
import json
import re

from tests.support.cluster import reachable_folder
from tests.support.command import LIMIT, Standing
from tests.support.documented import command
from tests.support.shell import shell, standing_shell
from tests.support.until import until

FREE = "--creator-listen 127.0.0.1:0 --processor-listen 127.0.0.1:0"


def guide(start: str) -> str:
    return command("docs/guides.md", f".venv/bin/{start}").removeprefix(".venv/bin/")


async def address_of(provider: Standing) -> str:
    assert provider.process.stdout is not None
    async with asyncio.timeout(LIMIT):
        said = (await provider.process.stdout.readline()).decode()
    [address] = re.findall(r"serves on (\S+);", said)
    return str(address)


async def test_a_provider_does_a_task_as_the_guide_says() -> None:
    serve, up, create, list_ = (
        guide(start)
        for start in (
            "python -m examples.fake_provider",
            "tandem up --handlers examples.",
            "tandem task create --project examples",
            "tandem task list --project examples",
        )
    )
    anywhere = {"PROVIDER_ADDRESS": "127.0.0.1:0"}
    with reachable_folder() as folder:
        async with standing_shell(serve, environ=anywhere) as provider:
            given = {"PROVIDER_ADDRESS": await address_of(provider)}
            text = f"{up} {FREE} --data {folder}/data"
            async with standing_shell(text, environ=given) as pair:
                ready = await pair.line(process="tandem", event="ready")
                environ = {
                    "TANDEM_CREATOR_ADDRESS": ready["creator"],
                    "TANDEM_PROCESSOR_ADDRESS": ready["processor"],
                }
                task_id, outcome = (await shell(create, environ=environ)).out.split()

                async def done() -> bool:
                    listed = await shell(list_, environ=environ)
                    return bool(re.search(rf"{task_id} .*SUCCEEDED", listed.out))

                assert outcome == "created"
                assert await until(done, seconds=30)
                shown = await shell(
                    f"tandem --json task get {task_id}", environ=environ
                )

    [task] = [json.loads(line) for line in shown.out.splitlines()]
    assert task["status"]["annotations"] == {"provider_id": "remote-1"}
