"""The micro-batch: creates that arrive together share one commit."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from tandem import spans
from tandem.errors import Overloaded
from tandem.spans import NO_SPAN, Span
from tandem_creator.drafts import Draft
from tandem_creator.flush import Answer, Flusher
from tandem_creator.linger import Linger
from tandem_creator.statistics import Statistics

LARGEST_BATCH: Final = 500
"""Tasks in one transaction: some 10 to 20 ms of work, under one commit."""

MOST_WAITING: Final = 10_000
"""Creates that wait for a batch, some seconds of work, before more are refused."""


@dataclass(eq=False, slots=True)
class Create:
    """One create on its way."""

    draft: Draft
    arrival: float
    deadline: float | None
    answer: asyncio.Future[Answer] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    span: Span = NO_SPAN
    """From its arrival to its answer."""

    def is_wanted(self, now: float) -> bool:
        if self.answer.cancelled():
            return False
        return self.deadline is None or now < self.deadline


class Batcher:
    """All lanes and all callers of this process share one.

    The first create of an idle process is sent at once. Those that come while it
    commits make up the next batch, which under load lingers for a moment.
    """

    def __init__(
        self,
        flusher: Flusher,
        *,
        statistics: Statistics | None = None,
        largest: int = LARGEST_BATCH,
        most_waiting: int = MOST_WAITING,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._flusher = flusher
        self._statistics = statistics or Statistics()
        self._largest = largest
        self._most_waiting = most_waiting
        self._clock = clock or asyncio.get_running_loop().time
        self._waiting: deque[Create] = deque()
        self._arrived = asyncio.Event()
        self._open = 0
        self._linger = Linger(self._clock)

    @property
    def waiting(self) -> int:
        """Creates that wait for a batch."""
        return len(self._waiting)

    async def create(self, draft: Draft, *, deadline: float | None = None) -> Answer:
        """Create the draft's task, or find the one that holds its ids.

        A caller that gives up before the draft is sent leaves nothing behind; once
        it is sent, giving up changes nothing.

        Args:
            draft: what is wanted.
            deadline: of the event loop's clock; past it the draft is not sent.

        Raises:
            Overloaded: too many wait already.
            StoreUnavailable: the database is away; sending it again is safe.
            OutcomeUnknown: it may be stored, and a repeat would not recognise it.
        """
        if len(self._waiting) >= self._most_waiting:
            raise Overloaded("too many creates are waiting in this process")
        create = Create(draft, self._clock(), deadline)
        self._waiting.append(create)
        self._arrived.set()
        self._linger.arrived(len(self._waiting))
        self._open += 1
        try:
            with spans.part("micro-batch") as create.span:
                # Not the batch's task: a caller that gives up cancels its answer, no more.
                return await create.answer
        finally:
            self._open -= 1

    async def run(self) -> None:
        """Send batches until cancelled."""
        async with asyncio.TaskGroup() as aside:
            while True:
                await self._arrived.wait()
                await self._linger.wait(len(self._waiting))
                await self.run_once(aside)

    async def run_once(self, aside: asyncio.TaskGroup) -> int:
        """Send what waits, at most one batch; answers how many were sent."""
        batch = self._next_batch()
        if batch:
            self._note(batch)
            answers = {create.draft: create.answer for create in batch}
            await self._flusher.flush(answers, aside=aside)
            self._linger.flushed(min(self._open, self._largest))
        return len(batch)

    def _next_batch(self) -> list[Create]:
        batch: list[Create] = []
        now = self._clock()
        while self._waiting and len(batch) < self._largest:
            create = self._waiting.popleft()
            if create.is_wanted(now):
                batch.append(create)
            else:
                create.answer.cancel()
        if not self._waiting:
            self._arrived.clear()
        return batch

    def _note(self, batch: list[Create]) -> None:
        self._statistics.flushed(
            size=len(batch),
            wait=self._clock() - batch[0].arrival,
            left=len(self._waiting),
        )
        if spans.are_on():
            for create in batch:
                create.span.mark("sent", {"tandem.batch.size": len(batch)})
