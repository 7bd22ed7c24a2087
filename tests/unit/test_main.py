"""The command before its own code is there."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Never

import pytest

from tandem.__main__ import main


class Interrupted(ModuleType):
    """A module whose import Ctrl-C ends."""

    def __getattr__(self, name: str) -> Never:
        raise KeyboardInterrupt


def test_ctrl_c_during_the_imports_is_an_exit_code_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "tandem.cli.app", Interrupted("tandem.cli.app"))

    assert main() == 130
