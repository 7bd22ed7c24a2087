"""Several creator processes on one address, under one that keeps them alive."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest

from tandem.pair import ANY_PORT
from tandem.processes import DidNotServe, Service, ServiceProcess
from tandem.v1 import creator_pb2 as pb
from tandem.v1 import creator_pb2_grpc
from tests.support.cluster import Database
from tests.support.creator import a_new_id, a_request
from tests.support.scrapes import ANY_PORT as METRICS_ANYWHERE
from tests.support.scrapes import address_in, scrape
from tests.support.service_logs import ServiceLogs
from tests.support.until import until

CALLERS = 24

COUNT = "SELECT count(*) FROM tandem.tasks"


@asynccontextmanager
async def creators(
    database: Database,
    *,
    processes: int = 2,
    listen: str = ANY_PORT,
    environ: Mapping[str, str] | None = None,
) -> AsyncIterator[tuple[ServiceProcess, ServiceLogs]]:
    logs = ServiceLogs()
    parent = ServiceProcess(
        Service.CREATOR,
        label="creators",
        environ={
            "TANDEM_DATABASE_URL": database.creator_url,
            "TANDEM_LISTEN": listen,
            "TANDEM_PROCESSES": str(processes),
            "TANDEM_LOG": "json",
            "TANDEM_GRACE": "5",
            **(environ or {}),
        },
        on_line=logs.add,
    )
    await parent.start()
    try:
        yield parent, logs
    finally:
        if parent.is_running:
            await parent.stop()


async def create_from_many(address: str) -> None:
    """Each caller over a connection of its own, and until it is answered."""
    await asyncio.gather(*(_create(address) for _ in range(CALLERS)))


async def _create(address: str) -> None:
    request = a_request(request_id=a_new_id())
    options = (("grpc.use_local_subchannel_pool", 1),)
    async with asyncio.timeout(20):
        while True:
            async with grpc.aio.insecure_channel(address, options=options) as channel:
                stub = creator_pb2_grpc.CreatorServiceStub(channel)
                try:
                    answer: pb.CreateTaskResponse = await stub.CreateTask(request)
                except grpc.aio.AioRpcError as error:
                    if error.code() is not grpc.StatusCode.UNAVAILABLE:
                        raise
                else:
                    assert answer.task.task_id
                    return


def children(logs: ServiceLogs) -> list[int]:
    return [line["process_id"] for line in logs.having(event="creator process started")]


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


async def test_each_process_serves_on_the_one_address(database: Database) -> None:
    async with creators(database, processes=3) as (parent, logs):
        await create_from_many(parent.address)
        listening = {line["port"] for line in logs.having(event="serving")}
        code = await parent.stop()

    assert len(set(children(logs))) == 3
    assert listening == {int(parent.address.rpartition(":")[2])}
    assert code == 0
    assert not any(is_alive(pid) for pid in children(logs))
    async with database.admin() as admin:
        assert await admin.fetchval(COUNT) == CALLERS


async def test_one_that_dies_is_started_again_while_the_others_serve(
    database: Database,
) -> None:
    async with creators(database) as (parent, logs):
        victim = children(logs)[0]
        os.kill(victim, signal.SIGKILL)
        await create_from_many(parent.address)
        ended = await logs.first(event="creator process ended")
        await until(lambda: _count_children(logs, 3))
        await create_from_many(parent.address)

    assert ended["process_id"] == victim
    async with database.admin() as admin:
        assert await admin.fetchval(COUNT) == 2 * CALLERS


async def test_one_that_had_died_does_not_spoil_the_end_of_the_others(
    database: Database,
) -> None:
    """It is to be started again, and a stop comes first."""
    async with creators(database) as (parent, logs):
        os.kill(children(logs)[0], signal.SIGKILL)
        await logs.first(event="creator process ended")

        assert await parent.stop() == 0


async def test_none_outlives_the_process_that_started_it(database: Database) -> None:
    async with creators(database) as (parent, logs):
        await parent.kill()

        async def all_gone() -> bool:
            return not any(is_alive(pid) for pid in children(logs))

        assert await until(all_gone)


async def test_several_refuse_an_address_that_others_share(database: Database) -> None:
    async with creators(database) as (parent, _):
        with pytest.raises(DidNotServe, match="cannot listen") as caught:
            async with creators(database, listen=parent.address):
                pass

    assert "exit code 2" in str(caught.value)


async def test_one_refuses_an_address_that_several_share(database: Database) -> None:
    async with creators(database) as (parent, _):
        with pytest.raises(DidNotServe, match="cannot listen"):
            async with creators(database, processes=1, listen=parent.address):
                pass


async def test_what_keeps_one_from_starting_is_said_once(
    database: Database,
) -> None:
    logs = ServiceLogs()
    parent = ServiceProcess(
        Service.CREATOR,
        label="creators",
        environ={
            "TANDEM_DATABASE_URL": "postgresql://nobody:x@127.0.0.1:1/none",
            "TANDEM_LISTEN": ANY_PORT,
            "TANDEM_PROCESSES": "4",
        },
        on_line=logs.add,
    )
    with pytest.raises(DidNotServe, match="exit code 2"):
        await parent.start()

    assert logs.text().count("cannot reach the database") == 1


async def test_each_process_has_metrics_of_its_own(
    database: Database, tmp_path: Path
) -> None:
    port_file = {"TANDEM_METRICS_PORT_FILE": str(tmp_path / "port")}
    environ = {**METRICS_ANYWHERE, **port_file}
    async with creators(database, environ=environ) as (parent, _):
        await create_from_many(parent.address)
        addresses = [address_in(tmp_path / f"port.{number}") for number in range(2)]
        told = [await scrape(address) for address in addresses]

    assert len(set(addresses)) == 2
    made = [each.total("tandem_creates_total", outcome="CREATED") for each in told]
    assert sum(made) == CALLERS


async def _count_children(logs: ServiceLogs, count: int) -> bool:
    return len(children(logs)) >= count
