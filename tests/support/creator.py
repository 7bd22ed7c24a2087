"""A creator in this process, on a free port, and what to say to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import grpc
from google.rpc import error_details_pb2, status_pb2

from tandem.errors import DETAILS_KEY
from tandem.v1 import creator_pb2 as pb
from tandem.v1 import creator_pb2_grpc, task_pb2
from tandem_creator.running import RunningCreator, Timing, running_creator
from tandem_creator.settings import CreatorSettings
from tests.support.proxy import Proxy

if TYPE_CHECKING:
    from tandem.v1.creator_pb2_grpc import CreatorServiceAsyncStub


@asynccontextmanager
async def served(
    url: str, *, proxy: Proxy | None = None, **options: Any
) -> AsyncIterator[CreatorServiceAsyncStub]:
    """A client of a creator that serves for the length of the block.

    A proxy that is given leads to it from then on.
    """
    async with opened(url, **options) as (stub, creator):
        if proxy is not None:
            proxy.target = f"127.0.0.1:{creator.port}"
        yield stub


@asynccontextmanager
async def opened(
    url: str,
    *,
    require_request_id: bool = False,
    access: Mapping[str, Any] | None = None,
    channel_options: Sequence[tuple[str, Any]] = (),
    **timing: float,
) -> AsyncIterator[tuple[CreatorServiceAsyncStub, RunningCreator]]:
    """As `served`, with a look at the creator from inside."""
    settings = CreatorSettings(
        database_url=url,
        listen="127.0.0.1:0",
        grace=5.0,
        **(access or {}),
        require_request_id=require_request_id,
    )
    async with running_creator(settings, timing=Timing(**timing)) as creator:
        target = f"127.0.0.1:{creator.port}"
        # A channel outlives its creator, to see how it ends its streams.
        channel = grpc.aio.insecure_channel(target, options=channel_options)
        yield creator_pb2_grpc.CreatorServiceStub(channel), creator


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


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a client reads off an error."""

    reason: str
    metadata: dict[str, str]
    fields: list[str]
    descriptions: list[str]


def reason_of(error: grpc.aio.AioRpcError) -> Refusal:
    trailers = dict(error.trailing_metadata() or ())
    status = status_pb2.Status.FromString(trailers[DETAILS_KEY])
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in status.details:
        detail.Unpack(info)
        detail.Unpack(bad)
    fields = [violation.field for violation in bad.field_violations]
    descriptions = [violation.description for violation in bad.field_violations]
    return Refusal(info.reason, dict(info.metadata), fields, descriptions)
