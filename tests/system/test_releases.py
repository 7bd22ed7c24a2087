"""Services of earlier versions on today's schema, alone and beside today's services.

A release is rolled out schema first, then process by process: whatever was current
when the migrations ran has to go on, and to start again, until it is replaced.
"""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import grpc
import pytest

from tandem.pair import ANY_PORT, Logins, Pair
from tandem.v1 import creator_pb2 as pb
from tandem.v1 import creator_pb2_grpc, processor_pb2, processor_pb2_grpc, task_pb2
from tests.support.cluster import Database
from tests.support.creator import a_new_id, a_request
from tests.support.postgres_log import PostgresLog
from tests.support.releases import environ_of, imported_from, unpack
from tests.support.running_pair import HASTE, ROOT, handlers_path
from tests.support.service_logs import ServiceLogs

if TYPE_CHECKING:
    from tandem.v1.creator_pb2_grpc import CreatorServiceAsyncStub
    from tandem.v1.processor_pb2_grpc import ProcessorServiceAsyncStub

HANDLERS: Final = "tests.support.system_handlers:handlers"

FIRST: Final = "6a605f371825145844aceb0327a8bb2b5654eb0b"
"""The first pair that was whole from end to end; it brought migrations 0001 and 0002."""

SECOND: Final = "55959c05b2ee28a1000cc7969c1539f09039f53a"
"""The first with every method; it brought migrations 0003 to 0007."""

CREATED: Final = pb.CreateTaskResponse.OUTCOME_CREATED
REPLAYED: Final = pb.CreateTaskResponse.OUTCOME_REPLAYED

MANY: Final = 60
LIMIT: Final = 30.0


@pytest.fixture(scope="module", params=[FIRST, SECOND], ids=["first", "second"])
def earlier(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The source of an earlier version, from before the first release."""
    source = tmp_path_factory.mktemp("release")
    unpack(request.param, source)
    return source


class Services:
    """Creators and processors in the order they were started, of any version."""

    def __init__(self, pair: Pair, channels: AsyncExitStack, logs: ServiceLogs) -> None:
        self.logs = logs
        self.creators: list[CreatorServiceAsyncStub] = []
        self.processors: list[ProcessorServiceAsyncStub] = []
        self._pair = pair
        self._channels = channels

    async def start(
        self, creators: Sequence[Path | None], processors: Sequence[Path | None]
    ) -> None:
        """One for each source; None is today's."""
        for source in creators:
            await self._pair.start_creators([ANY_PORT], environ=_environ(source))
        for source in processors:
            await self._pair.start_processors([ANY_PORT], environ=_environ(source))
        for process in self._pair.creators:
            channel = await self._open(process.address)
            self.creators.append(creator_pb2_grpc.CreatorServiceStub(channel))
        for process in self._pair.processors:
            channel = await self._open(process.address)
            self.processors.append(processor_pb2_grpc.ProcessorServiceStub(channel))

    async def finished(self, task_id: str, *, at: int = 0) -> task_pb2.Task:
        """The task, once it is final."""
        request = processor_pb2.WatchTaskRequest(
            task_id=task_id, view=task_pb2.TASK_VIEW_FULL
        )
        task = task_pb2.Task()
        async for answer in self.processors[at].WatchTask(request, timeout=LIMIT):
            task = answer.task if answer.HasField("task") else task
        return task

    async def _open(self, address: str) -> grpc.aio.Channel:
        channel = grpc.aio.insecure_channel(address)
        return await self._channels.enter_async_context(channel)


def _environ(source: Path | None) -> dict[str, str]:
    packages = {"PYTHONPATH": handlers_path()} if source is None else environ_of(source)
    return {**HASTE, "TANDEM_LOG": "json", **packages}


@asynccontextmanager
async def running(
    database: Database,
    *,
    creators: Sequence[Path | None],
    processors: Sequence[Path | None],
) -> AsyncIterator[Services]:
    logs = ServiceLogs()
    logins = Logins(
        creator_url=database.creator_url, processor_url=database.processor_url
    )
    async with (
        Pair(logins, handlers=HANDLERS, on_line=logs.add) as pair,
        AsyncExitStack() as channels,
    ):
        services = Services(pair, channels, logs)
        await services.start(creators, processors)
        yield services


def test_the_source_of_an_earlier_release_is_what_is_run(earlier: Path) -> None:
    found = imported_from(earlier)

    assert [earlier in file.parents for file in found] == [True] * 3


@pytest.mark.parametrize(
    ("creator_is_earlier", "processor_is_earlier"),
    [(True, True), (True, False), (False, True)],
    ids=["both", "creator", "processor"],
)
async def test_a_task_is_created_once_and_processed_by_services_of_earlier_releases(
    database: Database,
    earlier: Path,
    creator_is_earlier: bool,
    processor_is_earlier: bool,
    postgres_log: PostgresLog,
) -> None:
    request = a_request(request_id=a_new_id(), payload={"topic": "Tea"}, type="echo")
    async with running(
        database,
        creators=[earlier if creator_is_earlier else None],
        processors=[earlier if processor_is_earlier else None],
    ) as services:
        created = await services.creators[0].CreateTask(request)
        done = await services.finished(created.task.task_id)
        again = await services.creators[0].CreateTask(request)

    assert (created.outcome, again.outcome) == (CREATED, REPLAYED)
    assert done.status.state == task_pb2.TaskStatus.STATE_SUCCEEDED
    assert dict(done.status.result) == {"topic": "Tea"}
    assert done.status.attempt == 1
    assert again.task.status == done.status
    assert postgres_log.errors() == []
    assert services.logs.having(level="error") == []


async def test_p1_releases_side_by_side_create_each_task_once_and_share_the_work(
    database: Database, earlier: Path, postgres_log: PostgresLog
) -> None:
    """As in the middle of a rollout: each create comes to both, in either order."""
    requests = [
        a_request(request_id=a_new_id(), payload={"n": n}, type="echo")
        for n in range(MANY)
    ]
    async with (
        asyncio.timeout(2 * LIMIT),
        running(
            database, creators=[earlier, None], processors=[earlier, None]
        ) as services,
    ):
        answers = await asyncio.gather(
            *(
                stub.CreateTask(request)
                for request in requests
                for stub in services.creators
            )
        )
        ids = {answer.task.task_id for answer in answers}
        done = [
            await services.finished(task_id, at=n % 2) for n, task_id in enumerate(ids)
        ]
        streamed = [await _streamed(stub) for stub in services.creators]

    outcomes = [answer.outcome for answer in answers]
    assert (outcomes.count(CREATED), outcomes.count(REPLAYED)) == (MANY, MANY)
    assert streamed[0] == streamed[1]
    assert (len(ids), sorted(streamed[0])) == (MANY, sorted(ids))
    assert {task.status.attempt for task in done} == {1}
    assert postgres_log.errors() == []
    assert services.logs.having(level="error") == []


def test_a_clone_without_the_earlier_releases_is_told_what_to_fetch(
    tmp_path: Path,
) -> None:
    shallow = tmp_path / "shallow"
    subprocess.run(
        ["git", "clone", "--quiet", "--depth=1", ROOT.as_uri(), str(shallow)],
        capture_output=True,
        timeout=LIMIT,
        check=True,
    )

    with pytest.raises(LookupError, match="git fetch --unshallow"):
        unpack(FIRST, tmp_path, repository=shallow)


async def _streamed(stub: CreatorServiceAsyncStub) -> list[str]:
    request = pb.StreamCreatedTasksRequest(
        start=pb.StreamCreatedTasksRequest.START_BEGINNING, until_caught_up=True
    )
    answers = stub.StreamCreatedTasks(request, timeout=LIMIT)
    return [task_id async for answer in answers for task_id in answer.task_ids]
