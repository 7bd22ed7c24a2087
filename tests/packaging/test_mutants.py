"""`make mutants` is only worth something if it can tell a guard from a bystander."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.packaging.tree import ROOT, run

PATCH = """\
# promise: {promise}
# tests: {tests}
--- a/shared/sums.py
+++ b/shared/sums.py
@@ -1,2 +1,2 @@
 def add(a, b):
-    return {old}
+    return a - b
"""

TESTS = """\
import pytest
from sums import add

def test_guard():
    assert add(2, 2) == 4

def test_bystander():
    assert add(2, 0) == 2

@pytest.fixture
def broken():
    assert add(2, 2) == 4

def test_broken_fixture(broken):
    pass
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A project of one function, three tests and no patch."""
    for folder in ("shared", "tests", "mutants"):
        (tmp_path / folder).mkdir()
    (tmp_path / "shared/sums.py").write_text("def add(a, b):\n    return a + b\n")
    (tmp_path / "tests/test_sums.py").write_text(TESTS)
    assert run("git", "init", "-q", cwd=tmp_path).returncode == 0
    return tmp_path


def add_patch(
    tree: Path, name: str, *, tests: str, old: str = "a + b", promise: str = "P1"
) -> None:
    text = PATCH.format(promise=promise, tests=f"tests/test_sums.py {tests}", old=old)
    (tree / f"mutants/{name}.patch").write_text(text)


def try_mutants(tree: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return run(sys.executable, ROOT / "tools/mutants.py", *words, cwd=tree)


def test_a_mutant_that_a_test_notices_is_reported_with_that_test(tree: Path) -> None:
    add_patch(tree, "minus", tests="")

    tried = try_mutants(tree, "minus")

    assert "minus: P1 is watched by test_guard" in tried.stdout
    assert tried.returncode == 0


def test_the_work_tree_is_never_broken(tree: Path) -> None:
    add_patch(tree, "minus", tests="")

    try_mutants(tree, "minus")

    assert "a + b" in (tree / "shared/sums.py").read_text()


@pytest.mark.parametrize(
    ("tests", "old", "why"),
    [
        ("-k bystander", "a + b", "pytest ended with 0"),
        ("-k broken_fixture", "a + b", "pytest ended with 1 and no failed test"),
        ("-k nobody", "a + b", "pytest ended with 5"),
        ("--no-such-option", "a + b", "pytest ended with 4"),
        ("-k guard", "a * b", "it does not apply"),
    ],
)
def test_a_mutant_that_nobody_notices_fails_the_run(
    tree: Path, tests: str, old: str, why: str
) -> None:
    add_patch(tree, "minus", tests=tests, old=old)

    tried = try_mutants(tree, "minus")

    assert f"minus: SURVIVED: {why}" in tried.stdout
    assert tried.stderr.strip() == "survived: minus"
    assert tried.returncode == 1


def test_a_patch_without_a_promise_fails_the_run(tree: Path) -> None:
    (tree / "mutants/empty.patch").write_text("")

    assert "must open with" in try_mutants(tree, "empty").stdout


def test_a_promise_without_a_mutant_fails_the_run(tree: Path) -> None:
    add_patch(tree, "minus", tests="")

    tried = try_mutants(tree)

    assert tried.returncode == 1
    assert "without a mutant: P2, P3, P4" in tried.stderr
