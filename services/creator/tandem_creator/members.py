"""One member of a group: what it wants, its credit, and what it is yet to be sent."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from tandem import limits
from tandem.v1 import creator_pb2 as pb

REFUSAL_SECONDS: Final = 1.0
"""An id that a member gave back is not sent to it again for so long."""

MEMORY_SECONDS: Final = 10.0
"""An id that a member gave back is for others first, for so long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Join:
    """Who asks, and for what."""

    group: str
    processor_id: UUID
    queues: frozenset[str]
    types: frozenset[str] | None
    """None means all."""


class Member:
    """Filled by a dispatcher, emptied by its stream."""

    def __init__(self, join: Join) -> None:
        self.queues = join.queues
        self.types = join.types
        self.credit = 0
        self.is_wanted = asyncio.Event()
        """Set when its stream has something to look at."""

        self._outbox: deque[UUID] = deque()
        self._refused: dict[UUID, float] = {}

    def grant(self, more: int) -> None:
        self.credit = min(self.credit + more, limits.MAX_CREDITS)

    def runs(self, queue: str, type_: str) -> bool:
        return queue in self.queues and (self.types is None or type_ in self.types)

    def refuse(self, task_ids: Collection[UUID], *, now: float) -> None:
        """It does not want these back for a while."""
        self._refused |= dict.fromkeys(task_ids, now)

    def has_refused(self, task_id: UUID) -> bool:
        return task_id in self._refused

    def refuses(self, task_id: UUID, *, now: float) -> bool:
        refused = self._refused.get(task_id)
        return refused is not None and now < refused + REFUSAL_SECONDS

    def forgive(self, *, now: float) -> None:
        """Forget refusals of long ago."""
        since = now - MEMORY_SECONDS
        if self._refused:
            self._refused = {t: at for t, at in self._refused.items() if at > since}

    def send(self, task_ids: Sequence[UUID]) -> int:
        """Announce these; each spends one credit. Answers how many they are."""
        if task_ids:
            self.credit -= len(task_ids)
            self._outbox.extend(task_ids)
            self.is_wanted.set()
        return len(task_ids)

    def next_message(self) -> pb.ConsumeCreatedTasksResponse | None:
        """What is to be sent now, at most MAX_BATCH ids; None: nothing."""
        if not self._outbox:
            return None
        count = min(len(self._outbox), limits.MAX_BATCH)
        task_ids = [str(self._outbox.popleft()) for _ in range(count)]
        # What still waits here is spent already, but not by this message.
        left = self.credit + len(self._outbox)
        return pb.ConsumeCreatedTasksResponse(task_ids=task_ids, credits_left=left)

    def frame(self) -> pb.ConsumeCreatedTasksResponse:
        """An empty message: the stream lives."""
        return pb.ConsumeCreatedTasksResponse(credits_left=self.credit)


def queues_of(members: Iterable[Member]) -> frozenset[str]:
    """The queues that one of them reads."""
    return frozenset().union(*(member.queues for member in members))


def types_of(members: Iterable[Member]) -> frozenset[str] | None:
    """The types that one of them runs; None means all."""
    types: set[str] = set()
    for member in members:
        if member.types is None:
            return None
        types |= member.types
    return frozenset(types)
