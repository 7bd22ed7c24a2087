"""Breaks each promise in a copy of the tree, and demands that its tests go red.

Each `mutants/*.patch` opens with lines that name what it breaks and who must notice:

    # promise: P7
    # tests: tests/database/test_reports.py -k stale

A patch that no test notices, that does not apply, or whose tests break off before
they can fail, makes the exit code 1, as does a promise without a patch.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

PROMISES: Final = tuple(f"P{number}" for number in range(1, 13))
"""As docs/architecture.md lists them."""

LIMIT: Final = 120
"""Seconds for the tests of one mutant."""

TEST_LIMIT: Final = 60
"""Seconds for one test: a mutant that makes it hang has been noticed."""

STOP_LIMIT: Final = 15
"""Seconds for pytest to stop the servers that it started."""

ROOTS: Final = ("shared", "services/creator", "services/processor", ".")
"""Before the installed project on the path, so that the copy is what runs."""

AT_ONCE: Final = 2
"""Mutants: most of the time each waits for its own servers to start and to stop."""

NOTICED: Final = 1
"""pytest's exit code for failed tests; any other says that they did not run."""


class Survived(Exception):
    """The mutant was not noticed, for the reason given."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A patch, the promise that it breaks, and the tests that must notice."""

    patch: Path
    promise: str
    tests: tuple[str, ...]


def read_mutant(patch: Path) -> Mutant:
    """Parse the head of a patch.

    Raises:
        Survived: it names no promise or no tests.
    """
    head = dict(
        re.findall(r"^# (promise|tests): (.+)$", patch.read_text(), re.MULTILINE)
    )
    if head.keys() != {"promise", "tests"}:
        raise Survived("it must open with `# promise:` and `# tests:`")
    return Mutant(patch, head["promise"].strip(), tuple(shlex.split(head["tests"])))


def copy_tree(root: Path, *, into: Path) -> None:
    """Copy what git knows of or would add, as it stands in the work tree."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],  # noqa: S607
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (root / name).exists():
            target = into / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, target, follow_symlinks=False)


def apply_patch(mutant: Mutant, *, tree: Path) -> None:
    """Break the copy.

    Raises:
        Survived: the code moved on, and the patch no longer applies.
    """
    done = subprocess.run(
        ["git", "apply", "--whitespace=nowarn", mutant.patch.absolute()],  # noqa: S607
        cwd=tree,
        # Inside another repository git would look for the paths there.
        env={**os.environ, "GIT_CEILING_DIRECTORIES": str(tree.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Survived(f"it does not apply: {done.stderr.strip()}")


def run_tests(mutant: Mutant, *, tree: Path) -> int:
    """Run the mutant's tests in its copy, and answer pytest's exit code."""
    options = ["-q", "-x", f"--timeout={TEST_LIMIT}", "--junitxml=report.xml"]
    roots = os.pathsep.join(str(tree / root) for root in ROOTS)
    with (tree / "output.txt").open("wb") as output:
        pytest = subprocess.Popen(
            [sys.executable, "-m", "pytest", *options, *mutant.tests],
            cwd=tree,
            env={**os.environ, "PYTHONPATH": roots, "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            return pytest.wait(LIMIT)
        except subprocess.TimeoutExpired:
            raise Survived(f"its tests did not end within {LIMIT} s") from None
        finally:
            end_group(pytest)


def end_group(pytest: subprocess.Popen[bytes]) -> None:
    """End pytest, which stops what it started, and whatever is left in its group."""
    with suppress(subprocess.TimeoutExpired):
        pytest.send_signal(signal.SIGINT)
        pytest.wait(STOP_LIMIT)
    with suppress(ProcessLookupError):
        os.killpg(pytest.pid, signal.SIGKILL)
    pytest.wait()


def read_noticer(tree: Path) -> str | None:
    """Name the test that failed. A test whose fixture broke down is none."""
    for case in ET.parse(tree / "report.xml").iter("testcase"):  # noqa: S314
        if case.find("failure") is not None:
            return case.get("name")
    return None


def find_noticer(patch: Path) -> str:
    """Break a copy and run its tests: the promise, and the test that went red.

    Raises:
        Survived: none did.
    """
    mutant = read_mutant(patch)
    with tempfile.TemporaryDirectory(prefix="tandem-mutant-") as folder:
        tree = Path(folder)
        copy_tree(Path.cwd(), into=tree)
        apply_patch(mutant, tree=tree)
        code = run_tests(mutant, tree=tree)
        noticer = read_noticer(tree) if code == NOTICED else None
        if noticer is None:
            said = (tree / "output.txt").read_text(errors="replace")[-2000:]
            raise Survived(f"pytest ended with {code} and no failed test:\n{said}")
    return f"{mutant.promise} is watched by {noticer}"


def try_mutant(patch: Path) -> bool:
    """Print what became of one mutant; True if it was noticed."""
    begin = time.monotonic()
    try:
        verdict, noticed = find_noticer(patch), True
    except Survived as why:
        verdict, noticed = f"SURVIVED: {why}", False
    print(f"{patch.stem}: {verdict} ({time.monotonic() - begin:.1f} s)", flush=True)
    return noticed


def find_unbroken(patches: list[Path]) -> list[str]:
    """Promises that no patch breaks."""
    heads = "".join(patch.read_text() for patch in patches)
    broken = set(re.findall(r"^# promise: (\S+)", heads, re.MULTILINE))
    return [promise for promise in PROMISES if promise not in broken]


def main() -> None:
    """Arguments are words; only patches whose name has one of them are tried."""
    patches = sorted(Path("mutants").glob("*.patch"))
    chosen = sys.argv[1:]
    if chosen:
        patches = [p for p in patches if any(word in p.stem for word in chosen)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        verdicts = list(pool.map(try_mutant, patches))
    tried = zip(patches, verdicts, strict=True)
    survivors = [patch.stem for patch, noticed in tried if not noticed]
    complaints = [f"survived: {', '.join(survivors)}"] if survivors else []
    if not chosen and (unbroken := find_unbroken(patches)):
        complaints.append(f"without a mutant: {', '.join(unbroken)}")
    if complaints or not patches:
        sys.exit("; ".join(complaints) or "no mutant matches")
    print(f"{len(patches)} mutants, all noticed")


if __name__ == "__main__":
    main()
