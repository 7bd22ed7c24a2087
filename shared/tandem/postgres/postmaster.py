"""What a data folder says about its server, and whether that is still true."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from tandem.postgres.account import Account, CommandFailed

# Any server answers it with one byte before it asks who we are.
SSL_REQUEST: Final = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"

ORPHANS_LIMIT: Final = 15.0
"""Seconds that the children of a killed server may take to notice it."""

LOOK_AGAIN: Final = 0.05
"""Seconds."""

# Fields of postmaster.pid, by line.
PID, PORT, SOCKET_FOLDER, STATUS = 0, 3, 4, 7


class StillInUse(TimeoutError):
    """Processes of a killed server did not end, so that none may be started."""


@dataclass(frozen=True, slots=True)
class Postmaster:
    """The server that a data folder names in its `postmaster.pid`."""

    pid: int
    port: int
    socket_folder: Path
    status: str

    @classmethod
    def named_in(cls, data: Path) -> Self | None:
        """The server as noted by itself. None if there is no (whole) note."""
        try:
            lines = (data / "postmaster.pid").read_text().splitlines()
            return cls(
                pid=int(lines[PID]),
                port=int(lines[PORT]),
                socket_folder=Path(lines[SOCKET_FOLDER]),
                status=lines[STATUS].strip(),
            )
        except (OSError, ValueError, IndexError):
            return None

    def serves(self) -> bool:
        """Whether it says that it is ready, and somebody answers at its socket."""
        return self.status == "ready" and self._answers()

    def is_alive(self, data: Path, account: Account) -> bool:
        """Whether the process of that number still is the server of this folder.

        A number alone proves nothing: it may be a zombie's, which no parent has
        reaped, or another program's by now.
        """
        if not Path("/proc/self/cwd").is_symlink():
            return _exists(self.pid)
        return data in _working_folders(account, str(self.pid))

    def forget(self, data: Path, account: Account) -> None:
        """Remove what a dead server left, once none of its children is left.

        Raises:
            StillInUse: a child outlived it by far.
        """
        give_up = time.monotonic() + ORPHANS_LIMIT
        while data in _working_folders(account, "[0-9]*"):
            if time.monotonic() > give_up:
                raise StillInUse(f"processes of a killed server still use {data}")
            time.sleep(LOOK_AGAIN)
        (data / "postmaster.pid").unlink(missing_ok=True)
        for lock in self.socket_folder.glob(f".s.PGSQL.{self.port}*"):
            lock.unlink(missing_ok=True)

    def _answers(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(2)
                client.connect(str(self.socket_folder / f".s.PGSQL.{self.port}"))
                client.sendall(SSL_REQUEST)
                return client.recv(1) in {b"N", b"S"}
        except OSError:
            return False


def _working_folders(account: Account, pids: str) -> set[Path]:
    # Asked as the account itself: root without CAP_SYS_PTRACE, as in containers,
    # may not look at the processes of others.
    script = f'for link in /proc/{pids}/cwd; do readlink "$link"; done; true'
    try:
        return {Path(line) for line in account.run("sh", "-c", script).splitlines()}
    except CommandFailed:
        return set()


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
