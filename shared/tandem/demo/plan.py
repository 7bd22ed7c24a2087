"""What the demo is to do, how it tells of it, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tandem.demo.articles import Article
from tandem.demo.crash import Crash
from tandem.demo.proof import Work
from tandem.demo.tally import Tally
from tandem.demo.watching import Sight


class Show(Protocol):
    """Where the demo tells how it goes."""

    def say(self, text: str) -> None: ...
    def sight(self, sight: Sight, *, articles: int, stages: int) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to publish, and where."""

    folder: Path
    articles: Sequence[Article]
    output: Path
    limit: float
    """Seconds until what is not published counts as lost."""

    log: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """How it went."""

    tally: Tally
    work: Work
    crash: Crash | None
    seconds: float
    violations: Sequence[str]
