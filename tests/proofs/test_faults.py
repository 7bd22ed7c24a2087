"""A small run under faults. `make test-faults` makes larger ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.run import Scenario, run
from tests.support.cluster import reachable_folder

TINY = Scenario(
    tasks=100,
    seconds=10,
    gap=1,
    callers=4,
    subscribers=1,
    creators=2,
    processors=2,
)

SEED = 41


@pytest.mark.timeout(240)
async def test_p8_no_promise_is_broken_by_any_fault() -> None:
    with reachable_folder() as folder:
        outcome = await run(TINY, seed=SEED, folder=Path(folder), say=print)

    assert outcome.violations == []
    assert outcome.counts.finished == outcome.counts.created > TINY.tasks // 2
    assert outcome.faults["Postgres killed"] > 0
    assert outcome.faults["processor killed"] > 0
    assert outcome.faults["creator killed"] > 0
