"""The services start with what the files of a deployment tell them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tandem.client import AsyncClient, Credentials, Spec
from tandem.errors import Unauthenticated
from tandem.pair import ANY_PORT
from tandem.processes import Service, ServiceProcess
from tandem.v1 import task_pb2
from tests.support.cluster import Database
from tests.support.deployed import (
    ROOT,
    compose_environment,
    container,
    pod_environment,
)
from tests.support.documented import command
from tests.support.keys import a_key
from tests.support.service_logs import ServiceLogs
from tests.support.shell import shell
from tests.support.until import until

IN_THE_IMAGE = "docker compose run --rm -T key"
GIVEN = {"TANDEM_CREATOR_PASSWORD": "x", "TANDEM_PROCESSOR_PASSWORD": "x"}


@dataclass(frozen=True, slots=True)
class Deployment:
    """What each process is told, and a task for the handlers that come along."""

    creators: Sequence[Mapping[str, str]]
    processors: Sequence[Mapping[str, str]]
    spec: Spec


def compose(more: Mapping[str, str] | None = None) -> Deployment:
    told = {
        name: compose_environment(name, {**GIVEN, **(more or {})})
        for name in ("creator-1", "creator-2", "processor-1", "processor-2")
    }
    for each in told.values():
        if "PYTHONPATH" in each:
            each["PYTHONPATH"] = str(ROOT / "examples")
    return Deployment(
        [told["creator-1"], told["creator-2"]],
        [told["processor-1"], told["processor-2"]],
        Spec(project="shop", type="blog_post", payload={"topic": "Tea"}),
    )


def kubernetes() -> Deployment:
    creator, processor = (pod_environment(name) for name in ("creator", "processor"))
    assert container("creator")["command"] == ["tandem", "creator"]
    return Deployment(
        [creator, creator],
        [processor, processor],
        Spec(project="shop", type="echo", payload={"topic": "Tea"}),
    )


@pytest.mark.parametrize("deployment", [compose, kubernetes], ids=lambda d: d.__name__)
async def test_the_pair_works_a_task_in_the_environment_of_the_deployment(
    database: Database, deployment: Any
) -> None:
    told = deployment()
    logs = ServiceLogs()
    async with (
        all_started(told, database, logs) as (creator, processor),
        # By name, as clients of a headless Service do.
        AsyncClient(f"dns:///{by_name(creator)}", processor) as client,
    ):
        state = await worked(client, told.spec)

    assert state == task_pb2.TaskStatus.STATE_SUCCEEDED
    assert len(logs.having(event="serving metrics")) == 4


async def test_compose_s_pair_asks_for_keys_that_are_made_as_shown(
    database: Database, tmp_path: Path
) -> None:
    told = compose(await keys_switched_on(database, tmp_path))
    logs = ServiceLogs()
    token = await a_key(database, "create:shop", "read:shop")
    async with all_started(told, database, logs) as (creator, processor):
        for refused in (Service.CREATOR, Service.PROCESSOR):
            async with AsyncClient(creator, processor) as nobody:
                with pytest.raises(Unauthenticated):
                    await call(nobody, refused, told.spec)
        credentials = Credentials(token=token)
        async with AsyncClient(creator, processor, credentials=credentials) as client:
            state = await worked(client, told.spec)
            is_followed = await until(lambda: both_follow(client), seconds=30)

    assert state == task_pb2.TaskStatus.STATE_SUCCEEDED
    assert is_followed, logs.text()


async def keys_switched_on(database: Database, folder: Path) -> dict[str, str]:
    """What the page on deployment adds to the `.env` of Compose."""
    text = command("docs/deployment.md", "key=").replace(f"{IN_THE_IMAGE} ", "", 1)
    assert "docker" not in text
    told = compose_environment("key", {"TANDEM_OWNER_PASSWORD": "x"})
    assert told.keys() == {"TANDEM_OWNER_URL"}
    ended = await shell(
        text, folder=folder, environ={"TANDEM_OWNER_URL": database.owner_url}
    )
    assert ended.code == 0, ended
    lines = (folder / ".env").read_text().splitlines()
    return dict(line.split("=", maxsplit=1) for line in lines)


async def call(client: AsyncClient, service: Service, spec: Spec) -> None:
    if service == Service.CREATOR:
        await client.create(spec)
    else:
        await client.stats()


async def both_follow(client: AsyncClient) -> bool:
    """Whether a creator has let in both processors."""
    groups = (await client.stats()).groups
    return [each.members for each in groups if each.group == "processors"] == [2]


async def worked(
    client: AsyncClient, spec: Spec
) -> task_pb2.TaskStatus.State.ValueType:
    """The state that a new task ends in."""
    made = await client.create(spec, request_id="order 7")
    async with asyncio.timeout(60):
        seen = [task async for task in client.watch(made.task.task_id)]
    return seen[-1].status.state


@asynccontextmanager
async def all_started(
    told: Deployment, database: Database, logs: ServiceLogs
) -> AsyncIterator[tuple[str, str]]:
    """The addresses of the last creator and of the last processor."""
    async with AsyncExitStack() as stack:
        creators = [
            await stack.enter_async_context(
                started(Service.CREATOR, on_loopback(each, database.creator_url), logs)
            )
            for each in told.creators
        ]
        processors = [
            await stack.enter_async_context(
                started(
                    Service.PROCESSOR,
                    on_loopback(each, database.processor_url, creators),
                    logs,
                )
            )
            for each in told.processors
        ]
        yield creators[-1], processors[-1]


def on_loopback(
    told: Mapping[str, str], database_url: str, creators: Sequence[str] = ()
) -> dict[str, str]:
    """The same environment, with this machine for every host."""
    here = {
        **told,
        "TANDEM_DATABASE_URL": database_url,
        "TANDEM_LISTEN": ANY_PORT,
        "TANDEM_METRICS_LISTEN": ANY_PORT,
    }
    if "TANDEM_CREATOR_ADDRESS" in told:
        named = told["TANDEM_CREATOR_ADDRESS"].split(",")
        here["TANDEM_CREATOR_ADDRESS"] = ",".join(
            re.sub(r"[^/]+$", by_name(creator), name)
            for name, creator in zip(named, creators, strict=False)
        )
    return here


def by_name(address: str) -> str:
    return address.replace("127.0.0.1:", "localhost:")


@asynccontextmanager
async def started(
    service: Service, environ: Mapping[str, str], logs: ServiceLogs
) -> AsyncIterator[str]:
    """The address of a service that runs for the length of the block."""
    process = ServiceProcess(
        service, label=str(service), environ=environ, on_line=logs.add
    )
    await process.start()
    try:
        yield process.address
    finally:
        assert await process.stop() == 0
