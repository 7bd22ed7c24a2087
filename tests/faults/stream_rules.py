"""What must hold of streams: whole, in the one order, without a gap at any resumption."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from tests.faults.records import History, Opened, Received, Stored

Opening = tuple[str, int]


def subscribers_saw_everything(history: History) -> Iterator[str]:
    """P5: every subscriber is sent every id, and nothing else."""
    placed = set(_order(history))
    sent: dict[str, set[str]] = {o.subscriber: set() for o in history.all(Opened)}
    for message in history.all(Received):
        sent[message.subscriber].update(message.task_ids)
    for subscriber, task_ids in sent.items():
        for task_id in sorted(placed - task_ids):
            yield f"subscriber {subscriber} was never sent task {task_id}"
        for task_id in sorted(task_ids - placed):
            yield f"subscriber {subscriber} was sent {task_id}, which is no task"


def openings_go_on_in_order(history: History) -> Iterator[str]:
    """P5: each opening begins behind its token, and then leaves nothing out."""
    order = _order(history)
    places = {task_id: place for place, task_id in enumerate(order)}
    messages = _messages(history)
    for opened in history.all(Opened):
        sent = messages.get((opened.subscriber, opened.opening), ())
        start = places.get(opened.after, -1) + 1
        if list(sent) != order[start : start + len(sent)]:
            yield (
                f"subscriber {opened.subscriber} was sent ids out of order,"
                f" or with a gap, in opening {opened.opening}"
            )


def _order(history: History) -> Sequence[str]:
    rows = sorted(history.all(Stored), key=lambda row: row.position)
    return [row.task_id for row in rows if row.state]


def _messages(history: History) -> Mapping[Opening, Sequence[str]]:
    sent: dict[Opening, list[str]] = defaultdict(list)
    for message in history.all(Received):
        sent[message.subscriber, message.opening] += message.task_ids
    return sent
