"""What creation promises, as a few dictionaries: no database, no time, no concurrency."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from itertools import permutations
from uuid import UUID, uuid5

CREATED, REPLAYED, EXISTING = "CREATED", "REPLAYED", "EXISTING"
REUSED, TAKEN, INVALID = "REQUEST_ID_REUSED", "EXTERNAL_ID_TAKEN", "INVALID_REQUEST"
DONE = "DONE"

REFUSALS = (REUSED, TAKEN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Want:
    """A create. Empty texts and zero stand for unset."""

    content: int
    request_id: str = ""
    external_id: str = ""
    rejects: bool = False
    window_hours: int = 0

    def is_same_call_as(self, other: Want) -> bool:
        return (self.content, self.external_id) == (other.content, other.external_id)


@dataclass(frozen=True, slots=True)
class Strip:
    """The task finished, and the janitor kept its ids alone."""

    task_id: str


@dataclass(frozen=True, slots=True)
class Delete:
    """The ids of a stripped task expired."""

    task_id: str


Step = Want | Strip | Delete


@dataclass(frozen=True, slots=True)
class Told:
    """An answer: what came of it, and which task it names."""

    outcome: str
    task_id: str = ""
    request_id: str = ""


@dataclass(slots=True)
class Known:
    """A task that must be there."""

    want: Want
    is_stripped: bool = False


class Untrue(AssertionError):
    """An answer that the model does not allow."""


@dataclass(slots=True)
class Model:
    """Every task that must be there, and who holds which content."""

    tasks: dict[str, Known] = field(default_factory=dict)
    claims: dict[int, tuple[str, int]] = field(default_factory=dict)
    """Task id and age in hours, by content."""

    def foresee(self, want: Want) -> Told:
        """What a create is to be told; a new task has no id yet."""
        if want.request_id and (found := self._by_request_id(want.request_id)):
            known = self.tasks[found]
            # Of a stripped task the payload is gone, and its ids are still compared.
            kept = replace(known.want, content=want.content)
            stored = kept if known.is_stripped else known.want
            return Told(REPLAYED if want.is_same_call_as(stored) else REUSED, found)
        if want.external_id and (found := self._by_external_id(want.external_id)):
            return Told(TAKEN if want.rejects else EXISTING, found)
        if want.window_hours and (found := self._by_content(want)):
            return Told(EXISTING, found)
        return Told(CREATED)

    def take(self, step: Step, told: Told) -> None:
        """Do the step, and compare.

        Raises:
            Untrue: the service said something else.
        """
        if isinstance(step, Strip):
            self._strip(step.task_id)
        elif isinstance(step, Delete):
            self._delete(step.task_id)
        else:
            self._create(step, told)

    def take_any_order(self, steps: Sequence[tuple[Step, Told]]) -> None:
        """Do the steps in an order that explains what was told.

        Raises:
            Untrue: there is none.
        """
        for order in permutations(steps):
            trial = deepcopy(self)
            try:
                for step, told in order:
                    trial.take(step, told)
            except Untrue:
                continue
            self.tasks, self.claims = trial.tasks, trial.claims
            return
        raise Untrue(f"no order explains {steps}")

    def foresee_batch(self, wants: Sequence[Want]) -> list[Told]:
        """A result for each; or one refusal, and nothing is done."""
        if _has_unequal_twins(wants):
            return [Told(INVALID)]
        trial = deepcopy(self)
        results = []
        for index, want in enumerate(wants):
            told = trial.foresee(want)
            if told.outcome == CREATED:
                told = Told(CREATED, f"new-{index}")
            if told.outcome not in REFUSALS:
                trial.take(want, told)
            results.append(told)
        refused = {told.outcome for told in results} & set(REFUSALS)
        if refused:
            return [Told(REUSED if REUSED in refused else TAKEN)]
        return results

    def take_batch(self, wants: Sequence[Want], told: Sequence[Told]) -> None:
        """Do the batch, and compare.

        Raises:
            Untrue: the service said something else.
        """
        foreseen = self.foresee_batch(wants)
        if [t.outcome for t in foreseen] != [t.outcome for t in told]:
            raise Untrue(f"{wants}: foreseen {foreseen}, told {told}")
        if len(told) == len(wants) and told[0].outcome not in (*REFUSALS, INVALID):
            for want, each in zip(wants, told, strict=True):
                self.take(want, each)

    def waits_for_the_gone(self, want: Want) -> bool:
        """Whether a deleted task holds its content: the first statement makes nothing."""
        task_id, age = self.claims.get(want.content, ("", 0))
        return bool(task_id) and task_id not in self.tasks and age < want.window_hours

    def age(self, hours: int) -> None:
        self.claims = {c: (t, age + hours) for c, (t, age) in self.claims.items()}

    def _create(self, want: Want, told: Told) -> None:
        foreseen = self.foresee(want)
        if foreseen.outcome != told.outcome:
            raise Untrue(f"{want}: foreseen {foreseen}, told {told}")
        if foreseen.outcome != CREATED:
            if foreseen.task_id != told.task_id:
                raise Untrue(f"{want}: foreseen {foreseen}, told {told}")
            return
        if told.task_id in self.tasks:
            raise Untrue(f"{want}: told {told}, which was there before")
        request_id = want.request_id or told.request_id
        self.tasks[told.task_id] = Known(replace(want, request_id=request_id))
        if want.window_hours:
            self.claims[want.content] = (told.task_id, 0)

    def _strip(self, task_id: str) -> None:
        if task_id in self.tasks:
            self.tasks[task_id].is_stripped = True

    def _delete(self, task_id: str) -> None:
        if task_id in self.tasks and self.tasks[task_id].is_stripped:
            del self.tasks[task_id]

    def _by_request_id(self, request_id: str) -> str:
        held = (t for t, k in self.tasks.items() if k.want.request_id == request_id)
        return next(held, "")

    def _by_external_id(self, external_id: str) -> str:
        held = (t for t, k in self.tasks.items() if k.want.external_id == external_id)
        return next(held, "")

    def _by_content(self, want: Want) -> str:
        task_id, age = self.claims.get(want.content, ("", 0))
        return task_id if task_id in self.tasks and age < want.window_hours else ""


def with_derived_ids(wants: Sequence[Want], batch_id: UUID) -> list[Want]:
    """The wants of a batch, as its request id completes them."""
    return [
        want
        if want.request_id
        else replace(want, request_id=str(uuid5(batch_id, str(index))))
        for index, want in enumerate(wants)
    ]


def _has_unequal_twins(wants: Sequence[Want]) -> bool:
    first: dict[str, Want] = {}
    return any(
        not want.is_same_call_as(first.setdefault(want.request_id, want))
        for want in wants
    )
