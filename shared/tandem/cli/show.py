"""How the demo goes: a bar at a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)

from tandem.demo.plan import Show
from tandem.demo.watching import Sight

TENTHS: Final = 10


@contextmanager
def showing(console: Console) -> Iterator[Show]:
    """A show that fits the console, for the length of a block."""
    if not console.is_terminal:
        yield PlainShow(console)
        return
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )
    with bar:
        yield BarShow(bar)


class BarShow:
    """One bar over all stages, with lines above it."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task = bar.add_task("starting", total=None)

    def say(self, text: str) -> None:
        self._bar.console.print(text, highlight=False)

    def sight(self, sight: Sight, *, articles: int, stages: int) -> None:
        self._bar.update(
            self._task,
            description=_words(sight, articles),
            completed=sight.stages,
            total=stages,
        )


class PlainShow:
    """A line whenever another tenth is done."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._told = -1

    def say(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True)

    def sight(self, sight: Sight, *, articles: int, stages: int) -> None:
        tenth = TENTHS * sight.stages // stages
        if tenth > self._told:
            self._told = tenth
            self.say(f"{sight.stages} of {stages} stages, {_words(sight, articles)}")


def _words(sight: Sight, articles: int) -> str:
    return f"{sight.succeeded} of {articles} published, {sight.running} running"
