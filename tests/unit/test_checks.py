from __future__ import annotations

import sys
from pathlib import Path

import click
import pytest

from tandem.cli import checks

OPTION = click.Option(["--handlers"])
CONTEXT = click.Context(click.Command("up"))


def check(value: str) -> str:
    return checks.handlers(CONTEXT, OPTION, value)


def test_handlers_in_this_folder_are_found_as_the_services_find_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine_alone.py").write_text("raise SystemExit('not to be imported')\n")
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)

    assert check("mine_alone:handlers") == "mine_alone:handlers"

    assert sys.path == before
    assert "mine_alone" not in sys.modules


@pytest.mark.parametrize("value", ["", ":", "a:", ":b", "..a:b", "a..b:c"])
def test_what_names_no_module_is_refused(value: str) -> None:
    with pytest.raises(click.BadParameter):
        check(value)
