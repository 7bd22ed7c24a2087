"""What processing promises, as a few records: no database, no time, no concurrency."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import singledispatchmethod
from itertools import permutations
from typing import Any, Final
from uuid import UUID

from tandem.judging import MAX_CRASHES

PENDING, RUNNING = "PENDING", "RUNNING"
SUCCEEDED, FAILED, CANCELLED = "SUCCEEDED", "FAILED", "CANCELLED"
FINAL: Final = frozenset({SUCCEEDED, FAILED, CANCELLED})
GIVEN_BACK = "GIVEN_BACK"

REPORTS: Final = (SUCCEEDED, FAILED, PENDING, GIVEN_BACK)
"""What an attempt may come to; PENDING asks for another one."""


@dataclass(frozen=True, slots=True)
class Claim:
    task: UUID
    by: UUID
    suspects: bool
    """It is for suspects alone, or for the others alone."""


@dataclass(frozen=True, slots=True)
class Report:
    task: UUID
    by: UUID
    claim: int
    says: str


@dataclass(frozen=True, slots=True)
class BeginStage:
    task: UUID
    by: UUID
    claim: int


@dataclass(frozen=True, slots=True)
class EndStage:
    task: UUID
    by: UUID
    claim: int


@dataclass(frozen=True, slots=True)
class Bury:
    """This processor fell silent, and another one notices."""

    dead: UUID
    judge: UUID


@dataclass(frozen=True, slots=True)
class Leave:
    """This processor gives up its row, unless a task runs under it."""

    by: UUID


@dataclass(frozen=True, slots=True)
class Cancel:
    task: UUID
    attempt: int | None


@dataclass(frozen=True, slots=True)
class Retry:
    task: UUID
    attempt: int


@dataclass(frozen=True, slots=True)
class Strip:
    task: UUID


Step = Claim | Report | BeginStage | EndStage | Bury | Leave | Cancel | Retry | Strip

Shown = tuple[dict[UUID, tuple[Any, ...] | None], frozenset[UUID]]
"""Each task as the database should show it, and who lives."""


@dataclass(slots=True, kw_only=True)
class Task:
    """How one task stands."""

    max_attempts: int
    state: str = PENDING
    attempt: int = 0
    claim: int = 0
    crashes: int = 0
    holder: UUID | None = None
    is_cancel_asked: bool = False
    result: int | None = None
    """The claim whose result is kept."""

    stage: tuple[str, int] | None = None
    """State of its only stage, and the claim that ran it last."""

    is_stripped: bool = False

    @property
    def is_suspect(self) -> bool:
        """It was running in two crashes in a row."""
        return self.crashes > 1

    def is_held(self, by: UUID, claim: int) -> bool:
        held = (self.state, self.holder, self.claim) == (RUNNING, by, claim)
        return held and not self.is_stripped

    def shown(self) -> tuple[Any, ...] | None:
        """As the database should show it; None without a status."""
        if self.is_stripped:
            return None
        counts = (self.attempt, self.claim, self.crashes)
        kept = (self.is_cancel_asked, self.result, self.stage)
        return (self.state, *counts, self.holder, *kept)


@dataclass(slots=True)
class Model:
    """All tasks of one history, and the processors that live."""

    tasks: dict[UUID, Task] = field(default_factory=dict)
    living: set[UUID] = field(default_factory=set)

    def shown(self) -> Shown:
        tasks = {task_id: task.shown() for task_id, task in self.tasks.items()}
        return tasks, frozenset(self.living)

    def after(self, steps: Sequence[Step]) -> Model:
        """Another model, in which these were done in this order."""
        model = deepcopy(self)
        for step in steps:
            model.take(step)
        return model

    def any_order(self, steps: Sequence[Step]) -> list[Model]:
        return [self.after(order) for order in permutations(steps)]

    @singledispatchmethod
    def take(self, step: Any) -> None:
        raise NotImplementedError

    @take.register
    def _claim(self, step: Claim) -> None:
        task = self.tasks[step.task]
        is_meant = task.is_suspect == step.suspects
        if task.state != PENDING or step.by not in self.living or not is_meant:
            return
        task.state, task.holder = RUNNING, step.by
        task.claim += 1
        task.attempt += 1

    @take.register
    def _report(self, step: Report) -> None:
        task = self.tasks[step.task]
        if not task.is_held(step.by, step.claim):
            return
        state = PENDING if step.says == GIVEN_BACK else step.says
        if task.is_cancel_asked and state != SUCCEEDED:
            state = CANCELLED
        task.state = state
        if step.says == GIVEN_BACK:
            task.attempt -= 1
        else:
            task.crashes = 0
        task.result = task.claim if state == SUCCEEDED else None

    @take.register
    def _begin(self, step: BeginStage) -> None:
        task = self.tasks[step.task]
        is_kept = task.stage is not None and task.stage[0] == SUCCEEDED
        if task.is_held(step.by, step.claim) and not is_kept:
            task.stage = (RUNNING, step.claim)

    @take.register
    def _end(self, step: EndStage) -> None:
        task = self.tasks[step.task]
        is_ours = task.stage is not None and task.stage[1] == step.claim
        if task.is_held(step.by, step.claim) and is_ours:
            task.stage = (SUCCEEDED, step.claim)

    @take.register
    def _bury(self, step: Bury) -> None:
        self.living.discard(step.dead)
        for task in self.tasks.values():
            if task.is_held(step.dead, task.claim):
                task.crashes += 1
                task.state = _after_a_crash(task)

    @take.register
    def _leave(self, step: Leave) -> None:
        if not any(task.is_held(step.by, task.claim) for task in self.tasks.values()):
            self.living.discard(step.by)

    @take.register
    def _cancel(self, step: Cancel) -> None:
        task = self.tasks[step.task]
        if task.state in FINAL or step.attempt not in {None, task.attempt}:
            return
        if task.state == RUNNING:
            task.is_cancel_asked = True
        else:
            task.state = CANCELLED

    @take.register
    def _retry(self, step: Retry) -> None:
        task = self.tasks[step.task]
        is_there = task.state in {FAILED, CANCELLED} and task.attempt == step.attempt
        if is_there and not task.is_stripped:
            task.state, task.crashes, task.is_cancel_asked = PENDING, 0, False

    @take.register
    def _strip(self, step: Strip) -> None:
        task = self.tasks[step.task]
        task.is_stripped = task.is_stripped or task.state in FINAL


def _after_a_crash(task: Task) -> str:
    if task.is_cancel_asked:
        return CANCELLED
    is_spent = task.crashes >= MAX_CRASHES or task.attempt >= task.max_attempts
    return FAILED if is_spent else PENDING
