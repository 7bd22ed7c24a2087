"""Every method of both services, for every kind of caller."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import uuid4

import asyncpg
import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from tandem import entering
from tandem.access import ACTIONS
from tandem.v1 import creator_pb2
from tests.support.access_matrix import (
    CREATOR,
    HIDDEN,
    KINDS,
    LIMIT,
    PROCESSOR,
    REQUESTS,
    UNNAMED,
    a_task,
    answered,
    both,
    methods,
    refused_tokens,
)
from tests.support.cluster import Database
from tests.support.creator import a_request, opened
from tests.support.keys import EVERYTHING, a_key, bearer, refused_keys

REFLECTION: Any = reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"]
HEALTH: Any = health_pb2.DESCRIPTOR.services_by_name["Health"]


def test_every_method_has_a_row() -> None:
    assert {method.name for method in methods()} == set(REQUESTS)


async def test_whoever_is_not_known_gets_one_answer_from_every_method(
    database: Database,
) -> None:
    async with both(database) as services:
        wrong = {
            **await refused_keys(database),
            **refused_tokens(services.issuer),
        }
        channels, key = await services.known(*EVERYTHING)
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


async def test_a_certificate_that_is_not_listed_is_nobody(database: Database) -> None:
    async with both(database, "certificate") as services:
        listed, _ = await services.known(*EVERYTHING)
        stranger = await services.channels(services.signed("spiffe://test/stranger"))
        task_id = await a_task(listed[CREATOR.name], ())
        codes = {
            (
                await answered(
                    stranger[method.containing_service.name],
                    method,
                    REQUESTS[method.name][0](task_id),
                    (),
                )
            )[0]
            for method in methods()
        }

    assert codes == {grpc.StatusCode.UNAUTHENTICATED}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("action", ACTIONS)
async def test_a_scope_allows_its_own_methods_in_its_own_project(
    database: Database, action: str, kind: str
) -> None:
    async with both(database, kind) as services:
        callers = [
            await services.known(*scopes)
            for scopes in (EVERYTHING, (f"{action}:shop",), (f"{action}:bank",))
        ]
        channels, shown = callers[0]
        task_id = await a_task(channels[CREATOR.name], shown)
        found = {}
        for method in methods():
            name = method.containing_service.name
            makes, _ = REQUESTS[method.name]
            found[method.name] = [
                (await answered(channels[name], method, makes(task_id), shown))[0].name
                for channels, shown in callers
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
    async with both(database) as services:
        channels = await services.channels()
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
    async with both(database) as services:
        channels = await services.channels()
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
    async with both(database) as services:
        channels = await services.channels()
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
    async with both(database) as services:
        channels = await services.channels()
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


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("revoke_time = now()", grpc.StatusCode.UNAUTHENTICATED),
        ("scopes = '{read:bank}'", grpc.StatusCode.PERMISSION_DENIED),
    ],
)
async def test_an_open_stream_of_a_key_that_was_revoked_or_changed_ends(
    database: Database,
    owner_pool: asyncpg.Pool,
    monkeypatch: pytest.MonkeyPatch,
    change: str,
    code: grpc.StatusCode,
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
        await owner_pool.execute(f"UPDATE tandem.api_keys SET {change}")
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await to_its_end(stream)

    assert raised.value.code() is code


async def to_its_end(stream: Any) -> None:
    while await stream.read() is not grpc.aio.EOF:
        pass
