"""Awaited calls, sent again for as long as that is safe and makes sense."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, TypeVar

import grpc

from tandem import traceparents
from tandem.client.failures import failure_of, silent
from tandem.client.repeats import Deadlines, Endurance, Repeats
from tandem.errors import TandemError

Request = TypeVar("Request")
Answer = TypeVar("Answer")


class AsyncCalls:
    """Makes calls that are safe to repeat. What fails for good is a TandemError."""

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines

    async def answer(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Request, Answer],
        request: Request,
        limit: float,
        traceparent: str = "",
    ) -> Answer:
        """The one answer, within `limit` seconds."""
        metadata = traceparents.metadata(traceparent)
        now = asyncio.get_running_loop().time
        repeats = Repeats(limit, single=self._deadlines.single, now=now())
        while True:
            try:
                left = repeats.next_limit(now())
                return await method(request, timeout=left, metadata=metadata)
            except grpc.aio.AioRpcError as error:
                pause = repeats.pause(failure_of(error), now=now())
            await asyncio.sleep(pause)

    async def frames(
        self,
        method: grpc.aio.UnaryStreamMultiCallable[Request, Answer],
        request: Request,
        limit: float | None,
    ) -> AsyncGenerator[Answer, None]:
        """A stream's messages, over as many openings as it takes."""
        metadata = traceparents.metadata()
        now = asyncio.get_running_loop().time
        endurance = Endurance(limit, outage=self._deadlines.outage, now=now())
        while True:
            left = endurance.time_left(now())
            call: Any = method(request, timeout=left, metadata=metadata)
            try:
                while (message := await self._read(call)) is not grpc.aio.EOF:
                    endurance.heard()
                    yield message
            except (grpc.aio.AioRpcError, TimeoutError) as error:
                pause = endurance.pause(self._failure_of(error), now=now())
            else:
                return
            finally:
                call.cancel()
            await asyncio.sleep(pause)

    async def _read(self, call: Any) -> Any:
        async with asyncio.timeout(self._deadlines.silence):
            return await call.read()

    def _failure_of(self, error: grpc.aio.AioRpcError | TimeoutError) -> TandemError:
        if isinstance(error, TimeoutError):
            return silent(self._deadlines.silence)
        return failure_of(error)
