"""What the callers were answered, counted."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from tandem.v1 import creator_pb2

Outcome = creator_pb2.CreateTaskResponse


@dataclass(slots=True)
class Tally:
    """Every call is counted once: under calls, and under what became of it."""

    calls: int = 0
    created: int = 0
    replayed: int = 0
    refused: int = 0
    """Other content under a request id that was spent."""

    cut_off: int = 0
    """The caller hung up before the answer, and cannot know what was done."""

    task_ids: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """By article: every id that an OK named."""

    faults: list[str] = field(default_factory=list)
    """Answers that nobody should get, one line each."""

    def answered(self, path: str, answer: creator_pb2.CreateTaskResponse) -> None:
        self.task_ids[path].add(answer.task.task_id)
        if answer.outcome == Outcome.OUTCOME_CREATED:
            self.created += 1
        elif answer.outcome == Outcome.OUTCOME_REPLAYED:
            self.replayed += 1
        else:
            name = Outcome.Outcome.Name(answer.outcome)
            self.faults.append(f"{path}: a create was answered {name}")
