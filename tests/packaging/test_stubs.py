from __future__ import annotations

import sys
from pathlib import Path

from tests.packaging.tree import copy_contract, edit, run

CHECK = (sys.executable, "tools/stubs.py", "--check")


def test_generating_the_stubs_changes_no_byte() -> None:
    checked = run(*CHECK)

    assert (checked.returncode, checked.stderr) == (0, "")


def test_stubs_of_another_contract_are_stale(tmp_path: Path) -> None:
    copy_contract(tmp_path)
    edit(
        tmp_path / "protos/tandem/v1/task.proto",
        old="string title = 11;",
        new="string title = 11;\n  // New.\n  string colour = 12;",
    )

    checked = run(*CHECK, cwd=tmp_path)

    assert checked.returncode == 1
    assert (
        "shared/tandem/v1/task_pb2.py, shared/tandem/v1/task_pb2.pyi" in checked.stderr
    )


def test_a_stub_without_a_contract_is_stale(tmp_path: Path) -> None:
    stub = copy_contract(tmp_path) / "shared/tandem/v1/left_pb2.py"
    stub.write_text("")

    checked = run(*CHECK, cwd=tmp_path)

    assert checked.returncode == 1
    assert checked.stderr.strip().endswith("shared/tandem/v1/left_pb2.py")


def test_types_without_a_module_are_not_kept(tmp_path: Path) -> None:
    copy_contract(tmp_path)

    run(sys.executable, "tools/stubs.py", cwd=tmp_path)

    stubs = tmp_path / "shared/tandem/v1"
    assert (stubs / "task_pb2.pyi").exists()
    assert not (stubs / "task_pb2_grpc.pyi").exists()
