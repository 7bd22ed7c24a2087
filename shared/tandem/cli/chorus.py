"""Many processes' lines as one log: labelled for people, or whole JSON for machines."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any, Final, Literal

import click

COLOURS: Final = ("cyan", "green", "magenta", "yellow", "blue")
WIDEST_LABEL: Final = 12


class Chorus:
    """Prints what children write, and what we say ourselves.

    Whoever read it may be gone, as `tee` is after Ctrl-C. Then lines are lost, and
    nothing else: children whose lines nobody took would stand still.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self._colours: dict[str, str] = {}

    @property
    def form(self) -> Literal["json", "console"]:
        """How the children are to write their logs."""
        return "json" if self.as_json else "console"

    def repeat(self, label: str, line: str) -> None:
        """A child's line. Its JSON stays JSON, with the label in it."""
        with suppress(OSError):
            if self.as_json:
                click.echo(_labelled(label, line))
            else:
                click.echo(f"{self._margin(label)} {line}")

    def say(self, text: str, **facts: str) -> None:
        """A line of our own."""
        if self.as_json:
            self.repeat("tandem", json.dumps({"event": text, **facts}))
        else:
            told = "  ".join(f"{name} {value}" for name, value in facts.items())
            self.repeat("tandem", click.style(f"{text}  {told}".strip(), bold=True))

    def stopping(self) -> None:
        self.say("stopping")

    def _margin(self, label: str) -> str:
        new = COLOURS[len(self._colours) % len(COLOURS)]
        colour = self._colours.setdefault(label, new)
        return click.style(f"{label:<{WIDEST_LABEL}} |", fg=colour)


def _labelled(label: str, line: str) -> str:
    try:
        parsed: Any = json.loads(line)
    except ValueError:
        parsed = None
    fields = parsed if isinstance(parsed, dict) else {"event": line}
    return json.dumps({"process": label, **fields}, ensure_ascii=False)
