"""Which fault comes when: drawn from the seed, before anything is started."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Final


class Fault(StrEnum):
    """What can be made to go wrong on one machine."""

    KILL_PROCESSOR = "processor killed"
    STOP_PROCESSOR = "processor stopped past the limit"
    KILL_CREATOR = "creator killed"
    STOP_CREATOR = "creator stopped"
    KILL_POSTGRES = "Postgres killed"
    CUT = "path cut"
    DELAY = "path delayed"
    THROTTLE = "path throttled"
    BLACK_HOLE = "path black-holed"
    DEAFEN = "answers lost"
    ROLL = "rolling restart"
    PAUSE_QUEUE = "queue paused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Blow:
    """One fault: when, for how long, and by which number its victim is chosen."""

    at: float
    fault: Fault
    seconds: float
    victim: int


LENGTHS: Final = {
    # Past the limit at which others take it for dead.
    Fault.STOP_PROCESSOR: (1.5, 4.0),
    Fault.STOP_CREATOR: (1.0, 4.0),
    # Some of these outlast the limit as well.
    Fault.BLACK_HOLE: (1.0, 8.0),
    Fault.DEAFEN: (1.0, 8.0),
}
"""Seconds, or times the limit for a processor. For the others: USUAL."""

USUAL: Final = (0.5, 4.0)

OFTEN: Final = (Fault.KILL_PROCESSOR, Fault.STOP_PROCESSOR, Fault.STOP_PROCESSOR)
"""Faults that come again in the same round: what they leave half done is the most."""

VICTIMS: Final = 1_000_000


def draw(seed: int, *, seconds: float, gap: float) -> Sequence[Blow]:
    """The faults of a run, in order. Every kind comes in each round of them.

    Args:
        seed: the same one draws the same faults.
        seconds: no fault begins later.
        gap: seconds between two beginnings, on average.
    """
    random = Random(f"faults {seed}")
    found, at = [], 0.0
    for fault in _kinds(random):
        at += random.uniform(gap / 2, gap * 3 / 2)
        if at > seconds:
            break
        length = random.uniform(*LENGTHS.get(fault, USUAL))
        victim = random.randrange(VICTIMS)
        found.append(Blow(at=at, fault=fault, seconds=length, victim=victim))
    return found


def _kinds(random: Random) -> Iterator[Fault]:
    deck = [*Fault, *OFTEN]
    while True:
        yield from random.sample(deck, len(deck))
