"""The demo's progress, at a terminal and elsewhere."""

from __future__ import annotations

import io

from rich.console import Console

from tandem.cli.show import showing
from tandem.demo.watching import Sight


def shown(*, terminal: bool) -> str:
    out = io.StringIO()
    with showing(Console(file=out, force_terminal=terminal, width=100)) as show:
        show.say("starting")
        for stages in range(13):
            sight = Sight(
                tasks=2, stages=stages, running=2, succeeded=stages // 6, final=0
            )
            show.sight(sight, articles=2, stages=12)
    return out.getvalue()


def test_a_terminal_gets_a_bar() -> None:
    text = shown(terminal=True)
    assert "starting" in text
    assert "12/12" in text
    assert "2 of 2 published" in text


def test_elsewhere_each_tenth_is_a_plain_line() -> None:
    lines = shown(terminal=False).splitlines()
    assert lines[0] == "starting"
    assert lines[-1] == "12 of 12 stages, 2 of 2 published, 2 running"
    assert len(lines) == 1 + 11
