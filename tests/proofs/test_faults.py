"""A small run under faults. `make test-faults` makes larger ones."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest

from tests.faults.run import Scenario, run
from tests.faults.schedule import Fault, draw
from tests.support.cluster import reachable_folder

TINY = Scenario(
    tasks=100,
    seconds=8,
    gap=1,
    callers=4,
    subscribers=1,
    creators=2,
    processors=2,
)

WANTED = {
    Fault.KILL_POSTGRES,
    Fault.KILL_PROCESSOR,
    Fault.STOP_PROCESSOR,
    Fault.KILL_CREATOR,
}


def faults_of(seed: int) -> set[Fault]:
    return {blow.fault for blow in draw(seed, seconds=TINY.seconds, gap=TINY.gap)}


@pytest.mark.timeout(240)
async def test_p8_no_promise_is_broken_by_any_fault() -> None:
    seed = next(seed for seed in count() if faults_of(seed) >= WANTED)
    with reachable_folder() as folder:
        outcome = await run(TINY, seed=seed, folder=Path(folder), say=print)

    assert outcome.violations == []
    assert outcome.counts.finished == outcome.counts.created > TINY.tasks // 2
    assert outcome.faults.keys() >= WANTED
