"""What a run leaves behind: one line for each thing that somebody did or saw."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Final, TypeVar, cast

Value = dict[str, Any] | None
"""A result. Those of the handlers under test name the claim that made them."""


class Record:
    """One line of a journal."""

    __slots__ = ()


# ---------------------------------------------------------------- callers


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent(Record):
    """A create, before it went out for the first time."""

    request_id: str
    external_id: str
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered(Record):
    """An OK, with the task as it was then."""

    request_id: str
    content: str
    task_id: str
    outcome: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused(Record):
    """An error, and for which create."""

    request_id: str
    content: str
    code: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenUp(Record):
    """A create that was never answered for good."""

    request_id: str


# ---------------------------------------------------------------- operators


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed(Record):
    """A task as a service answered it; without a state where it said there is none."""

    task_id: str
    state: str
    attempt: int
    claim: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked(Record):
    """A CancelTask or RetryTask, before it went out."""

    task_id: str
    operation: str
    attempt: int
    """The attempt that a retry named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled(Record):
    """An OK of CancelTask, with the task as it was then."""

    task_id: str
    state: str
    claim: int


# ---------------------------------------------------------------- handlers


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun(Record):
    """An attempt, as its handler begins. Times are of one clock for the machine."""

    task_id: str
    claim: int
    attempt: int
    process: str
    time: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRun(Record):
    """A step that was run by this claim, before its result is kept."""

    task_id: str
    claim: int
    name: str
    result: Value
    time: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSeen(Record):
    """What this claim was given for a step: its own result, once kept, or an earlier one."""

    task_id: str
    claim: int
    name: str
    result: Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended(Record):
    """The end of a handler: RETURNED, or the name of what it raised."""

    task_id: str
    claim: int
    how: str
    result: Value
    time: float


# ---------------------------------------------------------------- subscribers


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened(Record):
    """A stream, opened with the token of a message that came right after this id."""

    subscriber: str
    opening: int
    after: str
    """Empty: from the beginning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Received(Record):
    """One message of that opening."""

    subscriber: str
    opening: int
    task_ids: Sequence[str]


# ---------------------------------------------------------------- the database


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored(Record):
    """A row of tasks, with its status and output, as they were in the end."""

    task_id: str
    request_id: str
    external_id: str
    type: str
    content: str
    max_attempts: int
    position: int
    """0 and a state of "" where the task has no status."""

    state: str
    attempt: int
    claim: int
    crashes: int
    result: Value
    result_claim: int
    errors: Sequence[Mapping[str, Any]]
    """Newest first: reason, message, attempt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredStage(Record):
    """A row of stages, as it was in the end."""

    task_id: str
    name: str
    state: str
    claim: int
    result: Value


Kind = TypeVar("Kind", bound=Record)

KINDS: Final[Mapping[str, type[Record]]] = {
    kind.__name__: kind for kind in Record.__subclasses__()
}


class Journal:
    """One file to which one process appends. A line is written whole or not at all."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def add(self, record: Record) -> None:
        line = {"kind": type(record).__name__, **asdict(cast("Any", record))}
        os.write(self._file, json.dumps(line).encode() + b"\n")

    def close(self) -> None:
        os.close(self._file)


class History:
    """All records of a run, by kind and by task."""

    def __init__(self, records: Iterable[Record]) -> None:
        self._kinds: dict[type[Record], list[Record]] = defaultdict(list)
        for record in records:
            self._kinds[type(record)].append(record)
        self._by_task: dict[type[Record], Mapping[str, Sequence[Record]]] = {}

    def all(self, kind: type[Kind]) -> Sequence[Kind]:
        return cast("Sequence[Kind]", self._kinds[kind])

    def by_task(self, kind: type[Kind]) -> Mapping[str, Sequence[Kind]]:
        """Only tasks that have such records are in it."""
        if kind not in self._by_task:
            found: dict[str, list[Record]] = defaultdict(list)
            for record in self._kinds[kind]:
                found[cast("Any", record).task_id].append(record)
            self._by_task[kind] = dict(found)
        return cast("Mapping[str, Sequence[Kind]]", self._by_task[kind])

    @cached_property
    def rows(self) -> Mapping[str, Stored]:
        return {row.task_id: row for row in self.all(Stored)}

    @cached_property
    def retries(self) -> Mapping[str, int]:
        """How often a retry was asked for, by task."""
        found: dict[str, int] = defaultdict(int)
        for asked in self.all(Asked):
            found[asked.task_id] += asked.operation == "RETRY"
        return found

    def records(self) -> Iterator[Record]:
        for records in self._kinds.values():
            yield from records


def load(folder: Path) -> History:
    """Every journal in a folder.

    Raises:
        ValueError: a line is none that a Journal writes.
    """
    return History(
        record for path in sorted(folder.glob("*.jsonl")) for record in _read(path)
    )


def _read(path: Path) -> Iterator[Record]:
    with path.open() as lines:
        for number, line in enumerate(lines, 1):
            try:
                values = json.loads(line)
                kind = KINDS[values.pop("kind")]
                yield kind(
                    **{
                        field.name: values[field.name]
                        for field in fields(cast("Any", kind))
                    }
                )
            except (ValueError, KeyError) as error:
                raise ValueError(f"{path.name}:{number} is no record") from error
