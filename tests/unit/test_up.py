from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tandem.addresses import CREATOR_ADDRESS, PROCESSOR_ADDRESS
from tandem.cli.up import HANDLERS, Plan, hint
from tandem.pruning.retention import Retention

PLAIN: dict[str, Any] = {
    "data": Path(".tandem"),
    "admin_url": None,
    "handlers": HANDLERS,
    "creators": (CREATOR_ADDRESS,),
    "processors": (PROCESSOR_ADDRESS,),
    "retention": Retention(
        strip_after=timedelta(days=7), delete_after=timedelta(days=30)
    ),
}


def test_what_to_type_next_starts_the_command_from_here(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", [str(tmp_path / ".venv/bin/tandem"), "up"])

    said = hint(Plan(**PLAIN))

    create, list_ = (line.strip() for line in said.splitlines() if "website" in line)
    assert create.startswith(".venv/bin/tandem task create ")
    assert list_ == ".venv/bin/tandem task list --project website"


@pytest.mark.parametrize(
    "changed",
    [
        {"handlers": "words:handlers"},
        {"creators": ("127.0.0.1:0",)},
        {"processors": (PROCESSOR_ADDRESS, "127.0.0.1:7112")},
    ],
)
def test_nothing_is_said_that_would_not_work(changed: dict[str, Any]) -> None:
    assert hint(Plan(**{**PLAIN, **changed})) == ""
