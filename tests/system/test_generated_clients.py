"""Clients generated from the protos, each by the commands that docs/clients.md shows."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.documented import blocks, run
from tests.support.running_pair import ROOT, RunningPair
from tests.support.tools import needs

MADE = shutil.ignore_patterns("gen", "dist", "node_modules", ".venv", "__pycache__")
"""What a reader who ran the commands has in the work tree."""

LIMIT = 280.0
"""Seconds: a first run fetches and compiles what a client stands on."""

PAYLOAD = """
SELECT payload FROM tandem.tasks WHERE project = $1 AND external_id = $2
"""

SCRIPT: dict[str, Any] = json.loads((ROOT / "examples/clients/script.json").read_text())

CREATE = next(step for step in SCRIPT["steps"] if step["call"] == "CreateTask")


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "language",
    [
        "Python",
        pytest.param("Go", marks=needs("go")),
        pytest.param("TypeScript", marks=[needs("node"), needs("npm")]),
    ],
)
async def test_a_generated_client_runs_the_script_that_all_of_them_run(
    language: str, pair: RunningPair, tmp_path: Path
) -> None:
    folder = _fresh_copy(tmp_path)
    [block] = blocks("docs/clients.md", language)
    ended = await run(block.commands, pair, folder=folder, limit=LIMIT)

    assert ended.code == 0, ended.err
    # Equal for each language, and so the same in all of them.
    assert [_told(line) for line in ended.json_lines()] == [
        _told({"step": step["step"], "answer": step["expect"]})
        for step in SCRIPT["steps"]
    ]
    stored = await _stored_payload(pair, f"from-{language.lower()}")
    assert _told(stored) == _told(CREATE["payload"])


def test_no_command_of_the_page_on_clients_is_left_out() -> None:
    run_here = [
        list(blocks("docs/clients.md", language))
        for language in ("Python", "Go", "TypeScript")
    ]

    assert [len(found) for found in run_here] == [1, 1, 1]
    assert [*itertools.chain(*run_here)] == list(blocks("docs/clients.md"))


def _fresh_copy(folder: Path) -> Path:
    """Where nothing was ever generated."""
    for part in ("protos", "examples/clients"):
        shutil.copytree(ROOT / part, folder / part, ignore=MADE)
    return folder


def _told(value: Any) -> str:
    """One text for equal JSON; unlike ==, it tells true from 1."""
    return json.dumps(_whole(value), sort_keys=True, ensure_ascii=False)


def _whole(value: Any) -> Any:
    """Whole numbers are whole in every language."""
    if isinstance(value, dict):
        return {key: _whole(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_whole(each) for each in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


async def _stored_payload(pair: RunningPair, project: str) -> Any:
    async with pair.database.admin() as admin:
        return json.loads(await admin.fetchval(PAYLOAD, project, CREATE["external_id"]))
