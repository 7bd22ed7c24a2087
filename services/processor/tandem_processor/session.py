"""One stream to one creator: grant, receive, claim, and say what became of each id."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Final, NamedTuple, cast
from uuid import UUID

import asyncpg
import grpc
import structlog
from asyncpg.pgproto import pgproto

from tandem import limits
from tandem.calls import STORE_AWAY
from tandem.v1 import creator_pb2
from tandem.v1.creator_pb2_grpc import CreatorServiceStub
from tandem_processor import claims
from tandem_processor.claimer import Claimer
from tandem_processor.slots import Share, Slots

log = structlog.get_logger()

HOLD_SECONDS: Final = 0.25
"""How long an id may wait here for room, before another member gets it."""

Frame = creator_pb2.ConsumeCreatedTasksRequest
Response = creator_pb2.ConsumeCreatedTasksResponse
ConsumeCall = grpc.aio.StreamStreamCall[Frame, Response]


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


class Announced(NamedTuple):
    """An id that waits for its claim."""

    text: str
    """As the creator spelled it."""

    expire: float
    """When it is for another member, by the loop's clock."""


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
        self._clock = asyncio.get_running_loop().time
        self._outbox: asyncio.Queue[Frame | None] = asyncio.Queue()
        self._inbox: asyncio.Queue[Response | Exception | None] = asyncio.Queue()
        self._announced: dict[UUID, Announced] = {}
        """Ids that are not answered for yet, the oldest first."""

        self._credits = 0
        """How many ids the creator may still send."""

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
            self._read(call),
            self._keep_granting(),
            self._close_when_draining(),
        )
        tasks = [asyncio.create_task(each) for each in beside]
        try:
            while await self._goes_on(silence):
                await self._take()
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

    async def _read(self, call: ConsumeCall) -> None:
        """Read while claims are under way: the next may be of several frames' ids."""
        try:
            while (response := await call.read()) is not grpc.aio.EOF:
                self._inbox.put_nowait(cast("Response", response))
            self._inbox.put_nowait(None)
        except Exception as error:  # noqa: BLE001 - it is for whoever receives
            self._inbox.put_nowait(error)

    async def _goes_on(self, silence: float) -> bool:
        """Take in what was read; wait for it if no id is left. False at the stream's end."""
        if not self._announced:
            async with asyncio.timeout(silence):
                response = await self._inbox.get()
            if not self._takes_in(response):
                return False
        while not self._inbox.empty():
            if not self._takes_in(self._inbox.get_nowait()):
                return False
        return True

    def _takes_in(self, response: Response | Exception | None) -> bool:
        if isinstance(response, Exception):
            raise response
        if response is None:
            return False
        self.spoke = True
        self._credits -= len(response.task_ids)
        expire = self._clock() + HOLD_SECONDS
        self._announced |= {
            # The driver's own kind is made ten times as fast as the standard one.
            pgproto.UUID(text): Announced(text, expire)
            for text in response.task_ids
        }
        return True

    async def _take(self) -> None:
        """Claim what there is room for, soon, and tell the creator what became of each id."""
        async with self._taking:
            if self._draining.is_set():
                self._give_back(self._announced)
            elif self._announced:
                await self._claim_or_give_back()
            self._grant()

    async def _claim_or_give_back(self) -> None:
        oldest = next(iter(self._announced.values()))
        if await self._slots.has_room(self._share, oldest.expire - self._clock()):
            room = min(self._slots.room(self._share), self._slots.batch)
            await self._claim(list(islice(self._announced, room)))
        else:
            now = self._clock()
            self._give_back([k for k, v in self._announced.items() if v.expire <= now])

    async def _claim(self, task_ids: Sequence[UUID]) -> None:
        """Claim these; those that were not, and are open still, must be announced again."""
        try:
            claimed = await self._claimer.claim(task_ids, self._share)
            unclaimed = await claims.read_unclaimed(self._pool, claimed.refused)
        except STORE_AWAY as error:
            log.warning("claim failed", error=type(error).__name__)
            self._give_back(task_ids)
            return
        for task_id in unclaimed.unknown:
            log.warning("no task has the announced id", task_id=str(task_id))
        tried = task_ids[: len(task_ids) - len(claimed.left)]
        self._answer(tried, returned=unclaimed.still_open)

    def _give_back(self, task_ids: Collection[UUID]) -> None:
        self._answer(task_ids, returned=frozenset(task_ids))

    def _answer(
        self, task_ids: Collection[UUID], *, returned: AbstractSet[UUID]
    ) -> None:
        """Confirm these ids, but give some of them back."""
        answers = [(each in returned, self._announced[each].text) for each in task_ids]
        if confirm := [text for is_returned, text in answers if not is_returned]:
            self._outbox.put_nowait(Frame(confirm=Frame.Confirm(task_ids=confirm)))
        if give_back := [text for is_returned, text in answers if is_returned]:
            self._outbox.put_nowait(Frame(give_back=Frame.GiveBack(task_ids=give_back)))
        for task_id in list(task_ids):
            del self._announced[task_id]

    def _grant(self) -> None:
        """Credit for each slot that these types may have, and for ids to be here before it is.

        The sooner slots are freed the more: none waits here for longer than a moment.
        """
        ahead = self._slots.turnover(self._share)
        wanted = min(self._slots.room(self._share) + ahead, limits.MAX_CREDITS)
        more = wanted - self._credits - len(self._announced)
        # Of what is ahead of its time half is still there: nothing waits for the rest.
        if more > ahead // 2 and not self._draining.is_set():
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
