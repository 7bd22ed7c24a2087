"""A creator in this process, on a free port."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import grpc

from tandem.v1 import creator_pb2 as pb
from tandem.v1 import creator_pb2_grpc, task_pb2
from tandem_creator.running import running_creator
from tandem_creator.settings import CreatorSettings

if TYPE_CHECKING:
    from tandem.v1.creator_pb2_grpc import CreatorServiceAsyncStub


@asynccontextmanager
async def served(url: str, **settings: Any) -> AsyncIterator[CreatorServiceAsyncStub]:
    """A client of a creator that serves for the length of the block."""
    wanted = CreatorSettings(
        database_url=url, **{"listen": "127.0.0.1:0", "grace": 5.0, **settings}
    )
    async with (
        running_creator(wanted) as creator,
        connected(creator.port) as stub,
    ):
        yield stub


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[CreatorServiceAsyncStub]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield creator_pb2_grpc.CreatorServiceStub(channel)


def a_request(
    *, request_id: str = "", payload: dict[str, Any] | None = None, **spec: Any
) -> pb.CreateTaskRequest:
    """A create with what matters to a test; the rest is harmless."""
    fields = {"project": "shop", "type": "email", **spec}
    request = pb.CreateTaskRequest(
        request_id=request_id, spec=task_pb2.TaskSpec(**fields)
    )
    if payload is not None:
        request.spec.payload.update(payload)
    return request


def a_new_id() -> str:
    return str(uuid4())
