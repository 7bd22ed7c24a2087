"""What callers and readers saw of a concurrent run, and whether it can be true.

`python -m tests.support.history FILE` judges a history that was saved as JSON lines.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A create that was answered with OK."""

    request_id: str
    task_id: str
    spec: str
    """Of the answer, as text that is equal for equal specs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A task as it stood at some moment, in the database or in an answer."""

    task_id: str
    request_id: str
    spec: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A task's position, as it stood in the end."""

    task_id: str
    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """A reader's look: all that was visible at or under its horizon, after `since`."""

    since: int
    horizon: int
    positions: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Streamed:
    """Everything that one subscriber was sent, in order, until it had caught up."""

    subscriber: str
    task_ids: tuple[str, ...]


Entry = Answered | Stored | Placed | Looked | Streamed

KINDS: dict[str, Callable[..., Entry]] = {
    kind.__name__: kind for kind in (Answered, Stored, Placed, Looked, Streamed)
}


@dataclass(slots=True)
class History:
    """Entries by kind. Those of one kind are in the order in which they were made."""

    answered: list[Answered] = field(default_factory=list)
    stored: list[Stored] = field(default_factory=list)
    placed: list[Placed] = field(default_factory=list)
    looked: list[Looked] = field(default_factory=list)
    streamed: list[Streamed] = field(default_factory=list)

    def add(self, entry: Entry) -> None:
        getattr(self, type(entry).__name__.lower()).append(entry)

    def entries(self) -> Iterator[Entry]:
        yield from self.answered
        yield from self.stored
        yield from self.placed
        yield from self.looked
        yield from self.streamed

    def save(self, path: Path) -> None:
        lines = (
            json.dumps({"kind": type(entry).__name__, **asdict(entry)})
            for entry in self.entries()
        )
        path.write_text("".join(f"{line}\n" for line in lines))


def load(path: Path) -> History:
    """A history as `save` wrote it."""
    history = History()
    for line in path.read_text().splitlines():
        fields: dict[str, Any] = json.loads(line)
        kind = KINDS[fields.pop("kind")]
        lists = {k: tuple(v) for k, v in fields.items() if isinstance(v, list)}
        history.add(kind(**fields | lists))
    return history


def violations(history: History) -> list[str]:
    """What cannot be, in words; nothing where every promise was kept."""
    rules = (
        _one_task_for_each_id,
        _one_row_for_each_id,
        _specs_stay,
        _positions_are_unique,
        _nothing_answered_is_missing,
        _horizons_pass_nothing_open,
        _streams_are_whole,
        _streams_have_one_order,
    )
    return [found for rule in rules for found in rule(history)]


def _one_task_for_each_id(history: History) -> Iterator[str]:
    named = _grouped((a.request_id, a.task_id) for a in history.answered)
    for request_id, task_ids in named.items():
        if len(task_ids) > 1:
            yield f"request {request_id} was answered with {len(task_ids)} tasks"


def _one_row_for_each_id(history: History) -> Iterator[str]:
    held = _grouped((s.request_id, s.task_id) for s in history.stored)
    for request_id, task_ids in held.items():
        if len(task_ids) > 1:
            yield f"request {request_id} is held by {len(task_ids)} rows"
    for answer in history.answered:
        if held.get(answer.request_id, {answer.task_id}) != {answer.task_id}:
            yield f"request {answer.request_id} was answered with another's task"


def _specs_stay(history: History) -> Iterator[str]:
    specs = _grouped(
        [(s.task_id, s.spec) for s in history.stored]
        + [(a.task_id, a.spec) for a in history.answered]
    )
    for task_id, seen in specs.items():
        if len(seen) > 1:
            yield f"task {task_id} had {len(seen)} specs"


def _positions_are_unique(history: History) -> Iterator[str]:
    by_position = _grouped((p.position, p.task_id) for p in history.placed)
    for position, task_ids in by_position.items():
        if len(task_ids) > 1:
            yield f"position {position} has {len(task_ids)} tasks"
    by_task = _grouped((p.task_id, p.position) for p in history.placed)
    for task_id, positions in by_task.items():
        if len(positions) > 1:
            yield f"task {task_id} has {len(positions)} positions"


def _nothing_answered_is_missing(history: History) -> Iterator[str]:
    placed = {p.task_id for p in history.placed}
    stored = {s.task_id for s in history.stored}
    for task_id in sorted({a.task_id for a in history.answered}):
        if task_id not in placed or task_id not in stored:
            yield f"task {task_id} was answered and is missing"


def _horizons_pass_nothing_open(history: History) -> Iterator[str]:
    final = sorted(p.position for p in history.placed)
    for look in history.looked:
        settled = {p for p in final if look.since < p <= look.horizon}
        for position in sorted(settled - set(look.positions)):
            yield f"a horizon at {look.horizon} had passed {position}, still open"
        for position in sorted(set(look.positions) - settled):
            yield f"position {position} was seen under {look.horizon} and is gone"


def _streams_are_whole(history: History) -> Iterator[str]:
    placed = {p.task_id for p in history.placed}
    for stream in history.streamed:
        for task_id in sorted(placed - set(stream.task_ids)):
            yield f"subscriber {stream.subscriber} was never sent task {task_id}"
        for task_id in sorted(set(stream.task_ids) - placed):
            yield f"subscriber {stream.subscriber} was sent {task_id}, which is no task"


def _streams_have_one_order(history: History) -> Iterator[str]:
    order = {p.task_id: p.position for p in history.placed}
    for stream in history.streamed:
        known = [order[task_id] for task_id in stream.task_ids if task_id in order]
        if not _ascends(known):
            yield f"subscriber {stream.subscriber} was sent ids out of order"


def _ascends(positions: Sequence[int]) -> bool:
    return all(a < b for a, b in pairwise(positions))


def _grouped(pairs: Iterable[tuple[Any, Any]]) -> dict[Any, set[Any]]:
    found: dict[Any, set[Any]] = defaultdict(set)
    for key, value in pairs:
        found[key].add(value)
    return found


def main() -> int:
    found = violations(load(Path(sys.argv[1])))
    sys.stdout.write("".join(f"{each}\n" for each in found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
