"""Services over a real socket that do what a test scripts, and note what they are asked."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from google.protobuf.message import Message

from tandem import errors
from tandem.server import Server
from tandem.traceparents import sent_traceparent
from tandem.v1 import creator_pb2, processor_pb2

CREATOR: Final = creator_pb2.DESCRIPTOR.services_by_name["CreatorService"]
PROCESSOR: Final = processor_pb2.DESCRIPTOR.services_by_name["ProcessorService"]


class Silence:
    """A step that never answers."""


Step = Message | errors.TandemError | Silence


def soon(error: errors.TandemError) -> errors.TandemError:
    """The same, with a repeat welcome at once."""
    error.retry_after = 0.001
    return error


def away() -> errors.TandemError:
    return soon(errors.StoreUnavailable("away"))


@dataclass(slots=True)
class Script:
    """What a service does, step by step, whichever method is called."""

    steps: deque[Step]
    asked: list[Any] = field(default_factory=list)
    traceparents: list[str] = field(default_factory=list)
    """What came with each of them."""

    silent: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once a step that never answers is reached."""

    async def answer(self, request: Any, context: Any) -> Message:
        """One step: an answer, a refusal, or nothing."""
        self._note(request, context)
        return await self._play()

    async def stream(self, request: Any, context: Any) -> AsyncIterator[Message]:
        """Steps up to a refusal, or the end of the script."""
        self._note(request, context)
        while self.steps:
            yield await self._play()

    def _note(self, request: Any, context: Any) -> None:
        self.asked.append(request)
        self.traceparents.append(sent_traceparent(context.invocation_metadata()))

    async def _play(self) -> Message:
        step = self.steps.popleft()
        if isinstance(step, errors.TandemError):
            raise step
        if isinstance(step, Message):
            return step
        self.silent.set()
        await asyncio.Event().wait()
        raise AssertionError


class Scripted:
    """Every method of both services, by one script."""

    def __init__(self, script: Script) -> None:
        self._script = script

    def __getattr__(self, method: str) -> Any:
        described = CREATOR.methods_by_name.get(method)
        described = described or PROCESSOR.methods_by_name[method]
        if described.server_streaming:
            return self._script.stream
        return self._script.answer


@dataclass(frozen=True, slots=True)
class Served:
    """Where the script is played."""

    creator: str
    processor: str
    script: Script

    @property
    def asked(self) -> list[Any]:
        return self.script.asked


@asynccontextmanager
async def scripted(*steps: Step) -> AsyncIterator[Served]:
    """Both services, on free ports, for the length of the block."""
    script = Script(deque(steps))
    servers = [
        Server(Scripted(script), described, listen="127.0.0.1:0")
        for described in (CREATOR, PROCESSOR)
    ]
    creator, processor = [f"127.0.0.1:{await server.start()}" for server in servers]
    try:
        yield Served(creator, processor, script)
    finally:
        for server in servers:
            await server.stop(0)
