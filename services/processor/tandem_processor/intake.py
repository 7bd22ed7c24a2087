"""The stream of created ids, as a member of the group that works them."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import asyncpg
import grpc
import structlog

from tandem import client, limits
from tandem.calls import STORE_AWAY
from tandem.v1 import creator_pb2
from tandem.v1.creator_pb2_grpc import CreatorServiceStub
from tandem_processor import claims
from tandem_processor.claimer import Claimer
from tandem_processor.runner import Runner

log = structlog.get_logger()

GROUP: Final = "processors"
"""The one group whose members work the tasks."""

SILENCE_SECONDS: Final = 2 * limits.FRAME_SECONDS
"""Without a frame for so long the stream is dead, whatever the connection says."""

HOLD_SECONDS: Final = 1.0
"""How long an id may wait here for room, before another member gets it."""

FIRST_WAIT: Final = 0.1
LONGEST_WAIT: Final = 2.0
"""Seconds between attempts to reach a creator."""

Frame = creator_pb2.ConsumeCreatedTasksRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """Who follows the stream, and for what."""

    processor_id: UUID
    queues: Sequence[str]
    types: Sequence[str]
    addresses: Sequence[str]

    def join(self) -> Frame:
        return Frame(
            join=Frame.Join(
                group=GROUP,
                queues=self.queues,
                processor_id=str(self.processor_id),
                types=self.types,
            )
        )


class Intake:
    """Follows one creator at a time; while none is there, due work goes on."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        membership: Membership,
        *,
        claimer: Claimer,
        runner: Runner,
        silence: float = SILENCE_SECONDS,
    ) -> None:
        self._pool = pool
        self._membership = membership
        self._claimer = claimer
        self._runner = runner
        self._silence = silence
        self._draining = asyncio.Event()
        self._told = False

    def drain(self) -> None:
        """Take nothing more. Ids on their way go to other members."""
        self._draining.set()

    async def run(self) -> None:
        """Follow the creators in turn until drained.

        Raises:
            DeclaredDead: a claim found the own row dead.
        """
        wait = FIRST_WAIT
        for address in itertools.cycle(self._membership.addresses):
            if self._draining.is_set():
                return
            if await self._follow(address):
                wait = FIRST_WAIT
            # Members of a creator that went away must not reach the next in step.
            pause = random.uniform(wait / 2, wait)  # noqa: S311 - no secret
            await _wait_for(self._draining, pause)
            wait = min(wait * 2, LONGEST_WAIT)

    async def _follow(self, address: str) -> bool:
        """Consume from this creator until it fails. Answers whether it ever spoke."""
        session = Session(
            self._pool,
            self._membership,
            claimer=self._claimer,
            runner=self._runner,
            draining=self._draining,
        )
        async with client.channel(address) as channel:
            try:
                await session.run(channel, silence=self._silence)
            except grpc.aio.AioRpcError as error:
                self._tell(address, error.code().name, spoke=session.spoke)
            except TimeoutError:
                self._tell(address, "SILENT", spoke=session.spoke)
        return session.spoke

    def _tell(self, address: str, why: str, *, spoke: bool) -> None:
        """Log the first failure of a row of them."""
        if spoke or not self._told:
            log.warning("no stream of created ids", creator=address, why=why)
        self._told = not spoke


class Session:
    """One stream to one creator."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        membership: Membership,
        *,
        claimer: Claimer,
        runner: Runner,
        draining: asyncio.Event,
    ) -> None:
        self._pool = pool
        self._membership = membership
        self._claimer = claimer
        self._runner = runner
        self._draining = draining
        self._outbox: asyncio.Queue[Frame | None] = asyncio.Queue()
        self._credits = 0
        self._taking = asyncio.Lock()
        self.spoke = False

    async def run(self, channel: grpc.aio.Channel, *, silence: float) -> None:
        """Grant, receive, claim, confirm, until the stream ends or drains.

        Raises:
            grpc.aio.AioRpcError: the stream broke.
            TimeoutError: no frame came for `silence` seconds.
            DeclaredDead: a claim found the own row dead.
        """
        self._outbox.put_nowait(self._membership.join())
        call = CreatorServiceStub(channel).ConsumeCreatedTasks()
        beside = (
            self._write(call),
            self._keep_granting(),
            self._close_when_draining(),
        )
        tasks = [asyncio.create_task(each) for each in beside]
        try:
            await self._receive(call, silence)
        finally:
            for task in tasks:
                task.cancel()
            call.cancel()

    async def _write(self, call: ConsumeCall) -> None:
        """Send what is in the outbox; a stream that is broken is for the reader to tell."""
        with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            while (frame := await self._outbox.get()) is not None:
                await call.write(frame)
            await call.done_writing()

    async def _receive(self, call: ConsumeCall, silence: float) -> None:
        while True:
            async with asyncio.timeout(silence):
                response = await call.read()
            if response is grpc.aio.EOF:
                return
            assert isinstance(response, creator_pb2.ConsumeCreatedTasksResponse)
            self.spoke = True
            await self._take([UUID(task_id) for task_id in response.task_ids])

    async def _take(self, task_ids: Sequence[UUID]) -> None:
        """Claim the ids as room allows, and tell the creator what became of each."""
        async with self._taking:
            returned = await self._claim(task_ids)
            self._credits -= len(task_ids)
            self._send(
                confirm=[task_id for task_id in task_ids if task_id not in returned],
                give_back=[task_id for task_id in task_ids if task_id in returned],
            )
            self._grant()

    async def _claim(self, task_ids: Sequence[UUID]) -> Collection[UUID]:
        """Claim, and answer the ids that must be announced again."""
        try:
            left = await self._claim_with_room(task_ids)
            tried = [task_id for task_id in task_ids if task_id not in set(left)]
            return {*left, *await claims.read_still_open(self._pool, tried)}
        except STORE_AWAY as error:
            log.warning("claim failed", error=type(error).__name__)
            return set(task_ids)

    async def _claim_with_room(self, task_ids: Sequence[UUID]) -> Sequence[UUID]:
        """Claim; ids without room wait a moment for some. Answers those without any."""
        left = await self._claimer.claim(task_ids)
        end = asyncio.get_running_loop().time() + HOLD_SECONDS
        while left and not self._draining.is_set():
            seconds = end - asyncio.get_running_loop().time()
            if seconds <= 0 or not await self._room_within(seconds):
                break
            left = await self._claimer.claim(left)
        return left

    async def _room_within(self, seconds: float) -> bool:
        if self._runner.free > 0:
            return True
        self._runner.slot_freed.clear()
        return await _wait_for(self._runner.slot_freed, seconds)

    def _send(self, *, confirm: Sequence[UUID], give_back: Sequence[UUID]) -> None:
        if confirm:
            ids = [str(task_id) for task_id in confirm]
            self._outbox.put_nowait(Frame(confirm=Frame.Confirm(task_ids=ids)))
        if give_back:
            ids = [str(task_id) for task_id in give_back]
            self._outbox.put_nowait(Frame(give_back=Frame.GiveBack(task_ids=ids)))

    def _grant(self) -> None:
        """Credit for each slot that is free and not yet spoken for."""
        more = min(self._runner.free, limits.MAX_CREDITS) - self._credits
        if more > 0 and not self._draining.is_set():
            self._credits += more
            self._outbox.put_nowait(Frame(grant=Frame.Grant(credits=more)))

    async def _keep_granting(self) -> None:
        while True:
            self._grant()
            await self._runner.slot_freed.wait()
            self._runner.slot_freed.clear()

    async def _close_when_draining(self) -> None:
        await self._draining.wait()
        # What is being taken is still answered for.
        async with self._taking:
            self._outbox.put_nowait(None)


ConsumeCall = grpc.aio.StreamStreamCall[Frame, creator_pb2.ConsumeCreatedTasksResponse]


async def _wait_for(event: asyncio.Event, seconds: float) -> bool:
    """Whether the event came within the time."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
