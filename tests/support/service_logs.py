"""What services wrote, line by line."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

LIMIT = 20.0

Line = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Written:
    """One line, and the label of the process that wrote it."""

    label: str
    text: str

    def fields(self) -> Line:
        """Empty where the line is no JSON object."""
        try:
            found = json.loads(self.text)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


class ServiceLogs:
    """Collects the lines of all processes of a pair, in the order they came."""

    def __init__(self) -> None:
        self.written: list[Written] = []
        self._grown = asyncio.Event()

    def add(self, label: str, text: str) -> None:
        """What a Pair calls for each line."""
        self.written.append(Written(label, text))
        self._grown.set()
        self._grown = asyncio.Event()

    def text(self) -> str:
        return "\n".join(f"{line.label} {line.text}" for line in self.written)

    def having(self, **values: Any) -> list[Line]:
        """The JSON lines in which each of these stands."""
        lines = [line.fields() | {"label": line.label} for line in self.written]
        return [line for line in lines if values.items() <= line.items()]

    async def first(self, **values: Any) -> Line:
        """The first JSON line in which each of these stands, once it is there."""
        async with asyncio.timeout(LIMIT):
            while not (found := self.having(**values)):
                await self._grown.wait()
        return found[0]
