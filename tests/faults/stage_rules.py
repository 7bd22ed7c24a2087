"""What must hold of stages: kept once, by a claim that held the task, and then for good."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping

from tests.faults.records import (
    Begun,
    History,
    StageRun,
    StageSeen,
    StoredStage,
    Value,
)

Step = tuple[str, str]
"""A task and the name of one of its stages."""


def kept_stages_were_run(history: History) -> Iterator[str]:
    """P7: a kept result was made by the claim that is noted with it."""
    made = {
        (run.task_id, run.name, run.claim): run.result for run in history.all(StageRun)
    }
    for stage in history.all(StoredStage):
        key = (stage.task_id, stage.name, stage.claim)
        if stage.state == "SUCCEEDED" and (
            key not in made or made[key] != stage.result
        ):
            yield (
                f"task {stage.task_id} keeps a result of stage {stage.name}"
                f" that claim {stage.claim} did not make"
            )


def stages_are_kept_for_good(history: History) -> Iterator[str]:
    """Every attempt is given the same result, and it is the one that is stored."""
    seen: dict[Step, set[str]] = defaultdict(set)
    for sight in history.all(StageSeen):
        seen[sight.task_id, sight.name].add(_text(sight.result))
    kept = _kept(history)
    for (task_id, name), results in seen.items():
        if len(results) > 1:
            yield f"task {task_id} was given {len(results)} results of stage {name}"
        elif results != {_text(kept.get((task_id, name)))}:
            yield f"task {task_id} was given a result of stage {name} that is not kept"


def kept_stages_are_not_run_again(history: History) -> Iterator[str]:
    """A step whose result was kept is not run by any later claim."""
    kept_by: dict[Step, int] = {
        (stage.task_id, stage.name): stage.claim
        for stage in history.all(StoredStage)
        if stage.state == "SUCCEEDED"
    }
    for run in history.all(StageRun):
        claim = kept_by.get((run.task_id, run.name))
        if claim is not None and run.claim > claim:
            yield (
                f"task {run.task_id} had stage {run.name} run by claim {run.claim},"
                f" which claim {claim} had kept"
            )


def stale_claims_keep_nothing(history: History) -> Iterator[str]:
    """P7: what a claim makes after a later one began is not kept."""
    begun: dict[str, list[Begun]] = defaultdict(list)
    for each in history.all(Begun):
        begun[each.task_id].append(each)
    kept = {
        (stage.task_id, stage.name, stage.claim)
        for stage in history.all(StoredStage)
        if stage.state == "SUCCEEDED"
    }
    for run in history.all(StageRun):
        is_stale = any(
            other.claim > run.claim and other.time < run.time
            for other in begun.get(run.task_id, ())
        )
        if is_stale and (run.task_id, run.name, run.claim) in kept:
            yield (
                f"task {run.task_id} keeps stage {run.name} of claim {run.claim},"
                " made after a later claim began"
            )


def _kept(history: History) -> Mapping[Step, Value]:
    return {
        (stage.task_id, stage.name): stage.result
        for stage in history.all(StoredStage)
        if stage.state == "SUCCEEDED"
    }


def _text(result: Value) -> str:
    return json.dumps(result, sort_keys=True)
