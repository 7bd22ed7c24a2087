"""What must hold of creates: each intended call made one task, and it is there."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Final, TypeVar

from tests.faults.records import (
    Answered,
    GivenUp,
    History,
    Observed,
    Refused,
    Sent,
    Stored,
)

Key = TypeVar("Key", bound=Hashable)
Item = TypeVar("Item", bound=Hashable)

MADE_BY_ITSELF: Final = frozenset({"CREATED", "REPLAYED"})
"""Outcomes that name a task of the same request id."""

HONEST: Final = frozenset(
    {
        ("UNAVAILABLE", ""),
        ("UNAVAILABLE", "STORE_UNAVAILABLE"),
        ("UNAVAILABLE", "STOPPING"),
        ("DEADLINE_EXCEEDED", ""),
        # What gRPC says of a call that reached a server which was about to stop.
        ("CANCELLED", ""),
        ("ALREADY_EXISTS", "REQUEST_ID_REUSED"),
    }
)
"""What may be answered to requests that are well-formed, whatever is broken."""


def answers_name_what_is_stored(history: History) -> Iterator[str]:
    """P1, P2: an acknowledged task is there, under the id that was answered."""
    asked = {sent.request_id: sent.external_id for sent in history.all(Sent)}
    for answer in history.all(Answered):
        row = history.rows.get(answer.task_id)
        if row is None:
            yield f"task {answer.task_id} was acknowledged and is lost"
        elif answer.outcome in MADE_BY_ITSELF and row.request_id != answer.request_id:
            yield f"request {answer.request_id} was answered with another's task"
        elif answer.outcome == "EXISTING" and (
            not row.external_id or row.external_id != asked.get(answer.request_id)
        ):
            yield f"request {answer.request_id} was answered with an unrelated task"


def one_task_for_each_id(history: History) -> Iterator[str]:
    """P1: nothing is created twice."""
    answered = _grouped((a.request_id, a.task_id) for a in history.all(Answered))
    for request_id, task_ids in _several(answered):
        yield f"request {request_id} was answered with {len(task_ids)} tasks"
    rows = history.all(Stored)
    for request_id, task_ids in _several(
        _grouped((row.request_id, row.task_id) for row in rows)
    ):
        yield f"request {request_id} is held by {len(task_ids)} tasks"
    named = [(row.external_id, row.task_id) for row in rows if row.external_id]
    for external_id, task_ids in _several(_grouped(named)):
        yield f"external id {external_id} is held by {len(task_ids)} tasks"


def one_call_made_each_task(history: History) -> Iterator[str]:
    """P1: of all answers that name a task, one says CREATED at most."""
    made = Counter(a.task_id for a in history.all(Answered) if a.outcome == "CREATED")
    for task_id, times in made.items():
        if times > 1:
            yield f"task {task_id} was answered as CREATED {times} times"


def every_task_was_asked_for(history: History) -> Iterator[str]:
    """P1, P3: each row is what one of the calls with its request id wanted."""
    wanted = _grouped(
        (sent.request_id, (sent.external_id, sent.content))
        for sent in history.all(Sent)
    )
    for row in history.all(Stored):
        if (row.external_id, row.content) not in wanted.get(row.request_id, ()):
            yield f"task {row.task_id} is what nobody asked for"


def specs_stay(history: History) -> Iterator[str]:
    """P3: a call that was answered with its own task finds its content in it."""
    for answer in history.all(Answered):
        row = history.rows.get(answer.task_id)
        if (
            row is not None
            and answer.outcome in MADE_BY_ITSELF
            and row.content != answer.content
        ):
            yield f"request {answer.request_id} was accepted with other content"


def answered_tasks_are_visible(history: History) -> Iterator[str]:
    """P2: whoever asks for an acknowledged task finds it."""
    for seen in history.all(Observed):
        if not seen.state:
            yield f"task {seen.task_id} was acknowledged and not found"


def errors_are_honest(history: History) -> Iterator[str]:
    """A fault of the surroundings is answered as one, and every call ends in an OK."""
    contents = _grouped((sent.request_id, sent.content) for sent in history.all(Sent))
    for refused in history.all(Refused):
        is_only = len(contents.get(refused.request_id, ())) == 1
        if (refused.code, refused.reason) not in HONEST or (
            refused.reason == "REQUEST_ID_REUSED" and is_only
        ):
            yield (
                f"request {refused.request_id} was answered"
                f" {refused.code} {refused.reason}".rstrip()
            )
    for given_up in history.all(GivenUp):
        yield f"request {given_up.request_id} was never answered"


def statuses_are_whole(history: History) -> Iterator[str]:
    """A task and its status are created together, and each has its own position."""
    for row in history.all(Stored):
        if not row.state:
            yield f"task {row.task_id} has no status"
    placed = [(row.position, row.task_id) for row in history.all(Stored) if row.state]
    for position, task_ids in _several(_grouped(placed)):
        yield f"position {position} has {len(task_ids)} tasks"


def _grouped(pairs: Iterable[tuple[Key, Item]]) -> Mapping[Key, set[Item]]:
    found: dict[Key, set[Item]] = defaultdict(set)
    for key, item in pairs:
        found[key].add(item)
    return found


def _several(groups: Mapping[Key, set[Item]]) -> Iterator[tuple[Key, set[Item]]]:
    """The groups of more than one."""
    return ((key, items) for key, items in groups.items() if len(items) > 1)
