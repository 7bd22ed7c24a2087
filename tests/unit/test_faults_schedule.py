"""A seed is a run: the same faults, at the same times, and the same calls."""

from __future__ import annotations

from random import Random

from tests.faults.plans import Planner
from tests.faults.schedule import OFTEN, Fault, draw


def test_a_seed_draws_the_same_faults_again() -> None:
    assert draw(7, seconds=100, gap=3) == draw(7, seconds=100, gap=3)
    assert draw(7, seconds=100, gap=3) != draw(8, seconds=100, gap=3)


def test_every_kind_of_fault_comes_in_each_round() -> None:
    kinds = [blow.fault for blow in draw(7, seconds=1_000, gap=3)]

    size = len(Fault) + len(OFTEN)
    assert set(kinds[:size]) == set(kinds[size : 2 * size]) == set(Fault)


def test_no_fault_begins_after_the_end() -> None:
    assert all(0 < blow.at <= 50 for blow in draw(7, seconds=50, gap=1))


def test_a_seed_plans_the_same_calls_again() -> None:
    plans = [list(Planner(Random(7)).calls(200)) for _ in range(2)]

    assert plans[0] == plans[1]
    assert any(call.is_batch for call in plans[0])
    assert any(call.is_doubled for call in plans[0])
