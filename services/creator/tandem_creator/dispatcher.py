"""One group in one process: its members, and the ids on their way to them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection, Iterable
from typing import Final
from uuid import UUID

import asyncpg
import structlog

from tandem import calls
from tandem.errors import StoreUnavailable
from tandem.happening import happens
from tandem_creator.census import Census, count
from tandem_creator.hearing import Hearing
from tandem_creator.holdings import Holdings
from tandem_creator.horizon import Horizon
from tandem_creator.ledger import Ledger
from tandem_creator.members import Member
from tandem_creator.store.census import Count
from tandem_creator.store.places import Lane, Reader
from tandem_creator.supply import Supply
from tandem_creator.turns import Turns

log = structlog.get_logger()

ROUND_SECONDS: Final = 1.0
"""Between looks for what no bell tells: resumed queues, and takes of the dead."""

BOUT_SECONDS: Final = 0.1
"""After so long a backlog is left for a moment, to see what became urgent meanwhile."""


class Dispatcher:
    """`run` does all the work; the rest only tells it what has changed."""

    def __init__(
        self, pool: asyncpg.Pool, reader: Reader, *, horizon: Horizon, resend: float
    ) -> None:
        self._horizon = horizon
        self._clock = asyncio.get_running_loop().time
        self._members: deque[Member] = deque()
        self._holdings = Holdings()
        self._turns = Turns()
        self._ledger = Ledger(pool, reader, holdings=self._holdings, resend=resend)
        self._supply = Supply(
            pool, reader, horizon=horizon, resend=resend, clock=self._clock
        )
        self._hearing = Hearing(reader.group, self._holdings, resend=resend)
        self._census = Census(pool, reader)
        self._next_round = 0.0
        self._wake = asyncio.Event()
        self._busy = asyncio.Lock()

    @property
    def is_idle(self) -> bool:
        """Whether it has nobody to serve, and nothing to answer for."""
        return (
            not self._members and not self._holdings.take_ids and self._census.is_empty
        )

    @property
    def count(self) -> Count:
        """Its members now."""
        return count(self._members)

    def join(self, member: Member) -> None:
        self._members.append(member)
        self._next_round = 0.0
        self._wake.set()

    def leave(self, member: Member) -> None:
        """Whatever is with it is announced again, to others."""
        self._members.remove(member)
        self._holdings.recall_from(member, now=self._clock())
        self._wake.set()

    def grant(self, member: Member, more: int) -> None:
        member.grant(more)
        self._wake.set()

    def confirm(self, member: Member, task_ids: Collection[UUID]) -> None:
        member.answer(now=self._clock())
        self._holdings.confirm(member, task_ids)
        self._wake.set()

    def give_back(self, member: Member, task_ids: Collection[UUID]) -> None:
        member.answer(now=self._clock())
        self._holdings.give_back(member, task_ids, now=self._clock())
        self._wake.set()

    async def run(self) -> None:
        """Serve the group until it is idle, or cancelled."""
        unfollow = self._horizon.follow(self._wake.set)
        try:
            while not self.is_idle:
                await self._try_once()
                await self._wait()
        finally:
            unfollow()

    async def close(self) -> None:
        """Leave what is held to other creators, at once."""
        async with self._busy:
            await self._ledger.release_all()
            await self._census.keep((), now=self._clock())

    async def _try_once(self) -> None:
        self._wake.clear()
        try:
            async with self._busy:
                await self.run_once()
        except (*calls.STORE_AWAY, StoreUnavailable) as error:
            log.warning("group not served", error=type(error).__name__)
            self._next_round = self._clock() + ROUND_SECONDS

    async def run_once(self) -> None:
        """Settle accounts, and hand out what there is credit for."""
        is_round = self._clock() >= self._next_round
        # What was passed over may be gone, or nobody may have credit for it any more.
        self._supply.forget_pace()
        if is_round:
            self._hearing.judge(self._members, now=self._clock())
        await self._ledger.settle(self._members, now=self._clock())
        await self._census.keep(self._members, now=self._clock())
        if is_round:
            self._next_round = self._clock() + ROUND_SECONDS
            await self._ledger.refresh(now=self._clock())
        if self._has_credit():
            await self._supply.look(self._members, anew=is_round)
            if is_round and self._supply.any_lost:
                await self._retake()
            await self._serve()

    async def _wait(self) -> None:
        """Until something changes, or it is time for something."""
        until = min(self._next_round, self._supply.next_take())
        await happens(self._wake, max(until - self._clock(), 0))

    async def _retake(self) -> None:
        """Take over what is lost, for as long as there is credit for it."""
        end = self._clock() + BOUT_SECONDS
        while self._has_credit():
            if self._clock() > end:
                self._next_round = 0.0
                return
            if not await self._ledger.retake(
                self._hearing_members(), now=self._clock()
            ):
                return
            for lane in self._holdings.lanes_waiting().values():
                self._hand_out(lane)

    async def _serve(self) -> None:
        lanes = {**self._supply.lanes, **self._holdings.lanes_waiting()}
        end = self._clock() + BOUT_SECONDS
        while lanes and self._has_credit():
            if self._clock() > end:
                self._wake.set()
                return
            lane = self._turns.next(lanes.values())
            if not await self._serve_lane(lane):
                del lanes[lane.lane_id]

    async def _serve_lane(self, lane: Lane) -> bool:
        """One turn of one lane. Whether another one may bring more."""
        if self._hand_out(lane):
            return True
        taken = await self._supply.take(lane, self._hearing_members())
        if taken is None:
            return False
        if taken.take_id is not None:
            self._holdings.add(taken.take_id, lane, ids=taken.ids, now=self._clock())
            self._hand_out(lane)
        return not taken.is_exhausted

    def _hand_out(self, lane: Lane) -> int:
        return self._holdings.hand_out(lane, members=self._in_turn(), now=self._clock())

    def _in_turn(self) -> Iterable[Member]:
        """All members, each time beginning with another one."""
        self._members.rotate(-1)
        return tuple(self._members)

    def _hearing_members(self) -> list[Member]:
        """Those for whom ids are taken. What only the deaf run is left to others."""
        now = self._clock()
        return [m for m in self._members if not m.is_deaf or m.room(now=now)]

    def _has_credit(self) -> bool:
        now = self._clock()
        return any(member.room(now=now) > 0 for member in self._members)
