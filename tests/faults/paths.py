"""Paths between the parties, each with weather of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from enum import StrEnum
from typing import Final

from tests.support.cutter import connect_to
from tests.support.proxy import Proxy

DELAY: Final = 0.15
"""Seconds that each piece takes in bad weather."""

RATE: Final = 4096
"""Bytes per second where the path is narrow."""


class Weather(StrEnum):
    """What a path does to what is sent over it."""

    CLEAR = "clear"
    CUT = "cut"
    DELAYED = "delayed"
    THROTTLED = "throttled"
    BLACK = "black-holed"
    DEAF = "deaf"
    """Requests arrive, and answers do not."""


LOSSY: Final = frozenset({Weather.BLACK, Weather.DEAF})
"""What is sent in it is lost, so that its connections cannot go on afterwards."""


class Path(Proxy):
    """A proxy under weather. Its target may move while it is used."""

    def __init__(self, label: str) -> None:
        super().__init__()
        self.label = label
        self.weather = Weather.CLEAR
        self.busy = asyncio.Lock()

    async def suffer(self, weather: Weather, seconds: float) -> None:
        """Have this weather for so long, and then be whole again. One at a time."""
        async with self.busy:
            await self._suffer(weather, seconds)

    async def _suffer(self, weather: Weather, seconds: float) -> None:
        self.weather = weather
        try:
            if weather is Weather.CUT:
                self.cut()
            await asyncio.sleep(seconds)
        finally:
            self.clear()

    def clear(self) -> None:
        """What was lost meanwhile is missing on every connection that is open."""
        if self.weather in LOSSY:
            self.cut()
        self.weather = Weather.CLEAR
        self.heal()

    async def _passes(
        self, data: bytes, to: asyncio.StreamWriter, *, answers: bool
    ) -> bool:
        if self.weather is Weather.DELAYED:
            await asyncio.sleep(DELAY)
        elif self.weather is Weather.THROTTLED:
            await asyncio.sleep(len(data) / RATE)
        is_lost = self.weather is Weather.BLACK or (
            answers and self.weather is Weather.DEAF
        )
        return not is_lost


class DatabasePath(Path):
    """A path to the server of an administrator's URL."""

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await connect_to(self.target)


Make = Callable[[str], Path]


@asynccontextmanager
async def running_paths(
    make: Make, labels: Sequence[str]
) -> AsyncIterator[Sequence[Path]]:
    """A path for each label, with an address and no target yet."""
    async with AsyncExitStack() as stack:
        paths = [make(label) for label in labels]
        for path in paths:
            server = await path.listen()
            stack.callback(path.cut)
            stack.callback(server.close)
        yield paths
