"""Each command that a document shows is run, or it is said why not."""

from __future__ import annotations

import ast
import re
from fnmatch import fnmatchcase

import pytest

from tandem.cli.app import COMMANDS
from tests.packaging.shown import (
    BY_THE_GATE,
    NOT_RUN,
    RUN,
    WHOLE,
)
from tests.packaging.tree import ROOT
from tests.support.documented import blocks, commands, inline_commands

DOCUMENTS = [
    str(file.relative_to(ROOT))
    for file in (
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *sorted((ROOT / "docs").rglob("*.md")),
    )
]

TESTS = {*WHOLE.values(), *(name for rows in RUN.values() for name in rows.values())}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_each_command_is_run_or_left_out_for_a_reason(document: str) -> None:
    text = (ROOT / document).read_text()
    whole = document in WHOLE
    typed = [] if whole else list(commands(text))
    shown = [*typed, *inline_commands(text)]

    # Not so? Write the test that runs it, and name it in tests/packaging/shown.py.
    assert [text for text in shown if not _is_listed_once(document, text)] == []


@pytest.mark.parametrize("document", sorted({*RUN, *NOT_RUN}))
def test_each_row_is_of_a_command_that_is_shown(document: str) -> None:
    text = (ROOT / document).read_text()
    shown = [_line(each) for each in (*commands(text), *inline_commands(text))]

    assert [row for row in _rows(document) if not _matching(row, shown)] == []


@pytest.mark.parametrize("name", sorted(TESTS - {BY_THE_GATE}))
def test_each_test_that_is_named_is_there(name: str) -> None:
    file, _, test = name.partition("::")

    defined = ast.parse((ROOT / file).read_text()).body

    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    assert test in [each.name for each in defined if isinstance(each, functions)]


def test_the_gate_runs_what_is_left_to_it() -> None:
    gate = (ROOT / BY_THE_GATE).read_text().splitlines()

    left = [row for rows in RUN.values() for row in rows if rows[row] == BY_THE_GATE]
    assert left
    assert [row for row in left if not any(_begins(line, row) for line in gate)] == []


@pytest.mark.parametrize("document", sorted(WHOLE))
def test_a_document_that_is_run_whole_has_only_blocks_that_its_test_reads(
    document: str,
) -> None:
    read = [
        text
        for block in blocks(document)
        for text in commands(f"```sh\n{block.commands}```\n")
    ]

    assert read == list(commands((ROOT / document).read_text()))


@pytest.mark.parametrize("kind", ["sh", "bash", "shell", "console"])
@pytest.mark.parametrize("indent", ["", "   "])
def test_a_command_that_nobody_runs_is_found(kind: str, indent: str) -> None:
    prompt = "$ " if kind == "console" else ""
    text = f"{indent}```{kind}\n{indent}{prompt}tandem fly  # soon\n{indent}```\n"

    [found] = commands(text)

    assert found == "tandem fly"
    assert not _is_listed_once("README.md", found)


@pytest.mark.parametrize(
    "shown", ["tandem fly high", ".venv/bin/tandem fly high", "A_B=c pip install fly"]
)
@pytest.mark.parametrize("around", ["Type `{}`.", "| `{}` | soon |", "1. `{}`, then"])
def test_a_command_in_a_sentence_that_nobody_runs_is_found(
    shown: str, around: str
) -> None:
    block = "```sh\nmake `up now and` then\n```"

    [found] = inline_commands(
        f"{block}\n{around.format(shown)} `tandem fly`\n{block}\n"
    )

    assert found == shown
    assert not _is_listed_once("README.md", found)


def test_each_name_of_a_command_is_one_that_is_there() -> None:
    text = "\n".join((ROOT / document).read_text() for document in DOCUMENTS)

    named = set(re.findall(r"`(?:\.venv/bin/)?tandem ([a-z]+)[ `]", text))

    assert len(named) > 10
    assert named - set(COMMANDS) == set()


@pytest.mark.parametrize(
    "whole",
    [
        "tandem \\\n  stats",
        "echo 'one\ntwo'",
        "cat <<'END'\nit's\nEND",
        'task_id=$(tandem \\\n  stats | sed -n "s/#/x/")',
    ],
)
def test_a_command_of_several_lines_is_one(whole: str) -> None:
    assert list(commands(f"```sh\n{whole}\nmake up   # it's up\n```\n")) == [
        whole,
        "make up",
    ]


def _is_listed_once(document: str, text: str) -> bool:
    rows = [row for row in _rows(document) if _matching(row, [_line(text)])]
    return len(rows) == 1


def _rows(document: str) -> list[str]:
    return [*RUN.get(document, ()), *NOT_RUN.get(document, ())]


def _matching(row: str, shown: list[str]) -> list[str]:
    return [line for line in shown if fnmatchcase(line, row)]


def _line(text: str) -> str:
    return " ".join(text.replace("\\\n", " ").split())


def _begins(line: str, row: str) -> bool:
    return line.split()[: len(row.split())] == row.split()
