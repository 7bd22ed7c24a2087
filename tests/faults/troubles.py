"""Makes the faults of a schedule, each at its time, and counts them."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from tests.faults.operators import Operators
from tests.faults.paths import Weather
from tests.faults.schedule import Blow, Fault
from tests.faults.site import DEAD_AFTER, QUEUES, Site
from tests.faults.slots import Slot

WEATHERS: Final[Mapping[Fault, Weather]] = {
    Fault.CUT: Weather.CUT,
    Fault.DELAY: Weather.DELAYED,
    Fault.THROTTLE: Weather.THROTTLED,
    Fault.BLACK_HOLE: Weather.BLACK,
    Fault.DEAFEN: Weather.DEAF,
}


class Troubles:
    """All faults of one run."""

    def __init__(self, site: Site, operators: Operators) -> None:
        self.made: Counter[str] = Counter()
        self._site = site
        self._operators = operators
        self._postgres = asyncio.Lock()

    async def run(self, schedule: Sequence[Blow]) -> None:
        """Make each fault when it is due; return when the last one is over."""
        start = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as group:
            for blow in schedule:
                now = asyncio.get_running_loop().time()
                await asyncio.sleep(max(0.0, start + blow.at - now))
                group.create_task(self._make(blow))

    async def _make(self, blow: Blow) -> None:
        if weather := WEATHERS.get(blow.fault):
            bundles = self._site.bundles
            paths = bundles[blow.victim % len(bundles)]
            await asyncio.gather(*(p.suffer(weather, blow.seconds) for p in paths))
        else:
            await self._makers()[blow.fault](blow)
        self.made[blow.fault] += 1

    def _makers(self) -> Mapping[Fault, Callable[[Blow], Awaitable[None]]]:
        return {
            Fault.KILL_PROCESSOR: self._kill_processor,
            Fault.STOP_PROCESSOR: self._stop_processor,
            Fault.KILL_CREATOR: self._kill_creator,
            Fault.STOP_CREATOR: self._stop_creator,
            Fault.KILL_POSTGRES: self._kill_postgres,
            Fault.ROLL: self._roll,
            Fault.PAUSE_QUEUE: self._pause_queue,
        }

    async def _kill_processor(self, blow: Blow) -> None:
        await _end(_one_of(self._site.processors, blow), signal.SIGKILL)

    async def _kill_creator(self, blow: Blow) -> None:
        await _end(_one_of(self._site.creators, blow), signal.SIGKILL)

    async def _stop_processor(self, blow: Blow) -> None:
        await _pause(_one_of(self._site.processors, blow), blow.seconds * DEAD_AFTER)

    async def _stop_creator(self, blow: Blow) -> None:
        await _pause(_one_of(self._site.creators, blow), blow.seconds)

    async def _kill_postgres(self, _: Blow) -> None:
        async with self._postgres:
            await self._site.kill_postgres()

    async def _roll(self, _: Blow) -> None:
        """Every process ends as told, one after the other."""
        for slot in (*self._site.processors, *self._site.creators):
            await _end(slot, signal.SIGTERM)

    async def _pause_queue(self, blow: Blow) -> None:
        queue = QUEUES[blow.victim % len(QUEUES)]
        await self._operators.pause_queue(queue, blow.seconds)


def _one_of(slots: Sequence[Slot], blow: Blow) -> Slot:
    return slots[blow.victim % len(slots)]


async def _end(slot: Slot, number: signal.Signals) -> None:
    async with slot.busy:
        await slot.end(number)


async def _pause(slot: Slot, seconds: float) -> None:
    async with slot.busy:
        await slot.serving.wait()
        await slot.pause(seconds)
