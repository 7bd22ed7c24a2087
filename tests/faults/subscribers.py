"""Subscribers that leave and come back with a token, and note every id they are sent."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random
from typing import Final

import grpc

from tandem.client.channels import channel
from tandem.v1 import creator_pb2 as pb
from tandem.v1 import creator_pb2_grpc
from tests.faults.records import Journal, Opened, Received

LONGEST: Final = 6.0
"""Seconds until a subscriber leaves its stream."""

PAUSE: Final = 0.3

CATCH_UP: Final = 20.0
"""Seconds for one try at the end."""

REMEMBERED: Final = 5
"""Places to which a subscriber may go back."""


class Subscriber:
    """One reader of the whole stream, who sees it break again and again."""

    def __init__(
        self, name: str, journal: Journal, addresses: Sequence[str], *, seed: int
    ) -> None:
        self.openings = 0
        self._name = name
        self._journal = journal
        self._addresses = addresses
        self._random = Random(f"subscriber {name} of {seed}")
        # A token, and the id behind which it stands.
        self._places: list[tuple[str, str]] = [("", "")]

    async def run(self, over: asyncio.Event) -> None:
        """Follow until it is over, and then once to the end."""
        while not over.is_set():
            await self._follow(self._random.uniform(0.5, LONGEST), over)
            await asyncio.sleep(self._random.uniform(0, PAUSE))

    async def catch_up(self) -> None:
        """Read on to the end, however often that takes an opening."""
        is_done = False
        while not is_done:
            is_done = await self._read(CATCH_UP, until_caught_up=True)
            await asyncio.sleep(0 if is_done else PAUSE)

    async def _follow(self, seconds: float, over: asyncio.Event) -> None:
        reading = asyncio.create_task(self._read(seconds))
        stop = asyncio.create_task(over.wait())
        try:
            await asyncio.wait((reading, stop), return_when=asyncio.FIRST_COMPLETED)
        finally:
            reading.cancel()
            stop.cancel()
            await asyncio.gather(reading, stop, return_exceptions=True)

    async def _read(self, seconds: float, *, until_caught_up: bool = False) -> bool:
        """Open the stream and read. Answers whether it ended by itself."""
        token, after = self._place()
        self.openings += 1
        opening = self.openings
        self._journal.add(Opened(subscriber=self._name, opening=opening, after=after))
        request = pb.StreamCreatedTasksRequest(
            resume_token=token, until_caught_up=until_caught_up
        )
        async with channel(self._random.choice(self._addresses)) as open_channel:
            stub = creator_pb2_grpc.CreatorServiceStub(open_channel)
            try:
                async for message in stub.StreamCreatedTasks(request, timeout=seconds):
                    after = self._note(opening, message, after)
            except grpc.aio.AioRpcError as error:
                _require_an_outage(error)
                return False
        return True

    def _place(self) -> tuple[str, str]:
        """Mostly the last one; now and then one before it, as after a crash."""
        if self._random.random() < 0.2:
            return self._random.choice(self._places)
        return self._places[-1]

    def _note(
        self, opening: int, message: pb.StreamCreatedTasksResponse, after: str
    ) -> str:
        ids = list(message.task_ids)
        if ids:
            self._journal.add(
                Received(subscriber=self._name, opening=opening, task_ids=ids)
            )
            after = ids[-1]
        self._places = [*self._places[-REMEMBERED:], (message.resume_token, after)]
        return after


def _require_an_outage(error: grpc.aio.AioRpcError) -> None:
    """Anything else than an outage, or the end of patience, is no answer to a reader."""
    if error.code() not in {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        # Of streams that reach a creator which is about to stop.
        grpc.StatusCode.CANCELLED,
    }:
        raise error
