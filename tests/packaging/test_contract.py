from __future__ import annotations

from pathlib import Path

import pytest

from tests.packaging.tree import copy_contract, edit, run

IMAGE = "protos/released/tandem-v1.binpb"


def test_every_element_of_the_contract_is_commented() -> None:
    linted = run("buf", "lint")

    assert (linted.returncode, linted.stdout) == (0, "")


def test_an_element_without_a_comment_is_refused(tmp_path: Path) -> None:
    task = copy_contract(tmp_path) / "protos/tandem/v1/task.proto"
    edit(task, old="message RetryPolicy {", new="message RetryPolicy {\n  bool x = 9;")

    linted = run("buf", "lint", cwd=tmp_path)

    assert linted.returncode != 0
    assert "should have a non-empty comment" in linted.stdout


def test_the_contract_breaks_no_released_client() -> None:
    compared = run("buf", "breaking", "--against", IMAGE)

    assert (compared.returncode, compared.stdout) == (0, "")


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("task", "string title = 11;", ""),
        ("task", "string title = 11;", "string title = 12;"),
        ("task", "int32 claim = 15;", "string claim = 15;"),
        ("task", "STATE_SUSPENDED = 6;", "STATE_SUSPENDED = 7;"),
        ("creator", "bool validate_only = 5;", "bool dry_run = 5;"),
        ("processor", "rpc GetTask(GetTaskRequest)", "rpc FetchTask(GetTaskRequest)"),
    ],
)
def test_breaking_a_released_client_is_seen(
    tmp_path: Path, file: str, old: str, new: str
) -> None:
    copy_contract(tmp_path)
    edit(tmp_path / f"protos/tandem/v1/{file}.proto", old=old, new=new)

    compared = run("buf", "breaking", "--against", IMAGE, cwd=tmp_path)

    assert compared.returncode != 0
    assert f"{file}.proto" in compared.stdout


def test_adding_to_the_contract_breaks_nobody(tmp_path: Path) -> None:
    copy_contract(tmp_path)
    edit(
        tmp_path / "protos/tandem/v1/task.proto",
        old="string title = 11;",
        new="string title = 11;\n  // New.\n  string colour = 12;",
    )

    compared = run("buf", "breaking", "--against", IMAGE, cwd=tmp_path)

    assert (compared.returncode, compared.stdout) == (0, "")
