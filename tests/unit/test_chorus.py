"""Many processes' lines as one log."""

from __future__ import annotations

import io
import json
import os
import sys

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


@pytest.mark.parametrize("as_json", [False, True])
def test_a_reader_that_is_gone_stops_nobody_s_lines(
    monkeypatch: pytest.MonkeyPatch, as_json: bool
) -> None:
    """A child whose lines are not taken would stand still once its pipe is full."""
    reading, writing = os.pipe()
    os.close(reading)
    chorus = Chorus(as_json=as_json)
    with (
        io.FileIO(writing, "w") as raw,
        io.TextIOWrapper(raw, write_through=True) as gone,
    ):
        monkeypatch.setattr(sys, "stdout", gone)
        chorus.repeat("creator-1", "call")
        chorus.say("stopping")
        monkeypatch.undo()
