"""The services start with what the files of a deployment tell them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tandem.client import AsyncClient, Spec
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
from tests.support.service_logs import ServiceLogs

GIVEN = {"TANDEM_CREATOR_PASSWORD": "x", "TANDEM_PROCESSOR_PASSWORD": "x"}


@dataclass(frozen=True, slots=True)
class Deployment:
    """What each process is told, and a task for the handlers that come along."""

    creators: Sequence[Mapping[str, str]]
    processors: Sequence[Mapping[str, str]]
    spec: Spec


def compose() -> Deployment:
    told = {
        name: compose_environment(name, GIVEN)
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
        # By name, as clients of a headless Service do.
        client = await stack.enter_async_context(
            AsyncClient(f"dns:///{by_name(creators[-1])}", processors[-1])
        )

        made = await client.create(told.spec, request_id="order 7")
        seen = [task async for task in client.watch(made.task.task_id)]

    assert seen[-1].status.state == task_pb2.TaskStatus.STATE_SUCCEEDED
    assert len(logs.having(event="serving metrics")) == 4


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
