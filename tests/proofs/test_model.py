"""Random histories of two creators, each answer compared with what a model foresees."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4, uuid5

import asyncpg
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    precondition,
    rule,
)

from tests.support.cluster import Database
from tests.support.creation_model import (
    CREATED,
    REPLAYED,
    Delete,
    Model,
    Step,
    Strip,
    Told,
    Want,
    with_derived_ids,
)
from tests.support.creation_world import World, running_world
from tests.support.random_histories import run_random_histories

IDS = st.sampled_from([str(uuid5(UUID(int=1), str(n))) for n in range(4)])
NAMES = st.sampled_from(["order-1", "order-2", "order-3"])
CONTENTS = st.integers(0, 2)
PLACES = st.integers(0, 1)
NUMBERS = st.integers(0, 99)
"""Of tasks. How many there are is up to races, and what is drawn must not depend on it."""

NAMED = st.builds(
    Want,
    content=CONTENTS,
    request_id=IDS,
    external_id=st.one_of(st.just(""), NAMES),
    rejects=st.booleans(),
)
BY_NAME = st.builds(Want, content=CONTENTS, external_id=NAMES, rejects=st.booleans())
WINDOWED = st.builds(Want, content=CONTENTS, window_hours=st.sampled_from([1, 24]))
NAMELESS = st.builds(Want, content=CONTENTS)
WANTS = st.one_of(NAMED, BY_NAME, WINDOWED, NAMELESS)

UNKNOWN = ("STORE_UNAVAILABLE", "OUTCOME_UNKNOWN")


class Creation(RuleBasedStateMachine):
    """One project: its tasks, and what the model says of them."""

    world: World

    def __init__(self) -> None:
        super().__init__()
        self.project = f"p-{uuid4().hex[:12]}"
        self.model = Model()
        self.batches: list[tuple[UUID, list[Want]]] = []

    @rule(at=PLACES, want=WANTS)
    def create(self, at: int, want: Want) -> None:
        told = self._do(self.world.create(at, want, project=self.project))
        self.model.take(want, told)

    @rule(at=PLACES, want=WANTS)
    def foresee(self, at: int, want: Want) -> None:
        foreseen = self._do(
            self.world.create(at, want, project=self.project, validate_only=True)
        )
        expected = self.model.foresee(want)
        assert (foreseen.outcome, foreseen.task_id) == (
            expected.outcome,
            expected.task_id,
        )

    @rule(at=PLACES, wants=st.lists(WANTS, min_size=1, max_size=4))
    def batch(self, at: int, wants: list[Want]) -> None:
        self.batches.append((uuid4(), wants))
        self._send_batch(at, *self.batches[-1])

    @precondition(lambda self: self.batches)
    @rule(at=PLACES, data=st.data())
    def repeat_a_batch(self, at: int, data: st.DataObject) -> None:
        self._send_batch(at, *data.draw(st.sampled_from(self.batches)))

    @rule(at=PLACES, want=WANTS)
    def lose_the_answer(self, at: int, want: Want) -> None:
        told = self._do(
            self.world.create_and_lose_the_answer(at, want, project=self.project)
        )
        is_repeatable = bool(want.request_id or want.external_id)
        assert told.outcome == UNKNOWN[not is_repeatable]
        self._find_out(
            1 - at, replace(want, request_id=want.request_id or told.request_id)
        )

    @rule(at=PLACES, want=NAMED)
    def leave_and_repeat(self, at: int, want: Want) -> None:
        """Whether the first of the two made it, nobody can tell; the second answers."""
        self._do(self.world.create_and_leave(at, want, project=self.project))
        told = self._do(self.world.create(at, want, project=self.project))
        if self.model.foresee(want).outcome == CREATED and told.outcome == REPLAYED:
            told = replace(told, outcome=CREATED)
        self.model.take(want, told)

    @rule(wants=st.lists(st.tuples(PLACES, WANTS), min_size=2, max_size=3))
    def race(self, wants: list[tuple[int, Want]]) -> None:
        self._race([(at, want) for at, want in wants])

    @rule(at=PLACES, want=WANTS, number=NUMBERS, deletes=st.booleans())
    def race_the_janitor(
        self, at: int, want: Want, number: int, *, deletes: bool
    ) -> None:
        if not (task_id := self._task(number)):
            return
        pruning = Delete(task_id) if deletes else Strip(task_id)
        self._race([(at, want), (1 - at, want), (0, pruning)])

    @rule(number=NUMBERS, deletes=st.booleans())
    def prune(self, number: int, *, deletes: bool) -> None:
        if not (task_id := self._task(number)):
            return
        steps: list[Step] = [Strip(task_id), *([Delete(task_id)] if deletes else [])]
        for step in steps:
            self.model.take(step, self._do(self.world.do(0, step, project="")))

    @rule(hours=st.sampled_from([2, 25]))
    def let_time_pass(self, hours: int) -> None:
        self._do(self.world.age_claims(hours))
        self.model.age(hours)

    def teardown(self) -> None:
        """What is there is what the model says, spec by spec."""
        held = {row["task_id"]: row for row in self._do(self.world.held(self.project))}
        assert held.keys() == self.model.tasks.keys()
        for task_id, known in self.model.tasks.items():
            row, want = held[task_id], known.want
            assert row["request_id"] == want.request_id
            assert (row["external_id"] or "") == want.external_id
            assert row["is_stripped"] == known.is_stripped != row["has_status"]
            payload = f'{{"content":{want.content},"project":"{self.project}"}}'
            assert row["payload"] == (None if known.is_stripped else payload)

    def _task(self, number: int) -> str:
        """One of the tasks, if there is any."""
        task_ids = sorted(self.model.tasks)
        return task_ids[number % len(task_ids)] if task_ids else ""

    def _do(self, doing: Any) -> Any:
        return self.world.run(doing)

    def _send_batch(self, at: int, batch_id: UUID, wants: list[Want]) -> None:
        # A window excludes ids of the request's own, and it has none.
        told = self._do(
            self.world.create_batch(at, wants, batch_id=batch_id, project=self.project)
        )
        self.model.take_batch(with_derived_ids(wants, batch_id), told)

    def _race(self, steps: list[tuple[int, Step]]) -> None:
        told = self._do(self.world.race(steps, project=self.project))
        self.model.take_any_order(
            [(step, each) for (_, step), each in zip(steps, told, strict=True)]
        )

    def _find_out(self, at: int, want: Want) -> None:
        """Ask another creator what came of a create, as its caller would."""
        foreseen = self.model.foresee(want)
        ids = {"request_id": want.request_id}
        if not want.request_id:
            ids = {"external_id": want.external_id}
        task = self._do(self.world.look_up(at, project=self.project, **ids))
        if task is None and self.model.waits_for_the_gone(want):
            # Cut before the statement that would have made it.
            return
        if foreseen.outcome == CREATED:
            told = Told(CREATED, task.task_id, task.request_id)
            self.model.take(want, told)
        elif want.request_id and foreseen.outcome != REPLAYED:
            held = {known.want.request_id for known in self.model.tasks.values()}
            assert (task is not None) == (want.request_id in held)


@pytest.mark.timeout(0)
async def test_every_answer_is_one_that_the_model_allows(
    database: Database, owner_pool: asyncpg.Pool, janitor_pool: asyncpg.Pool
) -> None:
    async with running_world(database, owner=owner_pool, janitor=janitor_pool) as world:
        await run_random_histories(type("Here", (Creation,), {"world": world}))
