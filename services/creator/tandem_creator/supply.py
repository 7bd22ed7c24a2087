"""Taking settled ids from the lanes of a group, no more than its members can use."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final

import asyncpg

from tandem_creator.horizon import Horizon
from tandem_creator.ledger import silent_for
from tandem_creator.members import Member, queues_of, readable_by, types_of
from tandem_creator.store.places import (
    Lane,
    Reader,
    Taken,
    read_news,
    read_projects_ahead,
    take,
)

PACE_SECONDS: Final = 0.05
"""Between two takes from a lane: each rewrites the row of the group's place."""

BURST: Final = 4
"""Takes from a lane that was left alone for long, before the pace is kept."""

MOST: Final = 4000
"""Ids in one take: with the pace, 80,000 a second of a lane."""


class Supply:
    """What the lanes of one group have to give, as far as this process knows."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        reader: Reader,
        *,
        horizon: Horizon,
        resend: float,
        clock: Callable[[], float],
    ) -> None:
        self._pool = pool
        self._reader = reader
        self._horizon = horizon
        self._silent_for = silent_for(resend)
        self._clock = clock
        self._seen = -1
        self._queues: frozenset[str] = frozenset()
        self._lanes: dict[int, Lane] = {}
        self._paced: dict[int, float] = {}
        self._hungry: set[int] = set()
        self._latest: dict[int, tuple[int, float]] = {}
        """By lane how many ids the latest take had, and when it was."""

        self.any_lost = False
        """Whether the last look anew found takes that nobody answers for."""

    @property
    def lanes(self) -> Mapping[int, Lane]:
        """Those with something new."""
        return self._lanes

    def forget_pace(self) -> None:
        """No lane is passed over, until one is again."""
        self._hungry.clear()

    def next_take(self) -> float:
        """When a lane that was passed over for its pace may be taken from."""
        return min((self._paced[lane] for lane in self._hungry), default=math.inf)

    async def look(self, members: Collection[Member], *, anew: bool) -> None:
        """Learn which lanes have news, if that may have changed."""
        settled = self._horizon.settled
        queues = queues_of(members)
        if settled == self._seen and queues == self._queues and not anew:
            return
        news = await read_news(
            self._pool,
            self._reader,
            queues,
            settled=settled,
            silent_for=self._silent_for if anew else None,
        )
        self._lanes = {lane.lane_id: lane for lane in news.lanes}
        self._seen, self._queues = settled, queues
        self.any_lost = news.any_lost

    async def take(self, lane: Lane, members: Iterable[Member]) -> Taken | None:
        """The lane's next ids for these members; None if there are none for now."""
        wants = [member for member in members if lane.queue in member.queues]
        credit = sum(member.room(now=self._clock()) for member in wants)
        if lane.lane_id not in self._lanes or not credit or self._must_wait(lane):
            return None
        settled, most = self._horizon.settled, self._most(lane, credit)
        taken = await take(
            self._pool,
            self._reader,
            lane,
            settled=settled,
            most=most,
            types=types_of(wants),
            projects=await readable_by(
                wants,
                lambda: read_projects_ahead(
                    self._pool, self._reader, lane, settled=settled, most=most
                ),
            ),
        )
        self._note(lane, taken)
        return taken

    def _must_wait(self, lane: Lane) -> bool:
        if self._clock() >= self._paced.get(lane.lane_id, 0.0):
            return False
        self._hungry.add(lane.lane_id)
        return True

    def _most(self, lane: Lane, credit: int) -> int:
        """As many as there is credit for, and ahead of it as many as are soon used up."""
        got, at = self._latest.get(lane.lane_id, (0, 0.0))
        passed = self._clock() - at
        if passed < PACE_SECONDS:
            got *= 2
        elif passed > BURST * PACE_SECONDS:
            got //= 2
        return min(max(credit, got), MOST)

    def _note(self, lane: Lane, taken: Taken | None) -> None:
        self._hungry.discard(lane.lane_id)
        if taken is None:
            # Another creator has it for a moment, and may leave something.
            self._hungry.add(lane.lane_id)
        if taken is None or taken.ids:
            self._paced[lane.lane_id] = self._next(lane, burst=taken is not None)
        if taken is not None:
            self._latest[lane.lane_id] = len(taken.ids), self._clock()
        if taken is not None and taken.is_exhausted:
            self._lanes.pop(lane.lane_id, None)

    def _next(self, lane: Lane, *, burst: bool) -> float:
        """When the lane may be taken from again: soon, if it was left alone for long."""
        now, spare = self._clock(), (BURST - 1) * PACE_SECONDS if burst else 0.0
        return max(self._paced.get(lane.lane_id, 0.0), now - spare) + PACE_SECONDS
