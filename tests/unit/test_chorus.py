"""Many processes' lines as one log."""

from __future__ import annotations

import json

import pytest

from tandem.cli.chorus import Chorus


def test_json_stays_json_with_the_label_in_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    chorus = Chorus(as_json=True)
    chorus.repeat("creator-1", '{"event": "call", "ms": 1.5}')
    chorus.repeat("creator-1", "Traceback (most recent call last):")
    chorus.say("ready", creator="127.0.0.1:7101")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        {"process": "creator-1", "event": "call", "ms": 1.5},
        {"process": "creator-1", "event": "Traceback (most recent call last):"},
        {"process": "tandem", "event": "ready", "creator": "127.0.0.1:7101"},
    ]


def test_people_see_who_speaks(capsys: pytest.CaptureFixture[str]) -> None:
    chorus = Chorus(as_json=False)
    chorus.repeat("processor-2", "attempt")
    chorus.say("stopping")
    assert capsys.readouterr().out.splitlines() == [
        "processor-2  | attempt",
        "tandem       | stopping",
    ]
