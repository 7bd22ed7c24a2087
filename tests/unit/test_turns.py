from __future__ import annotations

from tandem_creator.store.places import Lane
from tandem_creator.turns import FAIR_TURN, Turns

URGENT = Lane(1, "default", 1)
NORMAL = Lane(2, "default", 3)
LOW = Lane(3, "default", 4)
OTHER_URGENT = Lane(4, "other", 1)


def served(count: int, *lanes: Lane) -> list[Lane]:
    turns = Turns()
    return [turns.next(lanes) for _ in range(count)]


def test_the_most_urgent_lane_is_served_first() -> None:
    assert served(1, LOW, URGENT, NORMAL) == [URGENT]


def test_a_busy_urgent_lane_starves_nobody() -> None:
    given = served(3 * FAIR_TURN, URGENT, NORMAL, LOW)

    assert {NORMAL, LOW} < set(given)
    assert given.count(URGENT) >= len(given) // 2


def test_lanes_of_one_urgency_take_turns() -> None:
    given = served(3, URGENT, OTHER_URGENT)

    assert given[0] != given[1]
