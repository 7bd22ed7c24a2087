"""The slots in which tasks run, and who may have the next one."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tandem.handlers import Handlers
from tandem.happening import happens
from tandem.outcomes import Claimed
from tandem_processor.turnover import Turnover


@dataclass(frozen=True, slots=True, eq=False)
class Share:
    """Types that have room together: one with a limit, or all that have none."""

    types: tuple[str, ...]
    limit: int | None = None
    """The most of them that run at once; None: as many as there are slots."""


def shares_of(handlers: Handlers) -> Sequence[Share]:
    """Each type that has a limit by itself, and the others together."""
    limited = [
        Share((handler.type,), handler.concurrency)
        for handler in handlers
        if handler.concurrency is not None
    ]
    others = tuple(h.type for h in handlers if h.concurrency is None)
    return (*limited, Share(others)) if others else limited


class Slots:
    """Which slots are taken. A slot is free again when its handler has ended.

    Suspects were running in two crashes in a row. They run one at a time, so that
    a poison task crashes without its neighbours the third time, and they live.
    """

    def __init__(self, handlers: Handlers, *, concurrency: int) -> None:
        self.shares = shares_of(handlers)
        self._concurrency = concurrency
        self._share = {t: share for share in self.shares for t in share.types}
        self._taken: Counter[Share] = Counter()
        clock = asyncio.get_running_loop().time
        self._turnover = {share: Turnover(clock) for share in self.shares}
        self._suspects = 0
        self._kept = 0
        self.freed = asyncio.Event()
        """Set when the next slot is free again. Each time another one."""

        self.reopened = asyncio.Event()
        """Set when what is due may be had that could not be before. As above."""

    @property
    def free(self) -> int:
        """How many more tasks may run, whatever their type."""
        return max(self._concurrency - self._taken.total(), 0)

    @property
    def batch(self) -> int:
        """How many tasks to claim at once, so that some run while others are claimed."""
        return max(self._concurrency // 2, 1)

    def turnover(self, share: Share) -> int:
        """How many more ids may wait here, since slots of these types are free again so soon."""
        lately = self._turnover[share].lately
        return min(lately, share.limit or self._concurrency, self._concurrency)

    @property
    def may_run_suspect(self) -> bool:
        return self._suspects == 0

    def room(self, share: Share, *, is_due: bool = False) -> int:
        """How many more tasks of these types may run, led to by the stream or due."""
        free = self.free if is_due else max(self.free - self._kept, 0)
        if share.limit is None:
            return free
        return max(min(share.limit - self._taken[share], free), 0)

    def open_shares(self) -> Sequence[Share]:
        """Those that are not at a limit of their own."""
        return [
            share
            for share in self.shares
            if share.limit is None or self._taken[share] < share.limit
        ]

    def keep_one(self) -> None:
        """The next slot is for due work."""
        self._kept = 1

    def release(self) -> None:
        """The stream may have every slot again."""
        if self._kept:
            self._kept = 0
            self.freed = _happened(self.freed)

    async def has_room(self, share: Share, seconds: float) -> bool:
        """Wait for room. Answers whether there is some within the time."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while not self.room(share):
            if not await happens(self.freed, end - loop.time()):
                return False
        return True

    def take(self, claimed: Claimed) -> None:
        """This task's handler begins."""
        self._taken[self._share[claimed.type]] += 1
        self._suspects += claimed.is_suspect

    def free_one(self, claimed: Claimed, *, seconds: float) -> None:
        """This task's handler has ended, after so long."""
        share = self._share[claimed.type]
        self._taken[share] -= 1
        self._turnover[share].note(seconds)
        self.freed = _happened(self.freed)
        if share.limit is not None:
            self.reopened = _happened(self.reopened)

    def clear(self, claimed: Claimed) -> None:
        """What became of this task is kept: it has survived its attempt."""
        if claimed.is_suspect:
            self._suspects -= 1
            self.look_again()

    def look_again(self) -> None:
        """Something was put back, and will be due."""
        self.reopened = _happened(self.reopened)


def _happened(event: asyncio.Event) -> asyncio.Event:
    """Wake everybody who waits, and answer what to wait for next."""
    event.set()
    return asyncio.Event()
