"""The repository as a stranger has it: its files, and copies to break."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
BIN: Final = Path(sys.executable).parent
CONTRACT: Final = ("buf.yaml", "buf.gen.yaml", "protos", "tools", "shared/tandem/v1")
LIMIT: Final = 60


def run(*command: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run a tool of this environment to its end; its exit code is the caller's to judge."""
    return subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )


def copy_contract(into: Path) -> Path:
    """A copy of all that `make check-contract` reads, free to be broken."""
    for name in CONTRACT:
        source, target = ROOT / name, into / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copy2(source, target)
    return into


def edit(file: Path, *, old: str, new: str) -> None:
    text = file.read_text()
    assert text.count(old) == 1, f"{file.name} has {text.count(old)} of {old!r}"
    file.write_text(text.replace(old, new))


def committed_files() -> list[Path]:
    """What git has or would add; in an export without git, everything."""
    listed = run("git", "ls-files", "-z", "-co", "--exclude-standard")
    if listed.returncode == 0:
        names = [ROOT / name for name in listed.stdout.split("\0") if name]
    else:
        names = list(ROOT.rglob("*"))
    return [file for file in names if file.is_file() and ".venv" not in file.parts]
