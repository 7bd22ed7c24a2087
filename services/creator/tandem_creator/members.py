"""One member of a group: what it wants, its credit, and what it is yet to be sent."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from tandem import limits
from tandem.access import ANONYMOUS, Caller
from tandem.v1 import creator_pb2 as pb
from tandem_creator.store.places import Kind

REFUSAL_SECONDS: Final = 1.0
"""An id that a member gave back is not sent to it again for so long."""

MEMORY_SECONDS: Final = 10.0
"""An id that a member gave back is for others first, for so long."""

STUCK_SECONDS: Final = 2.0
"""A stream that takes nothing for so long is stuck; what it was to take is for others."""

PROBE_SECONDS: Final = 1.0
"""A deaf member has so long to answer for the one id that it is tried with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Join:
    """Who asks, and for what."""

    group: str
    processor_id: UUID
    queues: frozenset[str]
    types: frozenset[str] | None
    """None means all."""

    caller: Caller = ANONYMOUS


class Member:
    """Filled by a dispatcher, emptied by its stream."""

    def __init__(self, join: Join, *, now: float = 0.0) -> None:
        self.processor_id = join.processor_id
        self.queues = join.queues
        self.types = join.types
        self.caller = join.caller
        self.credit = 0
        self.is_wanted = asyncio.Event()
        """Set when its stream has something to look at."""

        self._outbox: deque[UUID] = deque()
        self._refused: dict[UUID, float] = {}
        self._answered = now
        self._sending_since: float | None = None
        self._is_stuck = False
        self._is_mute = False
        self._next_probe = 0.0
        self._probe_pause = 0.0

    @property
    def is_deaf(self) -> bool:
        """It is there, and its stream takes nothing, or it answers for nothing."""
        return self._is_stuck or self._is_mute

    def grant(self, more: int) -> None:
        self.credit = min(self.credit + more, limits.MAX_CREDITS)

    def takes(self, queue: str, kind: Kind) -> bool:
        """Whether tasks of this kind are for it: it runs them, and may see them."""
        return (
            queue in self.queues
            and (self.types is None or kind.type in self.types)
            and self.caller.may_read(kind.project)
        )

    def room(self, *, now: float) -> int:
        """How many ids it may be sent now: its credit; one that is mute, a try."""
        if self._is_stuck or (self._is_mute and now < self._next_probe):
            return 0
        return min(self.credit, 1) if self._is_mute else self.credit

    def begin_sending(self, *, now: float) -> None:
        self._sending_since = now

    def end_sending(self) -> None:
        """Its stream took what was sent."""
        self._sending_since = None
        self._is_stuck = False

    def answer(self, *, now: float) -> None:
        """It said what became of an id, whichever."""
        self._answered = now
        self._is_mute = False

    def notice_stuck(self, *, now: float) -> bool:
        """Whether its stream takes nothing, and has not for a while."""
        since = self._sending_since
        self._is_stuck = since is not None and since < now - STUCK_SECONDS
        return self._is_stuck

    def patience(self, resend: float) -> float:
        """Seconds that it has to answer for an id, where others have `resend`."""
        return min(PROBE_SECONDS, resend) if self._is_mute else resend

    def notice_mute(self, *, since: float, now: float, pause: float) -> None:
        """It has not answered for an id: it is mute if for none since that moment.

        From now on it is tried once in so many seconds.
        """
        if self._answered <= since and not self._is_mute:
            self._is_mute = True
            self._probe_pause, self._next_probe = pause, now + pause

    def refuse(self, task_ids: Collection[UUID], *, now: float) -> None:
        """It does not want these back for a while."""
        self._refused |= dict.fromkeys(task_ids, now)

    @property
    def refused(self) -> Collection[UUID]:
        """What it gave back, and did not want again lately."""
        return self._refused.keys()

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

    def send(self, task_ids: Sequence[UUID], *, now: float) -> int:
        """Announce these; each spends one credit. Answers how many they are."""
        if task_ids:
            self._next_probe = now + self._probe_pause
            self.credit -= len(task_ids)
            self._outbox.extend(task_ids)
            self.is_wanted.set()
        return len(task_ids)

    def take_back(self) -> list[UUID]:
        """What its stream did not take yet, and never will; its credit is whole again."""
        task_ids = list(self._outbox)
        self._outbox.clear()
        self.credit += len(task_ids)
        return task_ids

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


async def readable_by(
    members: Collection[Member], read_projects: Callable[[], Awaitable[Iterable[str]]]
) -> list[str] | None:
    """Those of the projects that one of them may see; None, unread, where one may see all."""
    if any(member.caller.may_read_all for member in members):
        return None
    return [
        project
        for project in await read_projects()
        if any(member.caller.may_read(project) for member in members)
    ]
