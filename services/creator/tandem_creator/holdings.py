"""The ids that this process holds for a group: waiting for credit, or with a member."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID

from tandem_creator.members import Member
from tandem_creator.store.places import Kind, Lane


@dataclass(frozen=True, slots=True)
class Out:
    """With whom an id is, and since when."""

    member: Member
    kind: Kind
    since: float


@dataclass(eq=False, slots=True)
class Holding:
    """One take: it is struck off when it is empty."""

    take_id: int
    lane: Lane
    since: float
    idle_since: float
    waiting: dict[UUID, Kind]
    out: dict[UUID, Out] = field(default_factory=dict)

    @property
    def is_done(self) -> bool:
        return not self.waiting and not self.out

    def suits(self, member: Member, task_id: UUID, *, now: float) -> bool:
        """Whether the member may be sent this id, if it has credit."""
        return member.takes(
            self.lane.queue, self.waiting[task_id]
        ) and not member.refuses(task_id, now=now)

    def is_stranded(
        self, members: Collection[Member], *, refused: AbstractSet[UUID], now: float
    ) -> bool:
        """Whether an id waits that none of these may be sent; they gave `refused` back."""
        # Kinds are few, and so are ids that were refused: no look at each id that waits.
        queue = self.lane.queue
        return any(
            not any(member.takes(queue, kind) for member in members)
            for kind in set(self.waiting.values())
        ) or any(
            not any(self.suits(member, task_id, now=now) for member in members)
            for task_id in refused & self.waiting.keys()
        )

    def hand_out(self, task_id: UUID, member: Member, *, now: float) -> None:
        self.out[task_id] = Out(member, self.waiting.pop(task_id), now)
        self.idle_since = now

    def recall(self, task_id: UUID, *, now: float) -> None:
        """This id is to be announced again."""
        self.waiting[task_id] = self.out.pop(task_id).kind
        self.idle_since = now


class Holdings:
    """All takes of one group in this process."""

    def __init__(self) -> None:
        self._by_take: dict[int, Holding] = {}
        self._by_task: dict[UUID, Holding] = {}

    @property
    def take_ids(self) -> Collection[int]:
        return self._by_take.keys()

    def add(
        self, take_id: int, lane: Lane, *, ids: Iterable[tuple[UUID, Kind]], now: float
    ) -> None:
        holding = Holding(take_id, lane, now, now, dict(ids))
        self._by_take[take_id] = holding
        self._by_task.update(dict.fromkeys(holding.waiting, holding))

    def lanes_waiting(self) -> dict[int, Lane]:
        return {h.lane.lane_id: h.lane for h in self._by_take.values() if h.waiting}

    def hand_out(self, lane: Lane, *, members: Iterable[Member], now: float) -> int:
        """Give what waits in the lane to members with credit, in turn."""
        sent: dict[Member, list[UUID]] = {}
        rooms = {member: member.room(now=now) for member in members}
        for holding in self._of(lane):
            for task_id in list(holding.waiting):
                # With every credit spent the rest need no look: they may be many.
                if not (rooms := {m: room for m, room in rooms.items() if room}):
                    break
                able = [m for m in rooms if holding.suits(m, task_id, now=now)]
                if able:
                    member = min(able, key=partial(_reluctance, task_id))
                    # Its next turn comes after everybody else's.
                    rooms[member] = rooms.pop(member) - 1
                    sent.setdefault(member, []).append(task_id)
                    holding.hand_out(task_id, member, now=now)
        return sum(member.send(task_ids, now=now) for member, task_ids in sent.items())

    def confirm(self, member: Member, task_ids: Iterable[UUID]) -> None:
        """These need not be sent again. Ids that are not with this member are ignored."""
        for task_id, holding in self._with(member, task_ids):
            del holding.out[task_id]
            del self._by_task[task_id]

    def give_back(
        self, member: Member, task_ids: Iterable[UUID], *, now: float
    ) -> None:
        """These are for another member. Ids that are not with this one are ignored."""
        returned = list(self._with(member, task_ids))
        for task_id, holding in returned:
            holding.recall(task_id, now=now)
        member.refuse([task_id for task_id, _ in returned], now=now)

    def recall_from(self, member: Member, *, now: float) -> None:
        """It is gone: everything with it is to be announced again."""
        for holding in self._by_take.values():
            for task_id in [
                t for t, out in holding.out.items() if out.member is member
            ]:
                holding.recall(task_id, now=now)

    def unanswered(
        self, *, now: float, patience: Callable[[Member], float]
    ) -> dict[Member, list[UUID]]:
        """Which ids their members have had for longer than is their patience."""
        found: dict[Member, list[UUID]] = {}
        for holding in self._by_take.values():
            for task_id, out in holding.out.items():
                if out.since < now - patience(out.member):
                    found.setdefault(out.member, []).append(task_id)
        return found

    def remove_done(self) -> list[int]:
        """Take ids whose every id is confirmed; they are held no more."""
        return self._remove(h for h in self._by_take.values() if h.is_done)

    def remove_stranded(
        self, members: Collection[Member], *, idle: float, kept: float, now: float
    ) -> list[int]:
        """Take ids with an id that nobody here takes, or not since `idle`.

        Also those that were taken before `kept`, of which some ids still wait.
        """
        refused = {task_id for member in members for task_id in member.refused}
        return self._remove(
            holding
            for holding in self._by_take.values()
            if holding.waiting
            and (
                holding.idle_since < idle
                or holding.since < kept
                or holding.is_stranded(members, refused=refused, now=now)
            )
        )

    def remove_all_but(self, take_ids: Collection[int]) -> None:
        """Others answer for the rest now."""
        self._remove(h for h in self._by_take.values() if h.take_id not in take_ids)

    def _of(self, lane: Lane) -> list[Holding]:
        return [h for h in self._by_take.values() if h.lane == lane and h.waiting]

    def _with(
        self, member: Member, task_ids: Iterable[UUID]
    ) -> Iterator[tuple[UUID, Holding]]:
        for task_id in task_ids:
            holding = self._by_task.get(task_id)
            out = holding.out.get(task_id) if holding else None
            if holding and out and out.member is member:
                yield task_id, holding

    def _remove(self, holdings: Iterable[Holding]) -> list[int]:
        removed = list(holdings)
        for holding in removed:
            del self._by_take[holding.take_id]
            for task_id in (*holding.waiting, *holding.out):
                if self._by_task.get(task_id) is holding:
                    del self._by_task[task_id]
        return [holding.take_id for holding in removed]


def _reluctance(task_id: UUID, member: Member) -> tuple[bool, bool]:
    """Who of those that may be sent an id is asked last."""
    return member.is_deaf, member.has_refused(task_id)
