"""Every method of both services, for every kind of caller.

Another kind of credentials joins by a caller in `callers`, for each of its ways to be right
or wrong; a new method by a row in REQUESTS, without which `test_every_method_has_a_row` fails.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from uuid import uuid4

import asyncpg
import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from tandem import entering
from tandem.handlers import Handlers
from tandem.v1 import creator_pb2, processor_pb2
from tests.support.certificates import Authority
from tests.support.cluster import Database
from tests.support.creator import a_request, opened
from tests.support.keys import EVERYTHING, Metadata, a_key, bearer, refused_keys
from tests.support.processor import working

CREATOR: ServiceDescriptor = creator_pb2.DESCRIPTOR.services_by_name["CreatorService"]
PROCESSOR: ServiceDescriptor = processor_pb2.DESCRIPTOR.services_by_name[
    "ProcessorService"
]
REFLECTION: Any = reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"]
HEALTH: Any = health_pb2.DESCRIPTOR.services_by_name["Health"]

LIMIT: Final = 20.0

Makes = Callable[[str], Message]
"""A request about the one task, whose id it gets. Its project is `shop`."""


def _join(_task_id: str) -> Message:
    join = creator_pb2.ConsumeCreatedTasksRequest.Join(
        group="processors", queues=["unserved"], processor_id=str(uuid4())
    )
    return creator_pb2.ConsumeCreatedTasksRequest(join=join)


def _batch(_task_id: str) -> Message:
    requests = [a_request(queue="unserved")]
    return creator_pb2.BatchCreateTasksRequest(requests=requests)


# The request, and actions each of which is enough in the task's project.
REQUESTS: Final[Mapping[str, tuple[Makes, str]]] = MappingProxyType(
    {
        "CreateTask": (lambda _: a_request(queue="unserved"), "create"),
        "BatchCreateTasks": (_batch, "create"),
        "LookupTask": (
            lambda _: creator_pb2.LookupTaskRequest(project="shop", external_id="here"),
            "create read operate process",
        ),
        "StreamCreatedTasks": (
            lambda _: creator_pb2.StreamCreatedTasksRequest(
                projects=["shop"], until_caught_up=True
            ),
            "read operate process",
        ),
        "ConsumeCreatedTasks": (_join, "process"),
        "GetTask": (
            lambda task_id: processor_pb2.GetTaskRequest(task_id=task_id),
            "read operate process",
        ),
        "BatchGetTasks": (
            lambda task_id: processor_pb2.BatchGetTasksRequest(task_ids=[task_id]),
            "read operate process",
        ),
        "ListTasks": (
            lambda _: processor_pb2.ListTasksRequest(project="shop"),
            "read operate process",
        ),
        "WatchTask": (
            lambda task_id: processor_pb2.WatchTaskRequest(task_id=task_id),
            "read operate process",
        ),
        "CancelTask": (
            lambda task_id: processor_pb2.CancelTaskRequest(
                task_id=task_id, expected_attempt=7
            ),
            "operate",
        ),
        "RetryTask": (
            lambda task_id: processor_pb2.RetryTaskRequest(task_id=task_id),
            "operate",
        ),
        # For all projects alone: a queue is shared.
        "PauseQueue": (lambda _: processor_pb2.PauseQueueRequest(queue="q"), ""),
        "ResumeQueue": (lambda _: processor_pb2.ResumeQueueRequest(queue="q"), ""),
        "GetStats": (
            lambda _: processor_pb2.GetStatsRequest(),
            "read operate process",
        ),
    }
)

HIDDEN: Final = ("GetTask", "WatchTask", "CancelTask", "RetryTask")
"""By id: a task that the caller may not read is as if it were not there."""

UNNAMED: Final = ("BatchGetTasks", "GetStats", "ConsumeCreatedTasks")
"""They name no project, and answer what the caller may read, which may be nothing."""


@asynccontextmanager
async def both(database: Database) -> AsyncIterator[Mapping[str, grpc.aio.Channel]]:
    """A creator and a processor that ask for keys, over TLS."""
    authority = Authority()
    signed = authority.sign("service")
    trusted = grpc.ssl_channel_credentials(authority.pem)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "cert.pem").write_bytes(signed.certificate)
        (folder / "key.pem").write_bytes(signed.key)
        access = {
            "auth": ("key",),
            "tls_cert": str(folder / "cert.pem"),
            "tls_key": str(folder / "key.pem"),
        }
        _, creator = await stack.enter_async_context(
            opened(database.creator_url, access=access)
        )
        processor = await stack.enter_async_context(
            working(database.processor_url, Handlers(), **access)
        )
        at = {
            CREATOR.name: f"127.0.0.1:{creator.port}",
            PROCESSOR.name: processor.address,
        }
        yield {
            name: await stack.enter_async_context(
                grpc.aio.secure_channel(address, trusted)
            )
            for name, address in at.items()
        }


async def answered(
    channel: grpc.aio.Channel,
    method: MethodDescriptor,
    request: Message | bytes,
    metadata: Metadata,
) -> tuple[grpc.StatusCode, str, Any]:
    """The code, the words, and the first message of the answer."""
    shape = {False: "unary", True: "stream"}
    name = f"{shape[method.client_streaming]}_{shape[method.server_streaming]}"
    begin = getattr(channel, name)(
        f"/{method.containing_service.full_name}/{method.name}",
        response_deserializer=GetMessageClass(method.output_type).FromString,
    )
    data = request if isinstance(request, bytes) else request.SerializeToString()
    given = iter([data]) if method.client_streaming else data
    call = begin(given, metadata=metadata, timeout=LIMIT)
    try:
        first = await (call.read() if method.server_streaming else call)
    except grpc.aio.AioRpcError as error:
        return error.code(), error.details() or "", None
    if first is grpc.aio.EOF:
        return await call.code(), await call.details(), None
    call.cancel()
    return grpc.StatusCode.OK, "", first


async def a_task(channel: grpc.aio.Channel, key: Metadata) -> str:
    request = a_request(queue="unserved", external_id="here")
    _, _, made = await answered(
        channel, CREATOR.methods_by_name["CreateTask"], request, key
    )
    task_id: str = made.task.task_id
    return task_id


def methods() -> Iterable[MethodDescriptor]:
    return [*CREATOR.methods, *PROCESSOR.methods]


def test_every_method_has_a_row() -> None:
    assert {method.name for method in methods()} == set(REQUESTS)


async def test_whoever_is_not_known_gets_one_answer_from_every_method(
    database: Database,
) -> None:
    wrong = await refused_keys(database)
    async with both(database) as channels:
        key = bearer(await a_key(database, *EVERYTHING))
        task_id = await a_task(channels[CREATOR.name], key)
        told = {
            (method.name, kind, asked): (await answered(channel, method, data, shown))[
                :2
            ]
            for channel_of, channel in channels.items()
            for method in (*methods(), *REFLECTION.methods)
            if method.containing_service.name in (channel_of, REFLECTION.name)
            for kind, shown in wrong.items()
            for asked, data in bodies(method, task_id)
        }

    assert {code for code, _ in told.values()} == {grpc.StatusCode.UNAUTHENTICATED}
    assert len({words for _, words in told.values()}) == 1, told
    assert "tandem_" not in repr(set(told.values()))


def bodies(
    method: MethodDescriptor, task_id: str
) -> Iterable[tuple[str, Message | bytes]]:
    """A right request, one about what is not there, and no request at all."""
    yield "malformed", b"\xff\xff\xff"
    if method.name in REQUESTS:
        makes, _ = REQUESTS[method.name]
        yield "there", makes(task_id)
        yield "not there", makes(str(uuid4()))


@pytest.mark.parametrize("action", ["create", "read", "operate", "process"])
async def test_a_scope_allows_its_own_methods_in_its_own_project(
    database: Database, action: str
) -> None:
    async with both(database) as channels:
        all_of_it = bearer(await a_key(database, *EVERYTHING))
        here = bearer(await a_key(database, f"{action}:shop"))
        elsewhere = bearer(await a_key(database, f"{action}:bank"))
        task_id = await a_task(channels[CREATOR.name], all_of_it)
        found = {}
        for method in methods():
            channel = channels[method.containing_service.name]
            makes, _ = REQUESTS[method.name]
            found[method.name] = [
                (await answered(channel, method, makes(task_id), shown))[0].name
                for shown in (all_of_it, here, elsewhere)
            ]

    assert found == {name: expected(name, action) for name in REQUESTS}


def expected(name: str, action: str) -> list[str]:
    """With every scope, with the action in the task's project, and with it in another."""
    _, enough = REQUESTS[name]
    if action not in enough.split():
        return ["OK", "PERMISSION_DENIED", "PERMISSION_DENIED"]
    if name in HIDDEN:
        return ["OK", "OK", "NOT_FOUND"]
    return ["OK", "OK", "OK" if name in UNNAMED else "PERMISSION_DENIED"]


async def test_a_task_of_another_project_is_as_if_it_were_not_there(
    database: Database,
) -> None:
    async with both(database) as channels:
        all_of_it = bearer(await a_key(database, *EVERYTHING))
        stranger = bearer(await a_key(database, "read:bank", "operate:bank"))
        task_id = await a_task(channels[CREATOR.name], all_of_it)
        channel, nowhere = channels[PROCESSOR.name], str(uuid4())
        for name in (*HIDDEN, "BatchGetTasks"):
            method, (makes, _) = PROCESSOR.methods_by_name[name], REQUESTS[name]
            there = await answered(channel, method, makes(task_id), stranger)
            absent = await answered(channel, method, makes(nowhere), stranger)
            assert str(there).replace(task_id, "") == str(absent).replace(nowhere, "")


async def test_who_may_only_read_here_may_not_operate_though_they_may_elsewhere(
    database: Database,
) -> None:
    async with both(database) as channels:
        all_of_it = bearer(await a_key(database, *EVERYTHING))
        reader = bearer(await a_key(database, "read:shop", "operate:bank"))
        task_id = await a_task(channels[CREATOR.name], all_of_it)
        codes = [
            (
                await answered(
                    channels[PROCESSOR.name],
                    PROCESSOR.methods_by_name[name],
                    REQUESTS[name][0](task_id),
                    reader,
                )
            )[0]
            for name in ("CancelTask", "RetryTask")
        ]

    assert codes == [grpc.StatusCode.PERMISSION_DENIED] * 2


async def test_who_may_only_create_is_told_the_id_of_the_task_and_no_more(
    database: Database,
) -> None:
    async with both(database) as channels:
        channel = channels[CREATOR.name]
        reader = bearer(await a_key(database, *EVERYTHING))
        creator = bearer(await a_key(database, "create:shop"))
        task_id = await a_task(channel, reader)
        create = CREATOR.methods_by_name["CreateTask"]
        changed = a_request(external_id="here", title="other")
        _, _, existing = await answered(channel, create, changed, creator)
        _, _, created = await answered(channel, create, a_request(), creator)

    assert existing.task == type(existing.task)(task_id=task_id)
    assert list(existing.differing_fields) == []
    assert created.task == type(created.task)(task_id=created.task.task_id)
    assert created.task.task_id


async def test_health_is_open_and_reflection_is_for_whoever_is_known(
    database: Database,
) -> None:
    async with both(database) as channels:
        known = bearer(await a_key(database, "create:bank"))
        listing = reflection_pb2.ServerReflectionRequest(list_services="")
        check = health_pb2.HealthCheckRequest()
        for channel in channels.values():
            healthy = await answered(
                channel, HEALTH.methods_by_name["Check"], check, ()
            )
            [method] = REFLECTION.methods
            reflected = await answered(channel, method, listing, known)
            assert healthy[0] is reflected[0] is grpc.StatusCode.OK


async def test_an_open_stream_of_a_revoked_key_ends(
    database: Database, owner_pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entering, "ADMITTED_AGAIN", 0.1)
    key = bearer(await a_key(database, "read:shop"))
    async with opened(database.creator_url, access={"auth": ("key",)}, frame=0.1) as (
        stub,
        _,
    ):
        request = creator_pb2.StreamCreatedTasksRequest()
        stream = stub.StreamCreatedTasks(request, metadata=key, timeout=LIMIT)
        assert await stream.read() is not grpc.aio.EOF
        await owner_pool.execute("UPDATE tandem.api_keys SET revoke_time = now()")
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await to_its_end(stream)

    assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def to_its_end(stream: Any) -> None:
    while await stream.read() is not grpc.aio.EOF:
        pass
