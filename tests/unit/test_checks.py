from __future__ import annotations

import sys
from pathlib import Path

import click
import pytest

from tandem.cli import checks

OPTION = click.Option(["--handlers"])
CONTEXT = click.Context(click.Command("up"))


MODULE = """
from tandem.handlers import Handlers

handlers = Handlers()
handlers.register("mine")(print)
empty = Handlers()
"""


def check(value: str) -> str:
    return checks.handlers(CONTEXT, OPTION, value)


def test_handlers_in_this_folder_are_found_as_the_services_find_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine_alone.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)

    assert check("mine_alone:handlers") == "mine_alone:handlers"

    assert sys.path == before
    assert "mine_alone" not in sys.modules


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mine_alone:nothing", "has no Handlers named nothing"),
        ("mine_alone:empty", "has no handler registered"),
        ("ends:handlers", "cannot import ends: SystemExit: enough"),
        ("breaks:handlers", "cannot import breaks: ZeroDivisionError"),
    ],
)
def test_handlers_that_a_processor_would_not_have_are_refused_on_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, said: str
) -> None:
    (tmp_path / "mine_alone.py").write_text(MODULE)
    (tmp_path / "ends.py").write_text("raise SystemExit('enough')")
    (tmp_path / "breaks.py").write_text("1 / 0")
    monkeypatch.chdir(tmp_path)

    with pytest.raises(click.BadParameter) as refused:
        check(name)

    assert said in refused.value.message
    assert "\n" not in refused.value.message


@pytest.mark.parametrize("value", ["", ":", "a:", ":b", "..a:b", "a..b:c"])
def test_what_names_no_module_is_refused(value: str) -> None:
    with pytest.raises(click.BadParameter):
        check(value)
