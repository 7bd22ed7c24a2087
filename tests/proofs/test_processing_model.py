"""Random histories of several processors; what is stored is what some order of the steps leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
)

from tests.support.janitor import Janitor
from tests.support.processing_model import (
    REPORTS,
    BeginStage,
    Bury,
    Cancel,
    Claim,
    EndStage,
    Leave,
    Model,
    Report,
    Retry,
    Step,
    Strip,
    Task,
)
from tests.support.processing_world import World
from tests.support.random_histories import run_random_histories

TASKS = 3

KINDS = (Claim, Claim, Report, Report, BeginStage, EndStage, Cancel, Retry, Strip)


@dataclass(frozen=True, slots=True)
class Sketch:
    """A step before it is known how things stand, so that it is drawn the same again."""

    kind: type[Step]
    task: int
    somebody: int
    is_somebody_else: bool
    is_late: bool
    """It names the claim, or the attempt, before the present one."""

    says: str


SKETCHES = st.builds(
    Sketch,
    kind=st.sampled_from(KINDS),
    task=st.integers(0, TASKS - 1),
    somebody=st.integers(0, 9),
    is_somebody_else=st.sampled_from([False, False, False, True]),
    is_late=st.sampled_from([False, False, False, True]),
    says=st.sampled_from(REPORTS),
)


class Processing(RuleBasedStateMachine):
    """A few tasks, two processors that live, and those that died."""

    world: World

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.processors: list[UUID] = []
        self.accepted: list[Report] = []

    @initialize(limits=st.lists(st.integers(1, 4), min_size=TASKS, max_size=TASKS))
    def begin(self, limits: list[int]) -> None:
        for limit in limits:
            task_id = self._do(self.world.create(limit))
            self.model.tasks[task_id] = Task(max_attempts=limit)
        for _ in range(2):
            self._join()

    @rule(sketches=st.lists(SKETCHES, min_size=1, max_size=3))
    def race(self, sketches: list[Sketch]) -> None:
        self._take([self._step(sketch) for sketch in sketches])

    @rule(is_first=st.booleans(), sketches=st.lists(SKETCHES, max_size=2))
    def crash(self, sketches: list[Sketch], *, is_first: bool) -> None:
        """A processor dies, alone or while something else is under way."""
        dead, judge = self._living if is_first else reversed(self._living)
        others = [self._step(sketch) for sketch in sketches]
        self._take([Bury(dead, judge), *others])
        self._join()

    @rule(is_first=st.booleans(), sketches=st.lists(SKETCHES, max_size=2))
    def leave(self, sketches: list[Sketch], *, is_first: bool) -> None:
        """A processor is stopped, alone or while something else is under way."""
        leaving = self._living[not is_first]
        self._take([Leave(leaving), *(self._step(sketch) for sketch in sketches)])
        if leaving not in self.model.living:
            self._join()

    @rule(number=st.integers(0, 9))
    def repeat_a_report(self, number: int) -> None:
        """Whose answer was lost. It never counts twice."""
        if self.accepted:
            self._take([self.accepted[number % len(self.accepted)]])

    def _join(self) -> None:
        self.processors.append(self._do(self.world.join()))
        self.model.living.add(self.processors[-1])

    def _step(self, sketch: Sketch) -> Step:
        """As the sketch is meant now: of the holder, or of somebody who is late."""
        task_id = list(self.model.tasks)[sketch.task]
        task = self.model.tasks[task_id]
        somebody = self.processors[sketch.somebody % len(self.processors)]
        attempt = max(task.attempt - sketch.is_late, 0)
        steps: dict[type[Step], Callable[[], Step]] = {
            Claim: lambda: Claim(
                task_id, self._claimer(sketch), task.is_suspect != sketch.is_late
            ),
            Strip: lambda: Strip(task_id),
            Retry: lambda: Retry(task_id, attempt),
            Cancel: lambda: Cancel(
                task_id, attempt if sketch.is_somebody_else else None
            ),
        }
        if sketch.kind in steps:
            return steps[sketch.kind]()
        return self._word(sketch, task_id, task, somebody)

    def _claimer(self, sketch: Sketch) -> UUID:
        """Mostly one that lives."""
        among = self.processors if sketch.is_somebody_else else self._living
        return among[sketch.somebody % len(among)]

    @property
    def _living(self) -> list[UUID]:
        return [each for each in self.processors if each in self.model.living]

    def _word(self, sketch: Sketch, task_id: UUID, task: Task, somebody: UUID) -> Step:
        """What a handler, or its processor, says of a claim."""
        is_else = sketch.is_somebody_else or task.holder is None
        by = somebody if is_else else task.holder
        assert by is not None
        claim = max(task.claim - sketch.is_late, 0)
        if sketch.kind is Report:
            return Report(task_id, by, claim, sketch.says)
        stage = BeginStage if sketch.kind is BeginStage else EndStage
        return stage(task_id, by, claim)

    def _take(self, steps: Sequence[Step]) -> None:
        """Do them at once: what is stored then is what one of the orders leaves."""
        told = self._do(self.world.race(steps))
        shown = self._do(self.world.shown(list(self.model.tasks), self.processors))
        models = [m for m in self.model.any_order(steps) if m.shown() == shown]
        assert models, f"no order of {steps} leads from {self.model} to {shown}"
        before, self.model = self.model, models[0]
        for step, refusal in zip(steps, told, strict=True):
            if isinstance(step, Report):
                self._judge(step, refusal, before)

    def _judge(self, step: Report, refusal: Any, before: Model) -> None:
        """Accepted is what moved the task, or repeats what did."""
        is_held = before.tasks[step.task].is_held(step.by, step.claim)
        if refusal is None:
            is_repeat = step in self.accepted or step.says == "GIVEN_BACK"
            assert is_held or is_repeat or self._was_claimed(step)
            self.accepted.append(step)

    def _was_claimed(self, step: Report) -> bool:
        """In a race, a claim may have come before its report."""
        task = self.model.tasks[step.task]
        return (task.claim, task.holder) == (step.claim, step.by)

    def _do(self, doing: Any) -> Any:
        return self.world.run(doing)


@pytest.mark.timeout(0)
async def test_p9_what_is_stored_is_what_some_order_of_the_steps_leaves(
    creator_pool: asyncpg.Pool,
    processor_pool: asyncpg.Pool,
    janitor_pool: asyncpg.Pool,
) -> None:
    world = World(
        asyncio.get_running_loop(), creator_pool, processor_pool, Janitor(janitor_pool)
    )
    await run_random_histories(type("Here", (Processing,), {"world": world}))
