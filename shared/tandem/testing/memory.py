"""A task's status in memory: what the processor keeps in the database."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from tandem import limits
from tandem.desk import Begun, too_many_annotations
from tandem.states import TaskState
from tandem.testing.points import Point, begun, kept, noted, progressed, unkept, unnoted

Pass = Callable[[Point], None]
"""Called at each point; raises LeaseLost where the word is to be refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A stage as the status shows it."""

    state: TaskState
    """RUNNING also where an attempt left it behind."""

    attempt: int
    """The attempt that began it last, or that its kept result is from."""

    text: str | None = None
    """The kept result as JSON."""

    @property
    def result(self) -> Any:
        """The kept result, as later attempts and readers see it."""
        return None if self.text is None else json.loads(self.text)


@dataclass(slots=True)
class Status:
    """What attempts leave behind."""

    stages: dict[str, Stage] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    progress: float | None = None

    @property
    def kept_bytes(self) -> int:
        return sum(len((stage.text or "").encode()) for stage in self.stages.values())


class MemoryBook:
    """The book of one attempt, which writes into the status."""

    def __init__(self, status: Status, *, attempt: int, at: Pass) -> None:
        self._status = status
        self._attempt = attempt
        self._at = at

    async def begin_stage(self, name: str) -> Begun:
        stages, size = self._status.stages, self._status.kept_bytes
        stage = stages.get(name)
        if stage and stage.state is TaskState.SUCCEEDED:
            return Begun(stage.text, size)
        stages[name] = Stage(state=TaskState.RUNNING, attempt=self._attempt)
        self._at(begun(name))
        return Begun(None, size)

    async def end_stage(self, name: str, *, result: str | None) -> None:
        stages = self._status.stages
        if result is None:
            stages[name] = replace(stages[name], state=TaskState.FAILED)
            return
        self._at(unkept(name))
        stages[name] = replace(stages[name], state=TaskState.SUCCEEDED, text=result)
        self._at(kept(name))

    async def set_progress(self, fraction: float) -> None:
        self._status.progress = fraction
        self._at(progressed(fraction))

    async def annotate(self, texts: str) -> None:
        added = json.loads(texts)
        if len({*self._status.annotations, *added}) > limits.MAX_ANNOTATIONS:
            raise too_many_annotations()
        for key in added:
            self._at(unnoted(key))
        self._status.annotations |= added
        for key in added:
            self._at(noted(key))
