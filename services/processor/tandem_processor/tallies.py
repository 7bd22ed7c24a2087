"""What was counted, added up in the words of the contract."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tandem import limits, wire
from tandem.states import TaskState
from tandem.v1 import processor_pb2 as pb
from tandem_processor.counts import Alike
from tandem_processor.readers import LaneRow, MemberCount, ProcessorRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """The open tasks of the lanes: due since their creation, and led to by the stream."""

    oldest: Mapping[int, datetime]
    """When the oldest was created, by lane."""

    overdue: Mapping[int, int]
    """How many are older than five minutes, in lanes that have such."""


@dataclass(slots=True)
class _Tally:
    count: int = 0
    due_since: datetime | None = None
    overdue: int = 0

    def age(self, now: datetime) -> timedelta | None:
        return None if self.due_since is None else now - self.due_since

    def add(self, count: int, due_since: datetime | None, overdue: int) -> None:
        self.count += count
        self.overdue += overdue
        if due_since is not None:
            self.due_since = min(due_since, self.due_since or due_since)


def queues(
    alike: Iterable[Alike], open_: Open, lanes: Mapping[int, LaneRow], now: datetime
) -> Iterator[pb.QueueStats]:
    """One for each queue and state, by the queue's name."""
    paused = {lane.queue: lane.paused for lane in lanes.values()}
    tallies = _tallies(alike, open_, lanes)
    order = list(TaskState)
    for queue, state in sorted(tallies, key=lambda k: (k[0], order.index(k[1]))):
        tally = tallies[queue, state]
        yield pb.QueueStats(
            queue=queue,
            state=wire.STATES[state],
            count=tally.count,
            oldest_age=wire.duration(tally.age(now)),
            waiting_over_five_minutes=tally.overdue,
            paused=paused[queue],
        )


def _tallies(
    alike: Iterable[Alike], open_: Open, lanes: Mapping[int, LaneRow]
) -> dict[tuple[str, TaskState], _Tally]:
    tallies: dict[tuple[str, TaskState], _Tally] = {}
    for each in alike:
        key = lanes[each.lane_id].queue, each.state
        tally = tallies.setdefault(key, _Tally())
        tally.add(each.count, each.due_since, each.overdue)
    for lane_id, due_since in open_.oldest.items():
        tally = tallies[lanes[lane_id].queue, TaskState.PENDING]
        tally.add(0, due_since, open_.overdue.get(lane_id, 0))
    return tallies


def groups(
    alike: Sequence[Alike],
    bands: Mapping[str, Mapping[int, int]],
    members: Mapping[str, MemberCount],
) -> Iterator[pb.GroupStats]:
    """One for each group, by name."""
    for group in sorted({limits.WORKERS, *bands, *members}):
        places = bands.get(group, {})
        lag = (
            _unworked(alike, places)
            if group == limits.WORKERS
            else _unread(alike, places)
        )
        count = members.get(group, MemberCount())
        yield pb.GroupStats(
            group=group, lag=lag, members=count.members, deaf_members=count.deaf
        )


def _unread(alike: Iterable[Alike], bands: Mapping[int, int]) -> int:
    return sum(
        each.count
        for each in alike
        if each.lane_id in bands and each.band >= bands[each.lane_id]
    )


def _unworked(alike: Iterable[Alike], bands: Mapping[int, int]) -> int:
    """Every task is to be worked, also in a lane from which nobody has read yet."""
    return sum(
        each.count
        for each in alike
        if each.is_open and each.band >= bands.get(each.lane_id, 0)
    )


def days(
    midnights: Sequence[datetime],
    *,
    created: Mapping[int, int],
    ended: Mapping[tuple[int, TaskState], int],
) -> list[pb.DayStats]:
    """One for each day, newest first."""
    each = [
        pb.DayStats(
            date=f"{midnight:%Y-%m-%d}",
            created=created.get(day, 0),
            succeeded=ended.get((day, TaskState.SUCCEEDED), 0),
            failed=ended.get((day, TaskState.FAILED), 0),
        )
        for day, midnight in enumerate(midnights, 1)
    ]
    return each[::-1]


def ended(
    alike: Iterable[Alike], stripped: Mapping[tuple[int, TaskState], int]
) -> Counter[tuple[int, TaskState]]:
    """By day and state, the tasks that have a status and those that were stripped."""
    found = Counter(stripped)
    for each in alike:
        found[each.day, each.state] += each.count
    return found


def processors(
    alike: Iterable[Alike], rows: Iterable[ProcessorRow]
) -> Iterator[pb.ProcessorStats]:
    """One for each row, with what it runs."""
    running: Counter[object] = Counter()
    for each in alike:
        running[each.processor_id] += each.count
    for row in rows:
        yield pb.ProcessorStats(
            processor_id=str(row.processor_id),
            heartbeat_time=wire.timestamp(row.heartbeat_time),
            running=running[row.processor_id],
            types=row.types,
            dead=row.dead,
        )
