"""The services of an earlier commit: their source, and what starts them from it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.support.running_pair import ROOT, handlers_path

FOLDERS: Final = ("shared", "services/creator", "services/processor")
"""Each with import packages of the services."""

LIMIT: Final = 60

SHALLOW: Final = (
    "commit {commit}, of an earlier version, is not here: clone the repository with all"
    " of its history (`git fetch --unshallow` completes a shallow clone)"
)

WHERE: Final = """
import tandem, tandem_creator, tandem_processor
for package in (tandem, tandem_creator, tandem_processor):
    print(package.__file__)
"""


def unpack(commit: str, into: Path, *, repository: Path = ROOT) -> None:
    """Lay the services of a commit into a folder.

    Raises:
        LookupError: the clone does not have the commit; the message says what to do.
    """
    packed = _git(repository, "archive", "--format=tar", commit, "--", *FOLDERS)
    if packed.returncode != 0:
        raise LookupError(SHALLOW.format(commit=commit))
    subprocess.run(
        ["tar", "-x", "-C", into], input=packed.stdout, timeout=LIMIT, check=True
    )


def environ_of(source: Path) -> dict[str, str]:
    """What has a service run this source, with the packages that are installed here.

    Handlers are still those of the tests.
    """
    folders = [str(source / folder) for folder in FOLDERS]
    return {"PYTHONPATH": os.pathsep.join([*folders, handlers_path()])}


def imported_from(source: Path) -> list[Path]:
    """Where the three packages come from under that environment."""
    told = subprocess.run(
        [sys.executable, "-c", WHERE],
        env={**os.environ, **environ_of(source)},
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=True,
    )
    return [Path(line) for line in told.stdout.splitlines()]


def _git(repository: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
    # Root may work on the clone of another account, as CI does.
    return subprocess.run(
        ["git", "-c", f"safe.directory={repository}", *words],
        cwd=repository,
        capture_output=True,
        timeout=LIMIT,
        check=False,
    )
