"""The account that the embedded server runs under. Postgres refuses root."""

from __future__ import annotations

import os
import pwd
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

# In this order: the distribution's own account, then one that every Unix has.
UNPRIVILEGED: Final = ("postgres", "nobody")

COMMAND_LIMIT: Final = 150.0
"""Seconds that one command may take. `pg_ctl` gives up by itself before that."""

PASSED_ON: Final = ("PATH", "TMPDIR", "LD_LIBRARY_PATH")


class NoAccount(RuntimeError):
    """This process is root, and there is no account to run the server under."""


class CommandFailed(RuntimeError):
    """A program of the server's ended with an error. The message is its output."""


@dataclass(frozen=True, slots=True)
class Account:
    """A user and a group by number."""

    uid: int
    gid: int

    @classmethod
    def for_server(cls) -> Self:
        """This process's own account; `postgres` or `nobody` where that is root.

        Raises:
            NoAccount: this is root, and neither account exists.
        """
        if os.geteuid() != 0:
            return cls(os.geteuid(), os.getegid())
        for name in UNPRIVILEGED:
            with suppress(KeyError):
                entry = pwd.getpwnam(name)
                return cls(entry.pw_uid, entry.pw_gid)
        raise NoAccount(f"root needs an account {' or '.join(UNPRIVILEGED)}")

    @property
    def is_another(self) -> bool:
        """Whether this process has to change accounts to act as this one."""
        return self.uid != os.geteuid()

    def run(self, *command: str | Path) -> str:
        """Run a command under this account and return what it printed.

        Raises:
            CommandFailed: it did not end well.
        """
        code, output = self._finish([str(word) for word in command])
        if code != 0:
            raise CommandFailed(output.strip() or f"{command[0]} ended with {code}")
        return output

    def may(self, test: str, path: Path) -> bool:
        """Whether `test -x`, `-r` and so on holds for this account."""
        return self._finish(["test", test, str(path)])[0] == 0

    def own(self, path: Path, *, mode: int) -> None:
        """Make `path` a folder of this account's with exactly this mode."""
        path.mkdir(parents=True, exist_ok=True)
        if self.is_another:
            os.chown(path, self.uid, self.gid)
        path.chmod(mode)

    def write(self, path: Path, text: str, *, mode: int) -> None:
        """Write a file that is this account's from the start."""
        path.unlink(missing_ok=True)
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
        with os.fdopen(os.open(path, flags, mode), "w") as file:
            file.write(text)
        if self.is_another:
            os.chown(path, self.uid, self.gid)

    def _finish(self, command: list[str]) -> tuple[int, str]:
        with suppress(subprocess.TimeoutExpired):
            return self._finish_in_time(command)
        raise CommandFailed(f"{command[0]} did not end within {COMMAND_LIMIT:.0f} s")

    def _finish_in_time(self, command: list[str]) -> tuple[int, str]:
        # A file and not a pipe: a postmaster inherits it, and never closes it.
        with tempfile.TemporaryFile("w+") as output:
            ended = subprocess.run(  # noqa: S603 - programs that we chose ourselves
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd="/",
                env=_environment(),
                timeout=COMMAND_LIMIT,
                check=False,
                # Ctrl-C at a terminal is for us: a start that it cut off has failed.
                start_new_session=True,
                user=self.uid if self.is_another else None,
                group=self.gid if self.is_another else None,
                extra_groups=[] if self.is_another else None,
            )
            output.seek(0)
            return ended.returncode, output.read()


def _environment() -> dict[str, str]:
    # Little is passed on: PGPORT and the like would change the server, and the
    # URLs of the services are none of its business.
    passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return {"PATH": os.defpath, **passed, "LC_ALL": "C.UTF-8"}
