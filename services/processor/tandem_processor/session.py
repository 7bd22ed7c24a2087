"""One stream to one creator: grant, receive, claim, and say what became of each id."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import asyncpg
import grpc
import structlog

from tandem import limits
from tandem.calls import STORE_AWAY
from tandem.v1 import creator_pb2
from tandem.v1.creator_pb2_grpc import CreatorServiceStub
from tandem_processor import claims
from tandem_processor.claimer import Claimer
from tandem_processor.slots import Share, Slots

log = structlog.get_logger()

HOLD_SECONDS: Final = 1.0
"""How long an id may wait here for room, before another member gets it."""

Frame = creator_pb2.ConsumeCreatedTasksRequest
ConsumeCall = grpc.aio.StreamStreamCall[Frame, creator_pb2.ConsumeCreatedTasksResponse]


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """Who follows the stream, and for what."""

    processor_id: UUID
    queues: Sequence[str]
    share: Share
    addresses: Sequence[str]

    def join(self) -> Frame:
        return Frame(
            join=Frame.Join(
                group=limits.WORKERS,
                queues=self.queues,
                processor_id=str(self.processor_id),
                types=self.share.types,
            )
        )


class Session:
    """One stream to one creator."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        membership: Membership,
        *,
        claimer: Claimer,
        slots: Slots,
        draining: asyncio.Event,
    ) -> None:
        self._pool = pool
        self._membership = membership
        self._claimer = claimer
        self._slots = slots
        self._share = membership.share
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
            left, refused = await self._claim_with_room(task_ids)
            unclaimed = await claims.read_unclaimed(self._pool, refused)
        except STORE_AWAY as error:
            log.warning("claim failed", error=type(error).__name__)
            return set(task_ids)
        for task_id in unclaimed.unknown:
            log.warning("no task has the announced id", task_id=str(task_id))
        return {*left, *unclaimed.still_open}

    async def _claim_with_room(
        self, task_ids: Sequence[UUID]
    ) -> tuple[Sequence[UUID], set[UUID]]:
        """Claim; ids without room wait a moment for some."""
        refused: set[UUID] = set()
        left = task_ids
        end = asyncio.get_running_loop().time() + HOLD_SECONDS
        while left:
            claimed = await self._claimer.claim(left, self._share)
            left, refused = claimed.left, refused | claimed.refused
            seconds = end - asyncio.get_running_loop().time()
            if left and (
                self._draining.is_set()
                or seconds <= 0
                or not await self._slots.has_room(self._share, seconds)
            ):
                break
        return left, refused

    def _send(self, *, confirm: Sequence[UUID], give_back: Sequence[UUID]) -> None:
        if confirm:
            ids = [str(task_id) for task_id in confirm]
            self._outbox.put_nowait(Frame(confirm=Frame.Confirm(task_ids=ids)))
        if give_back:
            ids = [str(task_id) for task_id in give_back]
            self._outbox.put_nowait(Frame(give_back=Frame.GiveBack(task_ids=ids)))

    def _grant(self) -> None:
        """Credit for each slot that these types may have and that is not spoken for."""
        room = self._slots.room(self._share)
        more = min(room, limits.MAX_CREDITS) - self._credits
        if more > 0 and not self._draining.is_set():
            self._credits += more
            self._outbox.put_nowait(Frame(grant=Frame.Grant(credits=more)))

    async def _keep_granting(self) -> None:
        while True:
            self._grant()
            await self._slots.freed.wait()

    async def _close_when_draining(self) -> None:
        await self._draining.wait()
        # What is being taken is still answered for.
        async with self._taking:
            self._outbox.put_nowait(None)
