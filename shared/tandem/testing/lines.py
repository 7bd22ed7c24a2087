"""What a handler logs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Line:
    """One line: `ctx.log.info("published", page=7)`."""

    level: str
    event: str
    values: Mapping[str, Any]


class Lines:
    """A logger that keeps what it is told."""

    def __init__(self) -> None:
        self.kept: list[Line] = []

    def debug(self, event: str, **values: Any) -> None:
        self.kept.append(Line("debug", event, values))

    def info(self, event: str, **values: Any) -> None:
        self.kept.append(Line("info", event, values))

    def warning(self, event: str, **values: Any) -> None:
        self.kept.append(Line("warning", event, values))

    def error(self, event: str, **values: Any) -> None:
        self.kept.append(Line("error", event, values))
